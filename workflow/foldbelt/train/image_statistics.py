"""Statistics of every training image: what is in its mask, if any, and its pixels; its depth."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from foldbelt import store
from foldbelt.train.data_source import Source

_BLOCK, _BYTES = 128, 2**25  # images read at a time, at most, and bytes of their masks


def contents(source: Source) -> pd.DataFrame:
    """Look at images and masks at storage size.

    Parameters
    ----------
    source
        Images, with true masks or without any.

    Returns
    -------
    pd.DataFrame
        One row an image, its id as the index: area (labelled pixels of any class), black (one
        single value in the whole image), vertical (all rows of the mask are equal, and it is
        neither empty nor full) and area0, area1 … (labelled pixels of each class). Without masks
        nothing is labelled.
    """
    classes = source.classes()
    if not classes:
        return _without_masks(source)
    names = ["mask", "image"] + (["ignore"] if source.has_ignore() else [])
    height, width = store.stored_size(source.masks)
    size = int(np.clip(_BYTES // (height * width * classes), 1, _BLOCK))
    streams = [store.blocks(source.masks, name, source.ids, size) for name in names]
    parts = []
    for (_, mask), (_, image), *ignores in zip(*streams, strict=True):
        # Plane by plane: reducing the last, short axis takes several times as long.
        planes = np.moveaxis(mask.reshape(*mask.shape[:3], -1), 3, 0) > 0
        any_class = np.logical_or.reduce(list(planes))
        labelled = ignores[0][1] == 0 if ignores else True
        axes = tuple(range(1, mask.ndim))
        vertical = (mask == mask[:, :1]).all(axis=axes)
        part = {
            "area": (any_class & labelled).sum(axis=(1, 2)),
            "black": _black(image),
            "vertical": vertical & any_class.any(axis=(1, 2)) & ~any_class.all(axis=(1, 2)),
            **{
                f"area{number}": (plane & labelled).sum(axis=(1, 2))
                for number, plane in enumerate(planes)
            },
        }
        parts.append(pd.DataFrame(part))
    columns = {"area": np.int64, "black": bool, "vertical": bool}
    columns |= {f"area{number}": np.int64 for number in range(classes)}
    empty = pd.DataFrame({name: np.zeros(0, kind) for name, kind in columns.items()})
    return pd.concat(parts or [empty], ignore_index=True).set_axis(list(source.ids), axis=0)


def _without_masks(source: Source) -> pd.DataFrame:
    """Look at images alone."""
    parts = [
        _black(images) for _, images in store.blocks(source.masks, "image", source.ids, _BLOCK)
    ]
    black = np.concatenate([np.zeros(0, bool), *parts])
    return pd.DataFrame({"area": 0, "black": black, "vertical": False}, index=list(source.ids))


def _black(images: np.ndarray) -> np.ndarray:
    """Tell (n,) which images (n,h,w[,3]) are of one single value."""
    flat = images.reshape(len(images), -1, *images.shape[3:])
    same: np.ndarray = (flat == flat[:, :1]).reshape(len(flat), -1).all(axis=1)
    return same


def depths(sources: Sequence[Source]) -> list[np.ndarray] | None:
    """Give the depths of all images, standardised as those of the first source.

    Parameters
    ----------
    sources
        Images to train on, and any others.

    Returns
    -------
    list of (N,1) f32 arrays
        (z − mean) / sd; NaN where a depth is not known (pseudo-labels come without), which teaches
        nothing. None if the images to train on have no column `depth`.
    """
    tables = [store.table(source.masks, source.ids) for source in sources]
    if "depth" not in tables[0]:
        return None
    first = tables[0]["depth"].to_numpy(np.float64)
    mean, sd = np.nanmean(first), np.nanstd(first)
    given = [
        table["depth"].to_numpy(np.float64) if "depth" in table else np.full(len(table), np.nan)
        for table in tables
    ]
    scaled = [(values - mean) / (sd if sd > 0 else 1.0) for values in given]
    return [values.astype(np.float32)[:, None] for values in scaled]
