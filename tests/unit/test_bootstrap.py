"""Bootstrap intervals."""

from pathlib import Path

import interval_coverage
import numpy as np
import pytest

from foldbelt import bootstrap
from foldbelt.bootstrap import _drawing
from foldbelt.files import InputError


def test_groups_are_drawn_whole():
    values = np.tile(np.repeat([0.0, 1.0], 50), 6)
    alone = bootstrap.interval(values, seed=1)
    together = bootstrap.interval(values, np.repeat(np.arange(12), 50), seed=1)
    assert 0.45 < alone[0] < alone[1] < 0.55
    assert together[0] < 0.25
    assert together[1] > 0.75


def test_images_count_equally_whatever_their_group():
    values, groups = np.repeat([0.2, 1.0], [2, 18]), np.repeat([0, 1], [2, 18])
    ratio = bootstrap._Ratio.of(values, np.ones(20), groups)
    means, influences = ratio.drawn(np.array([[2, 0], [1, 1], [0, 2]]))
    assert means.tolist() == pytest.approx([0.2, 0.92, 1])  # not the mean of group means, .6
    assert influences[1].tolist() == pytest.approx([-0.072, 0.072])


@pytest.mark.parametrize(("kind", "least"), [("equal", 0.92), ("unequal", 0.92), ("bad", 0.90)])
def test_holds_the_truth_as_often_as_it_says_with_eight_groups(kind, least):
    held, width = interval_coverage.coverage(kind, 8, 1000, "bootstrap-t")
    assert held >= least - 0.01  # the standard error of 1000 trials
    assert interval_coverage.coverage(kind, 8, 1000, "percentile")[0] < least - 0.03
    assert width < 0.45


def test_intervals_end_where_scores_end():
    low, high = bootstrap.interval([1.0] * 40 + [0.0] * 2)
    assert 0 <= low < 40 / 42 < high <= 1
    assert bootstrap.interval([0.7] * 9) == [0.7, 0.7]


def test_of_fewer_than_five_groups_there_is_none_and_it_is_said_why():
    values, groups = np.random.default_rng(0).random(40), np.repeat(np.arange(4), 10)
    assert bootstrap.interval(values, groups) is None
    assert bootstrap.paired(values, values / 2, groups)[1] is None
    assert bootstrap.reweighted(values, values, groups)["difference_interval"] is None
    assert bootstrap.count_groups(groups, 40) == 4
    assert bootstrap.caution(4).startswith("no interval: 4 groups")
    assert bootstrap.caution(19).startswith("rough")
    assert bootstrap.caution(20) == ""
    assert bootstrap.interval(values, np.repeat(np.arange(5), 8)) is not None


def test_pairing_removes_what_both_share():
    random = np.random.default_rng(0)
    shared = random.random(300) / 2
    a, b = shared + 0.1 + random.normal(scale=0.01, size=300), shared
    difference, (low, high) = bootstrap.paired(a, b, seed=3)
    assert difference == pytest.approx(np.mean(a - b))
    assert 0.09 < low < difference < high < 0.11
    assert bootstrap.paired(b, a, seed=3)[0] == -difference


def test_equal_weights_change_nothing():
    values = np.random.default_rng(0).random(60)
    made = bootstrap.reweighted(values, np.full(60, 3.0), seed=2)
    assert made["score"] == pytest.approx(values.mean())
    assert made["interval"] == pytest.approx(bootstrap.interval(values, seed=2))
    assert made["difference_interval"] == pytest.approx([0, 0], abs=1e-9)


def test_standard_error_is_the_known_one_for_groups_of_one():
    values = np.random.default_rng(0).random(60)
    assert bootstrap.standard_error(values) == pytest.approx(values.std(ddof=1) / np.sqrt(60))


def test_same_seed_same_interval_in_any_blocks(monkeypatch):
    values = np.random.default_rng(0).random(5000)
    one = bootstrap.interval(values, n=300, seed=5)
    monkeypatch.setattr(_drawing, "BLOCK", 10**4)
    assert bootstrap.interval(values, n=300, seed=5) == pytest.approx(one, rel=1e-12)
    assert bootstrap.interval(values, n=300, seed=6) != one


def test_nonsense_is_refused():
    with pytest.raises(InputError, match="finite"):
        bootstrap.interval([])
    with pytest.raises(InputError, match="finite"):
        bootstrap.interval([1.0, np.nan])
    with pytest.raises(InputError, match="groups"):
        bootstrap.interval([1.0, 2.0], ["a"])
    with pytest.raises(InputError, match="pair them"):
        bootstrap.paired([1.0, 2.0], [1.0])


def test_images_without_a_group_are_groups_of_their_own():
    values = np.random.default_rng(0).random(60)
    alone = bootstrap.interval(values)
    for none in (-1, float("nan"), ""):
        assert bootstrap.interval(values, [none] * 60) == alone


