"""Calibration of the scores of boxes."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from foldbelt.ensemble.calibration import Calibration, calibrate


def sample(slope, shift, number=4000):
    random = np.random.default_rng(0)
    scores = random.random(number).astype(np.float32)
    chance = Calibration(slope, shift)(scores)
    return scores, random.random(number) < chance, chance


@pytest.mark.parametrize(("slope", "shift"), [(1, 0), (0.4, -2), (2, 1)])
def test_it_finds_the_curve_that_hits_came_from(slope, shift):
    scores, hits, chance = sample(slope, shift)
    made = calibrate(scores, hits)
    assert made.slope == pytest.approx(slope, abs=0.15)
    assert np.abs(made(scores) - chance).mean() < 0.02
    z = np.log(scores.astype(float)) - np.log1p(-scores.astype(float))
    theirs = LogisticRegression(C=1e6, tol=1e-8).fit(z[:, None], hits)
    assert made.slope == pytest.approx(theirs.coef_[0, 0], rel=0.02)  # less Platt's aims
    assert Calibration.of(made.to_dict()) == made


def test_scores_keep_their_order_even_where_they_say_nothing():
    scores, hits, _ = sample(1, 0)
    for truth in (hits, ~hits, hits & False, hits | True):
        made = calibrate(scores, truth)
        assert made.slope > 0
        assert (np.diff(made(np.sort(scores))) >= 0).all()
    assert calibrate(scores, hits & False) == Calibration()
    assert calibrate(scores, ~hits)(scores).mean() == pytest.approx((~hits).mean(), abs=0.01)
    assert np.isfinite(calibrate(np.array([0, 1.0]), np.array([False, True]))(scores)).all()


def test_certainty_at_the_ends_does_not_break_it():
    scores = np.array([0, 0, 1, 1, 1, 0.5], np.float32)
    made = calibrate(scores, np.array([0, 1, 1, 0, 1, 0]))
    assert np.isfinite([made.slope, made.shift]).all()
    assert 0 < made(scores)[0] < made(scores)[2] < 1
