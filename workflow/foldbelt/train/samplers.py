"""Which samples an epoch sees, in which order: a pure function of the seed and the epoch.

``random``
    Every true sample once.
``balanced``
    As many samples, of which a given share has a mask: of either kind every sample comes equally
    often, give or take one. By `classes`, those with a mask are drawn for one class after the
    other, as many for each, and of the samples that show the class each comes equally often; one
    that shows two classes is drawn for either.
``hard``
    As many samples, drawn by how much the stage's first weights err on them. A sample of twice the
    error comes twice as often. The draw is systematic, as resampling in particle filters is [1]_: a
    sample that should come 1.3 times comes once or twice, never less or more; with equal errors, or
    a strength of zero, every sample comes once.

Before any of it, images may be left out by what is in them. Pseudo-labelled samples are added
after; no sampler and no filter looks at them.

References
----------
.. [1] J. Carpenter, P. Clifford, P. Fearnhead: Improved particle filter for nonlinear problems. IEE
   Proc. Radar, Sonar and Navigation 146, 1999.
"""

import re

import numpy as np
import pandas as pd

from foldbelt.config.stage_settings import ImageFilter, SamplerSettings
from foldbelt.files import seed_for
from foldbelt.train.arguments import SeedParts


def needs_images(keep: ImageFilter, sampler: SamplerSettings) -> bool:
    """Tell whether the samples of a stage depend on what is in the images.

    If so, `epoch_rows` needs `foldbelt.train.image_statistics.contents` as `images`.
    """
    return not keep.keeps_all or sampler.name == "balanced"


def epoch_rows(
    true: int,
    pseudo: int,
    ratio: float,
    epoch: int,
    parts: SeedParts,
    *,
    keep: ImageFilter,
    sampler: SamplerSettings,
    images: pd.DataFrame | None = None,
    errors: np.ndarray | None = None,
    train_on: str = "mixed",
) -> np.ndarray:
    """Draw and shuffle the rows of one epoch.

    Of the pseudo-labelled samples, at most `ratio` times the number of true ones that the epoch
    holds are drawn afresh for each epoch, without repetition.

    Parameters
    ----------
    true
        Number of samples with a true mask: rows 0 … true - 1.
    pseudo
        Number of pseudo-labelled samples: the rows after them.
    ratio
        Pseudo-labelled samples an epoch, per true one.
    epoch
        From 0.
    parts
        What the seed is derived from, besides the epoch.
    keep
        The stage's `images`: which of the true samples take part.
    sampler
        The stage's `sampler`: how often they come.
    images
        What is in the true samples: area, black, vertical, area0 …; the index holds their ids. See
        `foldbelt.train.image_statistics.contents`. Needed where `keep` or `sampler` ask for it.
    errors
        (true,) error of every true sample, not negative; needed by ``hard``.
    train_on
        ``mixed``, ``pseudo`` or ``truth``; without pseudo-labelled samples always the truth.

    Returns
    -------
    (M,) int64 array
        Rows in the order of training; those that a sampler draws repeatedly are repeated.

    Raises
    ------
    ValueError
        If `images` or `errors` are needed and missing, or not of `true` samples.
    """
    random = np.random.default_rng(seed_for(*parts, "order", epoch))
    rows = _true_rows(true, epoch, parts, images, keep, sampler, errors)
    drawn = min(pseudo, round(ratio * len(rows)))
    extra = true + random.permutation(pseudo)[:drawn]
    if train_on == "truth":
        extra = extra[:0]
    elif pseudo and train_on == "pseudo":
        rows = rows[:0]
    return random.permutation(np.concatenate([rows, extra]).astype(np.int64))


