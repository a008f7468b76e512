"""Passes over images that teach nothing: validation, per-image errors, batch-norm statistics."""

import importlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

import numpy as np
import torch

from foldbelt import registry
from foldbelt.files import seed_for
from foldbelt.train import labels, masks
from foldbelt.train.checkpoint_averaging import EpochAverage
from foldbelt.train.data import ImageSet, Samples
from foldbelt.train.stepping import Batch, Stepper

Check = Callable[[], None]


class Judge(Protocol):
    """Gathers what is predicted of the validation images, and scores it."""

    def add(self, rows: np.ndarray, outputs: Mapping[str, Any], batch: Mapping[str, Any]) -> None:
        """Take what is predicted for some rows of the images."""
        ...

    def score(self) -> float:
        """Score it all; higher is better."""
        ...

    def constant(self) -> float:
        """Score what says the same of every image: what knows nothing reaches."""
        ...


LARGE_BATCH, LARGE_PIXELS = 256, 2**22
"""Of a pass without gradients: so many images at a time, or as many as have so many pixels."""
LEAST_ERROR = 0.01
"""Of the mean error: what an image without any is taken to have, so that it may still be drawn."""


def _box_judge(valid: ImageSet, metric: str) -> Judge:
    judge: Judge = importlib.import_module(registry.BOX_LEARNING[1]).BoxJudge(valid, metric)
    return judge


JUDGES: dict[str, Callable[[ImageSet, str], Judge]] = {
    "mask": masks.MaskJudge,
    "label": labels.LabelJudge,
    "box": _box_judge,
}
"""Main output → what gathers the predictions of a pass and scores them."""
WRONG: dict[str, Callable[[Mapping[str, Any], Batch], torch.Tensor]] = {
    "mask": lambda output, sample: masks.false_positives(output["mask"], sample["target"]),
    "label": lambda output, sample: labels.wrongly_given(output["label"], sample["label"]),
}
"""Main output → the share of an image's answers that are given and wrong."""


def batches(sets: list[ImageSet], size: int) -> Iterator[tuple[np.ndarray, Batch]]:
    """Give the rows of several sets of images in order, whole and not augmented, in batches."""
    samples = Samples(sets, None, ())
    for start in range(0, len(samples), size):
        rows = np.arange(start, min(start + size, len(samples)))
        yield rows, samples.__getitems__([(0, int(row)) for row in rows])


@torch.no_grad()
def validate(stepper: Stepper, model: torch.nn.Module, check: Check) -> tuple[float, float, float]:
    """Loss at network size, and metric of a model's predictions.

    Masks are judged at storage size by the task's metric at threshold .5; labels and boxes, where a
    model gives them alone, by how well they are ranked (`LabelJudge`, `BoxJudge`).

    Parameters
    ----------
    stepper
        The loss, and the task with the images to validate on.
    model
        Whose weights to judge.
    check
        Called after every batch; may raise to end the pass.

    Returns
    -------
    loss, metric, constant
        The loss is a mean over the images, and so is a metric of masks. The last is the metric of
        what says the same of every image (empty masks); no weight depends on it.
    """
    task = stepper.task
    total = torch.zeros((), dtype=torch.float64, device=stepper.device)
    judge = JUDGES[task.main](task.valid, task.metric)
    model.eval()
    size = task.stage.validate_batch_size or task.batch
    for rows, batch in batches([task.valid], size):
        outputs = stepper.outputs(model, batch)
        total += stepper.judge(outputs, batch).double() * len(rows)
        judge.add(rows, outputs, batch)
        check()
    return float(total) / len(task.valid), judge.score(), judge.constant()


@torch.no_grad()
def errors(stepper: Stepper, check: Check) -> np.ndarray:
    """How much the model errs on every training image with a true mask, for hard-negative mining.

    The error of an image is its loss, in units of the mean loss, plus the share of pixels wrongly
    found on classes of which it has none (of a model without masks, the share of labels wrongly
    given); the errors are then brought to a mean of 1.

    Parameters
    ----------
    stepper
        The model, its loss, and the task with the images.
    check
        Called after every batch; may raise to end the pass.

    Returns
    -------
    (n,) float64 array
        In the order of the images, none below `LEAST_ERROR`.
    """
    task, model = stepper.task, stepper.model.eval()
    losses, wrong = [], []
    for rows, batch in batches(task.samples.sets[:1], task.batch):
        outputs = stepper.outputs(model, batch)
        for place in range(len(rows)):
            output = {name: value[place : place + 1] for name, value in outputs.items()}
            sample = {name: value[place : place + 1] for name, value in batch.items()}
            losses.append(stepper.judge(output, sample).double())
            wrong.append(WRONG[task.main](output, sample).double())
        check()
    # Only now does the host wait for the device.
    return relative(*(torch.stack(part).cpu().numpy() for part in (losses, wrong)))


def relative(losses: np.ndarray, wrong: np.ndarray) -> np.ndarray:
    """Join losses and shares of false positives to errors with a mean of about 1.

    Examples
    --------
    >>> relative(np.array([1.0, 3.0]), np.array([0.0, 0.5])).round(2).tolist()
    [0.4, 1.6]
    """
    error = losses / max(losses.mean(), 1e-12) + wrong
    return np.maximum(error / max(error.mean(), 1e-12), LEAST_ERROR)


def settle(stepper: Stepper, average: EpochAverage) -> None:
    """Estimate the batch-norm statistics of averaged weights, on the training images as they are.

    Augmented images would do for training, but it is plain ones that are predicted. They come in
    large, mixed batches, so that each is much like all images together.

    Parameters
    ----------
    stepper
        The task with the images.
    average
        The weights.
    """
    task = stepper.task
    # Dropout draws in the pass, though it changes nothing.
    torch.manual_seed(seed_for(*task.job.seed_parts, "statistics"))
    sets = task.samples.sets[:1] if task.train_on == "truth" else task.samples.sets
    samples = Samples(sets, None, ())
    height, width = task.valid.resizer.size
    size = max(task.batch, min(LARGE_BATCH, LARGE_PIXELS // (height * width)))
    order = np.random.default_rng(seed_for(*task.job.seed_parts, "statistics"))
    mixed = np.array_split(order.permutation(len(samples)), -(-len(samples) // size))
    plain = (samples.__getitems__([(0, int(row)) for row in rows]) for rows in mixed)
    with stepper.autocast():
        average.settle(task.normalise(batch["x"]) for batch in plain)
