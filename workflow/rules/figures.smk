"""What a reader sees: figures and tables, gathered in one report."""


rule draw_data:
    input:
        train="<results>/data/train.h5",
        test="<results>/data/test.h5",
        problems="<results>/data/problems.csv",
        numbers=["<results>/data/read_train.csv", "<results>/data/read_test.csv"],
        folds=f"<results>/folds/{PLAN.scheme}.csv",
        channels=expand("<results>/channels/{channels}/train.h5", channels=PLAN.channels),
    output:
        examples=report(
            "<results>/figures/examples.png",
            category="1 Data",
            labels={"figure": "Examples"},
            caption="../report/examples.rst",
        ),
        channels=report(
            "<results>/figures/channels.png",
            category="1 Data",
            labels={"figure": "Network input"},
            caption="../report/channels.rst",
        ),
        balance=report(
            "<results>/figures/balance.svg",
            category="1 Data",
            labels={"figure": "Fold balance"},
            caption="../report/balance.rst",
        ),
        balance_table=report(
            "<results>/figures/balance.html",
            category="1 Data",
            labels={"figure": "Fold balance, table"},
            caption="../report/balance.rst",
        ),
        problems=report(
            "<results>/figures/problems.html",
            category="1 Data",
            labels={"figure": "Problems found"},
            caption="../report/problems.rst",
        ),
    log:
        "<logs>/draw_data.log",
    benchmark:
        "<benchmarks>/draw_data/all.txt"
    conda:
        "../../envs/foldbelt.yaml"
    threads: 1
    resources:
        mem_mb=memory(2000),
        runtime=20,
    params:
        code=lambda wildcards: code("draw_data"),
        recipes=PLAN.channels,
    message:
        "Draw the data and its folds"
    script:
        "../scripts/draw_data.py"


rule draw_training:
    input:
        histories=lambda wildcards: PLAN.histories(**wildcards),
    output:
        curves=report(
            "<results>/figures/training/{model}_round{round}.svg",
            category="2 Training",
            labels={"model": "{model}", "round": "{round}"},
            caption="../report/curves.rst",
        ),
    log:
        "<logs>/draw_training/{model}_round{round}.log",
    benchmark:
        "<benchmarks>/draw_training/{model}_round{round}.txt"
    conda:
        "../../envs/foldbelt.yaml"
    threads: 1
    resources:
        mem_mb=memory(2000),
        runtime=20,
    params:
        code=lambda wildcards: code("draw_training"),
        folds=lambda wildcards: PLAN.folds_of(wildcards.model),
        stages=lambda wildcards: RECIPES.model(wildcards.model)["stages"],
    message:
        "Draw the training curves of {wildcards.model}, round {wildcards.round}"
    script:
        "../scripts/draw_training.py"


rule draw_augment:
    input:
        data="<results>/data/train.h5",
        channels=lambda wildcards: PLAN.channels_file(wildcards.model, "train"),
    output:
        figure=report(
            "<results>/figures/augment/{model}.png",
            category="2 Training",
            labels={"model": "{model}", "round": "augmentation"},
            caption="../report/augment.rst",
        ),
    log:
        "<logs>/draw_augment/{model}.log",
    benchmark:
        "<benchmarks>/draw_augment/{model}.txt"
    conda:
        "../../envs/foldbelt.yaml"
    threads: 1
    resources:
        mem_mb=memory(2000),
        runtime=20,
    params:
        code=lambda wildcards: code("draw_augment"),
        augment=lambda wildcards: RECIPES.augmentations(wildcards.model),
        windows=lambda wildcards: RECIPES.windows(wildcards.model),
        models=lambda wildcards: PLAN.augmented_alike(wildcards.model),
        seed=config["seed"],
    message:
        "Draw what the augmentation of {wildcards.model} does"
    script:
        "../scripts/draw_augment.py"


rule draw_pseudo:
    input:
        pseudo=rules.pseudo.input,
        train="<results>/data/train.h5",
    output:
        pseudo=report(
            "<results>/figures/pseudo.svg",
            category="2 Training",
            labels={"model": "all", "round": "pseudo-labels"},
            caption="../report/pseudo.rst",
        ),
    log:
        "<logs>/draw_pseudo.log",
    benchmark:
        "<benchmarks>/draw_pseudo/all.txt"
    conda:
        "../../envs/foldbelt.yaml"
    threads: 1
    resources:
        mem_mb=memory(2000),
        runtime=20,
    params:
        code=lambda wildcards: code("draw_pseudo"),
    message:
        "Draw the pseudo-labels' statistics"
    script:
        "../scripts/draw_pseudo.py"


