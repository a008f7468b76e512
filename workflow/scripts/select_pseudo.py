"""Admit pseudo-labelled test images."""

from foldbelt import pseudo
from foldbelt.logs import job

with job(snakemake.log[0]):
    pseudo.run(
        predictions=list(snakemake.input.predictions),
        settings=snakemake.params.pseudo,
        fold=int(snakemake.wildcards.fold),
        round=int(snakemake.wildcards.round),
        out=snakemake.output.pseudo,
        likeness=snakemake.input.get("likeness") or None,
    )
