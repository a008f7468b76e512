"""Score one variant of an ablation, trained with one seed."""

from _checkout import job

from foldbelt.decide import DecisionSettings, alone, save, search_alone

with job(snakemake.log[0]):
    # Snapshots change fastest within a fold; the decision wants a member's folds together.
    number = snakemake.params.snapshots
    members = {str(i): snakemake.input.oof[i::number] for i in range(number)}
    if snakemake.params.output == "masks":
        decision = search_alone(
            members,
            snakemake.input.data,
            snakemake.input.folds,
            DecisionSettings.of(snakemake.params.decision, snakemake.params.forced),
            snakemake.params.seed,
            only=snakemake.params.only,
            mosaic=snakemake.input.get("mosaic") or None,
            steps=True,
            workers=snakemake.threads,
        )
    else:
        decision = alone.score(
            snakemake.params.output,
            members=members,
            data=snakemake.input.data,
            folds=snakemake.input.folds,
            settings=snakemake.params.decision,
            draws=snakemake.params.draws,
            seed=snakemake.params.seed,
        )
    save(decision, snakemake.output.decision)
