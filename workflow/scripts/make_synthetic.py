"""Draw synthetic data into a competition folder."""

from importlib import import_module

from _checkout import job

with job(snakemake.log[0]):
    name = snakemake.params.generator
    draw = getattr(import_module(f"foldbelt.synthetic.{name}"), name)
    draw(snakemake.output.files, **snakemake.params.options, workers=snakemake.threads)
