"""Which test images are admitted, and their file."""

import importlib
from collections.abc import Iterator, Mapping, Sequence
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd

from foldbelt import store
from foldbelt.files import InputError, PathLike, Problem, raise_all, seed_for
from foldbelt.pseudo import masks
from foldbelt.pseudo.masks import Shown
from foldbelt.store.predictions import same_ids

DATASETS = {"masks": "prob", "labels": "labels", "boxes": "boxes"}
"""Output, the name of its module here → what files of predictions have of it."""
RULES = ("confidence", "everything", "halves", "labels")
SOURCES = ("fold", "all")
ORDERS = ("confidence", "test_likeness")


def run(
    *,
    predictions: Sequence[PathLike],
    settings: Mapping[str, Any],
    fold: int,
    round: int,
    out: PathLike,
    likeness: PathLike | None = None,
) -> None:
    """Choose the test images that become training images of one fold, and write their labels.

    Parameters
    ----------
    predictions
        ``test.h5`` of that fold, one a model, all of the same images; with ``source: all`` those of
        all folds.
    settings
        Of the config's ``pseudo``, with its defaults: rule, source, low, high, threshold and
        max_images; what the rule asks for (min_confident_share; label_low, label_high); with
        max_images, order.
    fold, round
        Of the predictions; the models of that fold are trained on the labels in the next round.
    out
        id, confidence float32 and what is predicted: mask (at storage size), labels, boxes; the
        attributes say which rule admitted how many of how many, and the ``source``. No image need
        be admitted.
    likeness
        The csv with id, part and test_likeness, for the order ``test_likeness``.

    Raises
    ------
    InputError
        If the files differ in their images, the rule asks for label probabilities that none has,
        images have no likeness, or rule, source or order are unknown.
    """
    _check(settings, likeness)
    ids = np.array(same_ids(predictions), dtype=object)
    kinds = [
        _module(output)
        for output, name in DATASETS.items()
        if any(store.has(path, name) for path in predictions)
    ]
    if not kinds:
        raise InputError(
            "pseudo-labels: none of the models predicts masks, labels of their own or boxes; add "
            "one that does."
        )
    shares = [kind.confidence(predictions, ids, settings) for kind in kinds]
    confidence: np.ndarray = np.minimum.reduce(shares)
    shown = None
    if settings["rule"] == "labels":
        shown = masks.shown(predictions, ids, settings)
    if not len(ids):
        print("There are no test images, so the next round, too, trains on the truth only.")
    admitted = np.flatnonzero(_admits(settings, ids, confidence, shown, fold, round))
    if settings["max_images"] is not None:
        admitted = _first(admitted, settings, ids, confidence, shown, likeness)
    print(f"{len(admitted)} of {len(ids)} test images admitted by the rule {settings['rule']}")
    if len(ids) and not len(admitted):
        print("The next round trains on the truth only; see pseudo in config/README.md.")
    chosen = ids[admitted]
    attrs = {
        "rule": {key: settings[key] for key in _keys(settings)},
        "tiles": len(ids),
        "admitted": len(admitted),
        "source": settings["source"],
    }
    classes = masks.classes(predictions) if masks in kinds else 1
    columns: dict[str, np.ndarray] = {"id": chosen}
    for kind in kinds:
        columns |= kind.columns(predictions, chosen, settings)
    table = pd.DataFrame(columns)
    with store.Writer(out, table=table, attrs=attrs, classes=classes) as file:
        for kind in kinds:
            kind.create(file, predictions)
        file.create("confidence", (), np.float32)
        file.put("confidence", 0, confidence[admitted].astype(np.float32))
        for kind in kinds:
            kind.put(file, predictions, chosen, settings)


def _module(output: str) -> ModuleType:
    """Find what is done with an output, by name, so that it counts where there is the output."""
    return importlib.import_module(f"foldbelt.pseudo.{output}")


def _check(settings: Mapping[str, Any], likeness: PathLike | None) -> None:
    """Raise InputError unless the settings make sense."""
    asked = {
        "source": (settings["source"], SOURCES),
        "rule": (settings["rule"], RULES),
    }
    if settings["max_images"] is not None:
        asked["order"] = (settings["order"], ORDERS)
    for key, (value, known) in asked.items():
        if value not in known:
            raise InputError(f"pseudo.{key} is {value!r}; choose one of {', '.join(known)}.")
    ordered = settings["max_images"] is not None and settings["order"] == "test_likeness"
    if ordered and likeness is None:
        raise InputError(
            "pseudo.order is test_likeness, but there is no table of it; give the csv of the "
            "adversarial stage."
        )


def _keys(settings: Mapping[str, Any]) -> Iterator[str]:
    """Name the settings that decide which images are admitted, and their masks."""
    yield from ("rule", "threshold")
    yield from {
        "confidence": ("low", "high", "min_confident_share"),
        "labels": ("label_low", "label_high"),
    }.get(settings["rule"], ())
    if settings["max_images"] is not None:
        yield from ("max_images", "order")


def half_of(name: str) -> int:
    """Give the half, 0 or 1, of a test image: random, but a function of its name alone.

    Examples
    --------
    >>> [half_of(name) for name in ("a", "b", "c", "d")]
    [1, 1, 1, 0]
    """
    return seed_for("half", name) % 2


def _admits(
    settings: Mapping[str, Any],
    ids: np.ndarray,
    confidence: np.ndarray,
    shown: Shown | None,
    fold: int,
    round: int,
) -> np.ndarray:
    """Tell (N,) which images the rule admits."""
    if settings["rule"] == "confidence":
        admitted: np.ndarray = confidence >= settings["min_confident_share"]
        return admitted
    if settings["rule"] == "halves":
        trained = (fold + round + 1) % 2
        return np.array([half_of(name) == trained for name in ids], bool)
    if shown is not None:
        yes, no = shown.labels > settings["label_high"], shown.labels < settings["label_low"]
        return np.where(shown.in_masks, yes, no).all(axis=1)
    return np.ones(len(ids), bool)


def _first(
    admitted: np.ndarray,
    settings: Mapping[str, Any],
    ids: np.ndarray,
    confidence: np.ndarray,
    shown: Shown | None,
    likeness: PathLike | None,
) -> np.ndarray:
    """Give the rows of the first `max_images`, ascending; names decide between equal values."""
    if settings["order"] == "test_likeness" and likeness is not None:
        value = _likeness(likeness, ids)
    elif shown is not None:  # by the class whose probability is nearest to .5
        value = np.abs(shown.labels.astype(np.float64) - 0.5).min(axis=1)
    else:
        value = confidence
    order = np.lexsort((ids[admitted].astype(str), -value[admitted]))
    return np.sort(admitted[order[: settings["max_images"]]])


def _likeness(path: PathLike, ids: np.ndarray) -> np.ndarray:
    """Read how much test images look like test images, (N,) float64."""
    table = pd.read_csv(path, dtype={"id": str, "part": str}, keep_default_na=False)
    known = table[table["part"] == "test"].set_index("id")["test_likeness"].astype(np.float64)
    missing = [
        Problem(str(path), f"{name} has no test_likeness") for name in set(ids) - set(known.index)
    ]
    raise_all(sorted(missing), "test-likeness", "Make the adversarial validation again.")
    return known.loc[list(ids)].to_numpy()
