"""Blend the models, and turn probabilities into masks."""


rule blend_oof:
    input:
        data="<results>/data/train.h5",
        folds=f"<results>/folds/{PLAN.scheme}.csv",
        oof=lambda wildcards: PLAN.member_files(wildcards.round, "oof"),
        external=PLAN.external_files("oof"),
    output:
        blend="<results>/blend/round{round}/oof.h5",
        weights="<results>/blend/round{round}/weights.json",
    log:
        "<logs>/blend_oof/round{round}.log",
    benchmark:
        "<benchmarks>/blend_oof/round{round}.txt"
    conda:
        "../../envs/foldbelt.yaml"
    threads: 1
    resources:
        mem_mb=memory(4000, 0.5),
        runtime=minutes(60),
    params:
        code=lambda wildcards: code("blend_oof", METRIC),
        members=PLAN.masks,
        external=PLAN.external,
        blend=config["blend"],
        metric=config["decision"]["metric"],
    message:
        "Weigh the models of round {wildcards.round} and blend them"
    script:
        "../scripts/blend_oof.py"


rule blend_test:
    input:
        test=lambda wildcards: PLAN.member_files(wildcards.round, "test"),
        external=PLAN.external_files("test"),
        labelled=lambda wildcards: PLAN.half_labels(wildcards.round),
        weights="<results>/blend/round{round}/weights.json",
    output:
        blend="<results>/blend/round{round}/test.h5",
    log:
        "<logs>/blend_test/round{round}.log",
    benchmark:
        "<benchmarks>/blend_test/round{round}.txt"
    conda:
        "../../envs/foldbelt.yaml"
    threads: 1
    resources:
        mem_mb=memory(4000, 0.5),
        runtime=minutes(60),
    params:
        code=lambda wildcards: code("blend_test"),
        members=PLAN.masks,
        external=PLAN.external,
    message:
        "Blend the test predictions of round {wildcards.round}"
    script:
        "../scripts/blend_test.py"


rule tabulate_components:
    input:
        data="<results>/data/train.h5",
        folds=f"<results>/folds/{PLAN.scheme}.csv",
        oof=lambda wildcards: PLAN.member_files(wildcards.round, "oof"),
        external=PLAN.external_files("oof"),
        weights="<results>/blend/round{round}/weights.json",
    output:
        components="<results>/components/round{round}.h5",
    log:
        "<logs>/tabulate_components/round{round}.log",
    benchmark:
        "<benchmarks>/tabulate_components/round{round}.txt"
    conda:
        "../../envs/foldbelt.yaml"
    threads: 2
    resources:
        mem_mb=memory(2000, 0.5),
        runtime=minutes(60),
    params:
        code=lambda wildcards: code("tabulate_components"),
        members=PLAN.masks,
        external=PLAN.external,
        # Of what gates do, only a product needs other cuts.
        space={
            "threshold": config["decision"]["space"]["threshold"],
            "gate_mode": sorted(
                {
                    mode if mode == "product" else "veto"
                    for mode in config["decision"]["space"]["gate_mode"]
                }
            ),
        },
    message:
        "Find the connected components of round {wildcards.round} at every threshold"
    script:
        "../scripts/tabulate_components.py"


rule search_decision:
    input:
        data="<results>/data/train.h5",
        folds=f"<results>/folds/{PLAN.scheme}.csv",
        oof=lambda wildcards: PLAN.member_files(wildcards.round, "oof"),
        external=PLAN.external_files("oof"),
        weights="<results>/blend/round{round}/weights.json",
        mosaic=PLAN.mosaic_of_steps(PLAN.steps),
        components=lambda wildcards: PLAN.component_table(wildcards.round),
    output:
        decision="<results>/decision/round{round}.json",
    log:
        "<logs>/search_decision/round{round}.log",
    benchmark:
        "<benchmarks>/search_decision/round{round}.txt"
    conda:
        "../../envs/foldbelt.yaml"
    threads: 1
    resources:
        mem_mb=memory(4000, 0.5),
        runtime=minutes(60),
    params:
        code=lambda wildcards: code("search_decision", METRIC, *PLAN.steps),
        members=PLAN.masks,
        external=PLAN.external,
        decision=config["decision"],
        seed=config["seed"],
    message:
        "Search threshold, smallest mask and component, gate and steps of round {wildcards.round}"
    script:
        "../scripts/search_decision.py"


rule blend:
    input:
        expand(
            "<results>/blend/round{round}/{file}",
            round=ROUNDS,
            file=["oof.h5", "test.h5", "weights.json"],
        )
        if PLAN.masks
        else [],
        expand(
            "<results>/blend/{output}/round{round}/{file}",
            output=PLAN.scored,
            round=ROUNDS,
            file=["oof.h5", "test.h5"],
        ),


rule decide:
    input:
        expand("<results>/decision/round{round}.json", round=ROUNDS) if PLAN.masks else [],
        [PLAN.component_table(number) for number in ROUNDS] if PLAN.masks else [],
        expand("<results>/decision/{output}/round{round}.json", output=PLAN.scored, round=ROUNDS),
