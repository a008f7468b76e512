"""Find the tiles that were cut from one section."""

from _checkout import job

from foldbelt.folds import mosaic

with job(snakemake.log[0]):
    mosaic.run(snakemake.input.train, snakemake.input.test, snakemake.output.mosaic)
