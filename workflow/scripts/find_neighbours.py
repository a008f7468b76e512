"""Find the tiles that were cut from one section."""

from foldbelt.folds import mosaic
from foldbelt.logs import job

with job(snakemake.log[0]):
    mosaic.run(snakemake.input.train, snakemake.input.test, snakemake.output.mosaic)
