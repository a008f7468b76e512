"""One training job: a (model, round, fold, stage), from files to a weights file."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch

from foldbelt import files, registry, runtime, store
from foldbelt.config import stages
from foldbelt.files import InputError, Problem, raise_all
from foldbelt.store import weights as weights_files
from foldbelt.train import state
from foldbelt.train.data import Source
from foldbelt.train.evaluation import LABEL_METRIC
from foldbelt.train.loop import Trainer
from foldbelt.train.samplers import Parts
from foldbelt.train.task import Task, load, network, split

Log = Callable[[str], None]


def run(
    *,
    channels: str,
    data: str,
    folds: str,
    fold: int,
    model: Mapping[str, Any],
    stage: Mapping[str, Any],
    stage_name: str,
    key: Mapping[str, Any],
    seed: int,
    weights: str,
    history: str,
    metric: str | None,
    cpu_threads: int,
    memory_gib: float,
    state_root: str,
    fingerprint: str,
    start: str | None = None,
    pseudo: str | None = None,
    test_channels: str | None = None,
    tensorboard: str | None = None,
    device: str | None = None,
    model_seed: int = 0,
    log: Log = print,
) -> None:
    """Train one model on all folds but one, through one stage, resuming if it was interrupted.

    The same arguments and input contents give the same bytes on a CPU, however often the run was
    interrupted; with ``select: last`` and neither early stopping nor the plateau schedule, they do
    not depend on the masks of the validation fold.

    Parameters
    ----------
    channels, data, folds
        Channels and ingested data of the training images, and the folds' CSV file.
    fold
        The fold to validate on.
    model
        The architecture, as `foldbelt.models.build` takes it.
    stage, stage_name
        The stage's config and name.
    key
        ``model``, ``round`` and ``fold``: with the stage's name, what the seeds derive from.
    seed
        The recipe's seed.
    weights, history
        Files to write: safetensors, and CSV with one row an epoch.
    metric
        Validation metric: a name in `foldbelt.metrics`, at threshold .5. A model that predicts
        labels alone has `foldbelt.train.evaluation.average_precision` in its place; then None.
    cpu_threads
        Compute threads; floating-point sums depend on them.
    memory_gib
        Images and masks above this are streamed from their files.
    state_root
        Where the state for resuming lies while the job runs.
    fingerprint
        Digest of the code; another one does not resume.
    start
        Weights file of the stage before.
    pseudo, test_channels
        Pseudo-labels, and the channels of the images they belong to.
    tensorboard
        Folder for event files.
    device
        ``"cpu"``, ``"cuda"``, or None for CUDA where torch sees it.
    model_seed
        The model's own seed; 0 adds nothing to the recipe's.
    log
        Takes the messages.

    Raises
    ------
    InputError
        If something in the config or the files cannot be used, or the training diverges.
    foldbelt.train.state.Interrupted
        After SIGTERM or SIGINT (a SystemExit with status 143 or 130).
    """
    chosen = runtime.prepare(cpu_threads, device)
    train_ids, valid_ids = split(folds, fold)
    _check(stage, stage_name, model, train_ids, valid_ids, pseudo, test_channels)
    judged = str(metric) if registry.predicts_masks(model) else LABEL_METRIC
    parts = seed_parts(seed, key, stage_name, model_seed)
    inputs = {"channels": channels, "data": data, "folds": folds, "start": start, "pseudo": pseudo}
    inputs |= {"test_channels": test_channels, "encoder": model.get("weights")}
    decisive = {
        "code": fingerprint,
        "torch": torch.__version__,
        "device": chosen.type,
        "threads": cpu_threads,
        "model": {name: value for name, value in model.items() if name != "weights"},
        "stage": dict(stage),
        "parts": parts,
        "fold": fold,
        "metric": judged,
        "inputs": {name: files.digest([path]) for name, path in inputs.items() if path},
    }
    with state.locked(state_root, state.key_of(decisive), log) as saved:
        sources = [Source(channels, data, train_ids), Source(channels, data, valid_ids)]
        if pseudo and test_channels:
            admitted = sorted(store.read(pseudo, "id")) if store.length(pseudo) else []
            sources.append(Source(test_channels, pseudo, admitted))
        task, shape = load(sources, stage, stage_name, judged, memory_gib, chosen, parts)
        module = network(model, shape, start, parts, chosen)
        log(_opening(stage_name, task, module, chosen))
        for line in _remarks(task, start):
            log(line)
        if device is None and chosen.type == "cpu" and os.environ.get("CUDA_VISIBLE_DEVICES"):
            log("Beware: a GPU was granted, but torch sees none; this runs on the CPU.")
        writer = (lambda epoch: _writer(tensorboard, epoch)) if tensorboard else None
        with state.Signals() as signals:
            trainer = Trainer(module, task, saved, log, writer)
            tensors = trainer.fit(signals)
        if trainer.writer:
            trainer.writer.close()
        _save(weights, tensors, model, shape, stage, trainer, {**key, "stage": stage_name})
        files.write_csv(history, trainer.history())


def seed_parts(seed: int, key: Mapping[str, Any], stage_name: str, model_seed: int = 0) -> Parts:
    """Say what all seeds of a job derive from; see `run` for the parameters."""
    parts: Parts = (seed, key["model"], int(key["round"]), int(key["fold"]), stage_name)
    return (*parts, "model seed", model_seed) if model_seed else parts


def check_stage(stage: Mapping[str, Any], name: str, model: Mapping[str, Any]) -> None:
    """Refuse settings that exclude each other, and losses that mean nothing to the model.

    Raises
    ------
    InputError
        Naming each key.
    """
    found = [*stages.contradictions(stage), *stages.unlearnable(stage, model)]
    problems = [Problem(f"stages.{name}.{key}", why) for key, why in found]
    raise_all(problems, f"Stage {name} contradicts itself")


def _check(
    stage: Mapping[str, Any],
    name: str,
    model: Mapping[str, Any],
    train: Sequence[str],
    valid: Sequence[str],
    pseudo: str | None,
    test_channels: str | None,
) -> None:
    check_stage(stage, name, model)
    if not train:
        raise InputError(f"Stage {name}: no tile to train on; all lie in the validation fold.")
    if pseudo and not test_channels:
        raise InputError(f"Stage {name}: pseudo-labels {pseudo} need the channels of their images.")
    asks = [what for what in ("early_stopping",) if stage.get(what)]
    asks += ["select: best"] if stage["select"] == "best" else []
    asks += ["schedule: plateau"] if stage["schedule"]["name"] == "plateau" else []
    if asks and not valid:
        raise InputError(f"Stage {name}: {', '.join(asks)} without a tile to validate on.")


def _opening(name: str, task: Task, module: torch.nn.Module, device: torch.device) -> str:
    size = sum(parameter.numel() for parameter in module.parameters())
    counts = {"truth": str(task.true), "pseudo": f"{task.pseudo} pseudo-labelled"}
    counts["mixed"] = " + ".join(counts.values())
    return (
        f"Stage {name}: {counts[task.train_on]} tiles, {len(task.valid)} to validate on, "
        f"{size / 1e6:.2f} million parameters, on {device.type}."
    )


def _remarks(task: Task, start: str | None) -> Iterator[str]:
    """Say where a stage does something else than its name suggests."""
    if task.stage.get("train_on") == "pseudo" and not task.pseudo:
        yield "train_on: pseudo, but there are no pseudo-labels; this trains on the truth."
    if task.mines and not start:
        yield "sampler: hard without a stage before: the errors mined are those of random weights."


def _writer(folder: str | None, epoch: int) -> Any:
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(folder, purge_step=epoch + 1)


def _save(
    path: str,
    tensors: Mapping[str, torch.Tensor],
    model: Mapping[str, Any],
    shape: Mapping[str, Any],
    stage: Mapping[str, Any],
    trainer: Trainer,
    key: Mapping[str, Any],
) -> None:
    """Write the weights with what is needed to use them.

    With ``select: last``, nothing in the metadata comes from the validation fold: its bytes would
    betray that the truth there had been seen.
    """
    architecture = {**model, "weights": None} if "weights" in model else dict(model)
    if not architecture.get("exclusive"):
        architecture.pop("exclusive", None)  # files of before there was the option stay the same
    metadata = {
        **({} if registry.predicts_masks(model) else {"masks": False}),
        **({"snapshots": len(trainer.snapshots)} if trainer.snapshots else {}),
        **({"averaged_epochs": sorted(trainer.best.epochs)} if trainer.best.count > 1 else {}),
        **shape,
        "architecture": architecture,
        "key": dict(key),
        "select": stage["select"],
        "epochs": trainer.progress.epoch,
        "best_epoch": trainer.progress.best_epoch if stage["select"] == "best" else None,
    }
    weights_files.save(path, tensors, metadata)
