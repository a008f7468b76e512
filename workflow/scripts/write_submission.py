"""Write the submission in the competition's format and check it."""

from _checkout import job

from foldbelt import submit

with job(snakemake.log[0]):
    submit.run(
        snakemake.params.competition,
        snakemake.input.sample,
        snakemake.params.data,
        test=snakemake.input.test,
        blend=snakemake.input.blend,
        decision=snakemake.input.decision,
        out=snakemake.output.submission,
        train=snakemake.input.get("train") or None,
        mosaic=snakemake.input.get("mosaic") or None,
    )
