"""A decision: the parameters that turn probabilities into masks, and how good they are."""

import dataclasses
import json
from dataclasses import dataclass, field
from itertools import product as product_of
from pathlib import Path
from typing import Any

import numpy as np

from foldbelt.files import InputError, PathLike, write_json
from foldbelt.search.components import without_small
from foldbelt.search.gates import gate_values, keeps, level, product_level
from foldbelt.search.space import NEUTRAL


@dataclass(frozen=True)
class Decision:
    """Parameters found by a search, and the scores that belong to them.

    Parameters
    ----------
    params
        threshold (fraction: a pixel is on where prob/255 > threshold), min_component (pixels:
        connected components that are smaller are removed; only where others than 0 were tried),
        min_area (pixels: a mask with a smaller area becomes empty) and gate (fraction: a mask
        becomes empty unless what `gate_on` names exceeds it; 0: no gate). A float each, or a list
        of K floats. gate_mode, a name or K names of :data:`MODES`, where others than veto were
        tried; with "expected" `gate` is the 1/(1 + d) that was found.
    metric
        Name of the metric in :mod:`foldbelt.metrics`.
    score
        Leave-one-fold-out: the mean over all images, each scored with the parameters (and blend
        weights) found without its fold; what there are parameters of was selected without it, too.
    optimistic
        The score of `params` on the very images on which they were found.
    interval
        [low, high] of `score`: bootstrap-t over groups; None where there are too few of them.
    per_fold
        For every fold, rising: fold, params (found without it), score (on it), images.
    gate_on
        "label": the gate looks at the label probability; "peak": at the largest pixel probability.
    space
        The grid that was searched, widened where its best value was the last one: threshold,
        min_area, min_component if it is not 0 alone, gate, and gate_mode if it is not veto alone.
        What did not improve the score is left out of it (see `selection`).
    curves
        For every class: class, threshold (the grid), all (mean score of all images at each
        threshold, all else being that of `params`), folds ({fold: the same for its images}).
        Optimistic like `optimistic`, drawn to show how sharp the choice is.
    images
        `score` image by image: score [N] and, where ids are known, id, group and fold [N]; with
        several classes, classes [N][K], the scores of each; where there are `steps`, base [N], the
        scores without them.
    steps
        What is done to the masks after `params`, in this order: step (its name), options, and the
        params found. In `per_fold`, too.
    selection
        What was tried for the submission, in order: step, score (leave-one-fold-out, of all that
        was kept before and this), difference (to the score before), interval (of the difference:
        paired bootstrap over groups) and kept. These scores chose what is kept, so they flatter;
        `score` does not. With several classes one of them is "one for all": the same parameters for
        every class in place of its own.
    ends
        Where a wider grid might hold better values: see :mod:`foldbelt.decide.ends`.
    """

    params: dict[str, Any]
    metric: str = ""
    score: float = float("nan")
    optimistic: float = float("nan")
    interval: list[float] | None = None
    per_fold: list[dict[str, Any]] = field(default_factory=list)
    gate_on: str = "peak"
    space: dict[str, list[float]] = field(default_factory=dict)
    curves: list[dict[str, Any]] = field(default_factory=list)
    images: dict[str, list[Any]] = field(default_factory=dict)
    steps: list[dict[str, Any]] = field(default_factory=list)
    selection: list[dict[str, Any]] = field(default_factory=list)
    ends: list[dict[str, Any]] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Give what JSON can hold."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, value: dict[str, Any]) -> "Decision":
        """Undo :meth:`to_dict`.

        Raises
        ------
        InputError
            If keys are unknown or `params` is missing.
        """
        unknown = sorted(set(value) - {item.name for item in dataclasses.fields(cls)})
        if unknown or "params" not in value:
            raise InputError(
                f"this is no decision: it {'lacks params' if not unknown else f'has {unknown}'}; "
                "make it with foldbelt.decide.search."
            )
        return cls(**value)


def load(path: PathLike) -> Decision:
    """Read a decision that was written as JSON."""
    try:
        return Decision.from_dict(json.loads(Path(path).read_text(encoding="utf-8")))
    except ValueError as error:
        raise InputError(f"{path}: {error}") from error


