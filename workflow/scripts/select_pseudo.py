"""Admit pseudo-labelled test images."""

from _checkout import job

from foldbelt import pseudo

with job(snakemake.log[0]):
    pseudo.run(
        predictions=list(snakemake.input.predictions),
        settings=snakemake.params.pseudo,
        fold=int(snakemake.wildcards.fold),
        round=int(snakemake.wildcards.round),
        out=snakemake.output.pseudo,
        likeness=snakemake.input.get("likeness") or None,
    )
