"""One training job: a (model, round, fold, stage), from files to a weights file."""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch

from foldbelt import files, models, runtime, store
from foldbelt import weights as weights_files
from foldbelt.augment import Augment
from foldbelt.files import InputError, seed_for
from foldbelt.geometry import Fit
from foldbelt.train import state
from foldbelt.train.data import Samples, Source, Tiles, fits, labels_of
from foldbelt.train.loop import Task, Trainer
from foldbelt.train.samplers import Parts

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
    metric: str,
    cpu_threads: int,
    memory_gib: float,
    state_root: str,
    fingerprint: str,
    start: str | None = None,
    pseudo: str | None = None,
    test_channels: str | None = None,
    tensorboard: str | None = None,
    device: str | None = None,
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
        Validation metric: a name in `foldbelt.metrics`, at threshold .5.
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
    train_ids, valid_ids = _split(folds, fold)
    _check(stage, stage_name, train_ids, valid_ids, pseudo, test_channels)
    parts: Parts = (seed, key["model"], int(key["round"]), int(key["fold"]), stage_name)
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
        "metric": metric,
        "inputs": {name: files.digest([path]) for name, path in inputs.items() if path},
    }
    with state.locked(state_root, state.key_of(decisive), log) as saved:
        sources = [Source(channels, data, train_ids), Source(channels, data, valid_ids)]
        if pseudo and test_channels:
            admitted = sorted(store.read(pseudo, "id")) if store.length(pseudo) else []
            sources.append(Source(test_channels, pseudo, admitted))
        task, shape = _task(sources, stage, stage_name, metric, memory_gib, chosen, parts)
        module = _module(model, shape, start, parts, chosen)
        log(_opening(stage_name, task, module, chosen))
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


def _split(folds: str, fold: int) -> tuple[list[str], list[str]]:
    """Ids to train and to validate on, sorted: the result depends on no file's order."""
    table = pd.read_csv(folds, dtype={"id": str}, keep_default_na=False)
    inside = table["fold"].astype(int) == fold
    return sorted(table["id"][~inside]), sorted(table["id"][inside])


def _check(
    stage: Mapping[str, Any],
    name: str,
    train: Sequence[str],
    valid: Sequence[str],
    pseudo: str | None,
    test_channels: str | None,
) -> None:
    if not train:
        raise InputError(f"Stage {name}: no tile to train on; all lie in the validation fold.")
    if pseudo and not test_channels:
        raise InputError(f"Stage {name}: pseudo-labels {pseudo} need the channels of their images.")
    asks = [what for what in ("early_stopping",) if stage.get(what)]
    asks += ["select: best"] if stage["select"] == "best" else []
    asks += ["schedule: plateau"] if stage["schedule"]["name"] == "plateau" else []
    if asks and not valid:
        raise InputError(f"Stage {name}: {', '.join(asks)} without a tile to validate on.")


def _task(
    sources: Sequence[Source],
    stage: Mapping[str, Any],
    stage_name: str,
    metric: str,
    memory_gib: float,
    device: torch.device,
    parts: Parts,
) -> tuple[Task, dict[str, Any]]:
    """Load training, validation and perhaps pseudo-labelled tiles."""
    train = sources[0]
    attrs = store.attrs(train.channels)
    fit = Fit(attrs["fit"], tuple(attrs["source"]), tuple(attrs["size"]))
    classes = train.classes()
    planes = classes + train.has_ignore()
    known = store.has(train.masks, "labels")
    width = store.read(train.masks, "labels", train.ids[:1]).shape[1] if known else 0
    memory = fits(sources, fit.size, planes, memory_gib)
    sets = []
    for source in sources:
        if source.masks == train.masks:
            labels = store.read(source.masks, "labels", source.ids) if known else _none(source)
        else:
            labels = _pseudo_labels(source, width)
        sets.append(Tiles(source, fit, planes, classes, labels.astype(np.float32), memory))
    augment = Augment(stage.get("augment") or [], fit.size, len(attrs["names"]), planes)
    task = Task(
        stage=stage,
        stage_name=stage_name,
        metric=metric,
        samples=Samples([sets[0], *sets[2:]], augment, parts),
        true=len(sets[0]),
        pseudo=sum(len(tiles) for tiles in sets[2:]),
        valid=sets[1],
        normalise=runtime.Normaliser(attrs["scale"], attrs["offset"], device),
        parts=parts,
    )
    shape = {
        "in_channels": len(attrs["names"]),
        "mask_channels": classes,
        "label_classes": width,
        "channels": attrs["names"],
        "scale": attrs["scale"],
        "offset": attrs["offset"],
        "fit": attrs["fit"],
        "size": attrs["size"],
        "source": attrs["source"],
    }
    return task, shape


def _none(source: Source) -> np.ndarray:
    return np.zeros((len(source.ids), 0), np.float32)


def _pseudo_labels(source: Source, width: int) -> np.ndarray:
    labels = np.zeros((len(source.ids), width), np.float32)
    for rows, block in store.blocks(source.masks, "mask", source.ids):
        labels[rows] = labels_of(block, width)
    return labels


def _module(
    model: Mapping[str, Any],
    shape: Mapping[str, Any],
    start: str | None,
    parts: Parts,
    device: torch.device,
) -> torch.nn.Module:
    """Build the network, from the weights of the stage before if there is one."""
    torch.manual_seed(seed_for(*parts, "init"))
    spec = {**model, "weights": None} if start and "weights" in model else dict(model)
    module = models.build(
        spec, shape["in_channels"], shape["mask_channels"], shape["label_classes"]
    )
    if start:
        tensors, metadata = weights_files.load(start)
        if metadata.get("channels") != shape["channels"]:
            raise InputError(
                f"{start} was trained on the channels {metadata.get('channels')}, "
                f"this stage is given {shape['channels']}."
            )
        weights_files.fill(module, tensors, start)
    if device.type == "cuda":
        module = module.to(memory_format=torch.channels_last)
    return module.to(device)


def _opening(name: str, task: Task, module: torch.nn.Module, device: torch.device) -> str:
    size = sum(parameter.numel() for parameter in module.parameters())
    mixed = f" + {task.pseudo} pseudo-labelled" if task.pseudo else ""
    return (
        f"Stage {name}: {task.true}{mixed} tiles, {len(task.valid)} to validate on, "
        f"{size / 1e6:.2f} million parameters, on {device.type}."
    )


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
    metadata = {
        **shape,
        "architecture": architecture,
        "key": dict(key),
        "select": stage["select"],
        "epochs": trainer.progress.epoch,
        "best_epoch": trainer.progress.best_epoch if stage["select"] == "best" else None,
    }
    weights_files.save(path, tensors, metadata)
