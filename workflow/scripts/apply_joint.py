"""Change the blends of the test images as was decided for labels and boxes together."""

from _checkout import job

from foldbelt.decide import joint_io

with job(snakemake.log[0]):
    joint_io.apply_test(
        labels=snakemake.input.labels,
        boxes=snakemake.input.boxes or None,
        data=snakemake.input.data,
        decision=snakemake.input.decision,
        out=snakemake.output.blend,
    )
