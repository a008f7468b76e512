"""Probabilities of the images that a model has not seen."""


rule predict_images:
    input:
        data="<results>/data/train.h5",
        channels=model_channels("train"),
        folds=model_folds,
        weights=final_weights,
    output:
        predictions="<results>/predictions/{member}/round{round}/fold{fold}/oof.h5",
    log:
        "<logs>/predict_images/{member}/round{round}/fold{fold}/oof.log",
    benchmark:
        "<benchmarks>/predict_images/{member}/round{round}/fold{fold}/oof.txt"
    conda:
        "../../envs/foldbelt.yaml"
    threads: config["cpu_threads"]
    resources:
        gpu=0 if config["device"] == "cpu" else 1,
        mem_mb=6000,
        runtime=120,
    params:
        code=prediction_code,
        predict=lambda wildcards: member_model(wildcards)["predict"],
        snapshot=member_snapshot,
        cpu_threads=config["cpu_threads"],
    message:
        "Predict fold {wildcards.fold} with {wildcards.member}, round {wildcards.round}, which held it out"
    script:
        "../scripts/predict_images.py"


use rule predict_images as predict_test_images with:
    input:
        data="<results>/data/test.h5",
        channels=model_channels("test"),
        weights=final_weights,
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
        expand(
            "<results>/predictions/{member}/round{round}/fold{fold}/{part}.h5",
            member=MEMBERS,
            round=ROUNDS,
            fold=FOLDS,
            part=["oof", "test"],
        ),
