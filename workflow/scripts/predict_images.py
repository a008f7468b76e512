"""Predict the images that a model did not train on: a held-out fold, or the test set."""

from _checkout import job

from foldbelt.train.devices import lease

with job(snakemake.log[0]), lease(snakemake.config["device"], snakemake.resources.get("gpu", 0)):
    # After the lease: torch sees only the leased device.
    from foldbelt.folds import ids_of
    from foldbelt.predict import run

    scheme = snakemake.input.get("folds")
    run(
        channels=snakemake.input.channels,
        data=snakemake.input.data,
        ids=ids_of(scheme, int(snakemake.wildcards.fold)) if scheme else None,
        weights=snakemake.input.weights,
        tta=snakemake.params.predict["tta"],
        scales=snakemake.params.predict["scales"],
        windows=snakemake.params.predict["windows"],
        snapshot=snakemake.params.snapshot,
        batch_size=snakemake.params.predict["batch_size"],
        out=snakemake.output.predictions,
        cpu_threads=snakemake.params.cpu_threads,
        device="cuda" if snakemake.config["device"] == "gpu" else None,
    )
