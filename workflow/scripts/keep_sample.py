"""Keep the sample submission with the results."""

from _checkout import job

from foldbelt.ingest import keep_sample

with job(snakemake.log[0]):
    keep_sample(
        snakemake.params.competition,
        snakemake.input.get("raw") or snakemake.config["data"]["path"],
        snakemake.output.sample,
    )
