"""Labels and boxes: blended, decided on, scored, written and drawn, each by the modules of its name."""


rule read_external:
    input:
        source=lambda wildcards: PLAN.elsewhere_source(**wildcards),
        data="<results>/data/{part}.h5",
        names="<results>/data/train.h5",
        folds=lambda wildcards: PLAN.elsewhere_folds(wildcards.part),
    output:
        predictions="<results>/external/{output}/{member}/{part}.h5",
    log:
        "<logs>/read_external/{output}/{member}/{part}.log",
    benchmark:
        "<benchmarks>/read_external/{output}/{member}/{part}.txt"
    conda:
        "../../envs/foldbelt.yaml"
    threads: 1
    resources:
        mem_mb=memory(2000, 1),
        runtime=minutes(30),
    params:
        code=lambda wildcards: code("read_external", WRITER),
        competition=config["competition"],
    message:
        "Read the {wildcards.output} of the {wildcards.part} images that were predicted elsewhere: {wildcards.member}"
    script:
        "../scripts/read_external.py"


rule decide_output:
    input:
        data="<results>/data/train.h5",
        folds=f"<results>/folds/{PLAN.scheme}.csv",
        oof=lambda wildcards: PLAN.output_files(wildcards.output, wildcards.round, "oof"),
        external=lambda wildcards: PLAN.elsewhere_files(wildcards.output, "train"),
    output:
        decision="<results>/decision/{output}/round{round}.json",
        blend="<results>/blend/{output}/round{round}/oof.h5",
    log:
        "<logs>/decide_output/{output}/round{round}.log",
    benchmark:
        "<benchmarks>/decide_output/{output}/round{round}.txt"
    conda:
        "../../envs/foldbelt.yaml"
    threads: 1
    resources:
        mem_mb=memory(3000, 1),
        runtime=minutes(60),
    params:
        code=lambda wildcards: code("decide_output", f"foldbelt.decide.{wildcards.output}_io"),
        members=lambda wildcards: PLAN.folds_a_member(wildcards.output),
        external=lambda wildcards: PLAN.elsewhere(wildcards.output),
        unscored=lambda wildcards: PLAN.unscored(wildcards.output),
        settings=lambda wildcards: config[wildcards.output],
        draws=config["decision"]["bootstrap"],
        seed=config["seed"],
    message:
        "Weigh the models of the {wildcards.output} of round {wildcards.round}, blend and score them"
    script:
        "../scripts/decide_output.py"


rule apply_output:
    input:
        test=lambda wildcards: PLAN.output_files(wildcards.output, wildcards.round, "test"),
        external=lambda wildcards: PLAN.elsewhere_files(wildcards.output, "test"),
        unscored=lambda wildcards: PLAN.elsewhere_files(wildcards.output, "test", scored=False),
        data="<results>/data/test.h5",
        decision="<results>/decision/{output}/round{round}.json",
    output:
        blend="<results>/blend/{output}/round{round}/test.h5",
    log:
        "<logs>/apply_output/{output}/round{round}.log",
    benchmark:
        "<benchmarks>/apply_output/{output}/round{round}.txt"
    conda:
        "../../envs/foldbelt.yaml"
    threads: 1
    resources:
        mem_mb=memory(3000, 1),
        runtime=minutes(60),
    params:
        code=lambda wildcards: code("apply_output", f"foldbelt.decide.{wildcards.output}_io"),
        members=lambda wildcards: PLAN.folds_a_member(wildcards.output),
        external=lambda wildcards: PLAN.elsewhere(wildcards.output),
        unscored=lambda wildcards: PLAN.unscored(wildcards.output),
    message:
        "Blend the {wildcards.output} of the test images, round {wildcards.round}"
    script:
        "../scripts/apply_output.py"


rule write_output:
    input:
        test="<results>/data/test.h5",
        blend=f"<results>/blend/{{output}}/round{LAST}/test.h5",
    output:
        table="<results>/{output}.csv",
    log:
        "<logs>/write_output/{output}.log",
    benchmark:
        "<benchmarks>/write_output/{output}.txt"
    conda:
        "../../envs/foldbelt.yaml"
    threads: 1
    resources:
        mem_mb=memory(2000, 0.5),
        runtime=minutes(30),
    params:
        code=lambda wildcards: code("write_output", WRITER),
        competition=config["competition"],
    message:
        "Write the {wildcards.output} of the test images as a table"
    script:
        "../scripts/write_output.py"


