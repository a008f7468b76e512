"""Passes over tiles that teach nothing: validation, per-image errors, batch-norm statistics."""

from collections.abc import Callable, Iterator

import numpy as np
import torch

from foldbelt import metrics
from foldbelt.files import seed_for
from foldbelt.train.data import Samples, Tiles
from foldbelt.train.stepping import Batch, Stepper
from foldbelt.train.swa import EpochAverage

Check = Callable[[], None]
LEAST_ERROR = 0.01
"""Of the mean error: what an image without any is taken to have, so that it may still be drawn."""


def batches(sets: list[Tiles], size: int) -> Iterator[tuple[np.ndarray, Batch]]:
    """Give the rows of several sets of tiles in order, not augmented, in batches."""
    samples = Samples(sets, None, ())
    for start in range(0, len(samples), size):
        rows = np.arange(start, min(start + size, len(samples)))
        yield rows, samples.__getitems__([(0, int(row)) for row in rows])


@torch.no_grad()
def validate(stepper: Stepper, model: torch.nn.Module, check: Check) -> tuple[float, float]:
    """Loss at network size and metric at storage size of a model's predictions, at threshold .5.

    Parameters
    ----------
    stepper
        The loss, and the task with the tiles to validate on.
    model
        Whose weights to judge.
    check
        Called after every batch; may raise to end the pass.

    Returns
    -------
    loss, metric
        Means over the tiles.
    """
    task, total, scores = stepper.task, 0.0, []
    model.eval()
    for rows, batch in batches([task.valid], int(task.stage["batch_size"])):
        outputs = stepper.outputs(model, batch)
        total += float(stepper.judge(outputs, batch)) * len(rows)
        logits = outputs["mask"].float().permute(0, 2, 3, 1)
        prob = task.valid.fit.undo(torch.sigmoid(logits).cpu().numpy())
        truth, ignore = task.valid.truth(rows)
        scores.append(metrics.score_images(task.metric, truth, prob > 0.5, ignore))
        check()
    return total / len(task.valid), float(np.concatenate(scores).mean())


@torch.no_grad()
def errors(stepper: Stepper, check: Check) -> np.ndarray:
    """How much the model errs on every training tile with a true mask, for hard-negative mining.

    The error of a tile is its loss, in units of the mean loss, plus the share of pixels wrongly
    found on classes of which it has none; the errors are then brought to a mean of 1.

    Parameters
    ----------
    stepper
        The model, its loss, and the task with the tiles.
    check
        Called after every batch; may raise to end the pass.

    Returns
    -------
    (n,) float64 array
        In the order of the tiles, none below `LEAST_ERROR`.
    """
    task, model = stepper.task, stepper.model.eval()
    losses, wrong = np.zeros(task.true), np.zeros(task.true)
    for rows, batch in batches(task.samples.sets[:1], int(task.stage["batch_size"])):
        outputs = stepper.outputs(model, batch)
        for place, row in enumerate(rows):
            alone = {name: value[place : place + 1] for name, value in outputs.items()}
            one = {name: value[place : place + 1] for name, value in batch.items()}
            losses[row] = float(stepper.judge(alone, one))
            wrong[row] = _false_positives(alone["mask"].cpu(), one["target"])
        check()
    return relative(losses, wrong)


def relative(losses: np.ndarray, wrong: np.ndarray) -> np.ndarray:
    """Join losses and shares of false positives to errors with a mean of about 1.

    Examples
    --------
    >>> relative(np.array([1.0, 3.0]), np.array([0.0, 0.5])).round(2).tolist()
    [0.4, 1.6]
    """
    error = losses / max(losses.mean(), 1e-12) + wrong
    return np.maximum(error / max(error.mean(), 1e-12), LEAST_ERROR)


def _false_positives(logits: torch.Tensor, target: torch.Tensor) -> float:
    """Share of pixels found of classes that are not there: logits (1,K,H,W), target (1,H,W,P)."""
    classes = logits.shape[1]
    seen = torch.ones(target.shape[1:3], dtype=torch.bool)
    if target.shape[3] > classes:
        seen = target[0, :, :, -1] == 0
    truth = target[0, :, :, :classes].bool() & seen[..., None]
    empty = ~truth.flatten(0, 1).any(dim=0)
    found = (logits[0] > 0) & seen & empty[:, None, None]
    return float(found.sum()) / max(int(seen.sum()) * classes, 1)


def settle(stepper: Stepper, average: EpochAverage) -> None:
    """Estimate the batch-norm statistics of averaged weights, on the training tiles as they are.

    Augmented tiles would do for training, but it is plain ones that are predicted.

    Parameters
    ----------
    stepper
        The task with the tiles.
    average
        The weights.
    """
    task = stepper.task
    torch.manual_seed(seed_for(*task.parts, "statistics"))  # dropout draws, and changes nothing
    sets = task.samples.sets[:1] if task.train_on == "truth" else task.samples.sets
    every = batches(sets, int(task.stage["batch_size"]))
    with stepper.autocast():
        average.settle(task.normalise(batch["x"]) for _, batch in every)
