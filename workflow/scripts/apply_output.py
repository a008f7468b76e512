"""Blend the test predictions of one output as was decided."""

from _checkout import job

from foldbelt import decide
from foldbelt.files import in_turn

with job(snakemake.log[0]):
    decide.outputs.apply(
        snakemake.wildcards.output,
        members=in_turn(snakemake.input.test, snakemake.params.members),
        decision=snakemake.input.decision,
        out=snakemake.output.blend,
    )
