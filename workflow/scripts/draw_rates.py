"""Draw the loss over the learning rates that were tried."""

from _checkout import job

from foldbelt.report import lr_range

with job(snakemake.log[0]):
    lr_range.draw(rates=snakemake.input.rates, out=snakemake.output.figure)
