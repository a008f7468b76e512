"""Masks as they are decided: the base decision, then the steps after it."""

import dataclasses
import importlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from foldbelt import registry, store
from foldbelt.decide.decision import Decision, apply, thresholds
from foldbelt.decide.steps import Step, Tile
from foldbelt.files import InputError, PathLike
from foldbelt.folds import mosaic
from foldbelt.store.geometry import resize_to


def load_step(name: str, options: Mapping[str, Any] | None = None) -> Step:
    """Make a step by its name in the config.

    Parameters
    ----------
    name
        A module of :mod:`foldbelt.decide.steps`.
    options
        What its ``build`` takes.
    """
    (module,) = registry.modules("decide/steps", [name], "step")
    step: Step = importlib.import_module(module).build(**(options or {}))
    return step


class Surroundings:
    """What steps may look at of images besides their probabilities.

    Parameters
    ----------
    data
        ``train.h5`` or ``test.h5``: where the images are.
    known
        ``train.h5``: where the true masks of neighbours are.
    table
        The csv of mosaics.
    """

    def __init__(
        self, data: PathLike, known: PathLike | None = None, table: PathLike | None = None
    ) -> None:
        self.data, self.known, self.table = data, known, table
        self._beside: Mapping[str, Mapping[str, str]] | None = None

    def of(
        self, ids: Sequence[str], sizes: Sequence[tuple[int, int]], needs: Iterable[str]
    ) -> Iterator[dict[str, Any]]:
        """Give of each image what :class:`foldbelt.decide.steps.Tile` takes.

        Parameters
        ----------
        ids, sizes
            The images, and their original sizes.
        needs
            "image", "neighbours", both or none.
        """
        wanted = frozenset(needs)
        images = store.read(self.data, "image", list(ids)) if "image" in wanted else None
        beside = self._neighbours(ids) if "neighbours" in wanted else [{}] * len(ids)
        for row, size in enumerate(sizes):
            surroundings: dict[str, Any] = {"neighbours": beside[row]}
            if images is not None:
                image = images[row]
                whole = image.shape[:2] == tuple(size)
                surroundings["image"] = image if whole else resize_to(image, size)
            yield surroundings

    def _neighbours(self, ids: Sequence[str]) -> list[dict[str, np.ndarray]]:
        """Side → true mask (h, w, K) of each image's neighbours in the training data."""
        import pandas as pd

        if self.known is None or self.table is None:
            raise InputError("a step looks at neighbours; it needs the mosaics and train.h5.")
        if self._beside is None:
            table = pd.read_csv(self.table, dtype={"id": str}, keep_default_na=False)
            trained = set(store.read(self.known, "id").astype(str).tolist())
            self._beside = {
                name: {side: other for side, other in sides.items() if other in trained}
                for name, sides in mosaic.neighbours(table).items()
            }
        beside = [self._beside.get(name, {}) for name in ids]
        wanted = sorted({other for sides in beside for other in sides.values()})
        by_id = {
            name: mask.astype(bool)
            for name, (mask, ignore) in zip(wanted, store.truth(self.known, wanted), strict=True)
            if ignore is None or not ignore.any()  # unlabelled is not empty
        }
        return [
            {side: by_id[other] for side, other in sides.items() if other in by_id}
            for sides in beside
        ]


class Masks:
    """Turns probabilities into masks, with all steps of a decision.

    Parameters
    ----------
    decision
        The decision.
    around
        What its steps may look at; without steps it is not needed.

    Raises
    ------
    InputError
        If there are steps and no surroundings.
    """

    def __init__(self, decision: Decision, around: Surroundings | None = None) -> None:
        self.decision, self.around = decision, around
        self.steps = [
            (load_step(one["step"], one["options"]), one["params"]) for one in decision.steps
        ]
        self.needs = frozenset().union(*(step.needs for step, _ in self.steps))
        if self.steps and around is None:
            raise InputError("the decision has steps; they need to know where the images are.")

    def __call__(
        self,
        ids: Sequence[str],
        probs: Iterable[np.ndarray],
        labels: Sequence[Any] | np.ndarray | None,
    ) -> Iterator[np.ndarray]:
        """Give masks, (h, w, K) bool.

        Parameters
        ----------
        ids
            The images.
        probs
            Their probabilities (h, w[, K]) uint8, at original size.
        labels
            Their label probabilities, one row an image, or None.
        """
        for tile in self.tiles(ids, probs, labels):
            yield tile.mask

    def tiles(
        self,
        ids: Sequence[str],
        probs: Iterable[np.ndarray],
        labels: Sequence[Any] | np.ndarray | None,
        needs: Iterable[str] = (),
    ) -> Iterator[Tile]:
        """Give tiles as the steps leave them, with what they and `needs` look at."""
        planes = [prob if prob.ndim == 3 else prob[..., None] for prob in probs]
        wanted = self.needs | frozenset(needs)
        sizes = [(prob.shape[0], prob.shape[1]) for prob in planes]
        more = self.around.of(ids, sizes, wanted) if self.around and wanted else None
        for row, prob in enumerate(planes):
            label = None if labels is None else labels[row]
            mask = np.asarray(apply(prob, self.decision, label), bool)
            cut = thresholds(prob, self.decision, label)
            tile = Tile(ids[row], prob, mask, cut, **(next(more) if more else {}))
            for step, params in self.steps:
                tile = dataclasses.replace(tile, mask=step(tile, params))
            yield tile
