"""The product: submission, scores, and the report."""


rule write_submission:
    input:
        raw=ROOT if SURVEY else ancient(ROOT),
        test="<results>/data/test.h5",
        blend=f"<results>/blend/round{ROUNDS[-1]}/test.h5",
        decision=f"<results>/decision/round{ROUNDS[-1]}.json",
        train="<results>/data/train.h5" if step_mosaic(STEPS) else [],
        mosaic=step_mosaic(STEPS),
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
        mem_mb=2000,
        runtime=30,
    params:
        code=writer_code("write_submission", *STEPS),
        competition=config["competition"],
        data={k: config["data"][k] for k in ("on_problem", "size", "image_mode", "ignore", "classes")},
    message:
        "Write the submission and check it"
    script:
        "../scripts/write_submission.py"


rule summarise_scores:
    input:
        data="<results>/data/train.h5",
        test="<results>/data/test.h5",
        folds=f"<results>/folds/{SCHEME}.csv",
        oof=expand(
            "<results>/predictions/{member}/round{round}/fold{fold}/oof.h5",
            member=MEMBERS,
            round=ROUNDS,
            fold=FOLDS,
        ),
        decisions=expand("<results>/decision/round{round}.json", round=ROUNDS),
        blend=f"<results>/blend/round{ROUNDS[-1]}/test.h5",
        external=external_files("oof"),
        submission="<results>/submission.csv",
        truth=[] if TRUTH is None else TRUTH,
        mosaic=step_mosaic(STEPS),
        likeness=likeness,
    output:
        scores="<results>/scores.json",
    log:
        "<logs>/summarise_scores.log",
    benchmark:
        "<benchmarks>/summarise_scores/all.txt"
    conda:
        "../../envs/foldbelt.yaml"
    threads: 1 + BY_COMPONENT
    resources:
        mem_mb=4000,
        # Every member decides for itself, with tables of components of its own.
        runtime=60 * (1 + len(MEMBERS) * len(ROUNDS) * BY_COMPONENT),
    params:
        code=reader_code("summarise_scores", *STEPS),
        competition=config["competition"],
        members=MEMBERS,
        external=list(EXTERNAL),
        rounds=ROUNDS,
        select={
            model: [kept_weights(s) for s in config["models"][model]["stages"]] for model in MODELS
        },
        notes=leaks(),
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
        code=code("write_config"),
        config=config,
    message:
        "Write down the complete config of this run"
    script:
        "../scripts/write_config.py"


rule submission:
    input:
        rules.write_submission.output,
        rules.summarise_scores.output,
        rules.write_config.output,
