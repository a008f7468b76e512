"""Out-of-fold predictions as they were scored: each fold decided without knowing its own truth."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from foldbelt import store
from foldbelt.decide import Decision, Masks, Surroundings, load
from foldbelt.metrics import score_images
from foldbelt.store.geometry import resize_to


def read_folds(path: str) -> pd.DataFrame:
    """Read a fold table: id, strata and group as text, fold as integer."""
    texts = {"id": str, "strata": str, "group": str}
    return pd.read_csv(path, dtype=texts, keep_default_na=False)


def by_fold(decision: Decision) -> Mapping[int, Decision]:
    """Give each fold the decision that was fitted without it."""
    return {
        int(entry["fold"]): dataclasses.replace(
            decision, params=entry["params"], steps=entry.get("steps", [])
        )
        for entry in decision.per_fold
    }


def predict(
    blend_oof: str,
    data: str,
    decisions: Sequence[Decision],
    ids: Sequence[str],
    mosaic: str | None = None,
) -> "list[Predicted]":
    """Decide some images at their original size.

    Parameters
    ----------
    blend_oof, data
        Out-of-fold blend, and the training data.
    decisions
        The decision for each image.
    ids
        The images.
    mosaic
        The csv of mosaics, for steps that look at neighbours.

    Returns
    -------
    list of Predicted
        In the order of `ids`.
    """
    probs = store.read(blend_oof, "prob", ids)
    labels = (
        store.read(blend_oof, "label_prob", ids) if store.has(blend_oof, "label_prob") else None
    )
    around = Surroundings(data, data, mosaic)
    made = []
    for row, (truth, ignore) in enumerate(store.truth(data, ids)):
        prob = resize_to(probs[row], truth.shape[:2])
        prob = prob if prob.ndim == 3 else prob[..., None]
        label = None if labels is None else labels[row : row + 1]
        known = prob if ignore is None else np.where(ignore[..., None], 0, prob).astype(np.uint8)
        (mask,) = Masks(decisions[row], around)([ids[row]], [known], label)
        made.append(Predicted(prob, mask, truth, ignore))  # ignored pixels count nowhere
    return made


@dataclasses.dataclass(frozen=True)
class Predicted:
    """One image at its original size: (h,w,K) prob, mask and truth; ignore (h,w) or None."""

    prob: np.ndarray
    mask: np.ndarray
    truth: np.ndarray
    ignore: np.ndarray | None


def score_rows(blend_oof: str, data: str, decision: str, folds: str) -> pd.DataFrame:
    """Score every image that has an out-of-fold prediction, leave-one-fold-out.

    Parameters
    ----------
    blend_oof, data, decision, folds
        As for :func:`foldbelt.report.score_by.draw`.

    Returns
    -------
    DataFrame
        One row an image, sorted by id: the columns of the data's table and of the folds, and score.
    """
    rows = read_folds(folds)
    rows = (
        rows[rows["id"].isin(store.read(blend_oof, "id"))] if store.length(blend_oof) else rows[:0]
    )
    table = store.table(data)
    table = table[["id", *(name for name in table.columns if name not in rows.columns)]]
    rows = rows.merge(table, on="id", validate="1:1").sort_values("id", ignore_index=True)
    loaded = load(decision)
    if "id" in loaded.images:
        known = pd.Series(loaded.images["score"], [str(name) for name in loaded.images["id"]])
        return rows.assign(score=rows["id"].map(known).astype(np.float64)).dropna(subset=["score"])
    return rows.assign(score=_score(blend_oof, data, loaded, rows))


def _score(blend_oof: str, data: str, decision: Decision, rows: pd.DataFrame) -> np.ndarray:
    """Score images block by block, for decisions that do not name their images."""
    decisions, scores = by_fold(decision), []
    for start in range(0, len(rows), 64):
        part = rows[start : start + 64]
        chosen = [decisions[fold] for fold in part["fold"]]
        for prediction in predict(blend_oof, data, chosen, part["id"].tolist()):
            ignore = None if prediction.ignore is None else prediction.ignore[None]
            scores += score_images(
                decision.metric, prediction.truth[None], prediction.mask[None], ignore
            ).tolist()
    return np.array(scores, np.float64)
