"""Decide labels and boxes together, and score them leave-one-fold-out."""

from _checkout import job

from foldbelt.decide import joint_io
from foldbelt.files import grouped, in_turn

with job(snakemake.log[0]):
    source, given = snakemake.input, snakemake.params
    members = {}
    for output in given.outputs:
        numbers = {name: len(folds) for name, folds in given.members[output].items()}
        members[output] = in_turn(source[output], numbers)
        members[output] |= grouped(source[f"external_{output}"], given.external[output])
    joint_io.run(
        members=members,
        decisions=dict(zip(given.outputs, source.decisions, strict=True)),
        data=source.data,
        folds=source.folds,
        settings=given.settings,
        classes=given.classes,
        draws=given.draws,
        seed=given.seed,
        decision=snakemake.output.decision,
        blend=snakemake.output.blend,
    )
