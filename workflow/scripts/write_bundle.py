"""Write the bundle: everything of this run that predicts new images, in one file."""

from _checkout import job

from foldbelt.bundle import write
from foldbelt.files import grouped

with job(snakemake.log[0]):
    names = list(snakemake.params.members)
    write(
        recipe=snakemake.params.recipe,
        data=snakemake.input.data,
        channels=dict(zip(snakemake.params.channels, snakemake.input.channels, strict=True)),
        members=snakemake.params.members,
        weights=grouped(snakemake.input.weights, names),
        blend=snakemake.input.blend,
        decision=snakemake.input.decision,
        out=snakemake.output.bundle,
    )