rule draw_results:
    input:
        scores="<results>/scores.json",
        decisions=expand("<results>/decision/round{round}.json", round=ROUNDS),
        oof=f"<results>/blend/round{LAST}/oof.h5",
        data="<results>/data/train.h5",
        folds=f"<results>/folds/{PLAN.scheme}.csv",
        mosaic=PLAN.mosaic_of_steps(PLAN.steps),
    output:
        scores=report(
            "<results>/figures/scores.svg",
            category="3 Results",
            labels={"figure": "1 Scores"},
            caption="../report/scores.rst",
        ),
        table=report(
            "<results>/figures/scores.html",
            category="3 Results",
            labels={"figure": "2 Scores, table"},
            caption="../report/scores.rst",
        ),
        threshold=report(
            "<results>/figures/threshold.svg",
            category="3 Results",
            labels={"figure": "3 Threshold"},
            caption="../report/threshold.rst",
        ),
        selection=report(
            "<results>/figures/selection.svg",
            category="3 Results",
            labels={"figure": "4 Steps of the decision"},
            caption="../report/selection.rst",
        ),
        worst=report(
            "<results>/figures/worst.png",
            category="3 Results",
            labels={"figure": "5 Worst images"},
            caption="../report/worst.rst",
        ),
        best=report(
            "<results>/figures/best.png",
            category="3 Results",
            labels={"figure": "6 Best images"},
            caption="../report/best.rst",
        ),
        score_by=report(
            "<results>/figures/score_by.svg",
            category="3 Results",
            labels={"figure": "7 Where it fails"},
            caption="../report/score_by.rst",
        ),
    log:
        "<logs>/draw_results.log",
    benchmark:
        "<benchmarks>/draw_results/all.txt"
    conda:
        "../../envs/foldbelt.yaml"
    threads: 1
    resources:
        mem_mb=memory(3000),
        runtime=20,
    params:
        code=lambda wildcards: code("draw_results", METRIC, *PLAN.steps),
        rounds=ROUNDS,
        draws=lookup(within=config, dpath="decision/bootstrap"),
    message:
        "Draw scores, thresholds, best and worst images"
    script:
        "../scripts/draw_results.py"


rule describe_run:
    input:
        config="<results>/config.yaml",
        scores="<results>/scores.json",
    output:
        provenance=report(
            "<results>/figures/provenance.html",
            category="4 Provenance",
            labels={"page": "Config, versions, hardware, durations"},
            caption="../report/provenance.rst",
        ),
    log:
        "<logs>/describe_run.log",
    benchmark:
        "<benchmarks>/describe_run/all.txt"
    localrule: True
    conda:
        "../../envs/foldbelt.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        code=lambda wildcards: code("describe_run"),
    message:
        "Describe where the run's numbers come from"
    script:
        "../scripts/describe_run.py"


rule write_report:
    input:
        rules.draw_data.output,
        rules.draw_likeness.output if PLAN.adversarial else [],
        PLAN.augment_figures(),
        expand(
            "<results>/figures/training/{model}_round{round}.svg", model=PLAN.models, round=ROUNDS
        ),
        rules.draw_pseudo.output if LAST else [],
        rules.draw_results.output if PLAN.masks else [],
        rules.draw_joint.output if PLAN.joint else [],
        rules.draw_labels.output if "labels" in PLAN.others else [],
        rules.draw_boxes.output if "boxes" in PLAN.others else [],
        rules.describe_run.output,
        config="<results>/config.yaml",
    output:
        report="<results>/report.html",
    log:
        "<logs>/write_report.log",
    benchmark:
        "<benchmarks>/write_report/all.txt"
    localrule: True
    conda:
        "../../envs/foldbelt.yaml"
    threads: 1
    resources:
        mem_mb=memory(2000),
        runtime=20,
    params:
        code=lambda wildcards: code("write_report"),
        captions=lambda wildcards: captions(),
    message:
        "Gather the report"
    script:
        "../scripts/write_report.py"


rule report:
    input:
        rules.write_report.output,
        rules.draw_data.output,
        rules.draw_likeness.output if PLAN.adversarial else [],
        PLAN.augment_figures(),
        expand(
            "<results>/figures/training/{model}_round{round}.svg", model=PLAN.models, round=ROUNDS
        ),
        rules.draw_pseudo.output if LAST else [],
        rules.draw_results.output if PLAN.masks else [],
        rules.draw_joint.output if PLAN.joint else [],
        rules.draw_labels.output if "labels" in PLAN.others else [],
        rules.draw_boxes.output if "boxes" in PLAN.others else [],
        rules.describe_run.output,
