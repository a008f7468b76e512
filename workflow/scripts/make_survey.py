"""Draw a synthetic survey into a competition folder."""

from foldbelt import synthetic
from foldbelt.logs import job

with job(snakemake.log[0]):
    draw = getattr(synthetic, snakemake.params.survey)
    draw(snakemake.output.files, **snakemake.params.options, workers=snakemake.threads)
