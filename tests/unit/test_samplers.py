"""Samplers: who takes part in an epoch, how often, and that the seed alone decides."""

import numpy as np
import pandas as pd
import pytest
from training import settings

from foldbelt.train import samplers

PARTS = (1, "m", 0, 0, "s")
EVERYTHING = {"empty": True, "black": True, "vertical": 1, "min_area": 0}
RANDOM = {"name": "random", "share": 0.5, "strength": 1}


def images(count: int = 60) -> pd.DataFrame:
    """A third empty, of which some are black; some small, some vertical."""
    area = np.where(np.arange(count) % 3 == 0, 0, 5 + 7 * np.arange(count))
    table = pd.DataFrame({"area": area, "black": np.arange(count) % 12 == 0})
    table["vertical"] = (np.arange(count) % 5 == 1) & (area > 0)
    return table.set_axis([f"t{number:03d}" for number in range(count)])


def asked(keep: dict | None = None, sampler: dict | None = None) -> dict:
    """What a stage's `images` and `sampler` say."""
    stage = settings(images=keep or {}, sampler=sampler or {})
    return {"keep": stage.images, "sampler": stage.sampler}


def needs_images(**how) -> bool:
    return samplers.needs_images(**asked(**how))


def draw(
    epoch: int = 0, true: int = 60, pseudo: int = 0, ratio: float = 1.0, parts=PARTS, **how
) -> np.ndarray:
    how |= asked(how.pop("keep", None), how.pop("sampler", None))
    return samplers.epoch_rows(true, pseudo, ratio, epoch, parts, **how)


def test_random_is_the_order_that_it_always_was():
    # Of the first release: another order would change every model.
    assert draw(0, 7, 4, 0.5).tolist() == [9, 10, 0, 1, 7, 6, 3, 4, 2, 5, 8]
    plain = draw(3, 60, 20, 0.2)
    for how in ({"keep": EVERYTHING}, {"sampler": RANDOM}, {"keep": {}, "images": images()}):
        assert np.array_equal(draw(3, 60, 20, 0.2, **how), plain)


@pytest.mark.parametrize("sampler", [RANDOM, {"name": "balanced"}, {"name": "hard"}])
def test_the_seed_and_the_epoch_decide(sampler):
    how = {"images": images(), "sampler": sampler, "errors": np.arange(1.0, 61)}
    first = draw(2, pseudo=20, **how)
    assert np.array_equal(draw(2, pseudo=20, **how), first)
    assert not np.array_equal(draw(3, pseudo=20, **how), first)
    other = draw(2, 60, 20, parts=(2, *PARTS[1:]), **how)
    assert not np.array_equal(other, first)
    alike = sorted(other[other < 60]) == sorted(first[first < 60])
    assert alike == (sampler["name"] == "random")  # who comes twice is drawn, too
    assert first.dtype == np.int64


@pytest.mark.parametrize(
    ("keep", "out"),
    [
        ({"empty": False}, lambda table: table["area"] == 0),
        ({"black": False}, lambda table: table["black"]),
        ({"vertical": 0}, lambda table: table["vertical"]),
        ({"min_area": 61}, lambda table: table["area"].between(1, 60)),
        (
            {"empty": False, "vertical": 0, "min_area": 12},
            lambda table: (table["area"] < 12) | table["vertical"],
        ),
    ],
)
def test_what_is_left_out_comes_in_no_epoch(keep, out):
    table = images()
    left = set(np.flatnonzero(~out(table)))
    assert 0 < len(left) < 60
    for epoch in range(3):
        rows = draw(epoch, images=table, keep=keep, pseudo=100, ratio=0.5)
        assert sorted(rows[rows < 60]) == sorted(left)
        assert len(rows) == len(left) + round(0.5 * len(left))
        assert needs_images(keep={**EVERYTHING, **keep})


