"""Folds hold every image once, keep groups whole, and are alike."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from foldbelt import folds, store
from foldbelt.config import complete
from foldbelt.files import InputError
from foldbelt.folds import grouping, splitting, strata

STRATIFY = ["coverage", "depth", "empty"]


def images_table(count: int = 600, seed: int = 0) -> pd.DataFrame:
    """A table like that of salt tiles: groups of up to 12, four images in ten empty."""
    rng = np.random.default_rng(seed)
    group = rng.integers(0, count // 4, count)
    depth = 50 + 900 * rng.random(count // 4)[group] + 5 * rng.random(count)
    coverage = np.where(rng.random(count) < 0.4, 0.0, rng.beta(1, 2, count))
    table = pd.DataFrame(
        {
            "id": [f"{k:06x}" for k in rng.permutation(2 * count)[:count]],
            "depth": depth,
            "coverage": coverage,
            "empty": (coverage == 0).astype(np.uint8),
            "mosaic": np.where(rng.random(count) < 0.5, -1, group),
        }
    )
    return table


@pytest.mark.parametrize("count", range(2, 11))
def test_every_id_once_groups_whole_and_folds_alike(count: int) -> None:
    table = images_table()
    found = folds.split(table, count, STRATIFY, "mosaic", seed=1)
    assert list(found.columns) == ["id", "fold"]
    assert found["id"].tolist() == table["id"].tolist()
    assert sorted(found["fold"].unique()) == list(range(count))
    table["fold"] = found["fold"]
    grouped = table[table["mosaic"] >= 0]
    assert (grouped.groupby("mosaic")["fold"].nunique() == 1).all()
    by = table.groupby("fold")
    assert by.size().max() - by.size().min() <= 4
    assert np.ptp(by["empty"].mean()) < 0.06
    assert np.ptp(by["coverage"].mean()) < 0.06
    assert np.ptp(by["depth"].mean()) < 60


def test_joint_strata_are_balanced_not_only_each_column() -> None:
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {"id": range(400), "a": rng.integers(0, 4, 400), "b": rng.choice(list("xyz"), 400)}
    )
    table["fold"] = folds.split(table, 5, ["a", "b"], None, 0)["fold"]
    counts = pd.crosstab([table["a"], table["b"]], table["fold"])
    assert (counts.max(axis=1) - counts.min(axis=1)).max() <= 1


@pytest.mark.parametrize("group", ["mosaic", None])
def test_the_order_of_the_rows_does_not_matter(group: str | None) -> None:
    table = images_table()
    shuffled = table.sample(frac=1, random_state=3)
    one = splitting._plan(table, 5, STRATIFY, group, 0).set_index("id")
    other = splitting._plan(shuffled, 5, STRATIFY, group, 0)
    assert other["id"].tolist() == shuffled["id"].tolist()
    pd.testing.assert_frame_equal(other.set_index("id").loc[one.index], one)


def test_the_seed_decides() -> None:
    table = images_table()
    one, again, other = (folds.split(table, 5, STRATIFY, "mosaic", seed) for seed in (0, 0, 1))
    pd.testing.assert_frame_equal(one, again)
    assert (one["fold"] != other["fold"]).mean() > 0.5


@pytest.mark.parametrize("none", [-1, np.nan, "", None])
def test_images_without_a_group_stand_alone(none: object) -> None:
    table = pd.DataFrame({"id": range(40), "group": [none] * 30 + ["a"] * 5 + ["b"] * 5})
    plan = splitting._plan(table, 4, [], "group", 0)
    assert plan["group"].nunique() == 32
    assert plan["fold"].value_counts().tolist() == [10] * 4
    for part in (plan["fold"][30:35], plan["fold"][35:]):
        assert part.nunique() == 1


def test_bins_keep_zero_apart_and_few_values_as_they_are() -> None:
    coverage = np.r_[np.zeros(30), np.linspace(0.01, 1, 70)]
    labels = strata._labels(pd.Series(coverage, name="coverage"))
    assert set(labels[:30]) == {"coverage 0"}
    assert "coverage 0" not in labels[30:]
    assert pd.Series(labels[30:]).value_counts().tolist() == [14] * 5
    assert strata._labels(pd.Series([1.0, 0.5, np.nan], name="a")) == ["a 1", "a 0.5", "a missing"]
    assert strata._labels(pd.Series(["x", None], name="b")) == ["b x", "b missing"]
    times = pd.Series(1_700_000_000 + np.arange(100), name="time")  # alike in their first digits
    assert pd.Series(strata._labels(times)).value_counts().tolist() == [20] * 5


def test_rare_strata_are_merged_from_the_last_column_up() -> None:
    rows = pd.DataFrame({"a": list("xxxxxxxyyyzw"), "b": list("ppppqrspqrpp")})
    labels = strata.of(rows, ["a", "b"], 3)
    assert labels == ["a x, b p"] * 4 + ["a x"] * 3 + ["a y"] * 3 + ["other"] * 2
    assert strata.of(rows, [], 3) == ["all"] * 12


def test_all_wrong_settings_are_named_at_once() -> None:
    table = pd.DataFrame({"id": ["a", "b", "a"], "depth": 1})
    with pytest.raises(InputError) as caught:
        folds.split(table, 1, ["depht", "depth", "cover"], "patient", 0)
    text = str(caught.value)
    for part in ("'depht'", "'cover'", "'patient'", "available: depth", "a: this id occurs 2"):
        assert part in text
    assert "1 folds" in text
    assert "data.series" not in text
    with pytest.raises(InputError, match=r"no column 'series'; .*; data\.series makes it from the"):
        folds.split(table[:2], 2, [], "series", 0)
    assert text.startswith("folds: 5 problems")


def test_more_folds_than_groups_are_refused() -> None:
    table = pd.DataFrame({"id": range(30), "patient": [0, 1, 2] * 10})
    with pytest.raises(InputError, match="30 images in 3 groups cannot be split into 4 folds"):
        folds.split(table, 4, [], "patient", 0)
    assert folds.split(table, 3, [], "patient", 0)["fold"].nunique() == 3


@pytest.mark.parametrize("column", ["empty", "coverage"])
def test_a_fold_without_positives_is_refused(column: str) -> None:
    table = pd.DataFrame({"id": range(50), "empty": 1, "coverage": 0.0})
    table.loc[:3, ["empty", "coverage"]] = [0, 0.2]
    table = table[["id", column]]
    with pytest.raises(InputError, match=r"no positive image in fold \d of 5 \(4 of 50"):
        folds.split(table, 5, [column], None, 0)
    assert folds.split(table, 4, [column], None, 0)["fold"].nunique() == 4


def data(folder: Path, count: int = 40) -> Path:
    """Images of which 10 and 11, 11 and 12 are copies, and the last eight are black."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, (count, 6, 5), dtype=np.uint8)
    images[11] = images[12] = images[10]
    images[-8:] = 0
    table = images_table(count)
    table["mosaic"] = -7  # the file's own column gives way to the mosaics found
    store.write(folder / "train.h5", {"image": images}, table)
    return folder / "train.h5"


