"""Gather the scores of a run without masks."""

from _checkout import job

from foldbelt.evaluate import outputs

with job(snakemake.log[0]):
    outputs.run(
        decisions=snakemake.input.decisions,
        outputs=snakemake.params.outputs,
        rounds=snakemake.params.rounds,
        predictions=snakemake.input.oof,
        select=snakemake.params.select,
        notes=snakemake.params.notes,
        benchmarks=snakemake.input.benchmarks,
        out=snakemake.output.scores,
    )