def test_vertical_masks_take_part_with_their_probability():
    table = images()
    vertical = np.flatnonzero(table["vertical"])
    epochs = [set(draw(e, images=table, keep={"vertical": 0.3})) for e in range(300)]
    shares = np.array([[row in epoch for epoch in epochs] for row in vertical])
    assert np.abs(shares.mean(axis=1) - 0.3).max() < 0.1  # each of them now and then
    assert abs(shares.mean() - 0.3) < 0.02
    assert np.abs(np.corrcoef(shares) - np.eye(len(vertical))).max() < 0.3  # by itself
    assert all(set(range(60)) - epoch <= set(vertical) for epoch in epochs)
    # by its name, whatever else is in the table
    part = table.iloc[vertical]
    for epoch in range(5):
        alone = draw(epoch, len(part), images=part, keep={"vertical": 0.3})
        assert set(vertical[alone]) == epochs[epoch] & set(vertical)


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_balanced_holds_the_share_and_repeats_evenly(share):
    table = images()
    seen = np.zeros(60, int)
    for epoch in range(20):
        rows = draw(epoch, images=table, sampler={"name": "balanced", "share": share})
        assert len(rows) == 60
        positive = table["area"].to_numpy()[rows] > 0
        assert positive.sum() == round(60 * share)
        assert np.flatnonzero(np.diff(positive.astype(int))).size > 1  # shuffled
        counts = np.bincount(rows, minlength=60)
        for kind in (table["area"] > 0, table["area"] == 0):
            assert np.ptp(counts[kind.to_numpy()]) <= 1
        seen += counts
    assert seen.min() > 0


def test_balanced_with_one_kind_takes_all():
    sampler = {"name": "balanced", "share": 0.5}
    rows = draw(images=images(), sampler=sampler, keep={"empty": False})
    assert sorted(rows) == np.flatnonzero(images()["area"]).tolist()
    assert needs_images(sampler=sampler)
    assert not needs_images(sampler=RANDOM, keep=EVERYTHING)
    assert not needs_images(sampler={"name": "hard"})


def many(count: int = 60) -> pd.DataFrame:
    """Half of the images without a mask; of the others 20 show class 0, 8 class 1, 4 class 3."""
    table = images(count).assign(area=0, area0=0, area1=0, area2=0, area3=0)
    table.iloc[:20, table.columns.get_loc("area0")] = 9
    table.iloc[18:26, table.columns.get_loc("area1")] = 7  # two show both
    table.iloc[26:30, table.columns.get_loc("area3")] = 5
    return table.assign(area=table.filter(regex=r"area\d").sum(axis=1))


def test_balanced_by_class_draws_as_many_for_every_class_there_is():
    table = many()
    kinds = [table[f"area{k}"].to_numpy() > 0 for k in (0, 1, 3)]
    seen = np.zeros(60, int)
    for epoch in range(60):
        how = {"name": "balanced", "share": 0.6, "classes": True}
        rows = draw(epoch, images=table, sampler=how)
        assert len(rows) == 60
        counts = np.bincount(rows, minlength=60)
        assert counts[30:].sum() == 24  # 0.4 of 60 without a mask
        assert np.ptp(counts[30:]) <= 1
        for kind, both in zip(kinds, (2, 2, 0), strict=True):
            # 12 for each class, and what is drawn for another class and shows this one, too
            assert 12 <= counts[kind].sum() <= 12 + 2 * both
        assert np.ptp(counts[kinds[2]]) <= 1
        assert np.array_equal(draw(epoch, images=table, sampler=how), rows)
        seen += counts
    assert seen.min() > 0
    drawn = [seen[kind].sum() / 60 for kind in kinds]
    assert drawn[2] == 12
    plain = {"name": "balanced", "share": 0.6}
    rows = np.concatenate([draw(e, images=table, sampler=plain) for e in range(20)])
    assert np.isin(rows, np.flatnonzero(kinds[2])).sum() / 20 < 6  # what it would be without


