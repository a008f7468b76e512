"""Weights of members by any score."""

import numpy as np
import pytest

from foldbelt.ensemble.simplex import fitted
from foldbelt.files import InputError


def distance(aim):
    return lambda weights: -float(np.abs(np.subtract(weights, aim)).sum())


@pytest.mark.parametrize("aim", [(1, 0), (0.25, 0.75), (0.5, 0.25, 0.25), (0, 0, 1)])
def test_a_point_of_the_grid_is_found(aim):
    assert fitted(len(aim), 0.25, distance(aim)) == aim


def test_equal_scores_go_to_equal_weights_and_no_score_is_the_worst():
    assert fitted(3, 0.25, lambda weights: 0.5) == (1 / 3, 1 / 3, 1 / 3)
    assert fitted(2, 0.5, lambda w: 0.1 if w == (1.0, 0.0) else float("nan")) == (1, 0)


def test_many_members_are_added_one_after_the_other():
    aim, calls = np.array([0.5, 0, 0.25, 0, 0, 0.25, 0, 0]), []

    def score(weights):
        calls.append(weights)
        return -float(((np.array(weights) - aim) ** 2).sum())

    assert fitted(8, 0.25, score) == tuple(aim)
    assert len(calls) == len(set(calls)) < 40  # of 330


def test_a_step_divides_one():
    with pytest.raises(InputError, match="divide 1"):
        fitted(2, 0.3, lambda weights: 0)
