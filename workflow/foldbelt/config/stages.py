"""Settings of a stage that exclude each other, found before anything is read."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from foldbelt import registry


def sides(size: int | Sequence[int]) -> tuple[int, int]:
    """Height and width of a size in the config, which may be one number for both.

    Examples
    --------
    >>> sides(64), sides([64, 416])
    ((64, 64), (64, 416))
    """
    height, width = (size, size) if isinstance(size, int) else size
    return int(height), int(width)


def contradictions(stage: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the settings of a stage that cannot go together.

    Nothing heavy is imported for it, so that a config can be checked when it is read.

    Parameters
    ----------
    stage
        A stage's config.

    Yields
    ------
    key, reason
        The key within the stage, and what is wrong with it and how to mend it.
    """
    yield from _of_batches(stage)
    if stage.get("train_on") == "pseudo" and stage.get("pseudo_ratio") == 0:
        yield "pseudo_ratio", "0 leaves nothing to train on with train_on: pseudo; raise it"
    schedule, epochs = stage["schedule"], stage["epochs"]
    cyclic, warmup = schedule["name"] == "cyclic", schedule.get("warmup") or 0
    cycles, snapshots = schedule.get("cycles") or 4, schedule.get("snapshots") or 0
    if stage.get("swa") is not None and stage.get("ema"):
        yield "swa", "ema averages the weights already; set one of the two to null"
    if stage.get("swa") is not None and (stage.get("freeze_encoder") or 0) >= epochs:
        yield (
            "swa",
            f"freeze_encoder: {stage['freeze_encoder']} freezes the encoder's batch-norm "
            f"statistics in all {epochs} epochs, swa would change them; set it to null",
        )
    if schedule["name"] == "onecycle" and warmup:
        yield "schedule.warmup", f"{warmup} before onecycle, which warms up itself: see rise"
    if cyclic and epochs - warmup < cycles:
        yield (
            "schedule.cycles",
            f"{cycles} in {epochs - warmup:g} epochs after the warm-up, and a cycle is an epoch "
            "long at least",
        )
    if not snapshots:
        return
    if not cyclic:
        yield "schedule.snapshots", f"{snapshots} need cycles, so the schedule `cyclic`, or be 0"
    elif snapshots > cycles:
        yield "schedule.snapshots", f"{snapshots} of {cycles} cycles; raise schedule.cycles"
    others = {
        "early_stopping": stage.get("early_stopping"),
        "select: best": stage.get("select") == "best",
        "swa": stage.get("swa") is not None,
    }
    for other in (key for key, given in others.items() if given):
        yield (
            "schedule.snapshots",
            f"{snapshots} are the weights at cycles' ends; leave out {other}",
        )


def _of_batches(stage: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what an update, the sampler and the averaging of checkpoints cannot have together."""
    target, size = stage.get("target_batch"), int(stage.get("batch_size") or 1)
    if target is not None and (stage.get("accumulate") or 1) != 1:
        yield (
            "target_batch",
            f"{target} images make an update, and accumulate: {stage['accumulate']} says how many "
            "batches do; leave one of the two out",
        )
    if target is not None and target < size:
        yield "target_batch", f"{target} are fewer than a batch; set batch_size: {target}"
    sampler = stage.get("sampler") or {}
    if sampler.get("classes") and sampler.get("name") != "balanced":
        yield "sampler.classes", "only `balanced` draws by class; set sampler.name to it"
    averaged = int(stage.get("average_best") or 1)
    if averaged > 1 and stage.get("select") != "best":
        yield "average_best", f"{averaged} best validations need select: best"
    if averaged > 1 and (stage.get("freeze_encoder") or 0) >= stage["epochs"]:
        yield (
            "average_best",
            f"freeze_encoder: {stage['freeze_encoder']} freezes the encoder's batch-norm "
            f"statistics in all {stage['epochs']} epochs, averaging would change them; set it to 1",
        )


def unlearnable(
    stage: Mapping[str, Any], architecture: Mapping[str, Any]
) -> Iterator[tuple[str, str]]:
    """Yield the losses of a stage that mean nothing to a network.

    Parameters
    ----------
    stage
        A stage's config.
    architecture
        A model's, as in the config.

    Yields
    ------
    key, reason
        As `contradictions`.
    """
    masks = registry.predicts_masks(architecture)
    for name in stage["loss"]:
        if name not in registry.known("losses"):
            continue  # reported with the other references
        module = f"foldbelt.losses.{name}"
        if not masks and not registry.constant(module, "LABELS"):
            yield (
                f"loss.{name}",
                f"is a loss of masks, and {architecture['name']!r} predicts labels alone; take "
                + " or ".join(_label_losses()),
            )
        elif registry.constant(module, "EXCLUSIVE") and not architecture.get("exclusive"):
            yield (
                f"loss.{name}",
                "is a loss of exclusive classes; set architecture.exclusive: true, or take another",
            )


def _label_losses() -> list[str]:
    """Losses that can judge image labels."""
    names = registry.known("losses")
    return [name for name in names if registry.constant(f"foldbelt.losses.{name}", "LABELS")]


def misfits(
    stage: Mapping[str, Any],
    size: tuple[int, int],
    channels: Sequence[str],
    whiten: str = "none",
) -> Iterator[tuple[str, str]]:
    """Yield what a stage asks of the images and they do not have.

    Parameters
    ----------
    stage
        A stage's config.
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
    crop = stage.get("crop") or {}
    if crop:
        window = sides(crop["size"])
        if window[0] > size[0] or window[1] > size[1]:
            yield (
                "crop.size",
                f"windows of {window[0]}×{window[1]} cannot be cut out of images of "
                f"{size[0]}×{size[1]}; lower it, or raise the channels' size",
            )
    asks = {"crop.dark": crop.get("dark", 1) < 1, "blackout": bool(stage.get("blackout"))}
    grey = any(re.fullmatch(r"image\d*", name) for name in channels)
    for key in (key for key, asked in asks.items() if asked):
        if not grey:
            yield key, f"none of the channels {', '.join(channels)} is the image; leave it out"
        elif whiten in ("zca", "spectral"):
            yield key, f"after whiten: {whiten} no value means black; leave it out"
