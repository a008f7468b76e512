"""Draw how good one output is."""

import importlib

from _checkout import job

with job(snakemake.log[0]):
    module = importlib.import_module(f"foldbelt.report.{snakemake.wildcards.output}")
    module.draw(
        data=snakemake.input.data,
        folds=snakemake.input.folds,
        decision=snakemake.input.decision,
        oof=snakemake.input.oof,
        draws=snakemake.params.draws,
        seed=snakemake.params.seed,
        out=dict(snakemake.output.items()),
    )
