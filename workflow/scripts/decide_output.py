"""Blend the members of one output, and score the blend leave-one-fold-out."""

from _checkout import job

from foldbelt.decide import output_files
from foldbelt.files import grouped, in_turn

with job(snakemake.log[0]):
    numbers = {name: len(folds) for name, folds in snakemake.params.members.items()}
    output_files.run(
        snakemake.wildcards.output,
        members=in_turn(snakemake.input.oof, numbers)
        | grouped(snakemake.input.external, snakemake.params.external),
        unscored=snakemake.params.unscored,
        data=snakemake.input.data,
        folds=snakemake.input.folds,
        settings=snakemake.params.settings,
        draws=snakemake.params.draws,
        seed=snakemake.params.seed,
        decision=snakemake.output.decision,
        blend=snakemake.output.blend,
    )
