"""Write the submission of labels and boxes that were decided together, and check it."""

from _checkout import job

from foldbelt import submit

with job(snakemake.log[0]):
    submit.write_joint(
        competition=snakemake.params.competition,
        root=snakemake.input.sample,
        settings=snakemake.params.data,
        test=snakemake.input.test,
        blend=snakemake.input.blend,
        out=snakemake.output.submission,
    )
