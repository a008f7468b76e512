"""Overlays show what is predicted where it is, at a size at which people can read it."""

import io
import shutil

import cv2
import numpy as np
import pytest
from bundles import SIZES, Tiny
from PIL import Image

from foldbelt import bundle, rle
from foldbelt.bundle.overlays import COLOURS, LEAST_SIDE, MOST_SIDE, Shown, draw

YELLOW, SKY = COLOURS[:2]


def shown(size, masks=(), classes=(), boxes=None, names=(), labels=None, decided=None) -> Shown:
    return Shown(size, iter(masks), classes, boxes, names, labels or {}, decided)


def pixels(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)


def near(picture: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    """Where a picture has a colour, but for what JPEG makes of it."""
    return abs(picture - np.array(colour)).max(axis=2) < 60


@pytest.mark.parametrize(
    ("size", "bands"), [((40, 60), 1), ((900, 1200), 3), ((2400, 600), 1), ((200, 300), 5)]
)
def test_a_mask_is_outlined_at_any_size_and_number_of_bands(size, bands):
    image = np.random.default_rng(0).integers(0, 255, size, dtype=np.uint8)
    image = image if bands == 1 else np.repeat(image[..., None], bands, axis=2)
    mask = np.zeros(size, np.uint8)
    mask[size[0] // 4 : size[0] // 2, size[1] // 4 : size[1] // 2] = 1
    picture = pixels(draw(image, shown(size, [mask], ["thing"])))
    longer = max(size)
    scale = MOST_SIDE / longer if longer > MOST_SIDE else max(1, -(-LEAST_SIDE // longer))
    height, width = round(size[0] * scale), round(size[1] * scale)
    assert picture.shape[1] == max(width, 320)
    assert height < picture.shape[0] < height + 60, "a line of text follows"
    rows, columns = np.nonzero(near(picture[:height, :width], YELLOW))
    at = [rows.min(), rows.max() + 1, columns.min(), columns.max() + 1]
    sides = [size[0] // 4, size[0] // 2, size[1] // 4, size[1] // 2]
    assert np.allclose(at, np.array(sides) * scale, atol=3)
    inside = near(picture, YELLOW)[at[0] + 9 : at[1] - 9, at[2] + 9 : at[3] - 9]
    assert not inside.any(), "what is within can be seen"


def test_the_best_boxes_are_drawn_and_the_others_counted():
    rows = [
        [0, 100, 100, 300, 250, 0.9],
        [0, 400, 300, 500, 480, 0.05],
        [0, 130, 100, 300, 250, 0.8],
    ]
    boxes = np.array(rows, np.float32)
    grey = np.full((600, 800), 128, np.uint8)
    picture = near(pixels(draw(grey, shown((600, 800), boxes=boxes, names=["disc"]))), YELLOW)
    assert picture[150:200, 98:103].any(axis=1).all(), "the left side of the first"
    assert not picture[290:490, 390:510].any(), "the second scores too little"
    assert not picture[150:200, 125:135].any(), "the third is where the first is"


def test_what_is_dark_is_made_visible_and_names_may_be_in_any_alphabet():
    dark = np.random.default_rng(0).integers(0, 9, (300, 640), dtype=np.uint8)
    given = shown((300, 640), labels={"naïve Ж": 0.5, "unknown": float("nan")}, decided=[])
    picture = pixels(draw(dark, given))
    assert picture[:300].max() > 240
    assert (picture[300:] < 60).any(), "text"


def test_names_may_hold_what_no_line_can():
    boxes = np.float32([[0, 50, 60, 300, 200, 0.9]])
    given = shown((600, 800), boxes=boxes, names=["two\nlines"], labels={"a\r\nb": 0.5})
    assert pixels(draw(np.full((600, 800), 128, np.uint8), given)).shape[0] > 600


def test_a_folder_gets_an_overlay_an_image_and_an_old_one_goes(tmp_path):
    tiny = Tiny(tmp_path / "run")
    tiny.write()
    images, out = tmp_path / "images", tmp_path / "out"
    shutil.copytree(tiny.raw / "test", images)
    deep = np.random.default_rng(0).integers(0, 2**16, (30, 50), dtype=np.uint16)
    cv2.imwrite(str(images / "deep.png"), deep)
    bundle.predict(tiny.bundle, images, out, device="cpu", overlays=True)
    drawn = {path.stem: path for path in (out / "overlays").iterdir()}
    assert set(drawn) == {"deep", *(f"test_{name}" for name in SIZES)}
    masks = {line.split(",")[0]: line for line in (out / "masks.csv").read_text().splitlines()}
    height, width, runs = masks["deep"].split(",")[2:]
    assert rle.decode(runs, (int(height), int(width))).any(), "else there is nothing to outline"
    assert near(pixels(drawn["deep"].read_bytes()), YELLOW).any()
    before = drawn["test_b"].stat().st_mtime_ns
    drawn["test_a"].unlink()
    cv2.imwrite(str(images / "deep.png"), deep[:20])
    bundle.predict(tiny.bundle, images, out, device="cpu")
    assert not drawn["deep"].exists(), "it showed what is no longer so"
    bundle.predict(tiny.bundle, images, out, device="cpu", overlays=True)
    assert all(path.is_file() for path in drawn.values())
    assert drawn["test_b"].stat().st_mtime_ns == before
