"""Join the problems that were found in the raw files."""

from _checkout import job

from foldbelt.ingest import list_problems

with job(snakemake.log[0]):
    list_problems(snakemake.input.parts, snakemake.output.problems)
