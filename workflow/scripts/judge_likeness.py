"""Tell training from test images."""

from foldbelt import adversarial
from foldbelt.logs import job

with job(snakemake.log[0]):
    adversarial.run(
        snakemake.input.train,
        snakemake.input.test,
        snakemake.params.spec,
        snakemake.params.seed,
        snakemake.output.likeness,
        snakemake.output.report,
        snakemake.threads,
    )
