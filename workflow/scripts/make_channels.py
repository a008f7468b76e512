"""Make the network's input channels of one set of images."""

from foldbelt.channels import build
from foldbelt.logs import job

with job(snakemake.log[0]):
    build(
        snakemake.input.data,
        snakemake.output.channels,
        snakemake.params.recipe,
        fitted_from=snakemake.input.get("fitted"),
    )
