"""Find which tiles were cut side by side from one larger picture, by their edges.

Tiles of one section look alike, and a model that trains on the neighbour of a validation tile has
seen some of the answer. The mosaics found here serve as groups for the folds. The method is that of
the “salt mosaics” kernels of the TGS competition (V. Gaitan, A. Cadet, 2018), on the compatibility
of jigsaw pieces by Pomeranz et al. (2011): an edge is extrapolated by one pixel, compared with all
opposite edges, and a pair counts when each is the other's nearest by far. Beyond it, two mosaics
are joined only where the edges that would touch agree in the median.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from foldbelt import store
from foldbelt.files import InputError, write_csv

if TYPE_CHECKING:
    import pandas as pd

    from foldbelt.files import PathLike

# The distance of two standardised edges of 101 pixels grows with the root of their length: 10 of
# 101 pixels is a correlation of .505.
_MAX_DISTANCE = 10 / np.sqrt(101)
_MIN_COMPATIBILITY = 0.25

_SIDES = {"above": (-1, 0), "below": (1, 0), "left": (0, -1), "right": (0, 1)}

_Edges = dict[str, np.ndarray]  # right, left (N, H) and down, up (N, W), int64 or standardised
_Cells = dict[int, tuple[int, int]]  # tile → row, column
_Link = tuple[float, int, int, int, int]  # distance, tile, other tile, rows down, columns right


def assemble(images: np.ndarray) -> "pd.DataFrame":
    """Put tiles together to the mosaics from which they were cut.

    The memory needed besides the images is that of their edges; the time grows with the square of
    the number of tiles (22,000 tiles of 101 × 101: about 20 s on one core).

    Parameters
    ----------
    images : np.ndarray of uint8, shape (N, H, W) or (N, H, W, C)
        The tiles, in any order: the mosaics do not depend on it. Channels are added up.

    Returns
    -------
    pd.DataFrame
        One row a tile, int64 columns: tile (its position in `images`), mosaic (numbered from 0 in
        the order of their first tiles; -1 for a tile in none), row and column in the mosaic (from
        0; -1 for a tile in none). No two tiles share a cell.

    Raises
    ------
    InputError
        If the images are not uint8 or have not three or four dimensions.
    """
    return _assemble(_edges(images))


def run(train: "PathLike", test: "PathLike", out: "PathLike") -> None:
    """Find the mosaics of two data files, and write them to one table.

    Parameters
    ----------
    train, test
        Data files with an `image` each; one may be empty. Only edges are held in memory.
    out
        CSV file of id, tile (position, test after train), mosaic, row and column.

    Raises
    ------
    InputError
        If the images of the two files differ in size.
    """
    import pandas as pd

    paths = [path for path in (train, test) if store.length(path)]
    sizes = {str(path): store.stored_size(path) for path in paths}
    if len(set(sizes.values())) > 1:
        listed = ", ".join(f"{path}: {h} × {w}" for path, (h, w) in sizes.items())
        raise InputError(f"mosaic: tiles must have one size to be put together, but {listed}.")
    parts = [_edges(block) for path in paths for _, block in store.blocks(path, "image")]
    ids = [name for path in paths for name in store.table(path)["id"]]
    parts = parts or [_edges(np.zeros((0, 1, 1), np.uint8))]
    table = _assemble({side: np.concatenate([part[side] for part in parts]) for side in parts[0]})
    table.insert(0, "id", pd.Series(ids, dtype="str"))
    write_csv(out, table)


def neighbours(table: "pd.DataFrame") -> dict[str, dict[str, str]]:
    """Give the neighbours of each tile in its mosaic.

    Parameters
    ----------
    table
        With id, mosaic, row and column, as `run` writes it.

    Returns
    -------
    dict
        id → side ("above", "below", "left", "right") → id; only of tiles that have neighbours.

    Examples
    --------
    >>> cells = {"id": ["a", "b"], "mosaic": [0, 0], "row": [0, 1], "column": [0, 0]}
    >>> import pandas as pd
    >>> neighbours(pd.DataFrame(cells))
    {'a': {'below': 'b'}, 'b': {'above': 'a'}}
    """
    placed = table[table["mosaic"] >= 0]
    cells = zip(placed["mosaic"], placed["row"], placed["column"], strict=True)
    at = dict(zip(cells, placed["id"], strict=True))
    neighbours_of: dict[str, dict[str, str]] = {}
    for (mosaic, row, column), name in at.items():
        sides = {
            side: at.get((mosaic, row + down, column + right))
            for side, (down, right) in _SIDES.items()
        }
        known = {side: other for side, other in sides.items() if other is not None}
        if known:
            neighbours_of[name] = known
    return neighbours_of


def _edges(images: np.ndarray) -> _Edges:
    """Extrapolate the four edges of each tile by one pixel."""
    if images.dtype != np.uint8 or images.ndim not in (3, 4):
        raise InputError(
            f"mosaic: images must be uint8 of shape (N, H, W) or (N, H, W, C), "
            f"not {images.dtype} of shape {images.shape}."
        )

    def extrapolate(axis: int, outermost: int, beside: int) -> np.ndarray:
        beside = beside if images.shape[axis] > 1 else outermost
        a, b = (np.take(images, line, axis).astype(np.int64) for line in (outermost, beside))
        edge = 2 * a - b
        return edge.sum(-1) if images.ndim == 4 else edge

    return {
        "right": extrapolate(2, -1, -2),
        "left": extrapolate(2, 0, 1),
        "down": extrapolate(1, -1, -2),
        "up": extrapolate(1, 0, 1),
    }


def _assemble(edges: _Edges) -> "pd.DataFrame":
    import pandas as pd

    copies = _copies(edges)
    edges = {side: _standardise(lines) for side, lines in edges.items()}
    for lines in edges.values():
        lines[copies] = np.nan
    links = _links(edges["right"], edges["left"], (0, 1))
    links += _links(edges["down"], edges["up"], (1, 0))
    table = np.full((len(edges["right"]), 4), -1, np.int64)
    table[:, 0] = np.arange(len(table))
    for number, cells in enumerate(sorted(_place(sorted(links), edges), key=min)):
        top = min(row for row, _ in cells.values())
        left = min(column for _, column in cells.values())
        for tile, (row, column) in cells.items():
            table[tile, 1:] = number, row - top, column - left
    return pd.DataFrame(table, columns=["tile", "mosaic", "row", "column"])


def _copies(edges: _Edges) -> np.ndarray:
    """Tell which tiles have the edges of an earlier one, (N,) bool.

    A copy is as near to every neighbour as its original, so neither would be clearly the nearest.
    """
    whole = np.concatenate([edges[side] for side in sorted(edges)], axis=1)
    copy = np.ones(len(whole), bool)
    copy[np.unique(whole, axis=0, return_index=True)[1]] = False
    return copy


def _standardise(edges: np.ndarray) -> np.ndarray:
    """Standardise edges per pixel, then per edge; an edge that does not vary becomes NaN.

    The statistics of a pixel are computed in integers, so that they do not depend on the order of
    the tiles.
    """
    varies = edges.max(1, initial=0) > edges.min(1, initial=0)
    varied = edges[varies]
    count = max(len(varied), 1)
    total, squares = varied.sum(0), (varied**2).sum(0)
    deviation = np.sqrt(np.maximum(count * squares - total**2, 0)) / count
    scaled = (varied - total / count) / np.where(deviation > 0, deviation, 1)
    scaled -= scaled.mean(1, keepdims=True)
    spread = scaled.std(1, keepdims=True)
    result = np.full(edges.shape, np.nan)
    result[varies] = scaled / np.where(spread > 1e-9, spread, np.nan)  # 0: just the mean of all
    return result


def _links(first: np.ndarray, second: np.ndarray, step: tuple[int, int]) -> list[_Link]:
    """Pair the edges of one side with those of the opposite side.

    A pair counts when each is the other's nearest, near, and far nearer than the second nearest.
    """
    tiles, others = (np.flatnonzero(~np.isnan(edges[:, 0])) for edges in (first, second))
    if min(len(tiles), len(others)) < 2:  # nothing to compare the nearest with
        return []
    to, distance, clear = _nearest(first[tiles], second[others])
    back, _, clear_back = _nearest(second[others], first[tiles])
    mutual = back[to] == np.arange(len(tiles))
    near = distance < _far(first)
    good = mutual & near & clear & clear_back[to] & (tiles != others[to])
    return [
        (float(distance[i]), int(tiles[i]), int(others[to[i]]), *step) for i in np.flatnonzero(good)
    ]


def _far(edges: np.ndarray) -> float:
    return _MAX_DISTANCE * np.sqrt(edges.shape[1])


def _nearest(edges: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Give the nearest of `others`, its distance, and whether the second is much farther."""
    from sklearn.neighbors import NearestNeighbors  # a second that others of this module's save

    search = NearestNeighbors(n_neighbors=2, algorithm="brute").fit(others)
    nearest = search.kneighbors(edges, return_distance=False)
    # The search's distances come from matrix products, exact to some 1e-7 only: equal edges would
    # seem to differ, and the last digits vary with the order of the tiles.
    first, second = (_distance(edges, others[nearest[:, k]]) for k in range(2))
    return nearest[:, 0], first, first < (1 - _MIN_COMPATIBILITY) * second


