"""One file that predicts new images."""

from foldbelt.config import bundling
from foldbelt.provenance import source_digest


rule write_bundle:
    input:
        weights=lambda wildcards: bundling.weights(PLAN),
        data="<results>/data/train.h5",
        channels=expand("<results>/channels/{channels}/train.h5", channels=PLAN.channels),
        blend=f"<results>/blend/round{LAST}/weights.json",
        decision=f"<results>/decision/round{LAST}.json",
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
        mem_mb=memory(1000),
        runtime=minutes(30),
    params:
        code=lambda wildcards: code("write_bundle"),
        package=lambda wildcards: source_digest(),
        recipe=config,
        channels=PLAN.channels,
        members=bundling.members(PLAN),
    message:
        "Bundle what predicts new images"
    script:
        "../scripts/write_bundle.py"


rule bundle:
    input:
        rules.write_bundle.output,
