"""Label the test images with models that never saw a fold, for the next models of that fold."""


rule select_pseudo:
    input:
        predictions=labellers,
        likeness=likeness,
    output:
        pseudo="<results>/pseudo/{model}/round{round}/fold{fold}.h5",
    log:
        "<logs>/select_pseudo/{model}/round{round}/fold{fold}.log",
    benchmark:
        "<benchmarks>/select_pseudo/{model}/round{round}/fold{fold}.txt"
    conda:
        "../../envs/foldbelt.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        code=code("select_pseudo"),
        pseudo=lambda wildcards: {
            k: v
            for k, v in member_model(wildcards)["pseudo"].items()
            if k not in ("rounds", "start", *idle_pseudo(member_model(wildcards)["pseudo"]))
        },
    message:
        "Admit pseudo-labels for {wildcards.model}, fold {wildcards.fold}, from round {wildcards.round}"
    script:
        "../scripts/select_pseudo.py"


rule pseudo:
    input:
        expand(
            "<results>/pseudo/{model}/round{round}/fold{fold}.h5",
            model=MODELS,
            round=ROUNDS[:-1],
            fold=FOLDS,
        ),
