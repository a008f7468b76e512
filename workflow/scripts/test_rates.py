"""Try learning rates for one model and stage."""

from foldbelt.logs import job
from foldbelt.train.devices import lease

with job(snakemake.log[0]), lease(snakemake.config["device"], snakemake.resources.get("gpu", 0)):
    from foldbelt.train import lr_range  # after the lease: torch sees only the leased device

    part, params = snakemake.wildcards, snakemake.params
    lr_range.run(
        channels=snakemake.input.channels,
        data=snakemake.input.data,
        folds=snakemake.input.folds,
        fold=int(part.fold),
        model={**params.architecture, "weights": snakemake.input.get("pretrained") or None},
        stage=params.stage,
        stage_name=part.stage,
        key={"model": params.stream, "round": 0, "fold": int(part.fold), "stage": part.stage},
        seed=params.seed,
        model_seed=params.model_seed,
        rates=snakemake.output.rates,
        start=snakemake.input.get("start") or None,
        cpu_threads=params.cpu_threads,
        device="cuda" if snakemake.config["device"] == "gpu" else None,
        memory_gib=snakemake.config["memory_gib"],
    )
