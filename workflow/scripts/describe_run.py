"""Describe where a run's numbers come from."""

import json
from pathlib import Path

from _checkout import job

from foldbelt import provenance
from foldbelt.report import provenance as page

with job(snakemake.log[0]):
    page.write(
        snakemake.input.config,
        provenance.environment(),
        json.loads(Path(snakemake.input.scores).read_text()),
        snakemake.output.provenance,
    )
