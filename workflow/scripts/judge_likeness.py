"""Tell training from test images."""

from _checkout import job

from foldbelt.adversarial import run

with job(snakemake.log[0]):
    run(
        snakemake.input.train,
        snakemake.input.test,
        snakemake.params.spec,
        snakemake.params.seed,
        snakemake.output.likeness,
        snakemake.output.report,
        snakemake.threads,
        mosaic=snakemake.input.get("mosaic") or None,
    )
