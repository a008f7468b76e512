"""Draw a synthetic survey into a competition folder."""

from foldbelt import survey
from foldbelt.logs import job

with job(snakemake.log[0]):
    survey.seismic(
        snakemake.output.files,
        snakemake.params.sections,
        snakemake.params.seed,
        workers=snakemake.threads,
    )
