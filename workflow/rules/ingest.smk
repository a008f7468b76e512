"""From a competition's files to checked arrays."""

if PLAN.synthetic:

    rule make_synthetic:
        output:
            files=directory("<results>/synthetic/competition"),
            truth="<results>/synthetic/competition-truth.csv",
            beside=f"<results>/synthetic/competition-{registry.synthetic_beside(PLAN.synthetic)}.csv",
        log:
            "<logs>/make_synthetic.log",
        benchmark:
            "<benchmarks>/make_synthetic/all.txt"
        conda:
            "../../envs/foldbelt.yaml"
        threads: 2
        resources:
            mem_mb=1500,
            runtime=20,
        params:
            code=lambda wildcards: code("make_synthetic", f"foldbelt.synthetic.{PLAN.synthetic}"),
            generator=PLAN.synthetic,
            options=config["data"]["synthetic"],
        message:
            f"Draw synthetic data: {PLAN.synthetic}"
        script:
            "../scripts/make_synthetic.py"


rule ingest_images:
    input:
        raw=PLAN.raw if PLAN.synthetic else ancient(PLAN.raw),
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
        code=lambda wildcards: code("ingest_images", READER),
        competition=config["competition"],
        raw=raw_listing,
        data={k: v for k, v in config["data"].items() if k not in ("path", "synthetic", "truth")},
    message:
        "Check the raw files and store them as arrays"
    script:
        "../scripts/ingest_images.py"


rule ingest:
    input:
        rules.ingest_images.output,
