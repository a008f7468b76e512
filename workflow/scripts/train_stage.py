"""Train one model through one stage on one fold."""

from pathlib import Path

from _checkout import job

from foldbelt.config.stage_settings import StageSettings
from foldbelt.train.devices import lease

with job(snakemake.log[0]), lease(snakemake.config["device"], snakemake.resources.get("gpu", 0)):
    from foldbelt import train  # after the lease: torch sees only the leased device

    names, params, given = snakemake.wildcards, snakemake.params, snakemake.input
    place = f"{names.model}/round{names.round}/fold{names.fold}/{names.stage}"
    logs = Path(snakemake.log[0].partition("/train_stage/")[0])
    train.run(
        job=train.Job(
            model=params.stream,
            round=int(names.round),
            fold=int(names.fold),
            stage=params.stage_stream,
            seed=params.seed,
            model_seed=params.model_seed,
        ),
        model={**params.architecture, "weights": given.get("pretrained") or None},
        stage=StageSettings.of(params.stage),
        inputs=train.Inputs.of({**dict(given.items()), "strict": params.strict}),
        outputs=train.Outputs(
            weights=snakemake.output.weights,
            history=snakemake.output.history,
            state_root=str(logs.parent / "state"),
            tensorboard=(
                str(logs / "tensorboard" / place) if snakemake.config["tensorboard"] else None
            ),
        ),
        machine=train.Machine.of(snakemake.config, params.cpu_threads, snakemake.resources.attempt),
        metric=params.metric,
        fingerprint=params.code,
    )
