"""Values found at an end of their grid are told, and only where going further might pay."""

import numpy as np
import pytest

from foldbelt import decide
from foldbelt.decide.ends import describe_ends


def levels(*values: float) -> np.ndarray:
    """Four images of 1×8, each with the mask on its left half, which has the first level; the
    second is that of the pixels beside it."""
    prob = np.zeros((4, 1, 8), np.uint8)
    prob[..., :4], prob[..., 4:6] = (round(255 * value) for value in values)
    return prob


TRUTH = np.repeat(np.array([[[1, 1, 1, 1, 0, 0, 0, 0]]], np.uint8), 4, axis=0)
FOLDS = [0, 0, 1, 1]


def ends(prob, truth=TRUTH, **space):
    found = decide.search(prob, truth, FOLDS, space, "mean_dice", draws=10)
    return [(row["name"], row["value"], row["end"]) for row in found.ends], found


@pytest.mark.parametrize("order", [1, -1])
def test_the_best_at_either_end_is_told_in_any_order(order):
    high, found = ends(levels(0.95, 0.6), threshold=[0.3, 0.5, 0.65][::order])
    assert high == [("threshold", 0.65, "largest")]
    assert found.ends[0]["gain"] == pytest.approx(1 - 8 / 10)
    low, _ = ends(levels(0.25, 0.1), threshold=[0.2, 0.4, 0.6][::order])
    assert low == [("threshold", 0.2, "smallest")]


def test_what_does_as_well_further_in_is_not_told():
    assert ends(levels(0.95, 0.3), threshold=[0.2, 0.5, 0.8])[0] == []
    # The first of equals is chosen, and this one stands at the end.
    assert ends(levels(0.95, 0.1), threshold=[0.2, 0.5, 0.8])[0] == []


def test_nothing_lies_beyond_off_and_beyond_one():
    assert ends(levels(0.9, 0.1), min_area=[0, 5, 9])[0] == []
    assert ends(levels(1, 0.99), threshold=[0.9, 1], gate=[0, 1], truth=TRUTH * 0)[0] == []
    nothing = levels(0.9, 0.9)
    assert ends(nothing, min_area=[0, 3, 9], truth=TRUTH * 0)[0] == [("min_area", 9, "largest")]


def test_a_single_value_and_other_modes_have_no_ends():
    assert ends(levels(0.95, 0.6), threshold=[0.65])[0] == []
    chosen, found = ends(levels(0.9, 0.3), gate=[0, 0.95], gate_mode=["veto", "expected"])
    assert chosen == []
    assert found.score == 1


def test_classes_are_named_where_there_are_several():
    prob = np.stack([levels(0.95, 0.6), levels(0.95, 0.3), levels(0.95, 0.6)], axis=-1)
    truth = np.repeat(TRUTH[..., None], 3, axis=-1)
    _, found = ends(prob, truth, threshold=[0.3, 0.5, 0.65])
    (sentence,) = describe_ends(found.ends, ["a", "b", "c"])
    assert "of class a, c, 0.65, is the largest" in sentence
    (alone,) = describe_ends(found.ends[:1], ["salt"])
    assert "class" not in alone
