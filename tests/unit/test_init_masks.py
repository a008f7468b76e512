"""What `foldbelt init` makes of the values of masks: soft edges, numbered objects, classes."""

import re

import cv2
import numpy as np
import pytest
import tifffile
from raw_folders import save

from foldbelt.init.masks import meant_by


def discs(number, side=64):
    """Draw discs of value 255, so large that edges are few of their pixels."""
    random = np.random.default_rng(number)
    mask = np.zeros((side, side), np.uint8)
    y, x = random.integers(20, side - 20, 2).tolist()
    return cv2.circle(mask, (x, y), 18, 255, -1)


def resampled(number):
    return cv2.resize(discs(number, 96), (64, 64), interpolation=cv2.INTER_CUBIC)


def blurred(number):
    """As somebody gets it who saves what a JPEG had blurred."""
    coded = cv2.imencode(".jpg", discs(number), [cv2.IMWRITE_JPEG_QUALITY, 60])[1]
    return cv2.imdecode(coded, cv2.IMREAD_GRAYSCALE)


def antialiased(number):
    small = cv2.resize(discs(number), (32, 32), interpolation=cv2.INTER_AREA)
    return (small // 51 * 51).astype(np.uint8)  # five values above 0


def dots(number, side=2):
    """Objects of their own numbers from 1 on."""
    mask = np.zeros((64, 64), np.uint8)
    for value in range(1, 60):
        y, x = divmod(value, 8)
        mask[8 * y : 8 * y + side, 8 * x : 8 * x + side] = value
    return mask


def giant(number):
    """The same, larger, beside one that is larger than all of them."""
    return np.vstack([dots(number, 6), np.full((64, 64), 255, np.uint8)])


def thin(number):
    """Four classes, three of which are lines of a pixel, and few; the last covers most."""
    mask = np.zeros((64, 64), np.uint8)
    mask[:30] = 240
    for value, row in zip((60, 120, 180), (35, 45, 55), strict=True):
        mask[row : row + 3] = value
    return mask


@pytest.mark.parametrize(
    ("draw", "key", "value"),
    [
        (resampled, "cut", 128),
        (blurred, "cut", 128),
        (antialiased, "cut", 128),
        (dots, "cut", 1),
        (giant, "cut", 1),
        (thin, "classes", {"class60": 60, "class120": 120, "class180": 180, "class240": 240}),
    ],
)
def test_soft_edges_are_cut_in_the_middle_and_numbered_objects_at_one(tmp_path, draw, key, value):
    paths = []
    for number in range(6):
        paths.append(tmp_path / f"{number}.png")
        save(paths[-1], draw(number))
    settings = {setting[0]: setting for setting in meant_by(paths)}
    assert settings[key][1] == value
    if value == 128:
        assert re.search(r"\d+ values above 0 in 6 masks: \d\d% of these pixels are 250",
                         settings["cut"][2])  # fmt: skip


def test_jpegs_without_a_clear_gap_and_fractions_are_cut_too(tmp_path):
    clear, soft, parts = tmp_path / "a.jpg", tmp_path / "b.jpg", tmp_path / "c.tif"
    cv2.imwrite(str(clear), discs(0), [cv2.IMWRITE_JPEG_QUALITY, 95])
    cv2.imwrite(str(soft), resampled(0), [cv2.IMWRITE_JPEG_QUALITY, 95])
    tifffile.imwrite(parts, resampled(0).astype(np.float32) / 255)
    assert list(meant_by([clear])) == []
    assert [setting[:2] for setting in meant_by([clear, soft])] == [("cut", 128)]
    assert [setting[:2] for setting in meant_by([parts])] == [("cut", 0.5)]