def test_balanced_by_class_of_one_class_or_positives_alone():
    table = images().assign(area0=images()["area"])
    by_class = {"name": "balanced", "share": 0.5, "classes": True}
    plain = {"name": "balanced", "share": 0.5}
    assert np.array_equal(draw(images=table, sampler=by_class), draw(images=table, sampler=plain))
    rows = draw(images=many(), sampler=by_class, keep={"empty": False})
    counts = np.bincount(rows, minlength=60)
    assert counts.sum() == 30
    assert counts[26:30].sum() == 10


@pytest.mark.parametrize("strength", [0.5, 1, 2])
def test_hard_samples_come_in_proportion_to_their_error(strength):
    errors = np.random.default_rng(0).gamma(1.0, size=60) + 0.05
    expected = errors**strength / (errors**strength).sum() * 60
    total = np.zeros(60)
    for epoch in range(200):
        rows = draw(epoch, errors=errors, sampler={"name": "hard", "strength": strength})
        assert len(rows) == 60
        counts = np.bincount(rows, minlength=60)
        assert (counts >= np.floor(expected)).all()
        assert (counts <= np.ceil(expected)).all()
        total += counts
    assert np.abs(total / 200 - expected).max() < 0.12
    hard = {"name": "hard", "strength": strength}  # where proportions alone count
    scaled = draw(errors=errors * 1e250, sampler=hard)
    assert np.array_equal(scaled, draw(errors=errors, sampler=hard))


def test_the_draw_of_hard_samples_is_fair():
    hard = {"name": "hard", "strength": 1}
    two = [np.bincount(draw(e, 2, errors=np.array([1.0, 4]), sampler=hard)) for e in range(400)]
    assert np.abs(np.mean([counts[0] for counts in two]) - 0.4) < 0.08
    # and neighbours in the table do not stand in for each other
    errors = np.repeat([1.0, 3.0], 30)
    pairs = [np.isin(draw(e, errors=errors, sampler=hard), [0, 1]).sum() for e in range(50)]
    assert set(pairs) == {0, 1, 2}


def test_equal_errors_or_no_strength_take_each_once():
    hard = {"name": "hard", "strength": 1}
    for errors, strength in ((np.full(60, 3.0), 1), (np.arange(60.0), 0), (np.zeros(60), 1)):
        rows = draw(errors=errors, sampler={**hard, "strength": strength})
        assert sorted(rows) == list(range(60))


def test_an_image_without_error_and_one_left_out_do_not_come():
    errors = np.arange(60.0)
    table = images()
    rows = draw(errors=errors, sampler={"name": "hard"}, images=table, keep={"empty": False})
    kept = np.flatnonzero(table["area"])
    assert set(rows) <= set(kept)
    assert len(rows) == len(kept)
    assert 0 not in draw(errors=errors, sampler={"name": "hard"})
    errors[:], errors[41] = 1, 19
    rows = draw(errors=errors, sampler={"name": "hard"}, images=table, keep={"empty": False})
    assert 12 <= (rows == 41).sum() <= 14  # 40 · 19 / 58


def test_train_on_takes_one_kind_where_there_are_two():
    both, truth, pseudo = (
        draw(1, pseudo=30, ratio=0.25, train_on=kind) for kind in ("mixed", "truth", "pseudo")
    )
    assert sorted(truth) == list(range(60))
    assert (pseudo >= 60).all()
    assert sorted([*truth, *pseudo]) == sorted(both)
    assert len(pseudo) == 15
    for kind in ("mixed", "truth", "pseudo"):  # a round without pseudo-labels
        assert np.array_equal(draw(1, train_on=kind), draw(1))


def test_what_is_needed_must_be_given():
    with pytest.raises(ValueError, match="what is in the 60 images is missing"):
        draw(keep={"empty": False})
    with pytest.raises(ValueError, match="or another's"):
        draw(images=images(30), sampler={"name": "balanced"})
    with pytest.raises(ValueError, match="errors of the 60 images are missing"):
        draw(sampler={"name": "hard"})
    with pytest.raises(ValueError, match="or others'"):
        draw(sampler={"name": "hard"}, errors=np.ones(59))
