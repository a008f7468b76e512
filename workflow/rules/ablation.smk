"""Does a technique help here? Variants of the recipe against the recipe itself."""


rule score_variant:
    input:
        data="<results>/data/train.h5",
        folds=lambda wildcards: PLAN.variant_folds_file(wildcards.variant),
        oof=lambda wildcards: PLAN.variant_predictions(**wildcards),
        mosaic=lambda wildcards: PLAN.mosaic_of_steps(PLAN.variant_steps(wildcards.variant)),
    output:
        decision="<results>/ablation/{variant}/seed{seed}.json",
    log:
        "<logs>/score_variant/{variant}/seed{seed}.log",
    benchmark:
        "<benchmarks>/score_variant/{variant}/seed{seed}.txt"
    conda:
        "../../envs/foldbelt.yaml"
    threads: TABLE_WORKERS
    resources:
        mem_mb=memory(4000, 0.5),
        runtime=minutes(240),
    params:
        code=lambda wildcards: code("score_variant", *PLAN.variant_code(wildcards.variant, METRIC)),
        output=lambda wildcards: PLAN.variants[wildcards.variant].output,
        snapshots=lambda wildcards: len(PLAN.variant_members(**wildcards)),
        decision=lambda wildcards: PLAN.variants[wildcards.variant].settings,
        forced=lambda wildcards: PLAN.forced(wildcards.variant),
        only=config["ablation"]["folds"],
        draws=config["decision"]["bootstrap"],
        seed=config["seed"],
    message:
        "Score the variant {wildcards.variant}, seed {wildcards.seed}"
    script:
        "../scripts/score_variant.py"


rule compare_variants:
    input:
        decisions=expand(
            "<results>/ablation/{variant}/seed{seed}.json",
            variant=PLAN.variants,
            seed=config["ablation"]["seeds"],
        ),
        benchmarks=sum(
            [
                *PLAN.variant_benchmarks("weights").values(),
                *PLAN.variant_benchmarks("oof").values(),
            ],
            [],
        ),
    output:
        table="<results>/ablation.csv",
        figure=report(
            "<results>/figures/ablation.svg",
            category="5 Ablation",
            labels={"figure": "Variants against the recipe"},
            caption="../report/ablation.rst",
        ),
    log:
        "<logs>/compare_variants.log",
    benchmark:
        "<benchmarks>/compare_variants/all.txt"
    conda:
        "../../envs/foldbelt.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=20,
    params:
        code=lambda wildcards: code("compare_variants"),
        variants=list(PLAN.variants),
        seen={name: variant.seen for name, variant in PLAN.variants.items()},
        seeds=config["ablation"]["seeds"],
        train=PLAN.variant_benchmarks("weights"),
        predict=PLAN.variant_benchmarks("oof"),
    message:
        "Compare {params.variants}"
    script:
        "../scripts/compare_variants.py"


rule ablation:
    input:
        rules.compare_variants.output,
