"""Make the network's input channels of one set of images."""

from _checkout import job

from foldbelt.channels import build

with job(snakemake.log[0]):
    build(
        snakemake.input.data,
        snakemake.output.channels,
        snakemake.params.recipe,
        fitted_from=snakemake.input.get("fitted"),
    )
