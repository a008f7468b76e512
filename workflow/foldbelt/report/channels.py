"""What the networks see: each channel of a few images, after whitening and resizing."""

import json
from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes

from foldbelt import store
from foldbelt.report import style

WIDEST = 16.0  # inches, for many channels


def draw(data: str, channels: Mapping[str, str], out: str, count: int = 4) -> None:
    """Draw a few images, and each channel that a network is given of them.

    Parameters
    ----------
    data
        The training data, data/train.h5.
    channels
        Name of each recipe → its channels file.
    out
        A PNG.
    count
        How many images.
    """
    table = store.table(data)
    amount = [name for name in ("coverage", "boxes") if name in table][:1]
    table = table.sort_values([*amount, "id"], kind="stable", ignore_index=True)
    if not len(table) or not channels:
        style.message(out, "No training images" if channels else "No channels")
        return
    # Spread over the coverages or counts of boxes, from the emptiest to the fullest.
    picks = np.unique(np.linspace(0, len(table) - 1, min(count, len(table))).round().astype(int))
    ids = [str(name) for name in table["id"].to_numpy()[picks]]
    images = store.read(data, "image", ids)
    recipes = {name: _recipe(path, ids) for name, path in channels.items()}
    width = 1 + sum(len(recipe["names"]) for recipe in recipes.values())
    aspect = images.shape[1] / images.shape[2]
    low = aspect < 0.4  # no room for an id beside it
    across = max(1.3, min(4.5 if low else 2.1, WIDEST / width))
    tall = across * aspect + 0.4 if low else across * min(1.0, aspect)
    room = max(7.0, across * width) / width - 0.2
    with style.figure(
        out, _title(recipes), max(7.0, across * width), tall * len(ids) + 1.0
    ) as made:
        grid = made.subplots(len(ids), width, squeeze=False)
        for row, (name, image) in enumerate(zip(ids, images, strict=True)):
            style.tile(grid[row, 0], image)
            named = grid[row, 0].set_xlabel if low else grid[row, 0].set_ylabel
            named(style.fit(name, room if low else tall - 0.4, 9), size=9)
            column = 1
            for recipe in recipes.values():
                for channel in range(len(recipe["names"])):
                    _channel(grid[row, column], recipe, row, channel)
                    column += 1
        heads = ["as stored"] + [
            "\n".join(
                [
                    *style.wrap(f"{name}: {channel}", room),
                    *style.wrap(style.minus(f"{low:.2g} to {high:.2g}"), room),
                ]
            )
            for name, recipe in recipes.items()
            for channel, (low, high) in zip(recipe["names"], recipe["ranges"], strict=True)
        ]
        for axes, head in zip(grid[0], heads, strict=True):
            axes.set_title(head, size=10, loc="center")


def _recipe(path: str, ids: list[str]) -> dict:
    """Read one recipe: its values (n,H,W,C) float32 for the ids, names, and shown ranges."""
    attributes = store.attrs(path)
    scale, offset = (np.asarray(attributes[name], np.float32) for name in ("scale", "offset"))
    values = store.read(path, "x", ids) * scale + offset
    whiten = attributes.get("whiten", "none")
    if isinstance(whiten, str) and whiten.startswith("{"):
        whiten = json.loads(whiten)
    return {
        "values": values,
        "names": attributes["names"],
        "ranges": [np.quantile(values[..., c], [0.01, 0.99]) for c in range(values.shape[-1])],
        "whiten": whiten.get("method", "none") if isinstance(whiten, dict) else str(whiten),
        "resize_mode": attributes.get("resize_mode", ""),
        "size": attributes.get("size", values.shape[1:3]),
        "source": attributes.get("source", values.shape[1:3]),
    }


def _channel(axes: Axes, recipe: dict, row: int, channel: int) -> None:
    """Show one whitened channel, framed where the image ends and its padding begins."""
    low, high = recipe["ranges"][channel]
    high = max(high, low + 1e-6)
    values = recipe["values"][row, ..., channel]
    style.tile(axes, values, cmap="gray", vmin=low, vmax=high)
    (height, width), (h, w) = recipe["size"], recipe["source"]
    if recipe["resize_mode"].startswith("pad") and (h < height or w < width):
        top, left = (height - h) // 2, (width - w) // 2
        axes.plot(
            [left, left + w, left + w, left, left],
            [top, top, top + h, top + h, top],
            color=style.ORANGE,
            linestyle=(0, (4, 3)),
            linewidth=1.2,
        )


def _title(recipes: Mapping[str, dict]) -> str:
    parts = []
    padded = False
    for name, recipe in recipes.items():
        (h, w), (height, width) = recipe["source"], recipe["size"]
        resized = (
            "" if (h, w) == (height, width) else f", {recipe['resize_mode']} to {height}×{width}"
        )
        padded |= bool(resized) and recipe["resize_mode"].startswith("pad")
        whiten = "not whitened" if recipe["whiten"] == "none" else f"{recipe['whiten']} whitening"
        parts.append(
            f"{name}: {style.plural(len(recipe['names']), 'channel')}, {whiten}, {h}×{w}{resized}."
        )
    frame = " Dashed: where the image ends and its padding begins." if padded else ""
    return (
        "What the networks see: each channel after whitening\n"
        + " ".join(parts)
        + f" Grey from the 1st to the 99th percentile of the images shown (numbers above).{frame}"
    )
