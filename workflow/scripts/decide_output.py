"""Blend the members of one output, and score the blend leave-one-fold-out."""

from _checkout import job

from foldbelt import decide
from foldbelt.files import in_turn

with job(snakemake.log[0]):
    decide.outputs.run(
        snakemake.wildcards.output,
        members=in_turn(snakemake.input.oof, snakemake.params.members),
        data=snakemake.input.data,
        folds=snakemake.input.folds,
        settings=snakemake.params.settings,
        draws=snakemake.params.draws,
        seed=snakemake.params.seed,
        decision=snakemake.output.decision,
        blend=snakemake.output.blend,
    )