def test_a_run_keeps_mosaics_and_copies_together(tmp_path: Path) -> None:
    train = data(tmp_path)
    ids = store.table(train)["id"].tolist()
    mosaic = np.full(len(ids), -1)
    mosaic[[0, 10]] = 3  # through a copy, 0 belongs to 12
    others = pd.DataFrame({"id": ["t"], "mosaic": 3})
    table = pd.concat([pd.DataFrame({"id": ids, "mosaic": mosaic})[::-1], others])
    table.to_csv(tmp_path / "mosaic.csv", index=False)
    spec = complete("folds", {"count": 4, "stratify": ["coverage"], "group": "mosaic", "seed": 0})
    folds.run(train, tmp_path / "mosaic.csv", spec, tmp_path / "folds.csv")

    found = pd.read_csv(tmp_path / "folds.csv", dtype={"id": str})
    assert list(found.columns) == ["id", "fold", "strata", "group"]
    assert found["id"].tolist() == ids
    together = found.iloc[[0, 10, 11, 12]]
    assert together["group"].nunique() == together["fold"].nunique() == 1
    assert found["group"].nunique() == len(ids) - 3  # black images are no copies
    held = [folds.ids_of(tmp_path / "folds.csv", fold) for fold in range(4)]
    assert sorted(name for part in held for name in part) == sorted(ids)
    assert held[1] == found.loc[found["fold"] == 1, "id"].tolist()

    balance = folds.balance(tmp_path / "folds.csv", train)
    assert balance["images"].sum() == len(ids)
    assert balance["groups"].sum() == len(ids) - 3
    whole = store.table(train)
    for name in ("empty", "coverage", "depth"):
        assert np.average(balance[name], weights=balance["images"]) == pytest.approx(
            whole[name].mean()
        )