def test_the_level_is_written_in_one_place():
    root = Path(bootstrap.__file__).parents[2]
    files = [path for kind in ("py", "rst", "smk", "yaml") for path in root.rglob(f"*.{kind}")]
    assert len(files) > 100
    assert [path for path in files if bootstrap.percent() in path.read_text("utf-8")] == []
    assert bootstrap.percent(0.9) == "90 %"


def test_the_level_decides_how_wide_an_interval_is():
    values = np.random.default_rng(0).random(60)
    low, high = bootstrap.interval(values, level=0.5)
    wide = bootstrap.interval(values)
    assert wide[0] < low < high < wide[1]
    assert wide == bootstrap.interval(values, level=bootstrap.LEVEL)


def mean_of(values):
    return lambda count: float(np.average(values, weights=count))


def test_a_mean_has_the_same_interval_where_it_is_scored_anew_for_every_draw():
    values, groups = np.random.default_rng(0).random(40), np.repeat(np.arange(20), 2)
    expected = bootstrap.interval(values, groups, n=200, seed=4)
    made = bootstrap.ranked_interval(mean_of(values), groups, 200, seed=4)
    assert made == pytest.approx(expected, abs=1e-12)  # of equal groups the jackknife is exact
    other = values[::-1]
    expected = bootstrap.paired(values, other, groups, n=200, seed=4)
    made = bootstrap.ranked_paired(mean_of(values), mean_of(other), groups, 200, seed=4)
    assert made[0] == pytest.approx(expected[0])
    assert made[1] == pytest.approx(expected[1], abs=1e-12)


def test_of_many_groups_the_quantiles_of_draws_do():
    values, groups = np.random.default_rng(0).random(120), np.repeat(np.arange(60), 2)
    drawn = np.random.default_rng(7).multinomial(60, np.full(60, 1 / 60), 300)
    means = [np.average(values, weights=count[groups]) for count in drawn]
    made = bootstrap.ranked_interval(mean_of(values), groups.astype(str), 300, seed=7)
    assert made == pytest.approx(np.quantile(means, [0.025, 0.975]))
    resampling = bootstrap.Resampling(groups.astype(str), 300, 7)
    assert resampling.ranked(mean_of(values), 120) == made
    assert resampling.take(np.arange(100)).ranked(mean_of(values[:100]), 100) != made


@pytest.mark.parametrize("groups", [8, 60])
def test_the_ends_of_a_ranked_score_are_those_of_scores(groups):
    def statistic(count):
        return 0.999 + 0.001 * count[0]  # a draw may exceed what a score can be

    low, high = bootstrap.ranked_interval(statistic, range(groups), 200)
    assert low <= 1 == high


def test_draws_without_a_score_are_left_out_and_sets_without_one_are_refused():
    def rare(first):
        return lambda count: count[0] / count[:4].sum() if count[:first].any() else float("nan")

    for groups in (8, 60):
        low, high = bootstrap.ranked_interval(rare(2), range(groups), 300)
        assert 0 <= low < 0.25 < high <= 1
    assert bootstrap.ranked_interval(rare(1), range(8), 300) == [0, 1]
    with pytest.raises(InputError, match="has no score"):
        bootstrap.ranked_interval(lambda count: float("nan"), range(60))


def test_few_groups_give_no_interval_of_a_ranked_score_either():
    groups = np.repeat(np.arange(4), 10)
    assert bootstrap.ranked_interval(mean_of(np.arange(40)), groups) is None
    assert bootstrap.ranked_paired(mean_of(np.arange(40)), mean_of(np.ones(40)), groups)[1] is None
    assert bootstrap.ranked_interval(lambda count: 0.7, range(9)) == [0.7, 0.7]


def test_average_precision_lies_in_its_interval_as_often_as_that_says():
    held, error, width = interval_coverage.ranked_coverage(60, 150, draws=200)
    assert held >= 0.92 - 2 * error
    assert width < 0.2


def test_where_few_images_differ_the_interval_ends_by_their_number():
    difference = np.zeros(240)
    difference[7] = -0.25
    middle, (low, high) = bootstrap.paired(difference, np.zeros(240))
    # Clopper and Pearson: of 240 with one that differs, at most 2.3 % do.
    assert -0.0231 < low < -0.0229
    assert low < middle < high
    held = []
    for trial in range(60):
        drawn = np.where(np.random.default_rng(trial).random(240) < 0.02, -0.25, 0.0)
        if drawn.any():
            _, (low, high) = bootstrap.paired(drawn, np.zeros(240), n=200)
            held.append(low <= -0.005 <= high)
    assert np.mean(held) > 0.9


def test_where_all_images_differ_the_interval_is_that_of_the_mean():
    a, b = np.random.default_rng(3).random((2, 60))
    _, made = bootstrap.paired(a, b)
    assert made == bootstrap.interval(a - b, bounds=bootstrap.DIFFERENCES)
