"""Train one model through one stage on one fold."""

from pathlib import Path

from foldbelt.logs import job
from foldbelt.train.devices import lease

with job(snakemake.log[0]), lease(snakemake.config["device"], snakemake.resources.get("gpu", 0)):
    from foldbelt import train  # after the lease: torch sees only the leased device

    part = snakemake.wildcards
    place = f"{part.model}/round{part.round}/fold{part.fold}/{part.stage}"
    logs = Path(snakemake.log[0].partition("/train_stage/")[0])
    train.run(
        channels=snakemake.input.channels,
        data=snakemake.input.data,
        folds=snakemake.input.folds,
        fold=int(part.fold),
        model={
            **snakemake.params.architecture,
            "weights": snakemake.input.get("pretrained") or None,
        },
        stage=snakemake.params.stage,
        stage_name=snakemake.params.stage_stream,
        key={
            "model": snakemake.params.stream,
            "round": int(part.round),
            "fold": int(part.fold),
            "stage": part.stage,
        },
        seed=snakemake.params.seed,
        model_seed=snakemake.params.model_seed,
        weights=snakemake.output.weights,
        history=snakemake.output.history,
        start=snakemake.input.get("start") or None,
        pseudo=snakemake.input.get("pseudo") or None,
        test_channels=snakemake.input.get("test_channels") or None,
        metric=snakemake.params.metric,
        cpu_threads=snakemake.params.cpu_threads,
        device="cuda" if snakemake.config["device"] == "gpu" else None,
        memory_gib=snakemake.config["memory_gib"],
        state_root=str(logs.parent / "state"),
        fingerprint=snakemake.params.code,
        tensorboard=str(logs / "tensorboard" / place) if snakemake.config["tensorboard"] else None,
    )
