"""Run lengths: what is written is what is read, and nothing malformed passes."""

import numpy as np
import pandas as pd
import pytest

from foldbelt import rle


def test_columns_first_counted_from_one():
    mask = np.zeros((3, 4), dtype=np.uint8)
    mask[1:, 0] = mask[0, 1] = 1  # runs on from the foot of one column to the head of the next
    mask[2, 3] = 1
    assert rle.encode(mask) == "2 3 12 1"


@pytest.mark.parametrize("density", [0, 0.02, 0.5, 0.98, 1])
def test_round_trip(density):
    rng = np.random.default_rng(int(100 * density))
    for _ in range(20):
        shape = tuple(rng.integers(1, 40, 2))
        mask = (rng.random(shape) < density).astype(np.uint8)
        text = rle.encode(mask)
        assert np.array_equal(rle.decode(text, shape), mask)
        numbers = [int(word) for word in text.split()]
        ends = [start + length for start, length in zip(numbers[::2], numbers[1::2], strict=True)]
        assert all(end < start for end, start in zip(ends, numbers[2::2], strict=False))


def test_any_memory_layout_and_bool():
    mask = np.random.default_rng(1).random((20, 30)) > 0.6
    wide = np.zeros((40, 60), dtype=np.int64)
    wide[::2, ::2] = mask
    texts = {rle.encode(m) for m in (mask, mask.astype(np.uint8), np.asfortranarray(mask))}
    assert texts | {rle.encode(wide[::2, ::2])} == {rle.encode(mask)}


@pytest.mark.parametrize("text", ["", " ", None, float("nan"), np.nan, pd.NA, np.float32("nan")])
def test_nothing_is_an_empty_mask(text):
    mask = rle.decode(text, (5, 7))
    assert mask.shape == (5, 7)
    assert mask.dtype == np.uint8
    assert not mask.any()


def test_empty_mask_is_an_empty_text():
    assert rle.encode(np.zeros((5, 7), dtype=bool)) == ""


def test_touching_runs_are_legal():
    assert np.array_equal(rle.decode("1 2 3 2", (5, 1)), [[1], [1], [1], [1], [0]])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("1 2 3", "odd count"),
        ("5", "odd count"),
        ("0 3", "start that is not positive"),
        ("-4 3", "start that is not positive"),
        ("3 0", "length that is not positive"),
        ("3 -1", "length that is not positive"),
        ("10 2 3 2", "unsorted"),
        ("3 1 3 1", "unsorted or repeated"),
        ("1 5 4 2", "overlap"),
        ("34 3", "overruns the mask's 35 pixels"),
        ("36 1", "overruns"),
        ("1 99999999999999999999999", "overruns"),
        ("1.0 2", "'1.0', which is not an integer"),
        ("1 x", "'x', which is not an integer"),
        ("1 ²", "not an integer"),
        (3.5, "not a text"),
        (7, "not a text"),
    ],
)
def test_malformed_texts_are_refused(text, says):
    with pytest.raises(ValueError, match=says):
        rle.decode(text, (5, 7))
    if isinstance(text, str):
        with pytest.raises(ValueError, match=says):
            rle.check(text, (5, 7))


def test_the_last_pixel_can_be_reached():
    assert rle.decode("35 1", (5, 7))[4, 6] == 1
    rle.check("35 1", (5, 7))


@pytest.mark.parametrize("mask", [np.full((2, 2), 255), np.zeros((2, 2, 2)), np.full((1, 1), 0.5)])
def test_what_is_no_mask_is_not_encoded(mask):
    with pytest.raises(ValueError, match="a mask to encode"):
        rle.encode(mask)


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int8, np.int64, np.float32])
@pytest.mark.parametrize("shape", [(128, 128), (129, 128), (0, 3), (3, 0), (1, 1)])
def test_texts_are_those_of_plain_python(dtype, shape):
    """Up to and above the size to which numbers are looked up, down to the last pixel."""
    mask = (np.random.default_rng(3).random(shape) < 0.3).astype(dtype)
    mask[:, :2] = 0
    mask[-1:, -1:] = 1
    runs, before = [], 0
    for place, value in enumerate(mask.ravel(order="F").tolist(), start=1):
        if value and not before:
            runs.append([place, 0])
        if value:
            runs[-1][1] += 1
        before = value
    assert rle.encode(mask) == " ".join(f"{start} {length}" for start, length in runs)


@pytest.mark.parametrize("value", [-1, 2])
@pytest.mark.parametrize("dtype", [np.int8, np.int64, np.float32])
def test_a_single_wrong_value_is_refused(value, dtype):
    mask = np.eye(4, dtype=dtype)
    mask[1, 2] = value
    with pytest.raises(ValueError, match="values other than 0 and 1"):
        rle.encode(mask)
