"""Bootstrap intervals."""

from pathlib import Path

import numpy as np
import pytest

from foldbelt import bootstrap
from foldbelt.files import InputError


def test_groups_are_drawn_whole():
    values = np.repeat([0.0, 1.0], 500)
    alone = bootstrap.interval(values, seed=1)
    together = bootstrap.interval(values, np.repeat(["a", "b"], 500), seed=1)
    assert 0.45 < alone[0] < alone[1] < 0.55
    assert together == (0, 1)  # draws of two groups: means 0, 1/2 or 1


def test_images_count_equally_whatever_their_group():
    values, groups = np.repeat([0.0, 1.0], [1, 9]), np.repeat([0, 1], [1, 9])
    draws = bootstrap._draws(values, groups, 4000, 0)
    assert set(np.round(draws, 6)) == {0, 0.9, 1}  # not the mean of group means, .5


def test_covers_the_true_mean_about_as_often_as_it_says():
    random = np.random.default_rng(0)
    inside = 0
    for seed in range(200):
        low, high = bootstrap.interval(random.normal(size=60), n=400, seed=seed)
        inside += low <= 0 <= high
    assert -0.07 <= inside / 200 - bootstrap.LEVEL <= 0.035


def test_pairing_removes_what_both_share():
    random = np.random.default_rng(0)
    shared = random.normal(size=300)
    a, b = shared + 0.1 + random.normal(scale=0.01, size=300), shared
    difference, low, high = bootstrap.paired(a, b, seed=3)
    assert difference == pytest.approx(np.mean(a - b))
    assert 0.09 < low < difference < high < 0.11
    assert bootstrap.paired(b, a, seed=3)[0] == -difference


def test_same_seed_same_interval_in_any_blocks(monkeypatch):
    values = np.random.default_rng(0).random(5000)
    one = bootstrap.interval(values, n=300, seed=5)
    monkeypatch.setattr(bootstrap, "BLOCK", 10**4)
    assert bootstrap.interval(values, n=300, seed=5) == one
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
    root = Path(bootstrap.__file__).parents[1]
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
