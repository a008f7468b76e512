"""Describe where a run's numbers come from."""

import json
from pathlib import Path

from foldbelt import provenance
from foldbelt.logs import job
from foldbelt.report import pages

with job(snakemake.log[0]):
    seconds = json.loads(Path(snakemake.input.scores).read_text())["seconds"]
    pages.provenance(
        snakemake.input.config, provenance.environment(), seconds, snakemake.output.provenance
    )
