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
LABEL_METRIC = "average_precision"
"""Name of the metric by which labels are judged where there are no masks."""
LEAST_ERROR = 0.01
"""Of the mean error: what an image without any is taken to have, so that it may still be drawn."""


def batches(sets: list[Tiles], size: int) -> Iterator[tuple[np.ndarray, Batch]]:
    """Give the rows of several sets of tiles in order, whole and not augmented, in batches."""
    samples = Samples(sets, None, ())
    for start in range(0, len(samples), size):
        rows = np.arange(start, min(start + size, len(samples)))
        yield rows, samples.__getitems__([(0, int(row)) for row in rows])


@torch.no_grad()
def validate(stepper: Stepper, model: torch.nn.Module, check: Check) -> tuple[float, float]:
    """Loss at network size, and metric at storage size, of a model's predictions.

    Masks are judged by the task's metric at threshold .5, labels, where a model gives them alone,
    by `average_precision`.

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
        The loss is a mean over the tiles, and so is a metric of masks.
    """
    task, total = stepper.task, 0.0
    scores: list[np.ndarray] = []
    labels: list[tuple[np.ndarray, np.ndarray]] = []
    model.eval()
    for rows, batch in batches([task.valid], task.batch):
        outputs = stepper.outputs(model, batch)
        total += float(stepper.judge(outputs, batch)) * len(rows)
        if "mask" in outputs:
            logits = outputs["mask"].float().permute(0, 2, 3, 1)
            prob = task.valid.fit.undo(torch.sigmoid(logits).cpu().numpy())
            truth, ignore = task.valid.truth(rows)
            scores.append(metrics.score_images(task.metric, truth, prob > 0.5, ignore))
        else:
            labels.append((batch["label"].numpy(), outputs["label"].float().cpu().numpy()))
        check()
    if labels:
        score = average_precision(*(np.concatenate(part) for part in zip(*labels, strict=True)))
    else:
        score = float(np.concatenate(scores).mean())
    return total / len(task.valid), score


def average_precision(truth: np.ndarray, score: np.ndarray) -> float:
    """Mean over the labels of the average precision: how well scores rank the images that have it.

    Σ (R_n − R_{n−1}) P_n over falling thresholds, as in scikit-learn; equal scores are one
    threshold. Nothing need be decided for it, unlike for accuracy, and it stays sharp where a label
    is rare, where the area under the ROC curve is near 1 for every model.

    Parameters
    ----------
    truth
        (N,L), 0 or 1.
    score
        (N,L), higher where the label is more likely.

    Returns
    -------
    float
        Labels that no image has leave the mean: they rank nothing. 0 if there is no other.

    Examples
    --------
    >>> truth = np.array([[1, 0], [0, 0], [1, 0]])
    >>> round(average_precision(truth, np.array([[0.9, 0], [0.8, 0], [0.1, 0]])), 3)
    0.833
    """
    found = []
    for own, ranks in zip(truth.T > 0.5, score.T, strict=True):
        if own.any():
            order = np.argsort(-ranks, kind="stable")
            ends = np.flatnonzero(np.append(np.diff(ranks[order]) != 0, True))
            hits = np.cumsum(own[order])[ends]
            found.append(float((np.diff(hits, prepend=0) * hits / (ends + 1)).sum() / hits[-1]))
    return float(np.mean(found)) if found else 0.0


@torch.no_grad()
def errors(stepper: Stepper, check: Check) -> np.ndarray:
    """How much the model errs on every training tile with a true mask, for hard-negative mining.

    The error of a tile is its loss, in units of the mean loss, plus the share of pixels wrongly
    found on classes of which it has none (of a model without masks, the share of labels wrongly
    given); the errors are then brought to a mean of 1.

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
    for rows, batch in batches(task.samples.sets[:1], task.batch):
        outputs = stepper.outputs(model, batch)
        for place, row in enumerate(rows):
            alone = {name: value[place : place + 1] for name, value in outputs.items()}
            one = {name: value[place : place + 1] for name, value in batch.items()}
            losses[row] = float(stepper.judge(alone, one))
            if "mask" in alone:
                wrong[row] = _false_positives(alone["mask"].cpu(), one["target"])
            else:
                false = (alone["label"].cpu() > 0) & (one["label"] < 0.5)
                wrong[row] = float(false.float().mean())
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
    every = batches(sets, task.batch)
    with stepper.autocast():
        average.settle(task.normalise(batch["x"]) for _, batch in every)
