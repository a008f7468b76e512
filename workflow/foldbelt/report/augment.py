"""What a model's augmentation does to real training tiles, as training does it.

Images, masks and boxes come through the classes that feed the network, so that what is wrong there
(a mask that stays behind, a border that should be mirrored) is wrong here too, and can be seen.
Boxes are shown of a model of boxes, masks of any other, where there are any.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from foldbelt import store
from foldbelt.augment._transforms import Augment, images_of
from foldbelt.channels._resizing import Resizer
from foldbelt.config.stage_settings import CropSettings
from foldbelt.files import PathLike, seed_for
from foldbelt.report import known, style
from foldbelt.report.augment_figure import DRAWS, Row, Sample, Shown, figure
from foldbelt.report.classes import kinds, mask_names, spoken
from foldbelt.train import box_targets
from foldbelt.train.crops import Crop
from foldbelt.train.data import ImageSet, Samples, Source

COVERAGES = (0.15, 0.3, 0.5)  # tiles near these show both sides of an outline
BOXES = (1, 2, 4)  # numbers of boxes

Spec = Sequence[Mapping[str, Any]]


def draw(
    *,
    data: PathLike,
    channels: PathLike,
    stages: Mapping[str, Spec],
    model: str,
    out: str,
    seed: int = 0,
    windows: Mapping[str, Mapping[str, Any]] | None = None,
) -> None:
    """Draw what each pipeline does as a whole, then each of its transforms alone.

    Parameters
    ----------
    data
        The training data, data/train.h5.
    channels
        Its channels, channels/{channels}/train.h5.
    stages
        Name of each stage of the model → its `augment`. Equal pipelines are drawn once.
    model
        Its name, for the title.
    out
        A PNG.
    seed
        Which draws are shown.
    windows
        Name of each stage that trains on crops or blacks out → its `crop` and `blackout`; of a
        model of boxes name of every stage, with `visible` besides, the least share of a box.
    """
    windows = windows or {}
    boxed = any("visible" in window for window in windows.values())
    chosen = pick(data, boxed)
    if not chosen:
        style.message(out, f"{model}: no training images to augment")
        return
    preview = _Preview(str(data), str(channels), chosen, seed, boxed)
    shared = pipelines(stages, windows)
    rows = [
        row for names, spec in shared for row in preview.rows(names, spec, windows.get(names[0]))
    ]
    if not any(row.samples for row in rows):
        style.message(out, f"Augmentation of {model}: none in any stage")
        return
    shown = Shown(
        preview.resizer.size, preview.tiles.classes, preview.what, preview.kinds, preview.look
    )
    figure(rows, shown, _title(model, shared, preview.what), out)


def pick(data: PathLike, boxed: bool = False) -> list[str]:
    """Ids of tiles covered most nearly as `COVERAGES` says; empty ones only for want of others.

    Where boxes are to be shown, of tiles with most nearly as many as `BOXES` says; where there are
    labels alone, of tiles with different ones, as far as there are.
    """
    table = store.table(data).sort_values("id", kind="stable", ignore_index=True)
    ids = [str(name) for name in table["id"]]
    if not boxed and "coverage" not in table:
        return _of_each_label(data, ids)
    amount = table["boxes" if boxed else "coverage"].to_numpy(np.float64)
    beyond = 1 + np.ceil(max([1.0, *amount]))
    far = np.where(amount > 0, 0.0, beyond) + beyond * (amount < 0)
    picked: list[int] = []
    for wanted in BOXES if boxed else COVERAGES:
        order = np.argsort(far + np.abs(amount - wanted), kind="stable")
        picked += [int(row) for row in order if row not in picked][:1]
    return [ids[row] for row in picked]


def _of_each_label(data: PathLike, ids: Sequence[str]) -> list[str]:
    """Pick an image of each of the rarest labels, then others."""
    kind = kinds(known.read(str(data), ids).has()).tolist() if ids else []
    firsts = [kind.index(label) for label in sorted(set(kind), key=lambda k: (k == 0, k))]
    order = [*firsts, *(row for row in range(len(ids)) if row not in firsts)]
    return [ids[row] for row in order[: len(COVERAGES)]]


def pipelines(
    stages: Mapping[str, Spec], windows: Mapping[str, Any] | None = None
) -> list[tuple[list[str], Spec]]:
    """Give every different pipeline once, with the stages that use it, in their order."""
    unique: list[tuple[list[str], Spec]] = []
    of = windows or {}
    for name, spec in stages.items():
        alike = [(names, other) for names, other in unique if of.get(names[0]) == of.get(name)]
        same = next((names for names, other in alike if list(other) == list(spec)), None)
        if same is None:
            unique.append(([name], spec))
        else:
            same.append(name)
    return unique


def alone(spec: Spec, within: str = "") -> Iterator[tuple[str, str, Spec]]:
    """Take a pipeline apart into pipelines of one transform that is always applied.

    Each comes with its name and its arguments as configured. Of `OneOf` and the like the members
    are taken, and `within` says what they are members of.
    """
    for entry in spec:
        for name, arguments in entry.items():
            settings = dict(arguments or {})
            members = settings.get("transforms")
            # Which channels it changes is part of what this one does.
            if members and name != "SelectiveChannelTransform":
                chance = f" (p: {settings['p']})" if "p" in settings else ""
                yield from alone(members, f"in {name}{chance}; ")
                continue
            given = ", ".join(f"{key}: {value}" for key, value in settings.items())
            notes = within + (given or "as albumentations has it")
            yield name, notes, [{name: {**settings, "p": 1.0}}]


class _Preview:
    """The chosen tiles, and the ways to draw augmented samples of them.

    `what` is drawn over them: "masks", "boxes", or "" where there are labels alone; `kinds` are the
    names of its classes.
    """

    def __init__(
        self, data: str, channels: str, ids: list[str], seed: int, boxed: bool = False
    ) -> None:
        attrs = store.attrs(channels)
        self.resizer, self.names, self.ids, self.seed = Resizer.of(attrs), attrs["names"], ids, seed
        source = Source(channels, data, ids)
        classes = source.classes()
        self.planes = classes + source.has_ignore()
        none = np.zeros((len(ids), 0), np.float32)
        self.what = "boxes" if boxed else "masks" if classes else ""
        self.kinds = mask_names(data, classes) if classes else []
        boxes = None
        if boxed:
            self.kinds = spoken(list(map(str, box_targets.names(source))))
            boxes = box_targets.of_images(source, self.resizer)
        self.tiles = ImageSet(
            source, self.resizer, self.planes, classes, none, memory=True, boxes=boxes
        )
        self.known = known.read(data, ids) if not self.what else None
        whole = Samples([self.tiles], None, ())
        self.plain = _samples(whole.__getitems__([(0, row) for row in range(len(ids))]))
        others = self.augment([]).others
        self.shown = [c for c in range(len(self.names)) if c not in others][:3] or [0]
        self.range = self._range(attrs)

    def augment(
        self, spec: Spec, crop: Crop | None = None, visible: float | None = None
    ) -> Augment:
        """Build a pipeline for these tiles, or windows of them, and their boxes where any."""
        size = self.resizer.size if crop is None else crop.size
        return Augment(spec, size, len(self.names), self.planes, self.names, visible)

    def rows(
        self, stages: Sequence[str], spec: Spec, window: Mapping[str, Any] | None = None
    ) -> Iterator[Row]:
        """Lay out one pipeline: as training draws it, then its transforms one by one."""
        asked = window or {}
        colours = images_of(self.names)
        grey, classes = next(iter(colours), 0), self.tiles.classes
        crop = Crop(CropSettings.of(asked["crop"]), classes, grey) if asked.get("crop") else None
        blackout = float(asked.get("blackout") or 0)
        visible = asked.get("visible")
        title = f"Stage{'s' if len(stages) > 1 else ''} {', '.join(stages)}"
        moves = self.resizer.canvas != self.resizer.size
        if not spec and not moves and crop is None and not blackout:
            yield Row(f"{title}: no augmentation; the network sees every tile as it is.")
            return
        what = style.plural(len(spec), "transform") if spec else "no augmentation"
        offset = ", and the tile at a random offset" if moves else ""
        if crop is not None:
            offset += f", of a window of {crop.size[0]}×{crop.size[1]}"
        if blackout:
            offset += f", a class blackened with probability {blackout:g}"
        yield Row(f"{title}: {what}{offset}, as an epoch draws them")
        parts: tuple[str | int, ...] = (self.seed, "preview", *stages)
        augment = self.augment(spec, crop, visible)
        samples = Samples(
            [self.tiles], augment, parts, crop, blackout, colours, visible=visible or 0.0
        )
        for number, name in enumerate(self.ids):
            batch = samples.__getitems__([(epoch, number) for epoch in range(DRAWS)])
            shown = [self.plain[number], *_samples(batch)]
            yield Row(style.shorten(name, 20), self._holds(number), shown)
        if spec:
            yield Row("Each transform alone, and always: what it does, not how often")
        for name, notes, single in alone(spec):
            yield self.single(name, notes, single, crop, visible)

    def _holds(self, number: int) -> str:
        """Say what there is to find in a tile."""
        if self.known is not None:
            names = np.array(self.known.label_names, object)[self.known.has()[number]]
            return ", ".join(names) or "no label"
        plain = self.plain[number]
        if self.what == "boxes":
            return f"{len(plain.boxes)} box{'' if len(plain.boxes) == 1 else 'es'}"
        covered = plain.mask[..., : self.tiles.classes].any(-1).mean()
        return f"{style.percent(float(covered))} covered"

    def single(
        self,
        name: str,
        notes: str,
        spec: Spec,
        crop: Crop | None = None,
        visible: float | None = None,
    ) -> Row:
        """Draw one transform on one tile, in its centre position, or on one window of it."""
        augment = self.augment(spec, crop, visible)
        image, mask, boxes = self.plain[len(self.plain) // 2]
        if crop is not None:
            random = np.random.default_rng(seed_for(self.seed, "preview", "window"))
            shown = Crop(CropSettings(crop.size, positive=1, dark=1), self.tiles.classes)
            window = shown.window(image, mask, random)
            image, mask = crop.cut(image, window), crop.cut(mask, window)
            boxes = box_targets.cut(boxes, *window, crop.size, visible or 0.0)
        plain = Sample(image, mask, boxes)
        seeds = [seed_for(self.seed, "preview", name, draw) for draw in range(DRAWS)]
        kept = _distinct([_augmented(plain, augment, seed, visible is not None) for seed in seeds])
        return Row(name, notes, [plain, *kept], _remark(plain, kept))

    def look(self, image: np.ndarray) -> np.ndarray:
        """Give what is shown of a sample's image, (H,W) or (H,W,3) u8."""
        low, high = self.range
        values = (image[..., self.shown].astype(np.float32) - low) * (255 / max(high - low, 1))
        out = np.clip(values + 0.5, 0, 255).astype(np.uint8)
        return out if len(self.shown) == 3 else out[..., 0]

    def _range(self, attrs: Mapping[str, Any]) -> tuple[float, float]:
        """Values shown black and white: all of an image, most of what filtered channels hold."""
        filtered = attrs.get("whiten", {}).get("method") not in ("none", "standard")
        if not filtered and str(self.names[self.shown[0]]).startswith("image"):
            return 0.0, 255.0
        values = np.stack([sample.image[..., self.shown] for sample in self.plain])
        low, high = np.quantile(values, [0.01, 0.99])
        return float(low), float(high)


