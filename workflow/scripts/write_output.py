"""Write one output of the test images as a table."""

from _checkout import job

from foldbelt import submit

with job(snakemake.log[0]):
    submit.write_table(
        snakemake.wildcards.output,
        competition=snakemake.params.competition,
        test=snakemake.input.test,
        blend=snakemake.input.blend,
        out=snakemake.output.table,
    )
