"""The product: submission, scores, and the report."""


rule write_submission:
    input:
        sample="<results>/data/sample",
        test="<results>/data/test.h5",
        blend=f"<results>/blend/round{LAST}/test.h5",
        decision=f"<results>/decision/round{LAST}.json",
        train="<results>/data/train.h5" if PLAN.mosaic_of_steps(PLAN.steps) else [],
        mosaic=PLAN.mosaic_of_steps(PLAN.steps),
    output:
        submission="<results>/submission.csv",
    log:
        "<logs>/write_submission.log",
    benchmark:
        "<benchmarks>/write_submission/all.txt"
    conda:
        "../../envs/foldbelt.yaml"
    threads: 1
    resources:
        mem_mb=memory(2000, 0.5),
        runtime=minutes(30),
    params:
        code=lambda wildcards: code("write_submission", WRITER, *PLAN.steps),
        competition=config["competition"],
        data={"on_problem": config["data"]["on_problem"]},
    message:
        "Write the submission and check it"
    script:
        "../scripts/write_submission.py"


rule summarise_scores:
    input:
        data="<results>/data/train.h5",
        test="<results>/data/test.h5",
        folds=f"<results>/folds/{PLAN.scheme}.csv",
        oof=expand(
            "<results>/predictions/{member}/round{round}/fold{fold}/oof.h5",
            member=PLAN.masks,
            round=ROUNDS,
            fold=PLAN.folds,
        ),
        decisions=expand("<results>/decision/round{round}.json", round=ROUNDS),
        blend=f"<results>/blend/round{LAST}/test.h5",
        external=PLAN.external_files("oof"),
        submission="<results>/submission.csv",
        outputs=[PLAN.decisions(output) for output in PLAN.scored],
        benchmarks=PLAN.benchmarks(),
        truth=PLAN.truth,
        mosaic=PLAN.mosaic_of_steps(PLAN.steps),
        likeness=PLAN.likeness_of_scores(),
    output:
        scores="<results>/scores.json",
    log:
        "<logs>/summarise_scores.log",
    benchmark:
        "<benchmarks>/summarise_scores/all.txt"
    conda:
        "../../envs/foldbelt.yaml"
    threads: TABLE_WORKERS
    resources:
        mem_mb=memory(4000, 0.5),
        runtime=minutes(PLAN.score_minutes),
    params:
        code=lambda wildcards: code("summarise_scores", READER, METRIC, *PLAN.steps),
        competition=config["competition"],
        members=PLAN.masks,
        external=PLAN.external,
        outputs=PLAN.scored,
        rounds=ROUNDS,
        select={model: RECIPES.kept_weights(model) for model in PLAN.models},
        notes=PLAN.notes(),
        decision=config["decision"],
        seed=config["seed"],
    message:
        "Score every model, every round and the product"
    script:
        "../scripts/summarise_scores.py"


rule write_config:
    output:
        config="<results>/config.yaml",
    log:
        "<logs>/write_config.log",
    benchmark:
        "<benchmarks>/write_config/all.txt"
    localrule: True
    conda:
        "../../envs/foldbelt.yaml"
    threads: 1
    resources:
        mem_mb=500,
        runtime=5,
    params:
        code=lambda wildcards: code("write_config"),
        config=config,
    message:
        "Write down the complete config of this run"
    script:
        "../scripts/write_config.py"


rule submission:
    input:
        rules.write_submission.output if PLAN.masks else [],
        rules.write_joint.output if JOINT_PRODUCT else [],
        expand("<results>/{output}.csv", output=PLAN.others),
        "<results>/scores.json",
        rules.write_config.output,
