"""Build a channels file from ingested data: two streaming passes over train, one over test."""

import importlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from foldbelt import registry, store
from foldbelt.channels._resizing import Resizer
from foldbelt.channels._whitening import SPREAD, Moments, apply, method_of
from foldbelt.files import InputError, PathLike

_PIXELS = 2**19  # in one block: some 50 tiles of salt, one image of steel


def build(
    data: PathLike,
    out: PathLike,
    recipe: Mapping[str, Any],
    fitted_from: PathLike | None = None,
) -> None:
    """Write the channels of a data file: made, whitened, quantised, brought to network size.

    Parameters
    ----------
    data
        Ingested data with ``image`` and, for some channels, columns of the table.
    out
        The file to write: ``id`` and ``x`` uint8 (N, H, W, C), with attributes ``names``,
        ``scale``, ``offset`` (value = x · scale + offset), ``resize_mode``, ``size``, ``source``,
        ``use``, ``whiten``; where images are enlarged ``enlarge``, and where their offset is random
        ``canvas``, which is then the size of `x` (see `Resizer.of`).
    recipe
        A recipe of the config's ``channels``, with its defaults: ``use`` (names of channels),
        ``whiten``, ``size`` (a number or [height, width]), ``resize_mode``, ``scale``, ``offset``.
    fitted_from
        The channels of train, whose numbers test shares; None for train itself.

    Raises
    ------
    InputError
        If the recipe asks for what does not exist or does not fit the data or `fitted_from`.

    Notes
    -----
    Values known to lie in a range (image, depth) are quantised over that range, so that images lose
    nothing. Others are quantised over mean ± 5 standard deviations of train, within what occurs.
    Whitening by imagenet, zca and spectral applies to the image; standard to all channels.
    """
    plan = _Plan(data, recipe)
    quantised = _reuse(plan, fitted_from) if fitted_from is not None else _fit(plan)
    scale, offset = np.array(quantised["scale"]), np.array(quantised["offset"])
    attrs = {
        **quantised,
        "names": plan.names,
        **plan.resizer.attrs(),
        "use": plan.use,
    }
    with store.Writer(out, table={"id": plan.columns["id"]}, attrs=attrs) as writer:
        writer.create("x", (*plan.resizer.canvas, len(plan.names)), np.uint8)
        for rows, planes in plan.blocks():
            values = plan.whiten(planes, quantised["whiten"])
            writer.put("x", rows.start, plan.resizer.images(quantise(values, scale, offset)))


