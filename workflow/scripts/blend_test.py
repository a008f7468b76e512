"""Blend the models' test predictions."""

from _checkout import job

from foldbelt.ensemble import blend
from foldbelt.files import grouped

with job(snakemake.log[0]):
    blend.run_test(
        members=grouped(snakemake.input.test, snakemake.params.members)
        | grouped(snakemake.input.external, snakemake.params.external),
        labelled=grouped(snakemake.input.labelled, snakemake.params.members)
        if snakemake.input.labelled
        else None,
        weights=snakemake.input.weights,
        out=snakemake.output.blend,
    )
