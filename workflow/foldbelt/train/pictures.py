"""A few validation images with their true and predicted masks, to look at while a model trains."""

import math

import numpy as np
import torch
from torch.nn import functional

from foldbelt.train.data import Samples
from foldbelt.train.stepping import Stepper

COUNT = 4
"""Images that are shown: evenly spaced in the order of their ids, the same in every epoch."""

_SIDE = 256  # pixels: larger images are shown smaller
_TINT = 0.6  # share of a class's colour in the pixels of its mask
_HIDDEN = 0.3  # of the brightness of pixels of which the truth is not known
_PALETTE = (  # of Okabe and Ito, told apart by the colour-blind, too
    (0.90, 0.62, 0.00),
    (0.34, 0.71, 0.91),
    (0.00, 0.62, 0.45),
    (0.94, 0.89, 0.26),
    (0.00, 0.45, 0.70),
    (0.84, 0.37, 0.00),
    (0.80, 0.47, 0.65),
)


@torch.no_grad()
def draw(stepper: Stepper, model: torch.nn.Module) -> torch.Tensor | None:
    """Draw images below each other: as they are, with the truth, with the predicted probability.

    No weight depends on it: the model is in evaluation mode, and nothing is drawn at random.

    Parameters
    ----------
    stepper
        The task with the images to validate on.
    model
        What predicts.

    Returns
    -------
    (3, H, W) f32 tensor on the CPU, 0 to 1
        None where the model gives no masks as its answer, or there are no images.
    """
    task = stepper.task
    count = min(COUNT, len(task.valid))
    if task.main != "mask" or not count:
        return None
    rows = np.linspace(0, len(task.valid) - 1, count).astype(int)
    # One by one, since whole images may be so large that validation takes them so, too.
    return torch.cat([_panels(stepper, model.eval(), int(row)) for row in rows], dim=1)


def _panels(stepper: Stepper, model: torch.nn.Module, row: int) -> torch.Tensor:
    """(3,h,3w) a validation image, its truth, and what is predicted, side by side."""
    task = stepper.task
    batch = Samples([task.valid], None, ()).__getitems__([(0, row)])
    predicted = stepper.outputs(model, batch)["mask"].float().sigmoid().cpu()
    grey = batch["x"].permute(0, 3, 1, 2)[:, task.samples.colours or [0]].float() / 255
    image = grey if grey.shape[1] == 3 else grey.mean(dim=1, keepdim=True).expand(-1, 3, -1, -1)
    target = batch["target"].permute(0, 3, 1, 2).float()
    classes = predicted.shape[1]
    hidden = target[:, classes:].amax(dim=1, keepdim=True) if target.shape[1] > classes else 0.0
    truth = tinted(image, target[:, :classes]) * (1 - (1 - _HIDDEN) * hidden)
    panels = torch.cat([image, truth, tinted(image, predicted)], dim=3)
    smaller = math.ceil(max(image.shape[2:]) / _SIDE)
    shown = functional.avg_pool2d(panels, smaller) if smaller > 1 else panels
    return shown[0].clamp(0, 1)


def tinted(image: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    """Lay masks over images, a colour a class; where several are, their mean.

    Parameters
    ----------
    image
        (N, 3, H, W) f32, 0 to 1.
    masks
        (N, K, H, W) f32, 0 to 1.

    Returns
    -------
    (N, 3, H, W) f32
    """
    palette = torch.tensor([_PALETTE[k % len(_PALETTE)] for k in range(masks.shape[1])])
    total = masks.sum(dim=1, keepdim=True)
    colour = torch.einsum("nkhw,kc->nchw", masks, palette) / total.clamp(min=1e-6)
    share = _TINT * total.clamp(max=1)
    return image * (1 - share) + colour * share
