"""Settings of a stage that exclude each other, or that its models or images cannot meet.

All of it is found before anything is read. Every function yields pairs of a key within the stage
and what is wrong with it and how to correct it.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from foldbelt import registry
from foldbelt.config.stage_settings import LossSettings, StageSettings, Terms


def contradictions(stage: StageSettings) -> Iterator[tuple[str, str]]:
    """Yield the settings of a stage that cannot go together.

    Parameters
    ----------
    stage
        Its settings.

    Yields
    ------
    key, reason
        The key within the stage, and what is wrong with it and how to correct it.
    """
    yield from _of_loss(stage.loss)
    yield from _of_batches(stage)
    yield from _of_averages(stage)
    if stage.pseudo and stage.pseudo.train_on == "pseudo" and stage.pseudo.pseudo_ratio == 0:
        yield "pseudo_ratio", "0 leaves nothing to train on with train_on: pseudo; raise it"
    if stage.sampler.classes and stage.sampler.name != "balanced":
        yield "sampler.classes", "only `balanced` draws by class; set sampler.name to it"
    yield from _of_schedule(stage)


def _of_loss(loss: LossSettings) -> Iterator[tuple[str, str]]:
    """Yield losses that stand beside outputs, and so belong to none."""
    if loss.by_output and loss.main:
        names, outputs = ", ".join(loss.main), ", ".join(loss.by_output)
        yield (
            "loss",
            f"{names} beside {outputs}: give the losses of every output under its name, such as "
            f"loss: {{mask: {{{next(iter(loss.main))}: 1}}}}",
        )


def _of_batches(stage: StageSettings) -> Iterator[tuple[str, str]]:
    """Yield what an update and its batches cannot be at once."""
    target, size = stage.target_batch, stage.batch_size
    if target is not None and stage.accumulate != 1:
        yield (
            "target_batch",
            f"{target} images make an update, and accumulate: {stage.accumulate} says how many "
            "batches do; leave one of the two out",
        )
    if target is not None and target < size:
        yield "target_batch", f"{target} are fewer than a batch; set batch_size: {target}"


def _of_averages(stage: StageSettings) -> Iterator[tuple[str, str]]:
    """Yield averages of weights that exclude each other or what they need."""
    averaging, frozen = stage.averaging, stage.freeze_encoder >= stage.epochs
    statistics = (
        f"freeze_encoder: {stage.freeze_encoder} freezes the encoder's batch-norm statistics in "
        f"all {stage.epochs} epochs"
    )
    if averaging.swa is not None and averaging.ema:
        yield "swa", "ema averages the weights already; set one of the two to null"
    if averaging.swa is not None and frozen:
        yield "swa", f"{statistics}, swa would change them; set it to null"
    if averaging.average_best > 1 and stage.select != "best":
        yield "average_best", f"{averaging.average_best} best validations need select: best"
    if stage.select_by != "metric" and stage.select != "best":
        yield "select_by", f"{stage.select_by} selects nothing without select: best; set it"
    if averaging.average_best > 1 and frozen:
        yield "average_best", f"{statistics}, averaging would change them; set it to 1"


def _of_schedule(stage: StageSettings) -> Iterator[tuple[str, str]]:
    """Yield what a schedule does not have, or has no time for."""
    schedule, after = stage.schedule, stage.epochs - stage.schedule.warmup
    cyclic, snapshots = schedule.name == "cyclic", schedule.snapshots
    if schedule.name == "onecycle" and schedule.warmup:
        reason = f"{schedule.warmup} before onecycle, which warms up itself: see rise"
        yield "schedule.warmup", reason
    if schedule.watch != "loss" and schedule.name != "plateau":
        yield "schedule.watch", f"{schedule.watch} is watched by the schedule `plateau` alone"
    if cyclic and after < schedule.cycles:
        yield (
            "schedule",
            f"{schedule.cycles} cycles of `cyclic` in {after:g} epochs after the warm-up, and a "
            "cycle is an epoch long at least; lower schedule.cycles, or raise epochs",
        )
    if not snapshots:
        return
    if not cyclic:
        yield "schedule.snapshots", f"{snapshots} need cycles, so the schedule `cyclic`, or be 0"
    elif snapshots > schedule.cycles:
        reason = f"{snapshots} of {schedule.cycles} cycles; raise schedule.cycles"
        yield "schedule.snapshots", reason
    others = {
        "early_stopping": stage.early_stopping is not None,
        "select: best": stage.select == "best",
        "swa": stage.averaging.swa is not None,
    }
    for other in (key for key, given in others.items() if given):
        reason = f"{snapshots} are the weights at cycles' ends; leave out {other}"
        yield "schedule.snapshots", reason


def unlearnable(
    stage: StageSettings, architecture: Mapping[str, Any], exclusive_labels: bool = False
) -> Iterator[tuple[str, str]]:
    """Yield the losses of a stage that mean nothing to a network, and outputs without any.

    Parameters
    ----------
    stage
        Its settings.
    architecture
        A model's, as in the config.
    exclusive_labels
        Whether the image labels that the model predicts exclude each other, all of them.

    Yields
    ------
    key, reason
        As `contradictions`.
    """
    loss, main = stage.loss, registry.main_output(architecture)
    name, plural = architecture["name"], {"mask": "masks", "label": "labels", "box": "boxes"}[main]
    if loss.by_output and main not in loss.by_output:
        reason = f"gives none of the {plural}, which {name!r} predicts; name it"
        yield f"loss.{main}", reason
    if main == "box":
        yield from _of_boxes(stage, name)
    short = "" if loss.by_output else "loss."
    if main == "mask":
        key = short or "loss.mask."
        yield from _of_masks(loss.terms("mask", main), key, architecture)
    elif teaches_masks(architecture):
        yield from _of_masks(loss.auxiliary, "loss.mask.", architecture)
    if main == "label" or "label" in loss.by_output:
        key = short or "loss.label."
        yield from _of_labels(loss.terms("label", main), key, architecture, exclusive_labels)


def teaches_masks(architecture: Mapping[str, Any]) -> bool:
    """Tell whether a model learns masks that are not its answer, beside its labels.

    Examples
    --------
    >>> teaches_masks({"name": "classifier", "mask_reduction": 16})
    True
    >>> teaches_masks({"name": "unet", "label_head": True, "auxiliary": ["mask"]})
    True
    >>> teaches_masks({"name": "unet"}), teaches_masks({"name": "classifier"})
    (False, False)
    """
    return bool(architecture.get("mask_reduction")) or "mask" in architecture.get("auxiliary", ())


def _of_masks(terms: Terms, key: str, architecture: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield losses of exclusive classes where a network has others."""
    for name in _known(terms):
        if _says(name, "EXCLUSIVE") and not architecture.get("exclusive"):
            able = "exclusive" in registry.options(registry.models(architecture)[0])
            cure = "set architecture.exclusive: true, or take another" if able else "take another"
            yield f"{key}{name}", f"is a loss of exclusive classes; {cure}"


