"""A verdict counts the luck of trainings, not of images alone."""

import numpy as np
import pytest
from verdict_rates import compared

from foldbelt.evaluate import verdicts


@pytest.mark.parametrize("seeds", [3, 5])
@pytest.mark.parametrize("noise", [0.0, 0.01, 0.03])
def test_a_variant_that_changes_nothing_seldom_gets_a_verdict(seeds, noise):
    rng = np.random.default_rng(5)
    trials = [verdicts.difference(*compared(rng, seeds, noise)) for _ in range(400)]
    wrong = np.mean([one.p < 0.05 for one in trials])
    assert wrong <= 0.05 + 0.022  # twice the standard error of 400 trials


def test_the_more_seeds_the_more_is_told():
    rng = np.random.default_rng(5)
    widths = [
        np.mean(
            [
                d.high - d.low
                for d in (verdicts.difference(*compared(rng, s, 0.02)) for _ in range(60))
            ]
        )
        for s in (3, 5, 8)
    ]
    assert widths[0] > 1.5 * widths[1]
    assert widths[1] > 1.3 * widths[2]


def test_a_large_gain_is_seen_with_five_seeds():
    rng = np.random.default_rng(5)
    made = []
    for _ in range(50):
        values, index = compared(rng, 5, 0.01)
        made.append(verdicts.difference(values + 0.06, index).p < 0.05)
    assert np.mean(made) > 0.9


def test_of_twenty_variants_that_change_nothing_none_gets_a_verdict_in_most_tables():
    rng = np.random.default_rng(5)
    hits = 0
    for _ in range(60):
        table = {str(i): verdicts.difference(*compared(rng, 5, 0.02)) for i in range(20)}
        hits += any(word != verdicts.UNDECIDED for word in verdicts.verdicts(table).values())
    assert hits / 60 <= 0.1


def test_holm_leaves_order_and_what_is_unknown():
    assert verdicts.holm([0.5, np.nan, 0.01, 0.02]).tolist() == pytest.approx(
        [0.5, np.nan, 0.03, 0.04], nan_ok=True
    )
    assert verdicts.holm([]).tolist() == []


def test_too_few_seeds_and_groups_are_both_said():
    one = verdicts.difference(np.zeros((2, 6)), [0, 0, 0, 1, 1, 1])
    assert one.reason == "2 seeds of at least 3, 2 groups of at least 5"
    assert verdicts.verdicts({"x": one}) == {"x": f"no verdict: {one.reason}"}
