"""How good the answers of a bundle are, where the truth of its images is known."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from foldbelt import metrics, store
from foldbelt.bootstrap import Resampling, caution, count_groups
from foldbelt.bundle.answers import Final
from foldbelt.bundle.finishing import decided
from foldbelt.bundle.journal import Record
from foldbelt.bundle.manifest import MASKS, decision_entry
from foldbelt.bundle.reading import Bundle
from foldbelt.decide import alone
from foldbelt.files import PathLike, Problem, raise_all
from foldbelt.folds import grouping
from foldbelt.metrics.labels import DECIDED
from foldbelt.rle import decode
from foldbelt.store import Memory
from foldbelt.store.layout import KNOWN

_NAMES = {"classes of masks": "class_names", "labels": "label_names", "boxes": "box_names"}


class Judge:
    """The truth of some images, and scores of what a bundle says of them.

    Parameters
    ----------
    bundle
        The bundle.
    data
        The images as ingest stores training images: with their truth.

    Attributes
    ----------
    ids
        Of the images whose truth is known.

    Raises
    ------
    InputError
        If the truth has classes or labels of which the bundle knows nothing.
    """

    def __init__(self, bundle: Bundle, data: PathLike) -> None:
        self.bundle, self.data = bundle, data
        self._check_names()
        self.table = store.table(data)
        if KNOWN in self.table:
            self.table = self.table[self.table[KNOWN] > 0].reset_index(drop=True)
        self.ids: list[str] = self.table["id"].astype(str).tolist()
        self.group = _group_of(bundle)

    def _check_names(self) -> None:
        """Refuse names of which the bundle knows nothing; it may know more of them."""
        attrs, problems = store.attrs(self.data), []
        for what, key in _NAMES.items():
            known = self.bundle.data.get(key, [])
            strange = [name for name in attrs.get(key, []) if name not in known]
            if strange:
                reason = f"{', '.join(strange)}: the bundle knows {', '.join(known) or 'none'}"
                problems.append(Problem(what, reason))
        hint = "Name them as the run's training data do."
        raise_all(problems, "The truth is of something else than the bundle predicts", hint)

    def groups(self, ids: Sequence[str]) -> list[str] | None:
        """Give the groups of images, as the run grouped its folds; None: each is its own."""
        if self.group is None or self.group not in self.table:
            return None
        rows = self.table.set_index("id").loc[list(ids)]
        keys = grouping.keys(rows, self.group)
        pairs = zip(ids, keys, strict=True)
        return [f"alone: {name}" if key is None else f"group: {key}" for name, key in pairs]

    def _ungrouped(self) -> str:
        """Say so where images may belong together, and nothing tells which."""
        if self.group is None or self.group in self.table:
            return ""
        return (
            f"the run's folds were grouped by {self.group}, of which these images have no column: "
            "each counts for itself, and intervals are too narrow if some belong together"
        )

    def scores(self, records: Iterable[Record], ids: Sequence[str], final: Final) -> dict[str, Any]:
        """Score masks, labels and boxes, each as the run scores them.

        Parameters
        ----------
        records
            What is predicted of the images, in the order of `ids`.
        ids
            Some of the images.
        final
            Their labels and boxes.

        Returns
        -------
        dict
            images, groups; ``outputs``, name → metric, score (None where nothing can be ranked),
            interval, baseline where masks are all empty, run (the leave-one-fold-out score of the
            bundle in its run), and of masks classes; ``each``, for masks: id → scores by class;
            ``notes``.
        """
        groups = self.groups(ids)
        resampling = Resampling(groups, int(self.bundle.recipe["decision"]["bootstrap"]))
        outputs: dict[str, Any] = {}
        each: dict[str, list[float]] = {}
        if MASKS in self.bundle.manifest.outputs:
            outputs[MASKS], each = self._masks(records, ids, resampling)
        for output, blend in final.files.items():
            outputs[output] = self._ranked(output, blend, ids, resampling)
        count = count_groups(groups, len(ids))
        notes = [text for text in [caution(count), self._ungrouped()] if text]
        known = self.bundle.manifest.scores
        for output, scored in outputs.items():
            scored["run"] = known[output]["score"] if output in known else None
        return {
            "images": len(ids),
            "groups": count,
            "outputs": outputs,
            "each": each,
            "notes": notes,
        }

    def _masks(
        self, records: Iterable[Record], ids: Sequence[str], resampling: Resampling
    ) -> tuple[dict[str, Any], dict[str, list[float]]]:
        metric = self.bundle.recipe["decision"]["metric"]
        names = self.bundle.data["class_names"]
        order = [_place(name, store.attrs(self.data)["class_names"]) for name in names]
        scored, areas = [], []
        for record, (mask, ignore) in zip(records, store.truth(self.data, list(ids)), strict=True):
            planes = [decode(runs, record.size) for runs in record.runs]
            absent = np.zeros(mask.shape[:2], mask.dtype)
            true = np.stack([absent if k is None else mask[..., k] for k in order], axis=2)
            without = None if ignore is None else ignore[None]
            pair = true[None], np.stack(planes, axis=2)[None], without
            scored.append(metrics.score_pairs(metric, *pair)[0])
            seen = true if ignore is None else true * ~ignore[..., None]
            areas.append(np.count_nonzero(seen, axis=(0, 1)))
        values, on = np.array(scored), np.array(areas)
        nothing = np.zeros_like(on)
        empty = metrics.from_counts(metric)(nothing, nothing, on)
        said: dict[str, Any] = {
            "metric": metric,
            "score": float(values.mean()),
            "interval": resampling.interval(values.mean(axis=1)),
            "baseline": float(empty.mean()),
        }
        if len(names) > 1:
            said["classes"] = {
                name: {
                    "score": float(values[:, k].mean()),
                    "interval": resampling.seeded("class", name).interval(values[:, k]),
                    "baseline": float(empty[:, k].mean()),
                    "positives": int((on[:, k] > 0).sum()),
                }
                for k, name in enumerate(names)
            }
        return said, dict(zip(ids, values.tolist(), strict=True))

    def _ranked(
        self, output: str, blend: Memory, ids: Sequence[str], resampling: Resampling
    ) -> dict[str, Any]:
        """Score labels or boxes."""
        metric = "mean_average_precision"
        if output == "labels":
            decision = self.bundle.decisions[decision_entry(output)]
            metric, blend = decision["metric"], self._as_scored(blend, ids, decision)
        statistic, rows = alone.ranked(output, self.data, blend, ids, metric)
        score = float(statistic(np.ones(len(rows)))) if len(rows) else np.nan
        if np.isnan(score):  # nothing to rank: no truth is known, or all of it is the same
            return {"metric": metric, "score": None, "interval": None}
        interval = resampling.take(rows).ranked(statistic, len(rows))
        return {"metric": metric, "score": score, "interval": interval}

    def _as_scored(self, blend: Memory, ids: Sequence[str], decision: Mapping[str, Any]) -> Memory:
        """Give labels as the metric looks at them, in the order of the truth's."""
        names = self.bundle.data["label_names"]
        given = store.read(blend, "labels", list(ids)).astype(np.float32)
        has = decided(given, decision, names) if decision["metric"] in DECIDED else None
        values = given if has is None else np.where(np.isnan(given), np.nan, has)
        order = [names.index(name) for name in store.attrs(self.data)["label_names"]]
        made = Memory("judged") / "labels"
        store.write(made, {"labels": values[:, order].astype(np.float32)}, {"id": list(ids)})
        return made


def _place(name: str, names: Sequence[str]) -> int | None:
    return list(names).index(name) if name in names else None


def _group_of(bundle: Bundle) -> str | None:
    """Name the column by which the run grouped its images."""
    recipe = bundle.recipe
    schemes = sorted({model["folds"] for model in recipe["models"].values()})
    group = recipe["folds"][schemes[0]]["group"] if schemes else None
    return None if group is None else str(group)
