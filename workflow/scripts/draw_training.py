"""Draw the training curves of one model in one round."""

from _checkout import job

from foldbelt.report import training

with job(snakemake.log[0]):
    part = snakemake.wildcards
    names = [
        f"round {part.round}/fold {fold}/{stage}"
        for fold in snakemake.params.folds
        for stage in snakemake.params.stages
    ]
    training.draw(
        dict(zip(names, snakemake.input.histories, strict=True)),
        f"{part.model}, round {part.round}",
        snakemake.output.curves,
    )
