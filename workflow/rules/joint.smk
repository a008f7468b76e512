"""Labels and boxes decided together: how each changes the other, what is written and drawn of it."""


rule decide_joint:
    input:
        data="<results>/data/train.h5",
        folds=f"<results>/folds/{PLAN.scheme}.csv",
        decisions=expand("<results>/decision/{output}/round{{round}}.json", output=PLAN.others),
        labels=lambda wildcards: PLAN.output_files("labels", wildcards.round, "oof"),
        boxes=lambda wildcards: PLAN.output_files("boxes", wildcards.round, "oof"),
        external_labels=PLAN.elsewhere_files("labels", "train"),
        external_boxes=PLAN.elsewhere_files("boxes", "train"),
    output:
        decision="<results>/decision/joint/round{round}.json",
        blend="<results>/blend/joint/round{round}/oof.h5",
    log:
        "<logs>/decide_joint/round{round}.log",
    benchmark:
        "<benchmarks>/decide_joint/round{round}.txt"
    conda:
        "../../envs/foldbelt.yaml"
    threads: 1
    resources:
        mem_mb=memory(4000, 2),
        runtime=minutes(60),
    params:
        code=lambda wildcards: code(
            "decide_joint", *[f"foldbelt.decide.{o}_io" for o in PLAN.others]
        ),
        outputs=PLAN.others,
        members={output: PLAN.folds_a_member(output) for output in PLAN.others},
        external={output: PLAN.elsewhere(output) for output in PLAN.others},
        settings=config["joint"],
        classes=PLAN.joint_classes,
        draws=config["decision"]["bootstrap"],
        seed=config["seed"],
    message:
        "Decide labels and boxes of round {wildcards.round} together, and score them"
    script:
        "../scripts/decide_joint.py"


rule apply_joint:
    input:
        labels="<results>/blend/labels/round{round}/test.h5",
        boxes="<results>/blend/boxes/round{round}/test.h5" if "boxes" in PLAN.others else [],
        data="<results>/data/test.h5",
        decision="<results>/decision/joint/round{round}.json",
    output:
        blend="<results>/blend/joint/round{round}/test.h5",
    log:
        "<logs>/apply_joint/round{round}.log",
    benchmark:
        "<benchmarks>/apply_joint/round{round}.txt"
    conda:
        "../../envs/foldbelt.yaml"
    threads: 1
    resources:
        mem_mb=memory(2000, 2),
        runtime=minutes(30),
    params:
        code=lambda wildcards: code("apply_joint"),
    message:
        "Change labels and boxes of the test images as was decided, round {wildcards.round}"
    script:
        "../scripts/apply_joint.py"


rule draw_joint:
    input:
        scores="<results>/scores.json",
        data="<results>/data/train.h5",
        folds=f"<results>/folds/{PLAN.scheme}.csv",
        decision=f"<results>/decision/joint/round{LAST}.json",
        oof=f"<results>/blend/joint/round{LAST}/oof.h5",
        blends=expand(f"<results>/blend/{{output}}/round{LAST}/oof.h5", output=PLAN.others),
        labels=PLAN.output_files("labels", LAST, "oof"),
        boxes=PLAN.output_files("boxes", LAST, "oof"),
    output:
        scores=report(
            "<results>/figures/joint/scores.html",
            category="3 Results",
            labels={"figure": "1 Scores, table"},
            caption="../report/joint_scores.rst",
        ),
        precision_recall=report(
            "<results>/figures/joint/precision_recall.svg",
            category="3 Results",
            labels={"figure": "2 Precision and recall"},
            caption="../report/joint_precision_recall.rst",
        ),
        parts=report(
            "<results>/figures/joint/parts.svg",
            category="3 Results",
            labels={"figure": "3 Parts of the decision"},
            caption="../report/joint_parts.rst",
        ),
    log:
        "<logs>/draw_joint.log",
    benchmark:
        "<benchmarks>/draw_joint/all.txt"
    conda:
        "../../envs/foldbelt.yaml"
    threads: 1
    resources:
        mem_mb=memory(3000),
        runtime=20,
    params:
        code=lambda wildcards: code("draw_joint", *(f"foldbelt.decide.{o}_io" for o in PLAN.others)),
        outputs=PLAN.others,
        members={output: PLAN.folds_a_member(output) for output in PLAN.others},
        settings={output: config[output] for output in PLAN.others},
        draws=config["decision"]["bootstrap"],
    message:
        "Draw how good labels and boxes are together"
    script:
        "../scripts/draw_joint.py"


if JOINT_PRODUCT:

    ruleorder: write_joint > write_submission

    rule write_joint:
        input:
            sample="<results>/data/sample",
            test="<results>/data/test.h5",
            blend=f"<results>/blend/joint/round{LAST}/test.h5",
        output:
            submission="<results>/submission.csv",
        log:
            "<logs>/write_joint.log",
        benchmark:
            "<benchmarks>/write_joint/all.txt"
        conda:
            "../../envs/foldbelt.yaml"
        threads: 1
        resources:
            mem_mb=memory(2000, 0.5),
            runtime=minutes(30),
        params:
            code=lambda wildcards: code("write_joint", WRITER),
            competition=config["competition"],
            data={"on_problem": config["data"]["on_problem"]},
        message:
            "Write the submission of labels and boxes together, and check it"
        script:
            "../scripts/write_joint.py"
