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
        competition=snakemake.params.competition,
        submission=snakemake.input.submission or None,
        truth=snakemake.input.truth or None,
        out=snakemake.output.scores,
    )
