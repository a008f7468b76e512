"""One job trains one model in one round on one fold through one stage."""

# Weights that are deleted once nothing starts from them any more, where the config asks for it.
EARLY = PLAN.early_stages() if config["keep"] == "last" else []


rule fetch_weights:
    input:
        file=lambda wildcards: PLAN.pretrained_file(wildcards.model),
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
        code=lambda wildcards: code("fetch_weights"),
        encoder=lambda wildcards: RECIPES.model(wildcards.model)["architecture"].get("encoder"),
        source=lambda wildcards: RECIPES.model(wildcards.model)["architecture"]["weights"],
        sha256=lambda wildcards: RECIPES.model(wildcards.model)["architecture"].get("sha256"),
    message:
        "Fetch the pretrained encoder of {wildcards.model}"
    script:
        "../scripts/fetch_weights.py"


rule train_stage:
    input:
        data="<results>/data/train.h5",
        channels=lambda wildcards: PLAN.channels_file(wildcards.model, "train"),
        folds=lambda wildcards: PLAN.folds_file(wildcards.model),
        start=lambda wildcards: PLAN.start(**wildcards),
        pretrained=lambda wildcards: PLAN.pretrained(**wildcards),
        checkpoint=lambda wildcards: PLAN.checkpoint(**wildcards),
        pseudo=lambda wildcards: PLAN.pseudo_labels(
            wildcards.model, wildcards.round, wildcards.fold
        ),
        test_channels=lambda wildcards: PLAN.pseudo_channels(wildcards.model, wildcards.round),
    output:
        weights="<results>/models/{model}/round{round}/fold{fold}/{stage}.safetensors",
        history="<results>/models/{model}/round{round}/fold{fold}/{stage}.csv",
    log:
        "<logs>/train_stage/{model}/round{round}/fold{fold}/{stage}.log",
    benchmark:
        "<benchmarks>/train_stage/{model}/round{round}/fold{fold}/{stage}.txt"
    wildcard_constraints:
        stage=rf"(?!(?:{'|'.join(EARLY)})\.){NAME}" if EARLY else NAME,
    retries: config["retries"]
    conda:
        "../../envs/foldbelt.yaml"
    threads: training_threads
    resources:
        gpu=GPUS,
        mem_mb=training_memory,
        runtime=720,  # enough for any attempt: the next goes on where it stops
        attempt=lambda wildcards, attempt: attempt,
    params:
        code=lambda wildcards: code(
            "train_stage", METRIC, *RECIPES.training_modules(wildcards.model, wildcards.stage)
        ),
        architecture=lambda wildcards: RECIPES.architecture(wildcards.model),
        strict=lambda wildcards: RECIPES.strict(wildcards.model),
        stage=lambda wildcards: RECIPES.stage(wildcards.stage, wildcards.round),
        stage_stream=lambda wildcards: RECIPES.streams[wildcards.stage],
        metric=lambda wildcards: PLAN.metric(wildcards.model),
        seed=config["seed"],
        stream=lambda wildcards: RECIPES.model(wildcards.model)["stream"],
        model_seed=lambda wildcards: RECIPES.model(wildcards.model)["seed"],
        cpu_threads=config["cpu_threads"],
    message:
        "Train {wildcards.model}, round {wildcards.round}, fold {wildcards.fold}, stage {wildcards.stage}"
    script:
        "../scripts/train_stage.py"


if EARLY:

    use rule train_stage as train_early_stage with:
        output:
            weights=temp("<results>/models/{model}/round{round}/fold{fold}/{stage}.safetensors"),
            history="<results>/models/{model}/round{round}/fold{fold}/{stage}.csv",
        wildcard_constraints:
            stage="|".join(EARLY),


rule train:
    input:
        PLAN.trained(EARLY),


rule test_rates:
    input:
        data="<results>/data/train.h5",
        channels=lambda wildcards: PLAN.channels_file(wildcards.model, "train"),
        folds=lambda wildcards: PLAN.folds_file(wildcards.model),
        start=lambda wildcards: PLAN.start(**wildcards),
        pretrained=lambda wildcards: PLAN.pretrained(**wildcards),
        checkpoint=lambda wildcards: PLAN.checkpoint(**wildcards),
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
        gpu=GPUS,
        mem_mb=training_memory,
        runtime=minutes(120),
    params:
        code=lambda wildcards: code(
            "test_rates", *RECIPES.training_modules(wildcards.model, wildcards.stage)
        ),
        architecture=lambda wildcards: RECIPES.architecture(wildcards.model),
        strict=lambda wildcards: RECIPES.strict(wildcards.model),
        stage=lambda wildcards: RECIPES.stage(wildcards.stage, wildcards.round),
        seed=config["seed"],
        stream=lambda wildcards: RECIPES.model(wildcards.model)["stream"],
        model_seed=lambda wildcards: RECIPES.model(wildcards.model)["seed"],
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
        code=lambda wildcards: code("draw_rates"),
    message:
        "Draw the learning rates tried for {wildcards.model}, stage {wildcards.stage}"
    script:
        "../scripts/draw_rates.py"


rule rates:
    input:
        PLAN.rate_figures(),
