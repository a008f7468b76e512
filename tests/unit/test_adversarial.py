"""Telling training from test images: honest where they are alike, sure where they are not."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from test_config import changed
from test_scores import finished

from foldbelt import adversarial, bootstrap, config, folds, store
from foldbelt.adversarial import separating
from foldbelt.evaluate import scores
from foldbelt.files import InputError
from foldbelt.report import adversarial as figure

SPEC = {"folds": 4}


def part(
    path: Path, count: int, seed: int, bright: float = 0, order: Any = None, **columns: Any
) -> str:
    """Write noisy tiles of random brightness and lighting, as ids in their order or another."""
    random = np.random.default_rng(seed)
    level = random.normal(120, 10, (count, 1, 1)) + bright
    slope = random.normal(0, 10, (count, 1, 1)) * np.linspace(-1, 1, 24)
    images = (level + slope + random.normal(0, 8, (count, 24, 24))).clip(0, 255).astype(np.uint8)
    table = pd.DataFrame({"id": [f"{path.stem}{k:03d}" for k in range(count)], **columns})
    order = np.arange(count) if order is None else order
    store.write(path, {"image": images[order]}, table.iloc[order])
    return str(path)


def judged(root: Path, train: str, test: str, **how: Any) -> tuple[pd.DataFrame, dict[str, Any]]:
    csv, report = root / "adversarial.csv", root / "adversarial.json"
    adversarial.run(train, test, SPEC, how.pop("seed", 0), csv, report, **how)
    return pd.read_csv(csv, dtype={"id": str}), json.loads(report.read_text())


def test_images_that_are_alike_cannot_be_told_apart(tmp_path: Path) -> None:
    train = part(tmp_path / "train.h5", 200, 0)
    test = part(tmp_path / "test.h5", 40, 1)
    table, found = judged(tmp_path, train, test)
    low, high = found["interval"]
    assert low <= 0.5 <= high
    assert abs(found["accuracy"] - 0.5) < 0.12
    # The prior is one half, not 40 of 240.
    assert table["test_likeness"].mean() == pytest.approx(0.5, abs=0.06)
    assert figure.title(found).startswith("Training and test images cannot be told apart")


@pytest.mark.parametrize("bright", [45, -45])
def test_a_planted_difference_is_found_and_named(tmp_path: Path, bright: float) -> None:
    train = part(tmp_path / "train.h5", 150, 0)
    test = part(tmp_path / "test.h5", 60, 1, bright=bright)
    table, found = judged(tmp_path, train, test)
    assert found["auc"] > 0.97
    assert found["accuracy"] > 0.9
    first = found["features"][0]
    assert first["name"] in ("mean", "q25", "q50", "q75")
    assert first["higher_in"] == ("test" if bright > 0 else "train")
    assert first["auc_alone"] > 0.97
    assert first["test"] - first["train"] == pytest.approx(bright, abs=6)
    alone = [row["auc_alone"] for row in found["features"]]
    assert alone == sorted(alone, reverse=True)
    by_part = table.groupby("part")["test_likeness"].mean()
    assert by_part["test"] > by_part["train"] + 0.3


def test_a_column_of_the_table_is_looked_at_but_never_the_truth(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    own = {"depth": random.normal(0, 1, 90), "coverage": random.random(90), "empty": 0}
    train = part(tmp_path / "train.h5", 90, 0, **own, note="a", once=random.random(90))
    later = {"depth": random.normal(4, 1, 60), "coverage": 5.0, "empty": 1, "note": "b"}
    test = part(tmp_path / "test.h5", 60, 1, **later)
    _, found = judged(tmp_path, train, test)
    names = [row["name"] for row in found["features"]]
    assert names[0] == "table: depth"
    assert found["features"][0]["importance"] == max(r["importance"] for r in found["features"])
    assert [name for name in names if name.startswith("table: ")] == ["table: depth"]


def test_images_of_other_sizes_are_compared_by_what_both_have(tmp_path: Path) -> None:
    train = part(tmp_path / "train.h5", 8, 0)
    images = np.random.default_rng(0).integers(0, 255, (8, 96, 96)).astype(np.uint8)
    store.write(tmp_path / "test.h5", {"image": images}, pd.DataFrame({"id": list("abcdefgh")}))
    seen = adversarial.observe(train, tmp_path / "test.h5")
    assert "detail_down_2px" in seen
    assert "detail_down_16px" not in seen
    assert seen.notna().all(axis=None)


def test_every_image_once_in_the_files_order_whatever_that_is(tmp_path: Path) -> None:
    train = part(tmp_path / "train.h5", 60, 0)
    test = part(tmp_path / "test.h5", 30, 1)
    one, first = judged(tmp_path, train, test)
    assert one["id"].tolist() == [*store.table(train)["id"], *store.table(test)["id"]]
    assert one["part"].tolist() == ["train"] * 60 + ["test"] * 30
    assert one["test_likeness"].between(0, 1).all()
    shuffled = np.random.default_rng(5).permutation(60)
    train = part(tmp_path / "train.h5", 60, 0, order=shuffled)
    other, second = judged(tmp_path, train, test, threads=3)
    assert first == second
    assert other["id"].tolist() != one["id"].tolist()
    pd.testing.assert_frame_equal(
        other.sort_values("id", ignore_index=True), one.sort_values("id", ignore_index=True)
    )
    another, _ = judged(tmp_path, train, test, seed=1)
    assert (another["test_likeness"] != other["test_likeness"]).mean() > 0.5


def test_a_series_is_never_judged_by_its_own_images(tmp_path: Path) -> None:
    # Each series has its own look and lies in one part only: known images would give it away.
    random = np.random.default_rng(2)
    series = np.repeat(np.arange(40), 12)
    is_test = (random.permutation(40) < 20)[series]
    values = (random.normal(size=(40, 60)))[series] + 0.1 * random.normal(size=(480, 60))
    together = separating.judge(values, is_test, series, 5, 0)[0]
    apart = separating.judge(values, is_test, np.arange(480), 5, 0)[0]
    assert separating.auc(apart, is_test) > 0.95
    low, high = separating.auc_interval(together, is_test, series, 0, 5)
    assert low < 0.5 < high
    assert high - low > 0.15, "forty series tell little, however many images they have"


def test_copies_and_series_are_one_group(tmp_path: Path) -> None:
    train = part(tmp_path / "train.h5", 6, 0, series=["a", "a", "b", "", "", "c"])
    images = store.read(train, "image")
    images = np.concatenate([images[5:], images[:1] + 1, images[:1] + 2])
    table = pd.DataFrame({"id": ["x", "y", "z"], "series": ["b", "", "d"]})
    store.write(tmp_path / "test.h5", {"image": images}, table)
    group = adversarial.observe(train, tmp_path / "test.h5")["group"].tolist()
    expected = [0, 0, 1, 2, 3, 1, 1, 4, 5]  # the copy of c lies in b, which joins them
    assert pd.factorize(np.array(group))[0].tolist() == expected


def test_the_interval_holds_the_area_and_is_one_of_ranks() -> None:
    random = np.random.default_rng(0)
    is_test = random.random(400) < 0.3
    values = random.normal(size=400) + is_test
    found = separating.auc(values, is_test)
    pairs = values[is_test][:, None] - values[~is_test]
    assert found == pytest.approx((pairs > 0).mean())
    assert separating.auc(np.round(values), is_test) == pytest.approx(
        ((a := np.round(values))[is_test][:, None] > a[~is_test]).mean()
        + (a[is_test][:, None] == a[~is_test]).mean() / 2
    )
    low, high = separating.auc_interval(values, is_test, np.arange(400), 0)
    assert low < found < high
    assert (low, high) == separating.auc_interval(np.exp(values), is_test, np.arange(400), 0)
    assert high - low == pytest.approx(0.1, abs=0.05)
    wide = separating.auc_interval(values, is_test, np.arange(400), 0, folds=5)
    assert np.subtract(wide, found) == pytest.approx(1.5 * np.subtract([low, high], found))


def test_missing_values_are_borne() -> None:
    random = np.random.default_rng(0)
    is_test = np.arange(120) < 50
    values = random.normal(size=(120, 3)) + is_test[:, None]
    values[::4, 0] = np.nan
    values[:, 1] = np.nan
    likeness, importance, _ = separating.judge(values, is_test, np.arange(120), 3, 0)
    assert separating.auc(likeness, is_test) > 0.7
    assert importance[1] == 0


def test_many_images_are_judged_by_trees(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(separating, "FEW", 100)
    random = np.random.default_rng(0)
    is_test = np.arange(500) < 200
    values = random.normal(size=(500, 2))
    values[is_test, 0] *= 0.2  # no line separates these
    likeness, importance, _ = separating.judge(values, is_test, np.arange(500), 3, 0)
    assert separating.auc(likeness, is_test) > 0.75
    assert importance[0] > 0.2 > abs(importance[1])


def test_without_test_images_it_says_what_to_change(tmp_path: Path) -> None:
    train = part(tmp_path / "train.h5", 20, 0)
    store.write(
        tmp_path / "test.h5",
        {"image": np.zeros((0, 24, 24), np.uint8)},
        pd.DataFrame({"id": np.array([], object)}),
    )
    with pytest.raises(InputError, match=r"test\.h5: no images.*adversarial\.enabled"):
        judged(tmp_path, train, str(tmp_path / "test.h5"))
    assert not (tmp_path / "adversarial.csv").exists()


def test_one_series_cannot_be_held_out(tmp_path: Path) -> None:
    train = part(tmp_path / "train.h5", 30, 0)
    test = part(tmp_path / "test.h5", 10, 1, series="a")
    train = part(tmp_path / "train.h5", 30, 0, series="b")
    with pytest.raises(InputError, match=r"none can be held out.*"):
        judged(tmp_path, train, test)


def likeness(path: Path, values: dict[str, float], test: Any = (0.9, 0.6)) -> Path:
    """Write a csv of training images, and of test images."""
    rows = [(name, "train", p) for name, p in values.items()]
    rows += [(f"x{k}", "test", p) for k, p in enumerate(test)]
    pd.DataFrame(rows, columns=["id", "part", "test_likeness"]).to_csv(path, index=False)
    return path


def test_equal_likeness_weighs_nothing(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    ids, values = [f"{k:03d}" for k in range(80)], random.random(80).tolist()
    groups = (np.arange(80) // 4).tolist()
    path = likeness(tmp_path / "a.csv", dict.fromkeys(ids, 0.3))
    images = {"id": ids, "score": values, "group": groups}
    found = adversarial.weighted(images, path, 200, 3)
    assert found["score"] == pytest.approx(np.mean(values))
    assert found["effective_images"] == pytest.approx(80)
    assert found["difference"] == pytest.approx(0)
    assert found["difference_interval"] == pytest.approx([0, 0])
    assert found["interval"] == pytest.approx(bootstrap.interval(values, groups, 200, 3))
    assert found["auc"] == 1


def test_images_like_the_test_weigh_by_their_odds(tmp_path: Path) -> None:
    ids = [f"{k:03d}" for k in range(400)]
    p = np.where(np.arange(400) < 100, 0.75, 0.25)  # odds of 3 and of 1/3
    values = np.where(np.arange(400) < 100, 0.9, 0.5)
    order = np.random.default_rng(0).permutation(400)
    # There are three times as many test images of the first kind, and a third of the second.
    path = likeness(tmp_path / "a.csv", {ids[k]: p[k] for k in order}, [0.75] * 300 + [0.25] * 100)
    images = {"id": ids, "score": values.tolist(), "group": list(range(400))}
    found = adversarial.weighted(images, path)
    assert found["flattening"] == pytest.approx(1, abs=1e-3)
    assert found["score"] == pytest.approx(0.75 * 0.9 + 0.25 * 0.5, abs=1e-4)
    assert found["difference"] == pytest.approx(found["score"] - values.mean())
    assert found["interval"][0] < found["score"] < found["interval"][1]
    assert found["difference_interval"][0] > 0
    assert found["effective_images"] == pytest.approx(400**2 / (100 * 9 + 300 / 9), rel=1e-3)


@pytest.mark.parametrize(("sign", "expected"), [(0.5, (0.7, 1)), (0, (0, 0.2)), (-0.5, (0, 0))])
def test_odds_that_tell_nothing_weigh_nothing(
    tmp_path: Path, sign: float, expected: tuple[float, float]
) -> None:
    random = np.random.default_rng(1)
    ids = [f"{k:03d}" for k in range(400)]
    logits = random.normal(size=(2, 400)) * 0.7 + sign * np.array([[-0.5], [0.5]])
    p = 1 / (1 + np.exp(-logits))
    path = likeness(tmp_path / "a.csv", dict(zip(ids, p[0], strict=True)), p[1])
    images = {"id": ids, "score": p[0].tolist(), "group": list(range(400))}
    found = adversarial.weighted(images, path, 50)
    assert expected[0] <= found["flattening"] <= expected[1]
    if sign < 0:  # worse than chance is chance
        assert found["effective_images"] == pytest.approx(400)
        assert found["difference"] == pytest.approx(0)
    elif sign:
        assert found["difference"] > 0.05


def test_one_image_that_is_surely_test_does_not_decide_alone(tmp_path: Path) -> None:
    ids = [f"{k:03d}" for k in range(200)]
    values = np.zeros(200)
    values[0] = 1
    path = likeness(tmp_path / "a.csv", dict.fromkeys(ids, 0.5) | {"000": 1.0})
    images = {"id": ids, "score": values.tolist(), "group": list(range(200))}
    found = adversarial.weighted(images, path, 50)
    assert found["score"] < 0.1
    assert found["effective_images"] > 150
    with pytest.raises(InputError, match=r"lacks the images 200, 201"):
        adversarial.weighted({**images, "id": [*ids[:-2], "201", "200"]}, path, 50)


def test_the_scores_hold_the_weighted_one_only_where_it_is_asked_for(tmp_path: Path) -> None:
    arguments, *_ = finished(tmp_path)
    scores.run(**arguments)
    plain = json.loads((tmp_path / "scores.json").read_text())
    assert "like_test" not in plain
    ids = store.table(arguments["data"])["id"]
    path = likeness(tmp_path / "a.csv", dict.fromkeys(ids, 0.5))
    scores.run(**arguments, likeness=path)
    found = json.loads((tmp_path / "scores.json").read_text())
    weighted = found.pop("like_test")
    assert found == plain
    assert weighted["score"] == pytest.approx(plain["score"])
    assert weighted["interval"] == pytest.approx(plain["interval"], abs=0.05)
    assert set(weighted) >= {"difference", "effective_images", "auc"}


def test_folds_are_balanced_by_test_likeness(tmp_path: Path) -> None:
    train = part(tmp_path / "train.h5", 60, 0)
    ids = store.table(train)["id"].tolist()
    values = np.random.default_rng(0).random(60)
    path = likeness(tmp_path / "a.csv", dict(zip(ids, values, strict=True)))
    scheme = config.complete(
        "folds", {"count": 3, "stratify": ["test_likeness"], "group": None, "seed": 0}
    )
    folds.run(train, None, scheme, tmp_path / "folds.csv", likeness=path)
    found = pd.read_csv(tmp_path / "folds.csv", dtype={"id": str})
    assert found["strata"].str.startswith("test_likeness").all()
    means = pd.Series(values, ids).loc[found["id"]].groupby(found["fold"].to_numpy()).mean()
    assert np.ptp(means) < 0.06
    with pytest.raises(InputError, match="no column 'test_likeness'"):
        folds.run(train, None, scheme, tmp_path / "folds.csv")


def test_the_test_likeness_is_no_group() -> None:
    with pytest.raises(InputError, match=r"folds\.base\.group.*stratify.*first"):
        config.resolve(changed("folds/base", {"group": "test_likeness"}))


@pytest.mark.parametrize("shape", [(40, 40), (20, 120), (20, 45, 3)])
def test_the_figure_is_drawn_for_tiles_and_for_wide_images(
    tmp_path: Path, shape: tuple[int, ...]
) -> None:
    random = np.random.default_rng(0)
    for name, count in (("train", 9), ("test", 4)):
        images = random.integers(0, 255, (count, *shape)).astype(np.uint8)
        table = pd.DataFrame({"id": [f"{name}{k}" for k in range(count)]})
        store.write(tmp_path / f"{name}.h5", {"image": images}, table)
    files = {part: str(tmp_path / f"{part}.h5") for part in ("train", "test")}
    table, found = judged(tmp_path, **files)
    assert len(table) == 13
    given = {"likeness": tmp_path / "adversarial.csv", "report": tmp_path / "adversarial.json"}
    drawn = [tmp_path / "one.png", tmp_path / "two.png"]
    for path in drawn:
        figure.draw(**files, **given, out=str(path))
    assert drawn[0].read_bytes() == drawn[1].read_bytes()
    assert drawn[0].stat().st_size > 20_000
    assert f"AUC {found['auc']:.2f}" in figure.title(found)


def test_tiles_of_a_mosaic_and_near_copies_are_judged_by_no_classifier_that_saw_one(
    tmp_path: Path,
) -> None:
    random = np.random.default_rng(3)
    images = random.integers(0, 255, (10, 24, 24)).astype(np.uint8)
    images[7] = np.clip(images[2].astype(int) + 3, 0, 255)  # a copy, a little brighter
    for name, rows in (("train", slice(0, 6)), ("test", slice(6, 10))):
        ids = [f"{name}{number}" for number in range(10)][: len(images[rows])]
        store.write(tmp_path / f"{name}.h5", {"image": images[rows]}, pd.DataFrame({"id": ids}))
    mosaic = pd.DataFrame({"id": ["train0", "test3", "train1"], "mosaic": [4, 4, -1]})
    mosaic.to_csv(tmp_path / "mosaic.csv", index=False)
    files = tmp_path / "train.h5", tmp_path / "test.h5"
    table = adversarial.observe(*files, mosaic=tmp_path / "mosaic.csv", distance=6)
    group = table.set_index("id")["group"]
    assert group["train0"] == group["test3"]
    assert group["train2"] == group["test1"]
    assert group.nunique() == 8