def save(decision: Decision, path: PathLike) -> None:
    """Write a decision as JSON."""
    write_json(path, decision.to_dict())


def thresholds(
    prob: np.ndarray, decision: Decision, label_prob: np.ndarray | float | None = None
) -> np.ndarray:
    """Give the fraction that the probabilities of one image must exceed, class by class.

    Parameters
    ----------
    prob
        (h, w, K) uint8.
    decision, label_prob
        As for :func:`apply`.

    Returns
    -------
    ndarray
        (K,) float64; of a class whose gate is a product, what is left of the threshold after it.
    """
    fixed = np.broadcast_to(np.asarray(decision.params["threshold"], np.float64), prob.shape[2])
    product = np.atleast_1d(decision.params.get("gate_mode", "veto")) == "product"
    if not product.any():
        return fixed
    label = None if decision.gate_on == "peak" else np.asarray(label_prob).reshape(1, -1)
    p = gate_values(prob.max(axis=(0, 1))[None] / 255, label)[0]
    return np.where(product, np.minimum(fixed / np.maximum(p, 1e-6), 1), fixed)


def apply(
    prob: np.ndarray, decision: Decision, label_prob: np.ndarray | float | None = None
) -> np.ndarray:
    """Turn probabilities into masks, by `params` alone; :class:`foldbelt.decide.Masks` does steps.

    Parameters
    ----------
    prob
        uint8, one image (H, W) or (H, W, K), or a batch (N, H, W) or (N, H, W, K), at the size at
        which the areas count. With parameters of one class three dimensions are a batch, unless
        the last has length 1.
    decision
        Its `params` are used.
    label_prob
        Label probability of the image, (K,) or a number, or of the batch, (N, K) or (N,). Needed
        where the gate was fitted on it (``decision.gate_on == "label"``), not used elsewhere.

    Returns
    -------
    ndarray
        bool, the shape of `prob`.

    Raises
    ------
    InputError
        If shapes or dtype do not fit, or label probabilities are missing.
    """
    params = {name: np.atleast_1d(decision.params.get(name, d)) for name, d in NEUTRAL.items()}
    params["gate_mode"] = np.atleast_1d(decision.params.get("gate_mode", "veto"))
    classes = max(map(len, params.values()))
    prob = np.asarray(prob)
    if prob.dtype != np.uint8:
        raise InputError(f"probabilities must be uint8 (value/255), not {prob.dtype}.")
    single = prob.ndim == 2 or (prob.ndim == 3 and prob.shape[2] == classes)
    batch = prob[None] if single else prob
    batch = batch[..., None] if batch.ndim == 3 else batch
    if classes == 1 and batch.ndim == 4:
        classes = batch.shape[3]  # one number serves all classes
    if batch.ndim != 4 or batch.shape[3] != classes:
        raise InputError(
            f"probabilities have shape {prob.shape}; the decision is for {classes} "
            f"class{'es' if classes > 1 else ''}."
        )
    threshold, min_area, least, gate, mode = (np.broadcast_to(v, classes) for v in params.values())
    p = np.zeros((len(batch), classes))
    if (gate > 0).any() or (mode != "veto").any():
        label = None
        if decision.gate_on == "label":
            if label_prob is None:
                raise InputError("the gate of this decision needs the label probabilities.")
            label = np.asarray(label_prob).reshape(len(batch), -1)
        p = gate_values(batch.max(axis=(1, 2)) / 255, label)
    product = mode == "product"
    levels = np.where(product, product_level(threshold, p), level(threshold))
    mask = batch >= levels[:, None, None, :]
    for row, k in product_of(range(len(mask)), np.flatnonzero(least > 1)):
        mask[row, ..., k] = without_small(mask[row, ..., k], least[k])
    area = np.count_nonzero(mask, axis=(1, 2))
    kept = [keeps(area[:, k], p[:, k], min_area[k], gate[k], str(mode[k])) for k in range(classes)]
    mask &= np.stack(kept, axis=1)[:, None, None, :]
    return mask.reshape(prob.shape)
