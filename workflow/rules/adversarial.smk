"""Can training images be told from test images, and by what?"""


rule judge_likeness:
    input:
        train="<results>/data/train.h5",
        test="<results>/data/test.h5",
        mosaic=PLAN.mosaic_of_folds(PLAN.scheme),
    output:
        likeness="<results>/adversarial.csv",
        report="<results>/adversarial.json",
    log:
        "<logs>/judge_likeness.log",
    benchmark:
        "<benchmarks>/judge_likeness/all.txt"
    conda:
        "../../envs/foldbelt.yaml"
    threads: 2
    resources:
        mem_mb=memory(2000, 0.5),
        runtime=minutes(60),
    params:
        code=lambda wildcards: code("judge_likeness"),
        spec={k: v for k, v in config["adversarial"].items() if k != "enabled"}
        | {"duplicate_distance": RECIPES.folds[PLAN.scheme]["duplicate_distance"]},
        seed=config["seed"],
    message:
        "Tell training from test images"
    script:
        "../scripts/judge_likeness.py"


rule draw_likeness:
    input:
        train="<results>/data/train.h5",
        test="<results>/data/test.h5",
        likeness="<results>/adversarial.csv",
        report="<results>/adversarial.json",
    output:
        figure=report(
            "<results>/figures/adversarial.png",
            category="1 Data",
            labels={"figure": "Training against test images"},
            caption="../report/adversarial.rst",
        ),
    log:
        "<logs>/draw_likeness.log",
    benchmark:
        "<benchmarks>/draw_likeness/all.txt"
    conda:
        "../../envs/foldbelt.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=20,
    params:
        code=lambda wildcards: code("draw_likeness"),
    message:
        "Draw what separates training from test images"
    script:
        "../scripts/draw_likeness.py"


rule adversarial:
    input:
        rules.judge_likeness.output,
        rules.draw_likeness.output,
