"""Scores weighted by test-likeness: what they would be on images drawn like the test images."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from foldbelt import bootstrap
from foldbelt.adversarial.likeness import read
from foldbelt.adversarial.separating import auc
from foldbelt.files import InputError, PathLike

CLIP = (0.01, 0.99)  # quantiles of the odds


def weighted(
    images: Mapping[str, Sequence[Any]], likeness: PathLike, draws: int = 1000, seed: int = 0
) -> dict[str, Any]:
    """Score the validation images as if they were drawn like the test images.

    Each counts by the odds p/(1 − p) of its test-likeness p, the ratio of the two densities
    (covariate shift: Sugiyama, Krauledat and Müller, 2007), to the power `flattening` between 0 and
    1 (Shimodaira, 2000). The power is fitted so that the odds separate the two parts best (Platt,
    1999). Where the parts cannot be separated it is 0 and all images count alike, because the odds
    are noise then. The weights are clipped at their 1 % and 99 % quantiles, which
    bounds the variance and biases the score a little towards the plain one.

    Parameters
    ----------
    images
        id, score (leave-one-fold-out) and group of the images, as a decision holds them.
    likeness
        The CSV that :func:`run` wrote.
    draws
        Number of draws.
    seed
        Of the bootstrap.

    Returns
    -------
    dict
        score; interval (over groups); difference to the plain score, and its interval;
        effective_images, as many equally weighted ones would tell as much (Kish, 1965:
        (Σw)²/Σw²); flattening; and auc, of the likeness of all images. The intervals take the
        weights as given.

    Raises
    ------
    InputError
        If images have no likeness.
    """
    known = read(likeness, "train")
    missing = sorted(set(images["id"]) - set(known.index))
    if missing:
        raise InputError(f"{likeness}: lacks the images {', '.join(missing)}. Make it again.")
    test = read(likeness, "test").to_numpy()
    likeness_of_all = np.concatenate([known.to_numpy(), test])
    is_test = np.repeat([False, True], [len(known), len(test)])
    power = _flattening(_log_odds(likeness_of_all), is_test)
    weights = np.exp(power * _log_odds(known.loc[list(images["id"])].to_numpy()))
    weights = np.clip(weights, *np.quantile(weights, CLIP))
    score = bootstrap.reweighted(images["score"], weights, images["group"], draws, seed)
    return {
        **score,
        "effective_images": float(weights.sum() ** 2 / (weights**2).sum()),
        "flattening": power,
        "auc": auc(likeness_of_all, is_test),
    }


def _log_odds(p: np.ndarray) -> np.ndarray:
    p = np.clip(p, 1e-6, 1 - 1e-6)
    return np.log(p / (1 - p))


def _flattening(log_odds: np.ndarray, is_test: np.ndarray) -> float:
    """Give the slope, between 0 and 1, of a logistic regression of the parts on their log odds."""
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        model = LogisticRegression(C=1e4, class_weight="balanced", max_iter=1000)
        slope = model.fit(log_odds[:, None], is_test).coef_[0, 0]
    return round(float(np.clip(slope, 0, 1)), 6)
