"""Check a competition's raw files and store them as arrays."""

from _checkout import job

from foldbelt import ingest

with job(snakemake.log[0]):
    ingest.run(
        snakemake.params.competition,
        snakemake.input.raw,
        snakemake.params.data,
        train=snakemake.output.train,
        test=snakemake.output.test,
        problems=snakemake.output.problems,
    )
