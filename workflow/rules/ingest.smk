"""From a competition's files to checked arrays."""

if SURVEY:

    rule make_survey:
        output:
            files=directory("<results>/survey/competition"),
            truth="<results>/survey/competition-truth.csv",
            sections="<results>/survey/competition-sections.csv",
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
            sections=lookup(within=config, dpath="data/survey/sections"),
            seed=lookup(within=config, dpath="data/survey/seed"),
        message:
            "Draw a synthetic seismic survey and cut it into tiles"
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
        code=competition_code("ingest_images"),
        competition=config["competition"],
        raw=raw_listing,
        data={k: config["data"][k] for k in ("on_problem", "size", "color", "ignore", "classes")},
    message:
        "Check the raw files and store them as arrays"
    script:
        "../scripts/ingest_images.py"


rule ingest:
    input:
        rules.ingest_images.output,
