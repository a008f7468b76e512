"""Try learning rates for one model and stage."""

from _checkout import job

from foldbelt.config.stage_settings import StageSettings
from foldbelt.train.devices import lease

with job(snakemake.log[0]), lease(snakemake.config["device"], snakemake.resources.get("gpu", 0)):
    from foldbelt import train  # after the lease: torch sees only the leased device
    from foldbelt.train import lr_range

    names, params, given = snakemake.wildcards, snakemake.params, snakemake.input
    lr_range.run(
        job=train.Job(
            model=params.stream,
            round=0,
            fold=int(names.fold),
            stage=names.stage,
            seed=params.seed,
            model_seed=params.model_seed,
        ),
        model={**params.architecture, "weights": given.get("pretrained") or None},
        stage=StageSettings.of(params.stage),
        inputs=train.Inputs.of({**dict(given.items()), "strict": params.strict}),
        machine=train.Machine.of(snakemake.config, params.cpu_threads),
        rates=snakemake.output.rates,
    )
