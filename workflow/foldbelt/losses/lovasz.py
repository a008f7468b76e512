"""Lovász hinge: a convex surrogate of the Jaccard loss (Berman, Triki & Blaschko, CVPR 2018).

The Jaccard loss of a set of mispredicted pixels is submodular; its Lovász extension at the hinge
errors m is Σ m_π(i) · g_i, where π sorts the errors downwards and g_i is what the i-th pixel adds
to the Jaccard loss of those before it. `margin="elu"` puts elu(m) + 1 in place of relu(m) and
`symmetric` averages over both classes, as winners of the TGS salt competition did (4th place).
"""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from foldbelt.files import InputError
from foldbelt.losses._jaccard import gains
from foldbelt.losses._means import Empty, check, mean_over

Margin = Literal["relu", "elu"]


def lovasz_hinge(
    logits: Tensor,
    target: Tensor,
    margin: Margin = "relu",
    symmetric: bool = False,
    ignore: Tensor | None = None,
    empty: Empty = "score",
) -> Tensor:
    """Lovász hinge of each image, then the mean, computed in float32.

    An empty mask has only its worst pixel in the loss, as follows from the definition: one false
    pixel costs the whole Jaccard index. Images of which every pixel is ignored leave the mean.
    The loss is one of sets: targets between 0 and 1, as from label smoothing, are rounded.

    Parameters
    ----------
    logits
        (N, H, W) or (N, K, H, W), floating; with K > 1 each class of each image counts by itself.
    target
        The same shape; above 0.5 is positive.
    margin
        What is made of the errors 1 − logit · sign: "relu", as in the paper, or "elu", elu + 1,
        which keeps a gradient on pixels that are right.
    symmetric
        Mean of the losses of (logits, target) and (−logits, 1 − target): the Jaccard index of the
        background counts too.
    ignore
        Bool, (N, H, W) or (N, 1, H, W): pixels that count in neither value nor gradient.
    empty
        "score" takes empty masks as above; "skip" leaves them out of the mean, which then is over
        the classes present, as in the paper's Lovász-Softmax.

    Returns
    -------
    Tensor
        Scalar, float32.

    Raises
    ------
    ValueError
        For shapes that do not fit and unknown margins.

    Examples
    --------
    >>> import torch
    >>> mask = torch.tensor([[[1, 0], [0, 0]]])
    >>> float(lovasz_hinge(torch.tensor([[[2.0, -2.0], [-2.0, -2.0]]]), mask))
    0.0
    >>> float(lovasz_hinge(torch.zeros(1, 2, 2), mask))
    1.0
    """
    if margin not in ("relu", "elu"):
        raise InputError(f"the margin of the Lovász hinge is 'relu' or 'elu', not {margin!r}")
    check("lovasz", empty)
    if logits.shape != target.shape or logits.ndim not in (3, 4):
        raise InputError(
            "the Lovász hinge takes logits and target of one shape, (N, H, W) or (N, K, H, W), not "
            f"{tuple(logits.shape)} and {tuple(target.shape)}"
        )
    count, classes = logits.shape[0], 1 if logits.ndim == 3 else logits.shape[1]
    scores = logits.float().reshape(count * classes, -1)
    truth = (target.to(logits.device) > 0.5).reshape(count * classes, -1)
    hidden = None
    if ignore is not None:
        hidden = ignore.to(logits.device, torch.bool).reshape(count, 1, -1)
        hidden = hidden.expand(count, classes, hidden.shape[-1]).reshape(count * classes, -1)
    loss = _extension(scores, truth, hidden, margin, symmetric)
    if empty == "skip":
        return mean_over(loss, (truth if hidden is None else truth & ~hidden).any(dim=1))
    return loss.mean() if hidden is None else mean_over(loss, (~hidden).any(dim=1))


def _extension(
    scores: Tensor, truth: Tensor, hidden: Tensor | None, margin: Margin, symmetric: bool
) -> Tensor:
    """Loss of each row: scores (R, P) float32, truth and hidden (R, P) bool; returns (R,)."""
    errors = torch.where(truth, 1 - scores, 1 + scores)
    if hidden is not None:
        # Sorted behind all others as no positives, ignored pixels change no other's weight. Both
        # margins make 0 of -∞ or have their factor set to 0, and pass no gradient on.
        errors = errors.masked_fill(hidden, -torch.inf)
    with torch.no_grad():
        order = torch.sort(errors, dim=1, descending=True, stable=True).indices
        # The errors of (−logits, 1 − target) are the same: one sort serves both classes.
        sides = [truth, ~truth] if symmetric else [truth]
        if hidden is not None:
            sides = [side & ~hidden for side in sides]
        added = torch.stack([gains(side.gather(1, order)) for side in sides]).mean(dim=0)
        weights = torch.empty_like(added).scatter_(1, order, added)
        if hidden is not None:
            weights = weights.masked_fill(hidden, 0)
    margins = functional.relu(errors) if margin == "relu" else functional.elu(errors) + 1
    return (margins * weights).sum(dim=1)


class Lovasz(nn.Module):
    """`lovasz_hinge` as a module.

    Parameters
    ----------
    margin, symmetric, empty
        See `lovasz_hinge`.
    """

    def __init__(
        self, margin: Margin = "relu", symmetric: bool = False, empty: Empty = "score"
    ) -> None:
        super().__init__()
        if margin not in ("relu", "elu"):
            raise InputError(f"lovasz: margin is 'relu' or 'elu', not {margin!r}")
        check("lovasz", empty)
        self.margin: Margin = margin
        self.symmetric = symmetric
        self.empty: Empty = empty

    def forward(self, logits: Tensor, target: Tensor, ignore: Tensor | None = None) -> Tensor:
        """Loss of logits (N, K, H, W) against target (N, K, H, W), a scalar."""
        return lovasz_hinge(logits, target, self.margin, self.symmetric, ignore, self.empty)


def build(margin: Margin = "relu", symmetric: bool = False, empty: Empty = "score") -> Lovasz:
    """Make the loss; see `Lovasz`."""
    return Lovasz(margin, symmetric, empty)