rule draw_labels:
    input:
        data="<results>/data/train.h5",
        folds=f"<results>/folds/{PLAN.scheme}.csv",
        decision=f"<results>/decision/labels/round{LAST}.json",
        oof=f"<results>/blend/labels/round{LAST}/oof.h5",
    output:
        scores=report(
            "<results>/figures/labels/scores.html",
            category="3 Results",
            labels={"figure": "Labels 1: scores, table"},
            caption="../report/label_scores.rst",
        ),
        precision_recall=report(
            "<results>/figures/labels/precision_recall.svg",
            category="3 Results",
            labels={"figure": "Labels 2: precision and recall"},
            caption="../report/label_precision_recall.rst",
        ),
        reliability=report(
            "<results>/figures/labels/reliability.svg",
            category="3 Results",
            labels={"figure": "Labels 3: reliability"},
            caption="../report/label_reliability.rst",
        ),
        confusion=report(
            "<results>/figures/labels/confusion.svg",
            category="3 Results",
            labels={"figure": "Labels 4: confusion"},
            caption="../report/label_confusion.rst",
        ),
        worst=report(
            "<results>/figures/labels/worst.png",
            category="3 Results",
            labels={"figure": "Labels 5: worst images"},
            caption="../report/label_worst.rst",
        ),
        best=report(
            "<results>/figures/labels/best.png",
            category="3 Results",
            labels={"figure": "Labels 6: best images"},
            caption="../report/label_best.rst",
        ),
    log:
        "<logs>/draw_labels.log",
    benchmark:
        "<benchmarks>/draw_labels/all.txt"
    conda:
        "../../envs/foldbelt.yaml"
    threads: 1
    resources:
        mem_mb=memory(3000),
        runtime=20,
    params:
        code=lambda wildcards: code("draw_labels"),
        draws=config["decision"]["bootstrap"],
    message:
        "Draw how good the labels are"
    script:
        "../scripts/draw_labels.py"


rule draw_boxes:
    input:
        data="<results>/data/train.h5",
        folds=f"<results>/folds/{PLAN.scheme}.csv",
        decision=f"<results>/decision/boxes/round{LAST}.json",
        oof=f"<results>/blend/boxes/round{LAST}/oof.h5",
    output:
        scores=report(
            "<results>/figures/boxes/scores.html",
            category="3 Results",
            labels={"figure": "Boxes 1: scores, table"},
            caption="../report/box_scores.rst",
        ),
        precision_recall=report(
            "<results>/figures/boxes/precision_recall.svg",
            category="3 Results",
            labels={"figure": "Boxes 2: precision and recall"},
            caption="../report/box_precision_recall.rst",
        ),
        reliability=report(
            "<results>/figures/boxes/reliability.svg",
            category="3 Results",
            labels={"figure": "Boxes 3: reliability"},
            caption="../report/box_reliability.rst",
        ),
        confusion=report(
            "<results>/figures/boxes/confusion.svg",
            category="3 Results",
            labels={"figure": "Boxes 4: confusion"},
            caption="../report/box_confusion.rst",
        ),
        worst=report(
            "<results>/figures/boxes/worst.png",
            category="3 Results",
            labels={"figure": "Boxes 5: worst images"},
            caption="../report/box_worst.rst",
        ),
        best=report(
            "<results>/figures/boxes/best.png",
            category="3 Results",
            labels={"figure": "Boxes 6: best images"},
            caption="../report/box_best.rst",
        ),
    log:
        "<logs>/draw_boxes.log",
    benchmark:
        "<benchmarks>/draw_boxes/all.txt"
    conda:
        "../../envs/foldbelt.yaml"
    threads: 1
    resources:
        mem_mb=memory(3000),
        runtime=20,
    params:
        code=lambda wildcards: code("draw_boxes"),
        draws=config["decision"]["bootstrap"],
    message:
        "Draw how good the boxes are"
    script:
        "../scripts/draw_boxes.py"


if not PLAN.masks:  # with them, `summarise_scores` adds what is said here to the scores of masks

    ruleorder: summarise_outputs > summarise_scores

    rule summarise_outputs:
        input:
            decisions=[PLAN.decisions(output) for output in PLAN.scored],
            oof=[
                path
                for output in PLAN.others
                for number in ROUNDS
                for path in PLAN.output_files(output, number, "oof")
            ],
            benchmarks=PLAN.benchmarks(),
            submission="<results>/submission.csv" if JOINT_TRUTH else [],
            truth=PLAN.truth if JOINT_TRUTH else [],
        output:
            scores="<results>/scores.json",
        log:
            "<logs>/summarise_outputs.log",
        benchmark:
            "<benchmarks>/summarise_outputs.txt"
        localrule: True
        conda:
            "../../envs/foldbelt.yaml"
        threads: 1
        resources:
            mem_mb=memory(1000),
            runtime=20,
        params:
            code=lambda wildcards: code("summarise_outputs", *JOINT_TRUTH),
            competition=config["competition"],
            outputs=PLAN.scored,
            rounds=ROUNDS,
            select={model: RECIPES.kept_weights(model) for model in PLAN.models},
            notes=PLAN.notes(),
        message:
            "Gather the scores"
        script:
            "../scripts/summarise_outputs.py"
