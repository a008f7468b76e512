"""Find the connected components that a decision may remove."""

from _checkout import job

from foldbelt.decide import tabulate_components
from foldbelt.files import grouped
from foldbelt.search.space import Grid

with job(snakemake.log[0]):
    tabulate_components(
        members=grouped(snakemake.input.oof, snakemake.params.members)
        | grouped(snakemake.input.external, snakemake.params.external),
        weights=snakemake.input.weights,
        data=snakemake.input.data,
        folds=snakemake.input.folds,
        grid=Grid.of(snakemake.params.space),
        out=snakemake.output.components,
        workers=snakemake.threads,
    )
