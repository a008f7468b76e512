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
        encoder=lambda wildcards: PLAN.models[wildcards.model]["architecture"].get("encoder"),
        source=lambda wildcards: PLAN.models[wildcards.model]["architecture"]["weights"],
        sha256=lambda wildcards: PLAN.models[wildcards.model]["architecture"].get("sha256"),
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
        stage_stream=lambda wildcards: PLAN.streams[wildcards.stage],
        metric=training_metric,
        seed=config["seed"],
        stream=lambda wildcards: PLAN.models[wildcards.model]["stream"],
        model_seed=lambda wildcards: PLAN.models[wildcards.model]["seed"],
        cpu_threads=config["cpu_threads"],
    message:
        "Train {wildcards.model}, round {wildcards.round}, fold {wildcards.fold}, stage {wildcards.stage}"
    script:
        "../scripts/train_stage.py"


rule train:
    input:
        expand("<results>/models/{stage}.{kind}", stage=STAGES, kind=["safetensors", "csv"]),


rule test_rates:
    input:
        data="<results>/data/train.h5",
        channels=model_channels("train"),
        folds=model_folds,
        start=stage_start,
        pretrained=pretrained,
    output:
        rates="<results>/rates/{model}/round{round}/fold{fold}/{stage}.csv",
    log:
        "<logs>/test_rates/{model}/round{round}/fold{fold}/{stage}.log",
    benchmark:
        "<benchmarks>/test_rates/{model}/round{round}/fold{fold}/{stage}.txt"
    conda:
        "../../envs/foldbelt.yaml"
    threads: config["cpu_threads"]
    resources:
        gpu=0 if config["device"] == "cpu" else 1,
        mem_mb=int(1024 * (config["memory_gib"] + 4)),
        runtime=120,
    params:
        code=rates_code,
        architecture=training_architecture,
        stage=training_stage,
        seed=config["seed"],
        stream=lambda wildcards: PLAN.models[wildcards.model]["stream"],
        model_seed=lambda wildcards: PLAN.models[wildcards.model]["seed"],
        cpu_threads=config["cpu_threads"],
    message:
        "Try learning rates for {wildcards.model}, stage {wildcards.stage}"
    script:
        "../scripts/test_rates.py"


rule draw_rates:
    input:
        rates="<results>/rates/{model}/round0/fold0/{stage}.csv",
    output:
        figure="<results>/rates/{model}/{stage}.png",
    log:
        "<logs>/draw_rates/{model}/{stage}.log",
    benchmark:
        "<benchmarks>/draw_rates/{model}/{stage}.txt"
    conda:
        "../../envs/foldbelt.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=20,
    params:
        code=code("draw_rates"),
    message:
        "Draw the learning rates tried for {wildcards.model}, stage {wildcards.stage}"
    script:
        "../scripts/draw_rates.py"


rule rates:
    input:
        [
            f"<results>/rates/{model}/{stage}.png"
            for model in MODELS
            for stage in PLAN.models[model]["stages"]
        ],
