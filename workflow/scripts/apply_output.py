"""Blend the test predictions of one output as was decided."""

from _checkout import job

from foldbelt.decide import output_files
from foldbelt.files import in_turn

with job(snakemake.log[0]):
    numbers = {name: len(folds) for name, folds in snakemake.params.members.items()}
    output_files.apply(
        snakemake.wildcards.output,
        members=in_turn(snakemake.input.test, numbers),
        folds=snakemake.params.members,
        elsewhere=dict(zip(snakemake.params.external, snakemake.input.external, strict=True)),
        unscored={
            name: (path, snakemake.params.unscored[name])
            for name, path in zip(snakemake.params.unscored, snakemake.input.unscored, strict=True)
        },
        data=snakemake.input.data,
        decision=snakemake.input.decision,
        out=snakemake.output.blend,
    )