@pytest.mark.parametrize("sample", [60, 200, 599, 5000])
def test_a_sample_is_of_whole_groups_and_split_as_a_table_of_its_own(sample: int) -> None:
    table = images_table()
    whole = splitting._plan(table, 3, STRATIFY, "mosaic", 1).set_index("id")
    plan = splitting._plan(table, 3, STRATIFY, "mosaic", 1, sample=sample)
    drawn = table[table["id"].isin(plan["id"])]
    assert plan["id"].tolist() == drawn["id"].tolist()
    assert abs(len(plan) - min(sample, 600)) <= 6
    grouped = table[table["mosaic"] >= 0]
    inside = grouped["id"].isin(plan["id"]).groupby(grouped["mosaic"]).mean()
    assert set(inside) <= {0, 1}
    kept = whole.loc[plan["id"], "group"]
    assert kept.tolist() == plan["group"].tolist()
    alone = folds.split(drawn, 3, STRATIFY, "mosaic", 1)
    assert alone["fold"].tolist() == plan["fold"].tolist()
    if sample == 5000:
        assert plan.set_index("id").equals(whole)


def test_a_sample_is_drawn_at_random_and_by_the_seed_alone() -> None:
    table = images_table()
    shuffled = table.sample(frac=1, random_state=3)

    def drawn(of: pd.DataFrame, seed: int) -> set[str]:
        return set(splitting._plan(of, 3, [], "mosaic", seed, sample=200)["id"])

    assert drawn(table, 0) == drawn(shuffled, 0) != drawn(table, 1)
    groups = splitting._join([grouping.keys(table, "mosaic")], len(table))
    taken = np.array([np.isin(groups, splitting._sample(groups, 200, seed)) for seed in range(200)])
    assert np.abs(taken.mean(axis=0) - 1 / 3).max() < 0.15  # each image in a third of the samples
    large = np.bincount(groups)[groups] > 3
    assert abs(taken[:, large].mean() - 1 / 3) < 0.02  # large groups as often as small ones


def test_a_run_writes_the_sample_alone(tmp_path: Path) -> None:
    train = data(tmp_path)
    spec = complete("folds", {"count": 3, "stratify": [], "group": None, "seed": 0})
    folds.run(train, None, {**spec, "sample": None}, tmp_path / "all.csv")
    folds.run(train, None, spec, tmp_path / "plain.csv")
    assert (tmp_path / "all.csv").read_bytes() == (tmp_path / "plain.csv").read_bytes()
    copies = set(store.table(train)["id"][10:13])
    for seed in range(6):
        folds.run(train, None, {**spec, "sample": 15, "seed": seed}, tmp_path / "folds.csv")
        ids = pd.read_csv(tmp_path / "folds.csv", dtype={"id": str})["id"]
        assert 14 <= len(ids) <= 16
        assert len(copies & set(ids)) in (0, 3)
        assert folds.balance(tmp_path / "folds.csv", train)["images"].sum() == len(ids)
    with pytest.raises(InputError, match="2 images in 2 groups cannot be split into 3"):
        folds.run(train, None, {**spec, "sample": 2}, tmp_path / "folds.csv")


