"""Check one part of a competition's raw files and store it as arrays."""

from _checkout import job

from foldbelt import ingest

with job(snakemake.log[0]):
    ingest.run(
        snakemake.params.competition,
        # Where the files lie is no part of what is tracked: their content is.
        snakemake.input.get("raw") or snakemake.config["data"]["path"],
        snakemake.params.data,
        out=snakemake.output.data,
        problems=snakemake.log.problems,
        train=snakemake.input.get("train") or None,
        digest=snakemake.params.raw,
        numbers=snakemake.log.numbers,
    )
