"""One training job: a (model, round, fold, stage), from files to a weights file."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import torch

from foldbelt import files, registry, runtime, store
from foldbelt.config import stages
from foldbelt.config.stage_settings import StageSettings
from foldbelt.files import InputError, Problem, raise_all
from foldbelt.store import weights as weights_files
from foldbelt.train import box_targets, labels, state
from foldbelt.train.arguments import Inputs, Job, Machine, Outputs
from foldbelt.train.loop import Trainer
from foldbelt.train.task import Task, load, network, sources_of, split, start_from

Log = Callable[[str], None]

JUDGED = {"mask": "", "label": labels.METRIC, "box": box_targets.METRIC}
"""Main output → what it is judged by where the config has no say."""


def run(
    *,
    job: Job,
    model: Mapping[str, Any],
    stage: StageSettings,
    inputs: Inputs,
    outputs: Outputs,
    machine: Machine,
    metric: str | None,
    fingerprint: str,
    log: Log = print,
) -> None:
    """Train one model on all folds but one, through one stage, resuming if it was interrupted.

    The same arguments and input contents give the same bytes on a CPU, however often the run was
    interrupted; with ``select: last`` and neither early stopping nor the plateau schedule, they do
    not depend on the masks of the validation fold.

    Parameters
    ----------
    job
        Which job it is.
    model
        The architecture, as `foldbelt.models.build` takes it.
    stage
        The stage's settings.
    inputs, outputs
        Files to read, and to write.
    machine
        What to compute on.
    metric
        Validation metric of masks: a name in `foldbelt.metrics`, at threshold .5. Models that
        predict labels or boxes alone have an average precision in its place; then None.
    fingerprint
        Digest of the code; another one does not resume.
    log
        Takes the messages.

    Raises
    ------
    InputError
        If something in the config or the files cannot be used, or the training diverges.
    foldbelt.train.state.Interrupted
        After SIGTERM or SIGINT (a SystemExit with status 143 or 130).
    """
    device = runtime.prepare(machine.cpu_threads, machine.device)
    train_ids, valid_ids = split(inputs.folds, job.fold)
    check_stage(stage, job, model, labels.are_exclusive(store.attrs(inputs.data), model))
    _check_images(stage, job, train_ids, valid_ids, inputs)
    judged = JUDGED[registry.main_output(model)]
    metric = judged or str(metric)
    encoder = model.get("weights")
    decisive = {
        "code": fingerprint,
        "torch": torch.__version__,
        "device": device.type,
        "threads": machine.cpu_threads,
        "model": {name: value for name, value in model.items() if name != "weights"},
        "stage": asdict(stage),
        "job": asdict(job),
        "metric": metric,
        "inputs": inputs.digests() | ({"encoder": files.digest([encoder])} if encoder else {}),
    }
    key = state.key_of(decisive)
    with state.locked(outputs.state_root, key, log, machine.attempt) as saved:
        sources = sources_of(inputs, train_ids, valid_ids)
        task, shape = load(sources, job, stage, model, metric, machine.memory_gib, device, log)
        module = network(model, shape, inputs.start, job, device)
        log(_opening(task, module, device))
        start_from(module, inputs, log)
        for line in _remarks(task, inputs.start or inputs.checkpoint):
            log(line)
        if machine.device is None and device.type == "cpu" and _granted():
            log("Beware: a GPU was granted, but torch sees none; this runs on the CPU.")
        folder = outputs.tensorboard
        writer = (lambda epoch: _writer(folder, epoch)) if folder else None
        with state.Signals() as signals:
            trainer = Trainer(module, task, saved, log, writer, machine.loader_workers)
            tensors = trainer.train(signals)
        if trainer.writer:
            trainer.writer.close()
        weights_files.save(outputs.weights, tensors, _metadata(model, shape, trainer))
        files.write_csv(outputs.history, trainer.history())


def check_stage(
    stage: StageSettings, job: Job, model: Mapping[str, Any], exclusive_labels: bool = False
) -> None:
    """Refuse settings that exclude each other, and losses that mean nothing to the model.

    Raises
    ------
    InputError
        Naming each key.
    """
    reasons = [*stages.contradictions(stage), *stages.unlearnable(stage, model, exclusive_labels)]
    problems = [Problem(f"stages.{job.stage}.{key}", why) for key, why in reasons]
    raise_all(problems, f"Stage {job.stage} contradicts itself")


def _check_images(
    stage: StageSettings, job: Job, train: Sequence[str], valid: Sequence[str], inputs: Inputs
) -> None:
    """Refuse a job without the images that its stage needs."""
    where = f"Stage {job.stage}"
    if not train:
        raise InputError(f"{where}: no image to train on; all lie in the validation fold.")
    if inputs.pseudo and not inputs.test_channels:
        reason = f"pseudo-labels {inputs.pseudo} need the channels of their images."
        raise InputError(f"{where}: {reason}")
    if stage.validated_for and not valid:
        asked = ", ".join(stage.validated_for)
        raise InputError(f"{where}: {asked} without an image to validate on.")


def _granted() -> bool:
    """Whether a GPU was leased for this process."""
    return bool(os.environ.get("CUDA_VISIBLE_DEVICES"))


def _opening(task: Task, module: torch.nn.Module, device: torch.device) -> str:
    size = sum(parameter.numel() for parameter in module.parameters())
    counts = {"truth": str(task.true), "pseudo": f"{task.pseudo} pseudo-labelled"}
    counts["mixed"] = " + ".join(counts.values())
    return (
        f"Stage {task.job.stage}: {counts[task.train_on]} images, {len(task.valid)} to validate "
        f"on, {size / 1e6:.2f} million parameters, on {device.type}."
    )


def _remarks(task: Task, start: str | None) -> Iterator[str]:
    """Say where a stage does something else than its name suggests."""
    pseudo = task.stage.pseudo
    if pseudo and pseudo.train_on == "pseudo" and not task.pseudo:
        yield "train_on: pseudo, but there are no pseudo-labels; this trains on the truth."
    if task.mines and not start:
        yield "sampler: hard without a stage before: the errors mined are those of random weights."


def _writer(folder: str | None, epoch: int) -> Any:
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(folder, purge_step=epoch + 1)


def _metadata(
    model: Mapping[str, Any], shape: Mapping[str, Any], trainer: Trainer
) -> dict[str, Any]:
    """What is needed to use the weights, and where they come from.

    With ``select: last``, nothing in it comes from the validation fold: the file's bytes would
    betray that the truth there had been seen.
    """
    task = trainer.task
    architecture = {**model, "weights": None} if "weights" in model else dict(model)
    if not architecture.get("exclusive"):
        architecture.pop("exclusive", None)  # files of before there was the option stay the same
    if not architecture.get("mask_reduction"):
        for key in ("mask_reduction", "mask_width"):
            architecture.pop(key, None)
    for key in ("mask_dropout", "drop_path"):
        if not architecture.get(key):
            architecture.pop(key, None)
    architecture.pop("checkpointing", None)  # says how it was trained, and changes no weight
    return {
        **({} if task.main == "mask" else {"masks": False}),
        **({"snapshots": len(trainer.snapshots)} if trainer.snapshots else {}),
        **({"averaged_epochs": sorted(trainer.best.epochs)} if trainer.best.count > 1 else {}),
        **shape,
        **({"amp": task.stage.amp} if trainer.stepper.amp else {}),
        "made_on": trainer.made_on,
        "architecture": architecture,
        "key": task.job.key,
        "select": task.stage.select,
        "epochs": trainer.progress.epoch,
        "best_epoch": trainer.progress.best_epoch if task.stage.select == "best" else None,
    }
