"""Read predictions of one output that were made elsewhere."""

from _checkout import job

from foldbelt.decide import external

with job(snakemake.log[0]):
    external.run(
        snakemake.wildcards.output,
        source=snakemake.input.source,
        part=snakemake.wildcards.part,
        data=snakemake.input.data,
        names=snakemake.input.names,
        folds=snakemake.input.folds or None,
        competition=snakemake.params.competition,
        out=snakemake.output.predictions,
    )
