"""Make the network's input channels of one set of images."""

from foldbelt import channels
from foldbelt.logs import job

with job(snakemake.log[0]):
    channels.build(
        snakemake.input.data,
        snakemake.output.channels,
        snakemake.params.recipe,
        fitted_from=snakemake.input.get("fitted"),
    )
