"""Probabilities of the images that a model has not seen."""


rule predict_images:
    input:
        data="<results>/data/train.h5",
        channels=lambda wildcards: PLAN.channels_file(wildcards.member, "train"),
        folds=lambda wildcards: PLAN.folds_file(wildcards.member),
        weights=lambda wildcards: PLAN.final_weights(**wildcards),
    output:
        predictions="<results>/predictions/{member}/round{round}/fold{fold}/oof.h5",
    log:
        "<logs>/predict_images/{member}/round{round}/fold{fold}/oof.log",
    benchmark:
        "<benchmarks>/predict_images/{member}/round{round}/fold{fold}/oof.txt"
    retries: config["retries"]
    conda:
        "../../envs/foldbelt.yaml"
    threads: config["cpu_threads"]
    resources:
        gpu=GPUS,
        mem_mb=memory(6000),
        runtime=minutes(120),
    params:
        code=lambda wildcards: code("predict_images", *RECIPES.predicting_modules(wildcards.member)),
        predict=lambda wildcards: RECIPES.model(wildcards.member)["predict"],
        snapshot=lambda wildcards: RECIPES.snapshot(wildcards.member),
        cpu_threads=config["cpu_threads"],
    message:
        "Predict fold {wildcards.fold} with {wildcards.member}, round {wildcards.round}, which held it out"
    script:
        "../scripts/predict_images.py"


use rule predict_images as predict_test_images with:
    input:
        data="<results>/data/test.h5",
        channels=lambda wildcards: PLAN.channels_file(wildcards.member, "test"),
        weights=lambda wildcards: PLAN.final_weights(**wildcards),
    output:
        predictions="<results>/predictions/{member}/round{round}/fold{fold}/test.h5",
    log:
        "<logs>/predict_images/{member}/round{round}/fold{fold}/test.log",
    benchmark:
        "<benchmarks>/predict_images/{member}/round{round}/fold{fold}/test.txt"
    message:
        "Predict the test images with {wildcards.member}, round {wildcards.round}, fold {wildcards.fold}"


rule oof:
    input:
        PLAN.all_predictions(),
