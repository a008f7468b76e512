"""Split the training set into folds."""

from foldbelt import folds
from foldbelt.logs import job

with job(snakemake.log[0]):
    folds.run(
        snakemake.input.data,
        snakemake.input.get("mosaic") or None,
        snakemake.params.scheme,
        snakemake.output.folds,
        likeness=snakemake.input.get("likeness") or None,
    )
