"""Samples: images and masks at network size, in memory or streamed, augmented, in batches.

A sample depends on the seed, the epoch and its id alone (and, where it is a random part of its
image, on how often the image has come in the epoch), never on the batch, the worker or what was
read before, so batches may be made in any number of processes.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch.utils.data import Dataset

from foldbelt import store
from foldbelt.augment._transforms import Augment
from foldbelt.channels._resizing import Resizer, centre
from foldbelt.files import seed_for
from foldbelt.train import box_targets
from foldbelt.train.arguments import SeedParts
from foldbelt.train.blackout import blacken
from foldbelt.train.columns import PLANES_BYTES, Bits, Column
from foldbelt.train.crops import Crop, seen, shown
from foldbelt.train.data_source import Source as Source

Batch = dict[str, torch.Tensor]
Item = tuple[int, ...]
"""(epoch, row), or (epoch, row, how often the row has come in the epoch before)."""


class ImageSet:
    """Images, and masks at network size with the ignored pixels as a last plane.

    Parameters
    ----------
    source
        Files and ids.
    resizer
        How masks come to network size.
    planes
        Mask classes, plus one if ignored pixels have a plane.
    classes
        Mask classes.
    labels
        (N,L) f32.
    memory
        Hold images in memory as they are, and masks at network size as bits.
    depth
        (N,1) f32, from `foldbelt.train.image_statistics.depths`; None leaves it out of the batches.
    padding
        Whether what was padded around images is ignored like unlabelled pixels.
    boxes
        From `foldbelt.train.box_targets.of_images`; None leaves them out of the batches.
    judged
        Whether masks are asked for at storage size, too, again and again. What is held at network
        size is cut where it shows the same pixels; elsewhere they are held at storage size beside
        it, or read from the file each time if this is False.
    """

    def __init__(
        self,
        source: Source,
        resizer: Resizer,
        planes: int,
        classes: int,
        labels: np.ndarray,
        memory: bool,
        depth: np.ndarray | None = None,
        padding: bool = False,
        boxes: Sequence[np.ndarray] | None = None,
        judged: bool = False,
    ) -> None:
        self.boxes = boxes
        self.padding = resizer.padding() if padding else None
        self.ids = list(source.ids)
        self.resizer, self.planes, self.classes, self.labels = resizer, planes, classes, labels
        self.depth = depth
        self.x = Column(source.channels, "x", self.ids, memory)
        # Pseudo-labels of labels or boxes alone have no masks; nobody learns any from them then.
        masks = classes > 0 and store.has(source.masks, "mask")
        self.mask = Column(source.masks, "mask", self.ids, False) if masks else None
        ignore = planes > classes and source.has_ignore()
        self.ignore = Column(source.masks, "ignore", self.ids, False) if ignore else None
        self.target = Bits(len(self.ids), (*resizer.canvas, planes)) if memory else None
        stored = memory and judged and resizer.crop is None
        shape = (*resizer.source, classes + ignore)
        self.stored = Bits(len(self.ids), shape) if stored else None
        if memory:
            self._hold(source)

    def __len__(self) -> int:
        return len(self.ids)

    def images(self, rows: np.ndarray, starts: np.ndarray | None = None) -> np.ndarray:
        """(n,H,W,C) u8 at network size.

        Where images lie on a larger canvas, `starts` (n,2) are top and left of the windows; by
        default they are the central ones.
        """
        return self._cut(self.x.take(rows), starts)

    def targets(self, rows: np.ndarray, starts: np.ndarray | None = None) -> np.ndarray:
        """(n,H,W,P) u8 at network size: the classes, then the ignored pixels if there are any."""
        fitted = self.target.take(rows) if self.target else self._fitted(*self._read(rows))
        return self._cut(fitted, starts)

    def truth(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Give masks (n,h,w,K) and ignored pixels (n,h,w) at storage size; K may be 0."""
        if self.stored is not None:
            planes = self.stored.take(rows)
        elif self.target is not None and self.resizer.crop is not None:
            inside = ~self.resizer.padding()
            top, left = int(inside.any(axis=1).argmax()), int(inside.any(axis=0).argmax())
            height, width = self.resizer.source
            planes = self.target.take(rows)[:, top : top + height, left : left + width]
        else:
            return self._read(rows)
        return planes[..., : self.classes], None if self.ignore is None else planes[..., -1]

    def _read(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Read what `truth` gives from the file."""
        if self.mask is None:
            return np.zeros((len(rows), *self.resizer.source, self.classes), np.uint8), None
        mask = self.mask.take(rows)
        ignore = None if self.ignore is None else self.ignore.take(rows)
        return mask.reshape(*mask.shape[:3], self.classes), ignore

    def _hold(self, source: Source) -> None:
        """Read all masks, some at a time, and hold their bits."""
        assert self.target is not None
        canvas, stored = self.resizer.canvas, self.resizer.source
        row = max(math.prod(canvas) * self.planes, math.prod(stored) * max(self.classes, 1))
        step = max(1, min(256, PLANES_BYTES // max(row, 1)))
        names = [name for name in ("mask", "ignore") if getattr(self, name) is not None]
        streams = [store.blocks(source.masks, name, self.ids, step) for name in names]
        for start in range(0, len(self.ids), step):
            count = min(step, len(self.ids) - start)
            blocks = {name: next(one)[1] for name, one in zip(names, streams, strict=True)}
            mask = blocks.get("mask", np.zeros((count, *stored, self.classes), np.uint8))
            mask = mask.reshape(count, *stored, self.classes)
            ignore = blocks.get("ignore")
            if self.stored is not None:
                planes = [mask] if ignore is None else [mask, ignore[..., None]]
                self.stored.put(start, np.concatenate(planes, axis=3))
            self.target.put(start, self._fitted(mask, ignore))

    def _cut(self, x: np.ndarray, starts: np.ndarray | None) -> np.ndarray:
        if starts is None:
            return centre(x, self.resizer.size)
        height, width = self.resizer.size
        cut = [
            canvas[top : top + height, left : left + width]
            for canvas, (top, left) in zip(x, starts, strict=True)
        ]
        return np.stack(cut)

    def _fitted(self, mask: np.ndarray, ignore: np.ndarray | None) -> np.ndarray:
        """Bring masks and ignored pixels of storage size to that of the canvas, (n,H,W,P)."""
        out = np.zeros((len(mask), *self.resizer.canvas, self.planes), np.uint8)
        if self.classes:
            out[..., : self.classes] = self.resizer.masks(mask)
        if ignore is not None:
            out[..., -1] = self.resizer.masks(ignore)
        if self.padding is not None:
            out[..., -1] |= self.padding
        return out


class Samples(Dataset[Batch]):
    """Batches of augmented samples from several sets of images, numbered through.

    Parameters
    ----------
    sets
        The rows of the second set follow those of the first.
    augment
        The pipeline, or None to leave samples as they are; these lie in the centre of the window
        even where their offset is random.
    parts
        What the seeds are derived from, besides epoch and id.
    crop
        Cut a random window out of every image, after its offset and before augmentation.
    blackout
        Probability with which one class is blackened, see `foldbelt.train.blackout`. It comes after
        the crop, of which it must hide all of a class, and before augmentation: masks still match
        their pixels exactly, and black becomes what the pipeline makes of black.
    colours
        Channels that are the image's; None: all are.
    derived
        Whether image labels say what masks show, so that those of a crop follow from its mask, and
        a label goes with the mask that augmentation moves out of the picture.
    visible
        Least share of a box that a crop or the augmentation must leave to be seen.
    """

    def __init__(
        self,
        sets: Sequence[ImageSet],
        augment: Augment | None,
        parts: SeedParts,
        crop: Crop | None = None,
        blackout: float = 0.0,
        colours: list[int] | None = None,
        derived: bool = True,
        visible: float = 0.0,
    ) -> None:
        self.visible = visible
        self.sets, self.augment, self.parts = list(sets), augment, parts
        self.crop, self.blackout, self.colours, self.derived = crop, blackout, colours, derived
        self.starts = np.cumsum([0, *(len(image_set) for image_set in self.sets)])

    def __len__(self) -> int:
        return int(self.starts[-1])

    def __getitems__(self, items: Sequence[Item]) -> Batch:
        """Make one batch (torch's DataLoader calls this with all of its items).

        Parameters
        ----------
        items
            (epoch, row) of every sample, or (epoch, row, n) where it comes for the n-th time, from
            0. The number matters to crops and blackouts only.

        Returns
        -------
        dict
            ``x`` (N,H,W,C) u8, ``target`` (N,H,W,P) u8, ``label`` (N,L) f32, ``row`` (N,) int64,
            and where the images have them ``depth`` (N,1) f32, ``box`` (N,M,5) f32.
        """
        rows = np.array([item[1] for item in items], np.int64)
        parts = []
        for image_set, first in zip(self.sets, self.starts[:-1], strict=True):
            here = np.flatnonzero((rows >= first) & (rows < first + len(image_set)))
            if len(here):
                places = rows[here] - first
                part = {
                    "here": here,
                    "label": image_set.labels[places],
                    "name": np.array([image_set.ids[place] for place in places], object),
                }
                drawn = [items[int(number)] for number in here]
                part["x"], part["target"], given = self._taken(image_set, places, drawn)
                if given is not None:
                    part["box"] = _objects(given)
                if image_set.depth is not None:
                    part["depth"] = image_set.depth[places]
                parts.append(part)
        back = np.argsort(np.concatenate([part["here"] for part in parts]))
        whole = {
            name: np.concatenate([part[name] for part in parts])[back]
            for name in ("x", "target", "label", "name", "depth", "box")
            if all(name in part for part in parts)
        }
        x, target, label, names = (whole[name] for name in ("x", "target", "label", "name"))
        boxes = whole.get("box")
        for number, item in enumerate(items):
            box: np.ndarray | None = None if boxes is None else boxes[number]
            name = str(names[number])
            box = self._change(x[number], target[number], label[number], box, item, name)
            if boxes is not None and box is not None:
                boxes[number] = box
        batch = {"x": x, "target": target, "label": label, "row": rows}
        if boxes is not None:
            batch["box"] = box_targets.padded(list(boxes))
        if all(image_set.depth is not None for image_set in self.sets):
            batch["depth"] = whole["depth"]
        return {
            name: torch.from_numpy(np.ascontiguousarray(value)) for name, value in batch.items()
        }

    def _taken(
        self, image_set: ImageSet, rows: np.ndarray, items: Sequence[Item]
    ) -> tuple[np.ndarray, np.ndarray, list[np.ndarray] | None]:
        """Give images (n,H,W,C), targets (n,H,W,P), boxes: whole, or a random window of each."""
        starts = self._windows(image_set, rows, items)
        boxes = self._boxes_in(image_set, rows, starts)
        if self.crop is None:
            return image_set.images(rows, starts), image_set.targets(rows, starts), boxes
        windows, targets = [], []
        for place, item in enumerate(items):  # one by one: whole images may be large
            row = rows[place : place + 1]
            start = None if starts is None else starts[place : place + 1]
            image, target = image_set.images(row, start)[0], image_set.targets(row, start)[0]
            seed = self._seed("crop", item, image_set.ids[row[0]])
            window = self.crop.window(image, target, np.random.default_rng(seed))
            windows.append(self.crop.cut(image, window).copy())
            targets.append(self.crop.cut(target, window).copy())
            if boxes is not None:
                boxes[place] = box_targets.cut(boxes[place], *window, self.crop.size, self.visible)
        return np.stack(windows), np.stack(targets), boxes

    def _boxes_in(
        self, image_set: ImageSet, rows: np.ndarray, starts: np.ndarray | None
    ) -> list[np.ndarray] | None:
        """Give the boxes (m,5) of images, seen in a window of network size of their canvas."""
        if image_set.boxes is None:
            return None
        size = image_set.resizer.size
        middle = np.array([middle_of(image_set.resizer)] * len(rows))
        windows = middle if starts is None else starts
        return [
            box_targets.cut(image_set.boxes[row], int(top), int(left), size, self.visible)
            for row, (top, left) in zip(rows, windows, strict=True)
        ]

    def _change(
        self,
        x: np.ndarray,
        target: np.ndarray,
        label: np.ndarray,
        box: np.ndarray | None,
        item: Item,
        name: str,
    ) -> np.ndarray | None:
        """Black out, label anew and augment one sample, in place; give its boxes anew."""
        erased = False
        classes = self.sets[0].classes
        if self.blackout:
            random = np.random.default_rng(self._seed("blackout", item, name))
            erased = random.random() < self.blackout and blacken(
                x, target, classes, random, self.colours
            )
        if self.derived and (erased or self.crop is not None):
            present = shown(seen(target, classes))
            label[:] = present.any() if len(label) == 1 else present[: len(label)]
        if self.augment:
            before = shown(seen(target, classes)) if self.derived and len(label) else None
            seed = self._seed("augment", item, name)
            if box is None or not box_targets.known(box):
                x[:], target[:] = self.augment(x, target, seed)
            else:
                x[:], target[:], box = self.augment.with_boxes(x, target, box, seed)
            if before is not None:
                after = shown(seen(target, classes))
                # What the augmentation moved out of the picture is no longer there. (A mask too
                # small for the network's size was not seen before either: its label stays.)
                lost = before & ~after if len(label) > 1 else before.any() & ~after.any()
                label[:] = np.where(lost, 0, label)
        return box

    def _seed(self, what: str, item: Item, name: str) -> int:
        """Derive a seed. Whole images come alike however often, as they always have."""
        parts = self.crop is not None or self.blackout > 0
        again = item[2] if parts and len(item) > 2 else 0
        return seed_for(*self.parts, what, item[0], name, *([again] if again else []))

    def _windows(
        self, image_set: ImageSet, rows: np.ndarray, items: Sequence[Item]
    ) -> np.ndarray | None:
        """Draw top and left of each sample's window on the canvas, (n,2); None for central ones."""
        if self.augment is None or image_set.resizer.canvas == image_set.resizer.size:
            return None
        starts = []
        for row, item in zip(rows, items, strict=True):
            seed = self._seed("offset", item, image_set.ids[row])
            starts.append(image_set.resizer.window(np.random.default_rng(seed)))
        return np.array(starts)


def middle_of(resizer: Resizer) -> tuple[int, int]:
    """Top and left of the window of a canvas that `centre` gives."""
    (height, width), canvas = resizer.size, resizer.canvas
    return (canvas[0] - height + 1) // 2, (canvas[1] - width + 1) // 2


def _objects(arrays: Sequence[np.ndarray]) -> np.ndarray:
    """Give an array of dtype object whose elements are arrays, equal shapes or not."""
    out = np.empty(len(arrays), object)
    out[:] = list(arrays)
    return out
