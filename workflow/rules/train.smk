"""One job trains one model in one round on one fold through one stage."""


rule fetch_weights:
    input:
        file=weights_file,
    output:
        weights="<results>/pretrained/{model}.safetensors",
    log:
        "<logs>/fetch_weights/{model}.log",
    benchmark:
        "<benchmarks>/fetch_weights/{model}.txt"
    localrule: True
    conda:
        "../../envs/foldbelt.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        code=code("fetch_weights"),
        encoder=lookup(within=config, dpath="models/{model}/architecture/encoder", default=None),
        source=lookup(within=config, dpath="models/{model}/architecture/weights"),
        sha256=lambda wildcards: config["models"][wildcards.model]["architecture"].get("sha256"),
    message:
        "Fetch the pretrained encoder of {wildcards.model}"
    script:
        "../scripts/fetch_weights.py"


rule train_stage:
    input:
        data="<results>/data/train.h5",
        channels=model_channels("train"),
        folds=model_folds,
        start=stage_start,
        pretrained=pretrained,
        pseudo=pseudo_labels,
        test_channels=pseudo_channels,
    output:
        weights="<results>/models/{model}/round{round}/fold{fold}/{stage}.safetensors",
        history="<results>/models/{model}/round{round}/fold{fold}/{stage}.csv",
    log:
        "<logs>/train_stage/{model}/round{round}/fold{fold}/{stage}.log",
    benchmark:
        "<benchmarks>/train_stage/{model}/round{round}/fold{fold}/{stage}.txt"
    conda:
        "../../envs/foldbelt.yaml"
    threads: config["cpu_threads"]
    resources:
        gpu=0 if config["device"] == "cpu" else 1,
        mem_mb=int(1024 * (config["memory_gib"] + 4)),
        runtime=720,
    params:
        code=training_code,
        architecture=training_architecture,
        stage=training_stage,
        metric=lookup(within=config, dpath="decision/metric"),
        seed=config["seed"],
        cpu_threads=config["cpu_threads"],
    message:
        "Train {wildcards.model}, round {wildcards.round}, fold {wildcards.fold}, stage {wildcards.stage}"
    script:
        "../scripts/train_stage.py"


rule train:
    input:
        expand("<results>/models/{stage}.{kind}", stage=STAGES, kind=["safetensors", "csv"]),