def test_near_copies_stay_together_on_demand(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(60, 200, (40, 30, 50)).astype(np.uint8)
    images[11] = images[10]
    for place in (20, 21):  # nearly copies of 5
        images[place] = np.clip(images[5] + rng.normal(0, 2, (30, 50)), 0, 255)
    images[-4:] = 0
    table = images_table(40)
    train = tmp_path / "train.h5"
    store.write(train, {"image": images}, table)
    spec = complete("folds", {"count": 3, "stratify": ["coverage"], "group": None, "seed": 0})

    def plan(**keys: object) -> tuple[bytes, pd.DataFrame]:
        folds.run(train, None, {**spec, **keys}, tmp_path / "folds.csv")
        return (tmp_path / "folds.csv").read_bytes(), pd.read_csv(tmp_path / "folds.csv")

    before, found = plan()
    assert plan(duplicate_distance=None, first_fold_by=None)[0] == before
    assert found["group"].nunique() == 39
    _, found = plan(duplicate_distance=8)
    assert found["group"].nunique() == 37
    for together in ([5, 20, 21], [10, 11]):
        assert found["group"][together].nunique() == 1
        assert found["fold"][together].nunique() == 1
    assert found["group"][36:].nunique() == 4  # black images are no copies


def test_a_picture_that_many_images_are_stays_in_one_fold(tmp_path: Path) -> None:
    """To the second look it is what many share; that the files are equal says enough."""
    rng = np.random.default_rng(0)
    images = rng.integers(60, 200, (40, 30, 50)).astype(np.uint8)
    images[::3] = images[0]
    store.write(tmp_path / "train.h5", {"image": images}, images_table(40))
    spec = complete(
        "folds", {"count": 2, "stratify": [], "group": None, "seed": 0, "duplicate_distance": 8}
    )
    folds.run(tmp_path / "train.h5", None, spec, tmp_path / "folds.csv")
    assert pd.read_csv(tmp_path / "folds.csv")["group"][::3].nunique() == 1


def test_near_copies_join_what_the_scheme_groups(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(60, 200, (12, 30, 50)).astype(np.uint8)
    images[7] = np.clip(images[2] + rng.normal(0, 2, (30, 50)), 0, 255)
    table = pd.DataFrame({"id": [f"{k:02}" for k in range(12)], "series": list("aabbccddeeff")})
    store.write(tmp_path / "train.h5", {"image": images}, table)
    spec = complete(
        "folds", {"count": 2, "stratify": [], "group": "series", "seed": 0, "duplicate_distance": 8}
    )
    folds.run(tmp_path / "train.h5", None, spec, tmp_path / "folds.csv")
    found = pd.read_csv(tmp_path / "folds.csv")
    assert found["group"].nunique() == 5
    assert found["group"][[2, 3, 6, 7]].nunique() == 1


@pytest.mark.parametrize("count", [2, 3, 5])
def test_the_highest_groups_come_first(count: int) -> None:
    table = images_table()
    table["rank"] = np.random.default_rng(4).random(len(table))
    plan = splitting._plan(table, count, STRATIFY, "mosaic", 1, first="rank")
    assert sorted(plan["fold"].unique()) == list(range(count))
    assert abs((plan["fold"] == 0).sum() - 600 / count) <= 6
    means = table["rank"].groupby(plan["group"].to_numpy()).mean()
    fold = plan.groupby("group")["fold"].agg(["first", "nunique"])
    assert (fold["nunique"] == 1).all()
    held = fold["first"] == 0
    assert means[held].min() >= means[~held].max()
    others = plan[plan["fold"] > 0]
    assert others["fold"].value_counts().max() - others["fold"].value_counts().min() <= 4
    shuffled = table.sample(frac=1, random_state=3)
    again = splitting._plan(shuffled, count, STRATIFY, "mosaic", 1, first="rank").set_index("id")
    pd.testing.assert_frame_equal(again.loc[plan["id"]], plan.set_index("id"))


def test_folds_after_the_first_are_dealt_as_a_table_of_their_own() -> None:
    table = images_table()
    table["rank"] = np.random.default_rng(4).random(len(table))
    plan = splitting._plan(table, 4, STRATIFY, "mosaic", 1, first="rank")
    rest = table[(plan["fold"] > 0).to_numpy()]
    alone = folds.split(rest, 3, STRATIFY, "mosaic", 1)
    by = rest.assign(fold=plan.loc[plan["fold"] > 0, "fold"].to_numpy()).groupby("fold")
    assert np.ptp(by["empty"].mean()) < 0.06
    assert alone["fold"].nunique() == by.ngroups == 3


def test_values_that_are_missing_come_last_and_every_fold_has_a_group() -> None:
    table = pd.DataFrame({"id": range(6), "rank": [np.nan, 5, 4, 3, 2, 1.0]})
    assert splitting._plan(table, 2, [], None, 0, first="rank")["fold"].tolist() == [
        1,
        0,
        0,
        0,
        1,
        1,
    ]
    few = pd.DataFrame({"id": range(9), "g": list("abccccccc"), "rank": [9, 8.0] + [1] * 7})
    assert splitting._plan(few, 3, [], "g", 0, first="rank")["fold"].tolist()[0] == 0
    large = pd.DataFrame({"id": range(9), "g": list("aaaaaaabc"), "rank": [9.0] * 7 + [2, 1]})
    found = splitting._plan(large, 3, [], "g", 0, first="rank")["fold"]
    assert found[:7].tolist() == [0] * 7
    assert set(found[7:]) == {1, 2}


def test_a_column_that_cannot_come_first_is_named() -> None:
    table = images_table().assign(word="x")
    with pytest.raises(InputError, match="first: the column 'word' holds no numbers"):
        splitting._plan(table, 3, [], None, 0, first="word")
    with pytest.raises(InputError, match="first: there is no column 'test_likeness'"):
        splitting._plan(table, 3, [], None, 0, first="test_likeness")


def test_the_test_likeness_can_come_first_and_be_balanced(tmp_path: Path) -> None:
    train = data(tmp_path)
    ids = store.table(train)["id"].tolist()
    likeness = np.linspace(0, 1, len(ids))
    table = pd.DataFrame({"id": ids, "part": "train", "test_likeness": likeness})
    other = pd.DataFrame({"id": ["t"], "part": "test", "test_likeness": 1.0})
    pd.concat([other, table[::-1]]).to_csv(tmp_path / "adversarial.csv", index=False)
    spec = complete("folds", {"count": 4, "stratify": ["test_likeness"], "group": None, "seed": 0})
    spec["first_fold_by"] = "test_likeness"
    likely = tmp_path / "adversarial.csv"
    folds.run(train, None, spec, tmp_path / "folds.csv", likely)
    found = pd.read_csv(tmp_path / "folds.csv")
    assert set(np.flatnonzero(found["fold"] == 0)) == set(range(30, 40))
    assert found["strata"].str.startswith("test_likeness").sum() == 39  # but that of zero
    with pytest.raises(InputError, match="no column 'test_likeness'"):
        folds.run(train, None, spec, tmp_path / "folds.csv")
    table[3:].to_csv(likely, index=False)
    with pytest.raises(InputError, match=r"adversarial\.csv: 3 problems"):
        folds.run(train, None, spec, tmp_path / "folds.csv", likely)


def test_a_run_without_mosaics(tmp_path: Path) -> None:
    train = data(tmp_path)
    spec = complete("folds", {"count": 3, "stratify": [], "group": None, "seed": 0})
    folds.run(train, None, spec, tmp_path / "folds.csv")
    with pytest.raises(InputError, match="there is no fold 3, only 0, 1, 2"):
        folds.ids_of(tmp_path / "folds.csv", 3)
    with pytest.raises(InputError, match="no table of mosaics was given"):
        folds.run(train, None, {**spec, "group": "mosaic"}, tmp_path / "folds.csv")
    (tmp_path / "mosaic.csv").write_text("id,mosaic\n")
    with pytest.raises(InputError, match=r"mosaic\.csv: 40 problems"):
        folds.run(
            train, tmp_path / "mosaic.csv", {**spec, "group": "mosaic"}, tmp_path / "folds.csv"
        )


def test_images_of_which_nothing_is_known_take_no_part(tmp_path, capsys):
    ids = [f"i{number:02}" for number in range(20)]
    table = pd.DataFrame({"id": ids, "empty": [0, 1] * 10, "known": [1.0] * 17 + [0.3, 0.0, 0.0]})
    images = np.random.default_rng(0).integers(0, 255, (20, 8, 8)).astype(np.uint8)
    store.write(tmp_path / "train.h5", {"image": images, "mask": images % 2}, table)
    scheme = complete("folds", {"count": 2, "stratify": [], "group": None})
    folds.run(tmp_path / "train.h5", None, scheme, tmp_path / "folds.csv")
    made = pd.read_csv(tmp_path / "folds.csv")
    assert made["id"].tolist() == ids[:18]
    assert (
        "2 of 20 images have no pixel whose truth is known, such as i18" in capsys.readouterr().out
    )


@pytest.mark.parametrize("none", ["NA", " nan", "None", "n/a", "-1"])
def test_words_for_nothing_are_no_group(none: str) -> None:
    table = pd.DataFrame({"id": range(12), "group": [none] * 6 + ["a"] * 3 + ["b"] * 3})
    assert splitting._plan(table, 3, [], "group", 0)["group"].nunique() == 8


def test_missing_groups_are_told_or_refused(capsys: pytest.CaptureFixture) -> None:
    table = pd.DataFrame({"id": ["p", "q", "r"], "patient": ["A", "", "B"]})
    grouping.tell_missing(table, "patient", "alone")
    assert "1 of 3 images, such as q, have no patient" in capsys.readouterr().out
    with pytest.raises(InputError, match="group_missing: alone"):
        grouping.tell_missing(table, "patient", "error")


@pytest.mark.parametrize("group", [None, "patient"])
def test_images_that_share_an_answer_stay_in_one_fold_whatever_the_group(
    tmp_path: Path, group: str | None
) -> None:
    """A study in two folds would be scored by models that learnt its class from a sibling."""
    study = np.repeat([f"s{number}" for number in range(20)], 3)
    table = pd.DataFrame({"id": [f"{k:02}" for k in range(60)], "study": study, "patient": "NA"})
    images = np.random.default_rng(0).integers(0, 256, (60, 8, 8), np.uint8)
    attrs = {"label_levels": {"study": ["a"]}}
    store.write(tmp_path / "train.h5", {"image": images}, table, attrs)
    scheme = complete("folds", {"group": group, "stratify": []})
    folds.run(tmp_path / "train.h5", None, scheme, tmp_path / "folds.csv")
    made = pd.read_csv(tmp_path / "folds.csv", dtype={"id": str})
    assert (made.groupby(study)["fold"].nunique() == 1).all()
    assert made["group"].nunique() == 20
