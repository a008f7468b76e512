"""Draw the pseudo-labels' statistics."""

from _checkout import job

from foldbelt.report import pseudo

with job(snakemake.log[0]):
    files = {
        path.partition("/pseudo/")[2].removesuffix(".h5"): path for path in snakemake.input.pseudo
    }
    pseudo.draw(files, snakemake.input.train, snakemake.output.pseudo)