def _true_rows(
    true: int,
    epoch: int,
    parts: SeedParts,
    images: pd.DataFrame | None,
    keep: ImageFilter,
    sampler: SamplerSettings,
    errors: np.ndarray | None,
) -> np.ndarray:
    """Give the true samples of an epoch, not shuffled."""
    if needs_images(keep, sampler):
        if images is None or len(images) != true:
            raise ValueError(f"the table of what is in the {true} images is missing or another's.")
        rows = np.flatnonzero(_kept(images, keep, epoch, parts))
    else:
        rows = np.arange(true)
    random = np.random.default_rng(seed_for(*parts, "sampler", epoch))
    if sampler.name == "balanced" and images is not None:
        positive = images["area"].to_numpy()[rows] > 0
        kinds = _classes(images)[rows] if sampler.classes else positive[:, None]
        return _balanced(rows, kinds, sampler.share, random)
    if sampler.name == "hard":
        if errors is None or len(errors) != true:
            raise ValueError(f"the errors of the {true} images are missing or others'.")
        return _hard(rows, np.asarray(errors, float)[rows], sampler.strength, random)
    return rows


def _kept(images: pd.DataFrame, keep: ImageFilter, epoch: int, parts: SeedParts) -> np.ndarray:
    """Tell (N,) which images take part in an epoch."""
    area = images["area"].to_numpy()
    kept = (area == 0) | (area >= keep.min_area)
    kept &= (area > 0) | bool(keep.empty)
    kept &= ~images["black"].to_numpy(bool) | bool(keep.black)
    for row in np.flatnonzero(images["vertical"].to_numpy(bool)):
        chance = seed_for(*parts, "vertical", epoch, str(images.index[int(row)])) / 2**63
        kept[row] &= chance < keep.vertical
    return kept


def _classes(images: pd.DataFrame) -> np.ndarray:
    """Tell (N,K) which classes the images show."""
    columns = [name for name in images if re.fullmatch(r"area\d+", str(name))]
    return images[columns].to_numpy() > 0


def _balanced(
    rows: np.ndarray, kinds: np.ndarray, share: float, random: np.random.Generator
) -> np.ndarray:
    """Give as many rows, a share of them positive, of every kind (N,K) of positives as many.

    All as they are if there are positives or negatives only, and nothing to balance among these.
    """
    positive = kinds.any(axis=1)
    shown = np.flatnonzero(kinds.any(axis=0))
    if not positive.any() or (positive.all() and len(shown) < 2):
        return rows
    count = len(rows) if positive.all() else round(share * len(rows))
    drawn = []
    for place, kind in enumerate(shown):
        # Of a remainder, one for each of the first.
        number = count // len(shown) + (place < count % len(shown))
        # np.resize repeats the whole, so every row comes equally often, give or take one.
        drawn.append(np.resize(random.permutation(rows[kinds[:, kind]]), number))
    if not positive.all():
        negative = random.permutation(rows[~positive])
        drawn.append(np.resize(negative, len(rows) - count))
    return np.concatenate(drawn)


def _hard(
    rows: np.ndarray, errors: np.ndarray, strength: float, random: np.random.Generator
) -> np.ndarray:
    """Draw as many rows, each in proportion to error^strength, systematically."""
    if not len(rows) or not errors.max() > 0:
        return rows
    order = random.permutation(len(rows))  # or neighbours in the file would compete
    weights = (errors[order] / errors.max()) ** strength
    ends = np.cumsum(weights) * (len(rows) / weights.sum())
    ends[-1] = len(rows)
    marks = np.floor(np.concatenate([[0], ends]) + random.random())
    return np.repeat(rows[order], np.diff(marks).astype(np.int64))


def batches(rows: np.ndarray, size: int) -> list[np.ndarray]:
    """Cut rows into as few batches of at most `size` as possible, all but equally long.

    A remainder of one or two samples would make poor batch statistics, and none at all for a
    batch norm at the bottom of a network; spread out, there is no remainder.

    Parameters
    ----------
    rows
        (M,) array.
    size
        The largest batch.

    Returns
    -------
    list of arrays
        Lengths differ by at most one.
    """
    if len(rows) == 0:
        return []
    return np.array_split(rows, -(-len(rows) // size))
