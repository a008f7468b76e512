"""Draw what a model's augmentation does to training tiles."""

from _checkout import job

from foldbelt.report import augment

with job(snakemake.log[0]):
    augment.draw(
        data=snakemake.input.data,
        channels=snakemake.input.channels,
        stages=snakemake.params.augment,
        model=", ".join(snakemake.params.models),
        out=snakemake.output.figure,
        seed=snakemake.params.seed,
        windows=snakemake.params.windows,
    )
