"""Search the models' blend weights and blend their out-of-fold predictions."""

from _checkout import job

from foldbelt.ensemble import blend
from foldbelt.ensemble.settings import BlendSettings
from foldbelt.files import grouped

with job(snakemake.log[0]):
    blend.run_oof(
        members=grouped(snakemake.input.oof, snakemake.params.members)
        | grouped(snakemake.input.external, snakemake.params.external),
        data=snakemake.input.data,
        folds=snakemake.input.folds,
        settings=BlendSettings.of(snakemake.params.blend),
        metric=snakemake.params.metric,
        out=snakemake.output.blend,
        weights=snakemake.output.weights,
    )
