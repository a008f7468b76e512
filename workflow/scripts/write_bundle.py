"""Write the bundle: everything of this run that predicts new images, in one file."""

from _checkout import job

from foldbelt.bundle import write
from foldbelt.files import in_turn

with job(snakemake.log[0]):
    source, given = snakemake.input, snakemake.params
    numbers = {name: len(member["folds"]) for name, member in given.members.items()}
    write(
        recipe=given.recipe,
        data=source.data,
        channels=dict(zip(given.channels, source.channels, strict=True)),
        members=given.members,
        weights=in_turn(source.weights, numbers),
        outputs=given.outputs,
        blend=source.blend or None,
        decisions=dict(zip(given.decisions, source.decisions, strict=True)),
        out=snakemake.output.bundle,
    )
