"""One file that predicts new images."""

from foldbelt.config import bundling
from foldbelt.provenance import source_digest


rule write_bundle:
    input:
        weights=lambda wildcards: bundling.weights(PLAN),
        data="<results>/data/train.h5",
        channels=expand("<results>/channels/{channels}/train.h5", channels=bundling.channels(PLAN)),
        blend=(
            f"<results>/blend/round{LAST}/weights.json"
            if "masks" in bundling.outputs(PLAN)
            else []
        ),
        decisions=list(bundling.decisions(PLAN).values()),
        test="<results>/data/test.h5" if len(ROUNDS) > 1 else [],
        oof=bundling.out_of_fold(PLAN),
        folds=f"<results>/folds/{PLAN.scheme}.csv" if bundling.out_of_fold(PLAN) else [],
    output:
        bundle="<results>/bundle.zip",
    log:
        "<logs>/write_bundle.log",
    benchmark:
        "<benchmarks>/write_bundle/all.txt"
    conda:
        "../../envs/foldbelt.yaml"
    threads: 1
    resources:
        mem_mb=memory(3000 if bundling.out_of_fold(PLAN) else 1000),  # where it scores anew
        runtime=minutes(30),
    params:
        code=lambda wildcards: code("write_bundle"),
        package=lambda wildcards: source_digest(),
        recipe=config,
        channels=bundling.channels(PLAN),
        members=bundling.members(PLAN),
        outputs=bundling.outputs(PLAN),
        decisions=list(bundling.decisions(PLAN)),
        left_out=bundling.left_out(PLAN),
        classes=PLAN.joint_classes,
    message:
        "Bundle what predicts new images"
    script:
        "../scripts/write_bundle.py"


rule bundle:
    input:
        rules.write_bundle.output,
