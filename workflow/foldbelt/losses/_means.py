"""What losses share: means over that which counts, and what becomes of empty masks."""

from typing import Literal

from torch import Tensor

from foldbelt.files import InputError

Empty = Literal["score", "skip"]


def check(loss: str, empty: str) -> None:
    """Refuse what is no way to treat empty masks.

    Raises
    ------
    InputError
        Naming the loss and the value.
    """
    if empty not in ("score", "skip"):
        raise InputError(f"{loss}: empty is 'score' or 'skip', not {empty!r}")


def mean_over(loss: Tensor, counted: Tensor) -> Tensor:
    """Mean of the losses that count; 0, with gradients of 0, if none does.

    Parameters
    ----------
    loss
        Any shape, floating.
    counted
        Bool, the same shape.

    Returns
    -------
    Tensor
        Scalar.
    """
    return loss.masked_fill(~counted, 0).sum() / counted.sum().clamp(min=1)


def mean_over_pixels(loss: Tensor, ignore: Tensor | None) -> Tensor:
    """Mean of pixels' losses (N, K, H, W), less the ignored ones (N, 1 or K, H, W); a scalar."""
    if ignore is None:
        return loss.mean()
    counted = (~ignore).sum() * (loss.shape[1] // ignore.shape[1])
    return loss.masked_fill(ignore, 0).sum() / counted.clamp(min=1)
