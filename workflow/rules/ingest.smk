"""From a competition's files to checked arrays: training images, test images, the sample."""

if PLAN.synthetic:

    rule make_synthetic:
        output:
            files=directory("<results>/synthetic/competition"),
            truth="<results>/synthetic/competition-truth.csv",
            beside=f"<results>/synthetic/competition-{registry.synthetic_beside(PLAN.synthetic)}.csv",
            more=[
                f"<results>/synthetic/competition-{end}.csv"
                for end in registry.synthetic_more(PLAN.synthetic)
            ],
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


rule ingest_train:
    input:
        raw=raw_folder,
    output:
        data="<results>/data/train.h5",
    # The list of problems is a log: it outlives a job that stops because of them. So is what was
    # read: nothing but the report depends on it.
    log:
        "<logs>/ingest_images/train.log",
        problems="<results>/data/problems_train.csv",
        numbers="<results>/data/read_train.csv",
    benchmark:
        "<benchmarks>/ingest_images/train.txt"
    conda:
        "../../envs/foldbelt.yaml"
    threads: 2
    resources:
        mem_mb=memory(3000),  # images of 20,000 × 20,000 pixels take 2 GB, one at a time
        runtime=60,
    params:
        code=lambda wildcards: code("ingest_images", READER),
        competition=config["competition"],
        raw=lambda wildcards: raw_digest("train"),
        data=DATA,
    message:
        "Check the training images and store them as arrays"
    script:
        "../scripts/ingest_images.py"


use rule ingest_train as ingest_test with:
    input:
        raw=raw_folder,
        train="<results>/data/train.h5",
    output:
        data="<results>/data/test.h5",
    log:
        "<logs>/ingest_images/test.log",
        problems="<results>/data/problems_test.csv",
        numbers="<results>/data/read_test.csv",
    benchmark:
        "<benchmarks>/ingest_images/test.txt"
    params:
        code=lambda wildcards: code("ingest_images", READER),
        competition=config["competition"],
        raw=lambda wildcards: raw_digest("test"),
        data=DATA,
    message:
        f"Check the test images and store them as arrays ({PLAN.upstream_of_training()})"


rule keep_sample:
    input:
        raw=raw_folder,
    output:
        sample=directory("<results>/data/sample"),
    log:
        "<logs>/keep_sample.log",
    benchmark:
        "<benchmarks>/keep_sample/all.txt"
    localrule: True
    conda:
        "../../envs/foldbelt.yaml"
    threads: 1
    resources:
        mem_mb=500,
        runtime=5,
    params:
        code=lambda wildcards: code("keep_sample", LISTER),
        competition=config["competition"],
        raw=lambda wildcards: raw_digest("sample"),
    message:
        "Keep the sample submission with the results"
    script:
        "../scripts/keep_sample.py"


rule list_problems:
    input:
        "<results>/data/train.h5",
        "<results>/data/test.h5",
        parts=["<results>/data/problems_train.csv", "<results>/data/problems_test.csv"],
    output:
        problems="<results>/data/problems.csv",
    log:
        "<logs>/list_problems.log",
    benchmark:
        "<benchmarks>/list_problems/all.txt"
    localrule: True
    conda:
        "../../envs/foldbelt.yaml"
    threads: 1
    resources:
        mem_mb=500,
        runtime=5,
    params:
        code=lambda wildcards: code("list_problems"),
    message:
        "List the problems found in the raw files"
    script:
        "../scripts/list_problems.py"


rule ingest:
    input:
        rules.ingest_train.output,
        rules.ingest_test.output,
        rules.keep_sample.output,
        rules.list_problems.output,
