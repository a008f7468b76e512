"""Label the test images with models that never saw a fold, for the next models of that fold."""


rule select_pseudo:
    input:
        predictions=lambda wildcards: PLAN.labellers(**wildcards),
        likeness=lambda wildcards: PLAN.likeness_of_pseudo(wildcards.model),
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
        mem_mb=memory(2000, 0.5),
        runtime=minutes(30),
    params:
        code=lambda wildcards: code("select_pseudo", *PLAN.pseudo_modules),
        pseudo=lambda wildcards: RECIPES.pseudo(wildcards.model),
    message:
        "Admit pseudo-labels for {wildcards.model}, fold {wildcards.fold}, from round {wildcards.round}"
    script:
        "../scripts/select_pseudo.py"


rule pseudo:
    input:
        [
            f"<results>/pseudo/{model}/round{number}/fold{fold}.h5"
            for model in PLAN.models
            for number in ROUNDS[:-1]
            for fold in PLAN.folds_of(model)
        ],
