"""Draw what separates training from test images."""

from _checkout import job

from foldbelt.report import adversarial

with job(snakemake.log[0]):
    adversarial.draw(
        train=snakemake.input.train,
        test=snakemake.input.test,
        likeness=snakemake.input.likeness,
        report=snakemake.input.report,
        out=snakemake.output.figure,
    )
