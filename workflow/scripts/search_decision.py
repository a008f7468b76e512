"""Search how probabilities become masks."""

from foldbelt import decide
from foldbelt.files import grouped
from foldbelt.logs import job

with job(snakemake.log[0]):
    decide.run(
        members=grouped(snakemake.input.oof, snakemake.params.members)
        | grouped(snakemake.input.external, snakemake.params.external),
        weights=snakemake.input.weights,
        data=snakemake.input.data,
        folds=snakemake.input.folds,
        settings=decide.DecisionSettings.of(snakemake.params.decision),
        seed=snakemake.params.seed,
        out=snakemake.output.decision,
        mosaic=snakemake.input.get("mosaic") or None,
        components=snakemake.input.get("components") or None,
    )
