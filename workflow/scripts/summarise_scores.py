"""Score every model, every round and the product."""

from _checkout import job

from foldbelt.decide import DecisionSettings
from foldbelt.evaluate import scores
from foldbelt.files import grouped

with job(snakemake.log[0]):
    rounds = snakemake.params.rounds
    names = [f"{name}/round{number}" for name in snakemake.params.members for number in rounds]
    given = grouped(snakemake.input.external, snakemake.params.external)
    others = {f"{name}/round{n}": files for name, files in given.items() for n in rounds}
    scores.run(
        members=grouped(snakemake.input.oof, names) | others,
        decisions=dict(zip(rounds, snakemake.input.decisions, strict=True)),
        data=snakemake.input.data,
        folds=snakemake.input.folds,
        settings=DecisionSettings.of(snakemake.params.decision),
        seed=snakemake.params.seed,
        truth=snakemake.input.get("truth") or None,
        test=snakemake.input.test,
        blend_test=snakemake.input.blend,
        select=snakemake.params.select,
        notes=snakemake.params.notes,
        benchmarks=snakemake.input.benchmarks,
        out=snakemake.output.scores,
        competition=snakemake.params.competition,
        mosaic=snakemake.input.get("mosaic") or None,
        likeness=snakemake.input.get("likeness") or None,
        workers=snakemake.threads,
        outputs=grouped(snakemake.input.outputs, snakemake.params.outputs),
    )
