"""Write down the complete config of a run."""

import yaml
from _checkout import job

from foldbelt.files import write_text

with job(snakemake.log[0]):
    write_text(
        snakemake.output.config,
        yaml.safe_dump(snakemake.params.config, allow_unicode=True, sort_keys=False),
    )
