"""Split the training set into folds."""

from _checkout import job

from foldbelt.folds import run

with job(snakemake.log[0]):
    run(
        snakemake.input.data,
        snakemake.input.get("mosaic") or None,
        snakemake.params.scheme,
        snakemake.output.folds,
        likeness=snakemake.input.get("likeness") or None,
        kept=snakemake.input.get("kept") or None,
    )