def _of_labels(
    terms: Terms, key: str, architecture: Mapping[str, Any], exclusive: bool
) -> Iterator[tuple[str, str]]:
    """Yield losses that cannot judge image labels."""
    able = [name for name in registry.known("losses") if _says(name, "LABELS")]
    able += [
        name for name in registry.known("losses") if exclusive and _says(name, "EXCLUSIVE_LABELS")
    ]
    for name in _known(terms):
        if name in able:
            continue
        if _says(name, "EXCLUSIVE_LABELS"):
            reason = (
                "is a loss of labels that exclude each other, as one column of data.label holds "
                f"them; these need not, so take {' or '.join(able)}, or let the model's labels be "
                "of one group (models.<name>.labels)"
            )
            yield f"{key}{name}", reason
            continue
        alone = not registry.predicts_masks(architecture)
        why = f", and {architecture['name']!r} predicts labels alone" if alone else ""
        yield f"{key}{name}", f"is a loss of masks{why}; take {' or '.join(able)}"


def _of_boxes(stage: StageSettings, name: str) -> Iterator[tuple[str, str]]:
    """Yield what means nothing to boxes, or would leave them where they no longer belong."""
    if stage.loss.main:
        named = ", ".join(stage.loss.main)
        yield "loss", f"{named}: {name!r} brings its own losses; give their weight, {{box: 1}}"
    asked = {
        "mixup": stage.mixing.mixup,
        "cutmix": stage.mixing.cutmix,
        "label_smoothing": stage.mixing.label_smoothing,
        "blackout": stage.blackout,
        "sampler": stage.sampler.name == "hard",
    }
    for key in (key for key, given in asked.items() if given):
        yield key, f"is not made for boxes, which {name!r} predicts; leave it out"


def _known(terms: Terms) -> list[str]:
    """Names of losses that there are; others are reported with the other references."""
    return [name for name in terms if name in registry.known("losses")]


def _says(loss: str, constant: str) -> bool:
    return bool(registry.constant(f"foldbelt.losses.{loss}", constant))


def missing_in_images(
    stage: StageSettings,
    size: tuple[int, int],
    channels: Sequence[str],
    whiten: str = "none",
) -> Iterator[tuple[str, str]]:
    """Yield what a stage asks of the images and they do not have.

    Parameters
    ----------
    stage
        Its settings.
    size
        Height and width of the network's input.
    channels
        Names of its channels; `image`, or `image0` and so on, are grey values or colours.
    whiten
        How they are whitened. After `zca` and `spectral` a value is no shade of grey any more.

    Yields
    ------
    key, reason
        As `contradictions`.
    """
    crop = stage.crop
    if crop and (crop.size[0] > size[0] or crop.size[1] > size[1]):
        yield (
            "crop.size",
            f"windows of {crop.size[0]}×{crop.size[1]} cannot be cut out of images of "
            f"{size[0]}×{size[1]}; lower it, or raise the channels' size",
        )
    asks = {"crop.dark": crop is not None and crop.dark < 1, "blackout": bool(stage.blackout)}
    grey = any(re.fullmatch(r"image\d*", name) for name in channels)
    for key in (key for key, asked in asks.items() if asked):
        if not grey:
            yield key, f"none of the channels {', '.join(channels)} is the image; leave it out"
        elif whiten in ("zca", "spectral"):
            yield key, f"after whiten: {whiten} no value means black; leave it out"
