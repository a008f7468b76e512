"""Zeros within a JPEG are damage where they can be no codes of a picture, and nowhere else."""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from foldbelt.formats.pixels.jpeg import zeros_within


def jpeg(array: np.ndarray, **options: object) -> bytes:
    buffer = BytesIO()
    Image.fromarray(array).save(buffer, "JPEG", **options)
    return buffer.getvalue()


def noise(side: int = 128) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (side, side), np.uint8)


@pytest.mark.parametrize("planes", [1, 3])
def test_zeros_in_the_picture_are_found(planes: int) -> None:
    data = jpeg(noise() if planes == 1 else np.dstack([noise()] * 3))
    half = len(data) // 2
    assert zeros_within(data) == 0
    place = zeros_within(data[:half] + bytes(60) + data[half + 60 :])
    assert half - 16 < place <= half


def test_zeros_elsewhere_are_no_damage() -> None:
    exif = Image.Exif()
    exif[0x9286] = bytes(500)  # a comment of zeros
    data = jpeg(noise(), exif=exif)
    assert bytes(100) in data
    assert zeros_within(data) == 0
    assert zeros_within(data + bytes(500)) == 0  # behind the end


def test_zeros_may_be_codes_of_tables_made_for_one_picture() -> None:
    data = jpeg(np.full((1024, 1024), 90, np.uint8), optimize=True)
    assert bytes(64) in data
    assert zeros_within(data) == 0


def test_flat_pictures_are_sound() -> None:
    for value in range(0, 256, 5):
        assert zeros_within(jpeg(np.full((64, 64), value, np.uint8))) == 0
