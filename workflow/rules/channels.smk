"""From images to network input."""


rule make_channels:
    input:
        data="<results>/data/train.h5",
    output:
        channels="<results>/channels/{channels}/train.h5",
    log:
        "<logs>/make_channels/{channels}/train.log",
    benchmark:
        "<benchmarks>/make_channels/{channels}/train.txt"
    conda:
        "../../envs/foldbelt.yaml"
    threads: 1
    resources:
        mem_mb=memory(2000, 0.5),
        runtime=minutes(60),
    params:
        code=lambda wildcards: code(
            "make_channels", *registry.channels(RECIPES.channels[wildcards.channels])
        ),
        recipe=lambda wildcards: RECIPES.channels[wildcards.channels],
    message:
        "Make the training set's channels after recipe {wildcards.channels}"
    script:
        "../scripts/make_channels.py"


# The test images are whitened and quantised as the training images were.
use rule make_channels as make_test_channels with:
    input:
        data="<results>/data/test.h5",
        fitted="<results>/channels/{channels}/train.h5",
    output:
        channels="<results>/channels/{channels}/test.h5",
    log:
        "<logs>/make_channels/{channels}/test.log",
    benchmark:
        "<benchmarks>/make_channels/{channels}/test.txt"
    message:
        "Make the test set's channels after recipe {wildcards.channels}"


rule channels:
    input:
        expand(
            "<results>/channels/{channels}/{part}.h5",
            channels=PLAN.channels,
            part=["train", "test"],
        ),
