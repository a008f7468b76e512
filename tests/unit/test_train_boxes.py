"""Boxes go where the image goes: to training, through views of prediction, to pseudo-labels."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import training
from training import DETECTOR, Objects, settings

from foldbelt import channels, predict, pseudo, store
from foldbelt.boxes import Boxes
from foldbelt.channels._boxes import to_network
from foldbelt.channels._resizing import Resizer
from foldbelt.config import complete
from foldbelt.train import Job, box_targets, room
from foldbelt.train.boxes import PADDING, UNKNOWN
from foldbelt.train.data import Samples
from foldbelt.train.data_source import Source
from foldbelt.train.held import HeldSamples, augment_of
from foldbelt.train.task import load

STORED, SIZE, COUNT = (20, 26), (32, 40), 12
GREY = np.array([80, 140, 200, 255])  # of the boxes of each class; the ground is black
SIZES = np.array([[20, 26], [40, 52], [60, 26], [20, 78]] * 3)
IDS = [f"i{number:02d}" for number in range(COUNT)]
PADDED = {"resize_mode": "pad-edge"}
EVERYWHERE = {"resize_mode": "pad-edge", "offset": "random"}


def drawn(number: int) -> tuple[np.ndarray, np.ndarray]:
    """Give an image (h,w) with up to four filled rectangles, and its boxes (m,6) in its pixels."""
    random = np.random.default_rng(number)
    image, boxes = np.zeros(STORED, np.uint8), []
    for kind in random.permutation(4)[: number % 5]:
        top, left = 1 + 10 * (kind // 2), 1 + 12 * (kind % 2)  # its own quarter, off the border
        height, width = random.integers(4, 9), random.integers(4, 11)
        image[top : top + height, left : left + width] = GREY[kind]
        boxes.append([kind, left, top, left + width, top + height, 1])
    return image, np.array(boxes, np.float32).reshape(-1, 6)


def write(root: Path, recipe: dict, alike: bool = False) -> tuple[Source, list[np.ndarray]]:
    """Write the images, their boxes at original size and their channels.

    All boxes are as bright as each other where they are to be `alike`.
    """
    pictures = [drawn(number) for number in range(COUNT)]
    high, wide = SIZES.T / np.array(STORED)[:, None]
    factors = np.stack([wide, high, wide, high], axis=1)
    boxes = [rows.copy() for _, rows in pictures]
    for rows, factor in zip(boxes, factors, strict=True):
        rows[:, 1:5] *= factor
    table = pd.DataFrame({"id": IDS, "height": SIZES[:, 0], "width": SIZES[:, 1]})
    images = np.stack([image for image, _ in pictures])
    arrays = {"image": np.where(images, GREY[-1], 0).astype(np.uint8) if alike else images}
    arrays["boxes"] = Boxes.join(boxes).to_bytes()
    store.write(
        root / "train.h5",
        arrays,
        table.assign(boxes=list(map(len, boxes))),
        {"box_names": list("abcd")},
    )
    recipe = {"use": ["image"], "whiten": "none", "size": list(SIZE), **recipe}
    channels.build(root / "train.h5", root / "x.h5", complete("channels", recipe))
    return Source(str(root / "x.h5"), str(root / "train.h5"), IDS), boxes


def samples_of(source: Source, **stage):
    given = settings(loss={"box": 1}, augment=[], **stage) if "augment" not in stage else None
    given = given or settings(loss={"box": 1}, **stage)
    sources = [source, Source(source.channels, source.masks, [])]
    task, _ = load(
        sources, Job("m", 0, 0, "s", seed=1), given, DETECTOR, "", 1.0, torch.device("cpu")
    )
    return task.samples


NEAREST = {"p": 1, "interpolation": 0}
FLIPS = [{"HorizontalFlip": {"p": 0.5}}, {"VerticalFlip": {"p": 0.5}}]
MOVED = [{"Affine": {"scale": [0.8, 1.3], "translate_percent": [-0.3, 0.3], **NEAREST}}]
TURNED = [{"Affine": {"rotate": [-25, 25], **NEAREST}}]
WAYS = {
    "whole": (PADDED, {}),
    "canvas": (EVERYWHERE, {}),
    "crops": (PADDED, {"crop": {"size": [14, 18]}}),
    "flips": (EVERYWHERE, {"augment": FLIPS}),
    "moved": (PADDED, {"augment": MOVED}),
    "turned": (PADDED, {"augment": TURNED}),
    "everything": (EVERYWHERE, {"augment": FLIPS + MOVED, "crop": {"size": [26, 30]}}),
}


@pytest.mark.parametrize("visible", [0.0, 0.6])
@pytest.mark.parametrize("way", WAYS)
def test_boxes_follow_their_image(tmp_path, way, visible):
    recipe, stage = WAYS[way]
    source, _ = write(tmp_path, recipe)
    samples = samples_of(source, visible=visible, **stage)
    left = {"there": 0, "gone": 0}
    for epoch in range(6):
        batch = samples.__getitems__([(epoch, row) for row in range(COUNT)])
        for row, image, boxes in zip(batch["row"], batch["x"], batch["box"], strict=True):
            boxes = boxes[boxes[:, 0] != PADDING].numpy()
            shown = image[..., 0].numpy()
            _, true = drawn(int(row))
            assert set(boxes[:, 0]) <= set(true[:, 0])
            assert len(set(boxes[:, 0])) == len(boxes)
            for kind, x1, y1, x2, y2, _ in true:
                pixels = np.argwhere(shown == GREY[int(kind)])
                found = boxes[boxes[:, 0] == kind, 1:]
                if not len(found):
                    # So much of it is left at most; it may have been made larger before.
                    share = len(pixels) / ((x2 - x1) * (y2 - y1))
                    assert share <= max(visible, 0.05) * (1.7 if "augment" in stage else 1) + 0.1
                    left["gone"] += 1
                    continue
                left["there"] += 1
                if not len(pixels):  # a strip narrower than a pixel
                    assert (found[0, 2:] - found[0, :2]).min() <= 1
                    continue
                (top, first), (bottom, last) = pixels.min(axis=0), pixels.max(axis=0) + 1
                if way == "turned":  # around the turned box: at least what is seen
                    assert (found[0, :2] <= np.array([first, top]) + 1).all()
                    assert (found[0, 2:] >= np.array([last, bottom]) - 1).all()
                else:
                    np.testing.assert_allclose(found[0], [first, top, last, bottom], rtol=0, atol=1)
    assert left["there"] > 40
    if visible and way in ("crops", "moved", "everything"):
        assert left["gone"] > 0


@pytest.mark.parametrize("size", [[32, 40], [33, 41]])
def test_boxes_are_where_the_central_window_of_a_canvas_shows_them(tmp_path, size):
    source, _ = write(tmp_path, {**EVERYWHERE, "size": size})
    whole = Samples(samples_of(source).sets, None, ())
    batch = whole.__getitems__([(0, row) for row in range(COUNT)])
    checked = 0
    for image, boxes in zip(batch["x"][..., 0], batch["box"], strict=True):
        for kind, x1, y1, x2, y2 in boxes[boxes[:, 0] >= 0].tolist():
            pixels = np.argwhere(image.numpy() == GREY[int(kind)])
            (top, left), (bottom, right) = pixels.min(axis=0), pixels.max(axis=0) + 1
            np.testing.assert_allclose([x1, y1, x2, y2], [left, top, right, bottom], atol=0.01)
            checked += 1
    assert checked > 10


@pytest.mark.parametrize(
    "channels",
    [{**EVERYWHERE, "size": [33, 41]}, {"resize_mode": "resize"}],
    ids=["on a canvas", "without a plane of masks"],
)
def test_pixels_held_on_the_device_are_those_of_the_host(tmp_path, monkeypatch, channels):
    source, _ = write(tmp_path, channels)
    batches = []
    for held in (False, True):
        monkeypatch.setattr(room, "fits", lambda data, device, held=held: held)
        samples = samples_of(source, augment=FLIPS, augment_on="device")
        assert isinstance(samples, HeldSamples) == held
        items = [(epoch, row) for epoch in range(3) for row in range(COUNT)]
        given = samples.__getitems__(items)
        assert (given["x"].numel() == 0) == held
        batches.append(augment_of(samples, torch.device("cpu"))(given))
    for name in ("x", "target", "label", "box"):
        assert torch.equal(*(batch[name] for batch in batches)), name
    assert len({image.numpy().tobytes() for image in batches[0]["x"]}) > COUNT


def test_less_of_a_box_is_seen_and_less_of_them_are_left(tmp_path):
    source, _ = write(tmp_path, PADDED)
    counts = []
    for visible in (0.0, 0.3, 0.6, 1.0):
        samples = samples_of(source, visible=visible, crop={"size": [12, 14]})
        batch = samples.__getitems__([(0, row) for row in range(COUNT)])
        counts.append(int((batch["box"][..., 0] >= 0).sum()))
    assert counts == sorted(counts, reverse=True)
    assert counts[0] > counts[1] > counts[2] > counts[3] > 0


@pytest.mark.parametrize("change", [{}, {"crop": {"size": [14, 18]}, "augment": FLIPS}])
def test_of_an_image_that_nobody_labelled_nothing_is_known_however_it_is_cut(tmp_path, change):
    source, _ = write(tmp_path, EVERYWHERE)
    table = store.table(source.masks)
    table["boxes"] = np.where(np.arange(COUNT) % 3 == 0, -1, table["boxes"])
    arrays = {name: store.read(source.masks, name) for name in ("image", "boxes")}
    store.write(source.masks, arrays, table, {"box_names": list("abcd")})
    batch = samples_of(source, **change).__getitems__([(2, row) for row in range(COUNT)])
    assert ((batch["box"][:, 0, 0] == UNKNOWN).numpy() == (np.arange(COUNT) % 3 == 0)).all()


def test_what_is_kept_of_images_that_nobody_labelled_changes_no_training(tmp_path):
    objects, made = Objects(tmp_path), []
    for _ in range(2):
        stage = {"epochs": 2, "loss": {"box": 1}, "select": "best"}
        training.run(**objects.arguments(model=DETECTOR, **stage))
        made.append([(tmp_path / f"w.{kind}").read_bytes() for kind in ("safetensors", "csv")])
        for row in np.flatnonzero(~objects.known):
            objects.boxes[row] = np.array([[0, 1, 1, 9, 9, 1]], np.float32)
        objects.write_objects()
    assert made[0] == made[1]


class Finder(torch.nn.Module):
    """Sees rectangles brighter than the ground, wherever they lie and however large they are."""

    def forward(self, x: torch.Tensor) -> dict:
        bright = (x[:, 0] > (x.max() + x.min()) / 2).numpy()
        count, height, width = bright.shape
        ends = [self.ends(bright, axis) for axis in (1, 2)]
        rows, columns = np.mgrid[:height, :width] + 0.5
        sides = [columns - ends[1][0], rows - ends[0][0], ends[1][1] - columns, ends[0][1] - rows]
        anchors = np.stack([columns - 0.5, rows - 0.5, columns + 0.5, rows + 0.5], axis=2)
        offsets = torch.from_numpy(np.stack(sides, axis=3)).float().reshape(count, -1, 4)
        logits = torch.from_numpy(np.where(bright, 2.0, -20.0)).float().reshape(count, -1, 1)
        box = {"logits": logits, "offsets": offsets, "centreness": torch.full_like(logits, 20.0)}
        box["anchors"] = torch.from_numpy(anchors).float().reshape(-1, 4)
        return {"box": box | {"levels": torch.tensor([height * width])}}

    @staticmethod
    def ends(bright: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray]:
        """Where the run of bright pixels along an axis begins and ends at every pixel."""
        lines = np.moveaxis(bright, axis, 2)
        first, last = np.zeros((2, *lines.shape), int)
        length = lines.shape[2]
        for place in range(length):
            before = first[..., place - 1] if place else 0
            on = lines[..., place - 1] if place else np.zeros(lines.shape[:2], bool)
            first[..., place] = np.where(on, before, place)
            back = length - 1 - place
            after = last[..., back + 1] if place else length
            on = lines[..., back + 1] if place else np.zeros(lines.shape[:2], bool)
            last[..., back] = np.where(on, after, back + 1)
        return np.moveaxis(first, 2, axis), np.moveaxis(last, 2, axis)


def found(root: Path, **changes) -> Boxes:
    names = {"mask_channels": 0, "masks": False, "box_names": ["thing"], "key": {}}
    meta = {**names, "channels": ["image"], "size": list(SIZE)}
    given = {
        "load": lambda *_: (Finder(), meta),
        "tta": ["none"],
        "batch_size": COUNT,
        "cpu_threads": 1,
        "device": "cpu",
        **changes,
    }
    out, places = str(root / "p.h5"), {"channels": str(root / "x.h5"), "weights": "w"}
    predict.run(data=str(root / "train.h5"), ids=None, out=out, **places, **given)
    return Boxes.from_bytes(store.read(out, "boxes"))


VIEWS = {
    "plain": {},
    "flips": {"tta": ["none", "hflip", "vflip", "hvflip"]},
    "scales": {"scales": [1, 0.8, 2]},
    "one window": {"windows": {"size": list(SIZE), "overlap": 0.5}},
    "windows": {"windows": {"size": [26, 20], "overlap": 0}},
    "all": {"tta": ["hflip", "vflip"], "scales": [1, 2], "windows": {"size": 80, "overlap": 0.2}},
}


RECIPES = [PADDED, EVERYWHERE, {"resize_mode": "resize"}]
# Of the other recipes, the seam between these windows goes through boxes.
PAIRS = [(recipe, view) for recipe in RECIPES for view in VIEWS]
PAIRS = [pair for pair in PAIRS if pair[1] != "windows" or pair[0] == PADDED]


@pytest.mark.parametrize(("recipe", "view"), PAIRS)
def test_views_and_windows_see_boxes_where_they_are_in_the_original(tmp_path, recipe, view):
    _, boxes = write(tmp_path, recipe, alike=True)
    made = found(tmp_path, **VIEWS[view])
    for number, true in enumerate(boxes):
        given = made.image(number)
        assert len(given) == len(true)
        for box in true:
            off = np.abs(given[:, 1:5] - box[1:5]).max(axis=1).min()
            factor = (SIZES[number] / STORED).max()
            assert off <= (
                0.01 if recipe != {"resize_mode": "resize"} and view != "scales" else factor
            )
        if len(true):
            np.testing.assert_allclose(
                given[:, 5], given[0, 5], rtol=1e-4
            )  # no view lowers a score


def test_pseudo_boxes_lie_where_they_were_seen_whatever_the_images_sizes(tmp_path):
    source, boxes = write(tmp_path, PADDED, alike=True)
    found(tmp_path)
    spec = complete("pseudo", {"rule": "everything"})
    out = str(tmp_path / "pseudo.h5")
    pseudo.run(predictions=[str(tmp_path / "p.h5")], settings=spec, fold=0, round=0, out=out)
    resizer = Resizer.of(store.attrs(source.channels))
    learned = box_targets.of_images(Source(source.channels, out, IDS), resizer)
    for number, true in enumerate(boxes):
        expected = to_network(true, resizer, SIZES[number])[:, 1:5]
        order = np.lexsort(expected.T)
        mine = learned[number][:, 1:]
        np.testing.assert_allclose(mine[np.lexsort(mine.round(2).T)], expected[order], atol=0.02)