def _distance(edges: np.ndarray, others: np.ndarray) -> np.ndarray:
    return np.sqrt(np.square(edges - others).sum(axis=1))


def _place(links: Iterable[_Link], edges: _Edges) -> list[_Cells]:
    """Join tiles by links, the strongest first, to mosaics.

    A link that contradicts the places already given is dropped, also one that would put two tiles
    on one cell, or lay two mosaics side by side though most of the edges that would touch differ:
    of links that cannot all be right, the weaker.
    """
    home: dict[int, _Cells] = {}
    for _, tile, other, down, right in links:
        here = home.setdefault(tile, {tile: (0, 0)})
        there = home.setdefault(other, {other: (0, 0)})
        if here is there:
            continue
        (row, column), (row_there, column_there) = here[tile], there[other]
        shift = (row + down - row_there, column + right - column_there)
        if len(here) < len(there):
            here, there, shift = there, here, (-shift[0], -shift[1])
        moved = {t: (r + shift[0], c + shift[1]) for t, (r, c) in there.items()}
        if _fits(here, moved, edges):
            here |= moved
            home |= dict.fromkeys(moved, here)
    unique = {id(cells): cells for cells in home.values() if len(cells) > 1}
    return list(unique.values())


def _fits(here: _Cells, moved: _Cells, edges: _Edges) -> bool:
    """Tell whether no cell is taken twice, and the median of the touching edges is near.

    The median is that of the correlation, which goes with the squared distance: of two edges, one
    that agrees well must not outvote one that does not agree at all.
    """
    tiles = {cell: tile for tile, cell in here.items()}
    if not tiles.keys().isdisjoint(moved.values()):
        return False
    ratios = []
    for tile, (row, column) in moved.items():
        for side, opposite, cell in (
            ("right", "left", (row, column + 1)),
            ("left", "right", (row, column - 1)),
            ("down", "up", (row + 1, column)),
            ("up", "down", (row - 1, column)),
        ):
            if cell in tiles:
                edge, neighbour = edges[side][[tile]], edges[opposite][[tiles[cell]]]
                ratios.append(float(_distance(edge, neighbour)[0] / _far(edge)) ** 2)
    compared = [ratio for ratio in ratios if not np.isnan(ratio)]
    return not compared or float(np.median(compared)) < 1
