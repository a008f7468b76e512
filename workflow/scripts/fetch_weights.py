"""Fetch a pretrained encoder's weights into a checked file."""

from _checkout import job

from foldbelt.models import _pretrained as weights

with job(snakemake.log[0]):
    source = snakemake.params.source
    weights.fetch(
        snakemake.params.encoder.removeprefix("tu-") if source == "timm" else source,
        snakemake.output.weights,
        snakemake.params.sha256,
    )
