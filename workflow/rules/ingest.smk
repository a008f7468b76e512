"""From a competition's files to checked arrays."""

if SURVEY:

    rule make_survey:
        output:
            files=directory("<results>/survey/competition"),
            truth="<results>/survey/competition-truth.csv",
            beside=f"<results>/survey/competition-{registry.synthetic_beside(SURVEY)}.csv",
        log:
            "<logs>/make_survey.log",
        benchmark:
            "<benchmarks>/make_survey/all.txt"
        conda:
            "../../envs/foldbelt.yaml"
        threads: 2
        resources:
            mem_mb=1500,
            runtime=20,
        params:
            code=code("make_survey"),
            survey=SURVEY,
            options=config["data"]["synthetic"],
        message:
            f"Draw a synthetic {SURVEY} survey"
        script:
            "../scripts/make_survey.py"


rule ingest_images:
    input:
        raw=ROOT if SURVEY else ancient(ROOT),
    output:
        train="<results>/data/train.h5",
        test="<results>/data/test.h5",
        problems="<results>/data/problems.csv",
    log:
        "<logs>/ingest_images.log",
    benchmark:
        "<benchmarks>/ingest_images/all.txt"
    conda:
        "../../envs/foldbelt.yaml"
    threads: 2
    resources:
        mem_mb=1500,
        runtime=60,
    params:
        code=reader_code("ingest_images"),
        competition=config["competition"],
        raw=raw_listing,
        data={
            k: config["data"][k]
            for k in ("on_problem", "size", "image_mode", "ignore", "classes", "label", "series")
        },
    message:
        "Check the raw files and store them as arrays"
    script:
        "../scripts/ingest_images.py"


rule ingest:
    input:
        rules.ingest_images.output,
