"""Telling two sets apart: cross-fitted classifiers, and the area under their ROC curve."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from foldbelt.files import InputError, seed_for
from foldbelt.level import LEVEL

FEW = 1000  # images of the smaller part below which a linear classifier overfits less
DRAWS = 1000
_REPEATS = 3


def judge(
    values: np.ndarray, is_test: np.ndarray, groups: np.ndarray, folds: int, seed: int
) -> tuple[np.ndarray, np.ndarray, int]:
    """Judge every image by a classifier that has not seen its group.

    Parameters
    ----------
    values
        (N, F) float64; NaN is missing.
    is_test
        (N,) bool.
    groups
        (N,) int.
    folds
        Number of parts; fewer are made where there are fewer groups.
    seed
        Of the parts, the classifiers and the shuffling.

    Returns
    -------
    likeness
        (N,) float64, the probability of being a test image, corrected to a prior of one half.
    importance
        (F,) float64: what the AUC loses when the feature is shuffled, mean over the parts.
    folds
        How many there are.

    Raises
    ------
    InputError
        If training or test images are so few, or so grouped, that none can be held out.
    """
    from sklearn.model_selection import StratifiedGroupKFold
    from threadpoolctl import threadpool_limits

    state = seed_for(seed, "adversarial") % 2**32
    least = min(len(np.unique(groups[is_test])), len(np.unique(groups[~is_test])))
    count = min(folds, least)
    if count < 2:
        raise InputError(
            f"{is_test.sum()} test and {(~is_test).sum()} training images: of one of the two there "
            "is a single group (copies, or images of one data.series), so that none can be held "
            "out. Leave adversarial validation out, or group by something finer."
        )
    likeness = np.full(len(values), np.nan)
    losses, sizes = [np.zeros(values.shape[1])], [0]
    dealer = StratifiedGroupKFold(count, shuffle=True, random_state=state)
    with threadpool_limits(1):  # sums of several threads differ in their last digits
        for known, held_out in dealer.split(values, is_test, groups):
            prior = is_test[known].mean()
            if prior in (0, 1):
                raise InputError(
                    "Nearly all test, or training, images are one group (copies, or images of one "
                    "data.series): without it nothing is left to learn from. Leave adversarial "
                    "validation out, or group by something finer."
                )
            steps = _classifier(few(is_test), len(known), state).fit(values[known], is_test[known])
            prepared = steps[:-1].transform(values[held_out])
            p = steps[-1].predict_proba(prepared)[:, 1]
            even, odd = p * (1 - prior), (1 - p) * prior
            likeness[held_out] = even / np.maximum(even + odd, 1e-300)
            if len(np.unique(is_test[held_out])) == 2:
                losses.append(_shuffled(steps[-1], prepared, p, is_test[held_out], state))
                sizes.append(len(held_out))
    importance = np.average(losses, axis=0, weights=sizes) if sum(sizes) else losses[0]
    return likeness, importance, count


def _shuffled(
    model: Any, values: np.ndarray, p: np.ndarray, is_test: np.ndarray, state: int
) -> np.ndarray:
    """Give what the AUC loses when one feature after the other is shuffled (Breiman, 2001)."""
    random = np.random.default_rng(state)
    whole = auc(p, is_test)
    losses = np.zeros(values.shape[1])
    for place in range(values.shape[1]):
        spoilt = values.copy()
        for _ in range(_REPEATS):
            spoilt[:, place] = random.permutation(values[:, place])
            losses[place] += whole - auc(model.predict_proba(spoilt)[:, 1], is_test)
    return losses / _REPEATS


def few(is_test: np.ndarray) -> bool:
    """Tell whether images (N,) bool are so few that a linear classifier judges them."""
    return bool(min(is_test.sum(), (~is_test).sum()) < FEW)


def _classifier(few: bool, count: int, state: int) -> Any:
    """Make a pipeline that gives probabilities and bears missing values, the classifier last."""
    from sklearn.pipeline import make_pipeline

    if few:
        from sklearn.impute import SimpleImputer
        from sklearn.linear_model import LogisticRegression
        from sklearn.preprocessing import QuantileTransformer

        # Ranks made normal: one image of another world does not stretch the scale of all.
        ranks = QuantileTransformer(
            n_quantiles=min(100, count), output_distribution="normal", random_state=state
        )
        fill = SimpleImputer(strategy="median", keep_empty_features=True)
        return make_pipeline(fill, ranks, LogisticRegression(C=0.02, max_iter=1000))
    from sklearn.ensemble import HistGradientBoostingClassifier

    trees = HistGradientBoostingClassifier(
        max_iter=150,
        max_leaf_nodes=15,
        min_samples_leaf=20,
        l2_regularization=1.0,
        early_stopping=False,
        random_state=state,
    )
    return make_pipeline("passthrough", trees)


def auc(scores: np.ndarray, is_test: np.ndarray) -> float:
    """Area under the ROC curve: how often a test image has the higher score, ties counting half."""
    return next(_aucs(scores, is_test, [np.ones(len(scores))]))


def auc_interval(
    scores: np.ndarray,
    is_test: np.ndarray,
    groups: np.ndarray,
    seed: int,
    folds: int | None = None,
    draws: int = DRAWS,
) -> tuple[float, float]:
    """Give the percentile interval of the AUC at the usual level, resampling whole groups.

    Classifiers that share training images err alike, which no resampling of their judgements shows:
    where images are few and alike, a plain interval held chance in only 70 % of trials. With
    `folds` it is widened as Nadeau and Bengio (2003) correct the variance of cross-validation, by
    the square root of 1 + folds / (folds − 1).

    Parameters
    ----------
    scores, is_test, groups
        (N,) float, bool and int.
    seed
        Of the draws.
    folds
        Number of parts by which the scores were cross-validated; None: they were not.
    draws
        How many.
    """
    random = np.random.default_rng(seed_for(seed, "adversarial", "interval"))
    count = int(groups.max()) + 1

    def weights() -> Iterator[np.ndarray]:
        for _ in range(draws):
            yield np.bincount(random.integers(count, size=count), minlength=count)[groups]

    aucs = np.array(list(_aucs(scores, is_test, weights())))
    widened = 1 if folds is None else np.sqrt(1 + folds / (folds - 1))
    middle = auc(scores, is_test)
    tails = np.round([(1 - LEVEL) / 2, (1 + LEVEL) / 2], 6)
    low, high = np.clip(middle + widened * (np.nanquantile(aucs, tails) - middle), 0, 1)
    return float(low), float(high)


def _aucs(scores: np.ndarray, is_test: np.ndarray, weights: Any) -> Iterator[float]:
    """Give the AUC for each weighting (N,) of the images; NaN where one part has no weight."""
    order = np.argsort(scores, kind="stable")
    ascending = scores[order]
    starts = np.flatnonzero(np.r_[True, ascending[1:] != ascending[:-1]])
    test = is_test[order]
    for weight in weights:
        heavy = weight[order].astype(np.float64)
        positive = np.add.reduceat(heavy * test, starts)
        negative = np.add.reduceat(heavy * ~test, starts)
        total = positive.sum() * negative.sum()
        below = np.cumsum(negative) - negative / 2
        yield float(positive @ below / total) if total > 0 else float("nan")
