"""Compare the variants of an ablation with the recipe itself."""

from _checkout import job

from foldbelt.config import variants
from foldbelt.evaluate import ablation
from foldbelt.files import grouped
from foldbelt.report import ablation as figure

with job(snakemake.log[0]):
    ablation.run(
        results=grouped(snakemake.input.decisions, snakemake.params.variants),
        base=variants.BASE,
        seeds=snakemake.params.seeds,
        train_benchmarks=snakemake.params.train,
        predict_benchmarks=snakemake.params.predict,
        seen=snakemake.params.seen,
        out=snakemake.output.table,
    )
    figure.draw(table=snakemake.output.table, out=snakemake.output.figure)
