"""Write the bundle: what of this run predicts new images, in one file."""

from _checkout import job

from foldbelt.bundle import write
from foldbelt.bundle.choosing import Choice, gathered
from foldbelt.files import in_turn

with job(snakemake.log[0]):
    source, given = snakemake.input, snakemake.params
    folds = {name: member["folds"] for name, member in given.members.items()}
    write(
        recipe=given.recipe,
        data=source.data,
        channels=dict(zip(given.channels, source.channels, strict=True)),
        members=given.members,
        weights=in_turn(source.weights, {name: len(numbers) for name, numbers in folds.items()}),
        outputs=given.outputs,
        blend=source.blend or None,
        decisions=dict(zip(given.decisions, source.decisions, strict=True)),
        test=source.test or None,
        out=snakemake.output.bundle,
        choice=Choice(
            given.left_out,
            given.recipe["bundle"]["without_steps"],
            gathered(source.oof, given.outputs, folds) if source.oof else {},
            source.folds or "",
            given.recipe["joint"] or {},
            given.classes,
        ),
    )