def quantise(values: np.ndarray, scale: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """Round (…, C) floats to uint8 x with value ≈ x · scale + offset, within half a step."""
    steps = values - np.asarray(offset, dtype=np.float64)
    steps /= scale
    steps += 0.5
    np.clip(steps, 0, 255, out=steps)
    return steps.astype(np.uint8)


class _Plan:
    """A recipe together with the data to which it is applied."""

    def __init__(self, data: PathLike, recipe: Mapping[str, Any]) -> None:
        self.data = data
        self.use = [str(name) for name in recipe["use"]]
        self.method = method_of(str(recipe["whiten"]))
        self._check_names()
        size = recipe["size"]
        height, width = (size, size) if isinstance(size, int) else size
        self.resizer = Resizer(
            str(recipe["resize_mode"]),
            store.stored_size(data),
            (height, width),
            int(recipe["scale"]),
            str(recipe["offset"]),
        )
        self.modules = [importlib.import_module(f"foldbelt.channels.{name}") for name in self.use]
        self.columns = store.columns(data)
        self._check_columns()
        shape = store.shape(data, "image")
        colours = shape[3] if len(shape) == 4 else 1
        self.names: list[str] = []
        self.ranges: list[tuple[float, float] | None] = []
        filtered: list[bool] = []
        for module in self.modules:
            names = module.names(colours)
            self.names += names
            self.ranges += [module.RANGE] * len(names)
            filtered += [module.FILTERED] * len(names)
        count = len(self.names)
        planes = {"none": [False] * count, "all": [True] * count, "images": filtered}
        self.whitened = np.flatnonzero(planes[self.method.PLANES])

    def _check_names(self) -> None:
        known = registry.known("channels")
        unknown = [name for name in self.use if name not in known]
        if unknown or not self.use or len(set(self.use)) < len(self.use):
            raise InputError(
                f"channels: use: {self.use} must list different channels out of {known}"
                + (f"; unknown: {', '.join(unknown)}." if unknown else ".")
            )

    def _check_columns(self) -> None:
        """Refuse data that lack a column, or a value in one, before any work is done."""
        if not len(self.columns["id"]):
            return  # no test images: nothing is missing
        for name, module in zip(self.use, self.modules, strict=True):
            for column in module.COLUMNS:
                if column not in self.columns:
                    raise InputError(
                        f"{self.data}: the channel '{name}' needs a column '{column}' for every "
                        f"image, which the data lacks. Add it, or leave '{name}' out of use."
                    )
                values = self.columns[column]
                holes = (values != values) | (values == "")  # NaN is unlike itself
                if holes.any():
                    raise InputError(
                        f"{self.data}: the channel '{name}' needs a '{column}' for every image; "
                        f"missing for {', '.join(self.columns['id'][holes])}."
                    )

    def blocks(self) -> Iterator[tuple[slice, np.ndarray]]:
        """Make the channels block by block: rows, and (n, h, w, C) float32 before whitening."""
        height, width = self.resizer.source
        size = int(np.clip(_PIXELS // (height * width), 1, 256))
        for rows, images in store.blocks(self.data, "image", size=size):
            columns = {name: column[rows] for name, column in self.columns.items()}
            planes = [module.planes(images, columns) for module in self.modules]
            yield rows, np.concatenate(planes, axis=3)

    def whiten(self, planes: np.ndarray, fitted: dict[str, Any]) -> np.ndarray:
        """Whiten those planes to which the method applies."""
        if len(self.whitened):
            planes[..., self.whitened] = apply(planes[..., self.whitened], fitted)
        return planes


def _fit(plan: _Plan) -> dict[str, Any]:
    """Fit whitening and quantisation on train: the first pass, skipped if nothing is unknown."""
    if not len(plan.columns["id"]):
        raise InputError(f"{plan.data}: holds no images on which whitening could be fitted.")
    whitening, moments = plan.method(), Moments()
    unknown = [channel for channel, known in enumerate(plan.ranges) if known is None]
    if plan.method.FITTED or unknown:
        for _, planes in plan.blocks():
            moments.add(planes[..., unknown])
            whitening.add(planes[..., plan.whitened])
    fitted = whitening.result()
    limits = np.array([known or (0.0, 0.0) for known in plan.ranges])
    if unknown:
        limits[unknown] = _occurring(moments)
    if len(plan.whitened):
        limits[plan.whitened] = plan.method.limits(limits[plan.whitened], fitted)
    width = limits[:, 1] - limits[:, 0]
    width = np.where(width > 1e-9, width, 1.0)  # a constant channel
    whiten = {**fitted, "planes": [plan.names[channel] for channel in plan.whitened]}
    return {"scale": width / 255, "offset": limits[:, 0], "whiten": whiten}


def _occurring(moments: Moments) -> np.ndarray:
    """Mean ± some standard deviations, but no farther than what occurs; (channels, 2)."""
    reach = SPREAD * moments.sd
    low = np.maximum(moments.low, moments.mean - reach)
    return np.stack([low, np.minimum(moments.high, moments.mean + reach)], axis=1)


def _reuse(plan: _Plan, fitted_from: PathLike) -> dict[str, Any]:
    """Take the numbers fitted on train, if they are for the same recipe and size."""
    train = store.attrs(fitted_from)
    pairs: dict[str, tuple[Any, Any]] = {
        "use": (plan.use, train["use"]),
        "whiten": (plan.method.NAME, train["whiten"]["method"]),
        "names": (plan.names, train["names"]),
        "source": (list(plan.resizer.source), train["source"]),
    }
    unlike = [
        f"{key} is {here}, there {there}" for key, (here, there) in pairs.items() if here != there
    ]
    if unlike:
        raise InputError(
            f"{plan.data}: its channels do not match those fitted in {fitted_from}: "
            f"{'; '.join(unlike)}. Train and test must be of one size and share one recipe."
        )
    return {name: train[name] for name in ("scale", "offset", "whiten")}
