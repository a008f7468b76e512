"""Search how probabilities become masks."""

from _checkout import job

from foldbelt.decide import DecisionSettings, run
from foldbelt.files import grouped

with job(snakemake.log[0]):
    run(
        members=grouped(snakemake.input.oof, snakemake.params.members)
        | grouped(snakemake.input.external, snakemake.params.external),
        weights=snakemake.input.weights,
        data=snakemake.input.data,
        folds=snakemake.input.folds,
        settings=DecisionSettings.of(snakemake.params.decision),
        seed=snakemake.params.seed,
        out=snakemake.output.decision,
        mosaic=snakemake.input.get("mosaic") or None,
        components=snakemake.input.get("components") or None,
    )