def _samples(batch: Mapping[str, torch.Tensor]) -> list[Sample]:
    """Take a batch apart; rows that stand for no box are left out."""
    arrays = {name: batch[name].numpy() for name in ("x", "target", "box") if name in batch}
    planes = zip(arrays["x"], arrays["target"], strict=True)
    if "box" not in arrays:
        return [Sample(image, mask) for image, mask in planes]
    boxes = [rows[rows[:, 0] >= 0] for rows in arrays["box"]]
    return [Sample(*pair, rows) for pair, rows in zip(planes, boxes, strict=True)]


def _augmented(plain: Sample, augment: Augment, seed: int, boxed: bool) -> Sample:
    image, mask = plain.image.copy(), plain.mask.copy()
    if boxed:
        return Sample(*augment.with_boxes(image, mask, plain.boxes, seed))
    return Sample(*augment(image, mask, seed))


def _distinct(samples: Sequence[Sample]) -> list[Sample]:
    """Leave out samples that repeat an earlier one."""
    unique = {tuple(array.tobytes() for array in sample): sample for sample in reversed(samples)}
    return list(unique.values())[::-1]


def _remark(plain: Sample, drawn: Sequence[Sample]) -> str:
    if len(drawn) > 1:
        return f"{len(drawn)} different\nof {DRAWS}" if len(drawn) < DRAWS else ""
    return "always\nthe same" if len(_distinct([plain, *drawn])) > 1 else "changes\nnothing"


def _title(model: str, shared: Sequence[tuple[list[str], Spec]], what: str) -> str:
    counts = [
        f"{style.plural(len(spec), 'transform') if spec else 'none'} ({', '.join(names)})"
        for names, spec in shared
    ]
    left = "Left, dashed: " if what else "Left: "
    shown = {"masks": "image and mask ", "boxes": "image and boxes "}.get(what, "images ")
    return (
        f"Augmentation of {model}: {'; '.join(counts)}\n"
        f"{left}the tile at network size as it is. Right: different draws, {shown}"
        "from the code that training uses. Look for structures that no real tile has."
    )
