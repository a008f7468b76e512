"""Settings of a stage that exclude each other, found before anything is read."""

from collections.abc import Iterator, Mapping
from typing import Any


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
