"""Neighbours and folds."""


rule find_neighbours:
    input:
        train="<results>/data/train.h5",
        test="<results>/data/test.h5",
    output:
        mosaic="<results>/mosaic.csv",
    log:
        "<logs>/find_neighbours.log",
    benchmark:
        "<benchmarks>/find_neighbours/all.txt"
    conda:
        "../../envs/foldbelt.yaml"
    threads: 2
    resources:
        mem_mb=memory(4000, 0.5),
        runtime=minutes(60),
    params:
        code=lambda wildcards: code("find_neighbours"),
    message:
        "Find the tiles that were cut from one section"
    script:
        "../scripts/find_neighbours.py"


rule split_folds:
    input:
        data="<results>/data/train.h5",
        mosaic=lambda wildcards: PLAN.mosaic_of_folds(wildcards.folds),
        likeness=lambda wildcards: PLAN.likeness_of_folds(wildcards.folds),
        kept=lambda wildcards: ancient(PLAN.kept_folds(wildcards.folds)),
    output:
        folds="<results>/folds/{folds}.csv",
    log:
        "<logs>/split_folds/{folds}.log",
    benchmark:
        "<benchmarks>/split_folds/{folds}.txt"
    conda:
        "../../envs/foldbelt.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=20,
    params:
        code=lambda wildcards: code("split_folds"),
        scheme=lambda wildcards: fold_scheme(wildcards.folds),
    message:
        "Split the training set into folds after scheme {wildcards.folds}"
    script:
        "../scripts/split_folds.py"


rule folds:
    input:
        f"<results>/folds/{PLAN.scheme}.csv",
        PLAN.mosaic_of_folds(PLAN.scheme),
