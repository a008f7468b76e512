"""Labels and boxes of the blend as the figures take them: truth beside out-of-fold prediction."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from foldbelt import store
from foldbelt.boxes import Boxes
from foldbelt.decide import units
from foldbelt.report.classes import spoken
from foldbelt.report.scored import read_folds

CUT = 0.5  # of label probabilities, where the decision searched no threshold


@dataclass(frozen=True)
class Labels:
    """Labels of N images, in the order of the out-of-fold predictions.

    Attributes
    ----------
    ids
        (N,) str.
    truth
        (N, L) float64, from 0 to 1; NaN where nobody said. Labels of a unit of several images (a
        study) stand beside its first image alone, so that a unit counts once.
    prob
        (N, L) float64, out of fold.
    names
        Of the L labels.
    exclusive
        Whether an image has exactly one of them.
    cut
        (N, L): from which probability on an image counts as having a label; fitted without its
        fold.
    searched
        Whether the decision searched these thresholds, else all are `CUT`.
    groups
        (N,) int64: numbers of what is drawn together for an interval.
    apart
        Where not all labels exclude each other: the columns of each group of those that do.
    """

    ids: list[str]
    truth: np.ndarray
    prob: np.ndarray
    names: list[str]
    exclusive: bool
    cut: np.ndarray
    searched: bool
    groups: np.ndarray
    apart: tuple[tuple[int, ...], ...] = ()

    def alone(self) -> list[int]:
        """Give the columns of labels that exclude no other."""
        grouped = {k for group in self.apart for k in group}
        return [k for k in range(len(self.names)) if k not in grouped]


@dataclass(frozen=True)
class Boxed:
    """Boxes of N images, in the order of the out-of-fold predictions.

    Attributes
    ----------
    ids
        (N,) str.
    truth, pred
        Boxes of these images; predictions are out of fold.
    names
        Of the classes.
    labelled
        (N,) bool: images of which somebody said which boxes there are.
    groups
        (N,) int64: numbers of what is drawn together for an interval.
    """

    ids: list[str]
    truth: Boxes
    pred: Boxes
    names: list[str]
    labelled: np.ndarray
    groups: np.ndarray


def read_labels(decision: str, blend_oof: str, data: str, folds: str) -> Labels:
    """Read labels with their out-of-fold probabilities.

    Parameters
    ----------
    decision
        decision/labels/round{r}.json; its ``threshold``, where it has one, is a number, a list of
        one a label, or a mapping by name.
    blend_oof
        blend/labels/round{r}/oof.h5.
    data
        data/train.h5.
    folds
        folds/{folds}.csv.

    Raises
    ------
    InputError
        If the files lack an id, or `data` the labels.
    """
    ids = [str(name) for name in store.read(blend_oof, "id")]
    truth = store.read(data, "labels", ids).astype(np.float64)
    prob = store.read(blend_oof, "labels", ids).astype(np.float64)
    truth[~np.isfinite(prob)] = np.nan  # no model predicted them: they are not scored
    attrs = store.attrs(data)
    given = list(map(str, attrs.get("label_names") or range(1, truth.shape[1] + 1)))
    truth = _once_a_unit(truth, data, ids, given)
    scheme = read_folds(folds).set_index("id").reindex(ids)
    content = json.loads(Path(decision).read_text(encoding="utf-8"))
    blocks = content.get("blocks", [])
    whole = _thresholds(content.get("params") or {}, given, blocks)
    by_fold = {
        entry["fold"]: _thresholds(entry.get("params") or {}, given, blocks)
        for entry in content.get("per_fold") or []
    }
    apart = [] if attrs.get("exclusive_labels") else attrs.get("label_groups", [])
    cuts = [by_fold.get(fold, whole) for fold in scheme["fold"]]
    return Labels(
        ids,
        truth,
        prob,
        spoken(given),
        bool(attrs.get("exclusive_labels", False)),
        np.array([[CUT] * len(given) if cut is None else cut for cut in cuts]).reshape(truth.shape),
        whole is not None,
        number_groups(scheme),
        tuple(tuple(given.index(label) for label in group) for group in apart),
    )


def _once_a_unit(
    truth: np.ndarray, data: str, ids: Sequence[str], names: Sequence[str]
) -> np.ndarray:
    """Move labels of a unit of several images to its first image; they are NaN at the others."""
    levels: Mapping[str, Sequence[str]] = store.attrs(data).get("label_levels") or {}
    truth = truth.copy()
    for level, members in levels.items():
        columns = np.array([names.index(name) for name in members])
        numbers = units.number(units.read(data, level, ids))
        truth[:, columns] = units.first_alone(truth[:, columns], numbers)
    return truth


def read_joint(decision: str, blend_oof: str, data: str, folds: str) -> tuple[Labels, Boxed | None]:
    """Read labels and boxes that were decided together; no boxes where the run has none.

    Parameters
    ----------
    decision, blend_oof
        decision/joint/round{r}.json and blend/joint/round{r}/oof.h5.
    data, folds
        As for `read_labels`.
    """
    labels = read_labels(decision, blend_oof, data, folds)
    boxed = store.has(blend_oof, "boxes") and store.has(data, "boxes")
    return labels, read_boxes(blend_oof, data, folds) if boxed else None


def read_boxes(blend_oof: str, data: str, folds: str) -> Boxed:
    """Read boxes with their out-of-fold predictions.

    Parameters
    ----------
    blend_oof
        blend/boxes/round{r}/oof.h5.
    data, folds
        As for `read_labels`.

    Raises
    ------
    InputError
        If the files lack an id, or `data` the boxes.
    """
    ids = [str(name) for name in store.read(blend_oof, "id")]
    truth = Boxes.from_bytes(list(store.read(data, "boxes", ids)))
    pred = Boxes.from_bytes(list(store.read(blend_oof, "boxes", ids)))
    names = store.attrs(data).get("box_names")
    if names is None:
        most = max([-1, *truth.classes.tolist(), *pred.classes.tolist()])
        names = range(1, most + 2)
    labelled = np.ones(len(ids), bool)
    if store.has(data, "table/boxes"):
        labelled = store.read(data, "table/boxes", ids) >= 0
    if store.has(blend_oof, "table/predicted"):  # the others are not scored
        labelled &= store.read(blend_oof, "table/predicted", ids) > 0
    scheme = read_folds(folds).set_index("id").reindex(ids)
    listed = spoken(list(map(str, names)))
    return Boxed(ids, truth, pred, listed, labelled, number_groups(scheme))


def number_groups(scheme: pd.DataFrame) -> np.ndarray:
    """Number the groups of a fold table from 0, (N,) int64; images without one stand alone."""
    if "group" not in scheme:
        return np.arange(len(scheme))
    names = scheme["group"].astype(object).reset_index(drop=True)
    alone = names.isna() | names.isin(["", "-1"])
    names[alone] = [("alone", place) for place in np.flatnonzero(alone)]
    return pd.factorize(names)[0].astype(np.int64)


def _thresholds(
    params: Mapping[str, Any], names: list[str], blocks: Sequence[Mapping[str, Any]] = ()
) -> list[float] | None:
    """Give the threshold of every label, or None where none was searched."""
    value = params.get("threshold")
    for block in blocks:  # each has parameters of its own
        if "threshold" in params[block["name"]]:
            of_block = zip(block["labels"], params[block["name"]]["threshold"], strict=True)
            value = {**(value or {}), **dict(of_block)}
    if value is None:
        return None
    if isinstance(value, Mapping):
        return [float(value.get(name, CUT)) for name in names]
    values = np.broadcast_to(np.asarray(value, np.float64), len(names))
    return values.tolist()
