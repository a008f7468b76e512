"""Figures and pages of labels and boxes: right counts, same bytes, nothing cut, nothing crashes."""

import itertools
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from test_plots import HOSTILE
from test_plots_crowded import check

from foldbelt import store
from foldbelt.boxes import Boxes
from foldbelt.metrics.boxes import mean_average_precision
from foldbelt.metrics.ranked import Ranking
from foldbelt.report import (
    box_examples,
    box_pairs,
    calibration,
    confusion,
    decision_page,
    label_examples,
    outputs,
    panels,
    precision_recall,
    pseudo,
    ranking,
    reliability,
    style,
)

NAMES = ["a", HOSTILE, "3"]
DECISION = {
    "output": "labels",
    "metric": "mean_average_precision",
    "score": 0.71234,
    "interval": [0.6, 0.8],
    "optimistic": 0.73,
    "baseline": 0.5,
    "params": {"threshold": [0.5, 0.25, 0.5], "weights": {HOSTILE: 0.25, "n": 0.75}},
    "per_fold": [
        {"fold": fold, "params": {"threshold": [0.5, 0.2 + 0.1 * fold, 0.5]}, "score": 0.7}
        for fold in range(2)
    ],
    "members": {f"{HOSTILE}/round0": 0.7, "m/round1": -0.05},
    "classes": {"a": 0.9, HOSTILE: 0.5, "3": None},
    "coverage": {f"{HOSTILE}/round0": 1.0, "m/round1": 0.5},
}


def make_boxes(images: int, classes: int, seed: int = 0, most: int = 5) -> tuple[Boxes, Boxes]:
    """Make true boxes, and predicted ones of which some are moved, swapped, doubled or made up."""
    random = np.random.default_rng(seed)
    truth, pred = [], []
    for _ in range(images):
        count = random.integers(0, most)
        corner, size = random.integers(0, 60, (count, 2)), random.integers(8, 40, (count, 2))
        named = random.integers(0, max(classes - 1, 1), (count, 1))  # the last has no truth
        boxes = np.hstack([named, corner, corner + size, np.ones((count, 1))])
        found = np.repeat(boxes, random.integers(0, 3, count), axis=0)
        found[:, 1:5] += random.integers(-3, 4, (len(found), 4))
        made_up = random.random(len(found)) < 0.2
        found[made_up, 0] = random.integers(0, classes, made_up.sum())
        found[:, 5] = random.integers(1, 11, len(found)) / 10  # many are alike
        truth.append(boxes)
        pred.append(found[np.argsort(-found[:, 5], kind="stable")])
    return Boxes.join(truth), Boxes.join(pred)


def make_labels(
    images: int, count: int, exclusive: bool = False, names: list[str] | None = None
) -> outputs.Labels:
    random = np.random.default_rng(images + count)
    truth = (random.random((images, count)) < 0.4).astype(np.float64)
    if exclusive:
        truth = np.eye(count)[random.integers(0, count, images)]
    prob = np.clip(0.25 + 0.5 * truth + random.normal(0, 0.25, truth.shape), 0, 1)
    if not exclusive:
        truth[random.random(truth.shape) < 0.1] = np.nan
    names = names or [f"a-label-of-a-long-name-{k:02d}" for k in range(count)]
    ids = [f"a-rather-long-image-name-{n:04d}.jpg" for n in range(images)]
    cut = np.full(truth.shape, 0.4)
    return outputs.Labels(ids, truth, prob, names, exclusive, cut, True, np.arange(images) // 2)


def boxed(images: int, classes: int, **how: int) -> outputs.Boxed:
    truth, pred = make_boxes(images, classes, **how)
    names = [f"surface-defect-no-{k:02d}" for k in range(classes)]
    ids = [f"a-rather-long-image-name-{n:04d}.jpg" for n in range(images)]
    return outputs.Boxed(ids, truth, pred, names, np.ones(images, bool), np.arange(images))


def write_images(path: Path, ids: list[str]) -> str:
    images = np.random.default_rng(0).integers(0, 256, (len(ids), 70, 90), dtype=np.uint8)
    store.write(path, {"image": images}, pd.DataFrame({"id": ids}))
    return str(path)


def draw_all(shown: outputs.Labels | outputs.Boxed, data: str, root: Path) -> list[Path]:
    """Draw every figure of one output."""
    if isinstance(shown, outputs.Boxed):
        five = (shown.truth, shown.pred, shown.names, shown.labelled, shown.groups)
        curves, bins = ranking.of_boxes(*five, draws=20), calibration.of_boxes(*five)
        cuts, what = [curve.cut for curve in curves.each], "box"
    else:
        three = (shown.truth, shown.prob, shown.names)
        curves = ranking.of_labels(*three, shown.groups, draws=20)
        bins, cuts, what = calibration.of_labels(*three, shown.groups), None, "label"
    names = ("precision_recall.svg", "reliability.svg", "confusion.svg", "worst.png", "best.png")
    made = [root / name for name in names]
    precision_recall.draw(curves, what, str(made[0]))
    reliability.draw(bins, what, str(made[1]))
    confusion.draw(shown, str(made[2]), cuts)
    for which, out in zip(("worst", "best"), made[3:], strict=True):
        if isinstance(shown, outputs.Boxed):
            box_examples.draw(shown, cuts, data, which=which, out=str(out), count=3)
        else:
            label_examples.draw(shown, data, which=which, out=str(out), count=3)
    return made


# What is counted


@pytest.mark.parametrize("seed", range(12))
def test_the_area_is_that_of_the_metric(seed):
    truth, pred = make_boxes(1 + seed, 3, seed)
    ids, names = list(map(str, range(1 + seed))), ["a", "b", "c"]
    curves = ranking.of_boxes(truth, pred, names, draws=5)
    if len(truth.scores):
        score = mean_average_precision(truth.frame(ids, names), pred.frame(ids, names))
        assert curves.mean == pytest.approx(score, abs=1e-12)
    for curve in curves.each:
        steps = np.diff(curve.recall, prepend=0) * curve.precision
        assert not curve.true or steps.sum() == pytest.approx(curve.area, abs=1e-12)
        assert np.isnan(curve.area) == (curve.true == 0)


def test_images_that_nobody_labelled_count_nowhere():
    shown = boxed(30, 2)
    rest = np.arange(30) % 3 > 0
    half = [shown.truth.take(np.flatnonzero(rest)), shown.pred.take(np.flatnonzero(rest))]
    names, groups = shown.names, shown.groups // 2
    some = ranking.of_boxes(shown.truth, shown.pred, names, rest, groups, draws=30)
    only = ranking.of_boxes(*half, names, None, groups[rest], draws=30)
    assert some.interval == only.interval
    assert [curve.area for curve in some.each[:1]] == [curve.area for curve in only.each[:1]]
    five = calibration.of_boxes(shown.truth, shown.pred, names, rest)
    assert sum(one.count.sum() for one in five) == len(half[1].scores)
    counts = confusion.of_boxes(shown.truth, shown.pred, 2, [0, 0], rest)
    assert counts[:2].sum() == len(half[0].scores)


def test_equal_probabilities_are_one_step_whatever_their_order():
    truth = np.array([1.0, 1, 0, 0, np.nan, 0])[:, None]
    prob = np.array([0.5, 0.5, 0.5, 0.1, 0.9, 0.9])[:, None]
    (curve,) = ranking.of_labels(truth, prob, ["a"]).each
    (other,) = ranking.of_labels(truth[::-1], prob[::-1], ["a"]).each
    assert curve.area == other.area == pytest.approx(2 / 4)  # two right among the first four
    assert (curve.true, curve.candidates, curve.cut) == (2, 5, 0.5)
    assert curve.at == (1.0, 0.5)


def test_draws_of_groups_are_scored_as_if_their_images_were_repeated():
    truth, pred = make_boxes(6, 2, 3)
    groups = np.array([0, 0, 1, 1, 2, 2])
    counts = np.array([[2, 0, 1], [1, 1, 1]])
    rankings = {}
    for name, images in (("all", np.arange(6)), ("drawn", [0, 1, 0, 1, 4, 5])):
        parts = truth.take(images), pred.take(images)
        rankings[name] = ranking.of_boxes(*parts, ["a", "b"]).each[0]
    one = truth.keep(truth.classes == 0), pred.keep(pred.classes == 0)
    seen: list = []
    original = ranking._curves
    try:
        ranking._curves = lambda made, *rest: seen.extend(made) or original(made, *rest)
        ranking.of_boxes(*one, ["a"])
    finally:
        ranking._curves = original
    areas = ranking._areas(seen[0], groups, counts)
    assert areas[1] == pytest.approx(rankings["all"].area)
    assert areas[0] == pytest.approx(rankings["drawn"].area)


def test_intervals_hold_the_area_and_widen_with_fewer_groups():
    shown = boxed(60, 1)
    widths = []
    for size in (1, 6):
        groups = np.arange(60) // size
        made = ranking.of_boxes(shown.truth, shown.pred, ["a"], None, groups, draws=300)
        low, high = made.interval
        assert 0 <= low < made.mean < high <= 1
        widths.append(high - low)
    assert widths[1] > widths[0] / 2
    few = ranking.of_boxes(shown.truth, shown.pred, ["a"], None, np.arange(60) // 20)
    assert few.interval is None
    assert few.each[0].interval is None


def test_a_true_box_is_claimed_once_and_by_the_surest():
    truth = Boxes.join([np.array([[0, 0, 0, 10, 10, 1], [1, 20, 0, 30, 10, 1]])])
    found = [
        [0, 0, 0, 10, 9, 0.5],
        [0, 0, 0, 10, 8, 0.9],
        [0, 20, 0, 30, 9, 0.3],
        [1, 9, 9, 9, 9, 1],
    ]
    pred = Boxes.join([np.array(found)])
    assert Ranking.match(truth, pred, 2).right.tolist() == [False, True, False, False]
    assert box_pairs.partners(truth, pred).tolist() == [-1, 0, 1, -1]
    counts = confusion.of_boxes(truth, pred, 2, [0, 0])
    assert counts.tolist() == [[1, 0, 0], [1, 0, 0], [1, 1, 0]]
    above = confusion.of_boxes(truth, pred, 2, [0.4, None])
    assert above.tolist() == [[1, 0, 0], [0, 0, 1], [1, 0, 0]]


@pytest.mark.parametrize("seed", range(5))
def test_the_confusion_of_boxes_counts_each_once(seed):
    truth, pred = make_boxes(20, 4, seed)
    counts = confusion.of_boxes(truth, pred, 4, [0.3] * 4)
    kept = pred.scores >= np.float32(0.3)
    assert counts[:4].sum(axis=1).tolist() == np.bincount(truth.classes, minlength=4).tolist()
    found = np.bincount(pred.classes[kept], minlength=4)
    assert counts[:, :4].sum(axis=0).tolist() == found.tolist()
    assert counts[4, 4] == 0


def test_labels_are_confused_as_they_are_decided():
    truth = np.array([[1.0, 0], [0, 1], [0, 1], [np.nan, 0]])
    prob = np.array([[0.6, 0.4], [0.5, 0.5], [0.1, 0.9], [0.9, 0.1]])
    assert confusion.of_classes(truth, prob).tolist() == [[1, 0], [1, 1]]
    cut = np.array([[0.5, 0.5], [0.5, 0.6], [0.5, 0.5], [0.5, 0.5]])  # each fold has its own
    first, second = confusion.of_labels(truth, prob, cut).tolist()
    assert first == [[2, 0], [0, 1]]  # at the threshold a label is not given, as in the decision
    assert second == [[2, 0], [1, 1]]


def test_bins_hold_every_prediction_once_and_the_error_is_their_distance():
    truth = np.array([1.0, 0, 1, 1, np.nan])[:, None]
    prob = np.array([0.7, 0.7, 1.0, 0.05, 0.3], np.float32)[:, None]
    (bins,) = calibration.of_labels(truth, prob, ["a"])
    assert bins.start.tolist() == [0, 0.7, 0.9]
    assert bins.count.tolist() == [1, 2, 1]
    assert bins.true.tolist() == [1, 0.5, 1]
    assert bins.error == pytest.approx((0.95 + 2 * 0.2 + 0) / 4, abs=1e-6)
    assert (bins.low <= bins.true).all()
    assert (bins.true <= bins.high).all()
    (none,) = calibration.of_labels(truth * np.nan, prob, ["a"])
    assert len(none.count) == 0
    assert np.isnan(none.error)


def test_intervals_of_shares_know_that_images_of_a_group_resemble_each_other():
    random = np.random.default_rng(0)
    values = np.repeat(random.random(20) < 0.4, 5) * 1.0
    alone, grouped = (
        calibration.wilson(values, groups) for groups in (np.arange(100), np.arange(100) // 5)
    )
    assert grouped[1] - grouped[0] > 1.8 * (alone[1] - alone[0])
    # Groups that say nothing about their images leave the interval about as it is.
    mixed = calibration.wilson(random.permutation(values), np.arange(100) // 5)
    assert mixed[1] - mixed[0] < 1.5 * (alone[1] - alone[0])
    all_right = calibration.wilson(np.ones(100), np.arange(100) // 20)
    assert all_right == calibration.wilson(np.ones(5), np.arange(5))
    assert np.isnan(calibration.wilson(np.ones(3), np.zeros(3))).all()


def test_images_are_scored_class_by_class():
    box = [0, 0, 0, 10, 10, 1]
    other = [1, 0, 0, 10, 10, 1]
    truth = Boxes.join([[box], [box, other], np.zeros((0, 6)), np.zeros((0, 6)), [box]])
    pred = Boxes.join([[box], [box], np.zeros((0, 6)), [box], [box, box]])
    assert box_examples.score_images(truth, pred).tolist() == [1, 0.5, 1, 0, pytest.approx(2 / 3)]
    assert box_examples.score_images(Boxes.empty(2), Boxes.empty(2)).tolist() == [1, 1]


def test_the_most_extreme_images_come_first_in_any_order_of_the_files():
    random = np.random.default_rng(0)
    scores, empty = random.integers(0, 5, 40) / 4, random.random(40) < 0.3
    ids = np.array([f"i{n}" for n in range(40)])
    best = box_examples.rank(scores, empty, ids.tolist(), "best")
    filled = np.flatnonzero(~empty)
    assert set(best[: len(filled)]) == set(filled)
    assert (np.diff(scores[best[: len(filled)]]) <= 0).all()
    assert (np.diff(scores[box_examples.rank(scores, empty, ids.tolist(), "worst")]) >= 0).all()
    mixed = random.permutation(40)
    again = box_examples.rank(scores[mixed], empty[mixed], ids[mixed].tolist(), "best")
    assert ids[mixed][again].tolist() == ids[best].tolist()
    with pytest.raises(ValueError, match="'finest'"):
        box_examples.rank(scores, empty, ids.tolist(), "finest")


def test_belief_in_the_truth_is_lowest_where_the_blend_was_surely_wrong():
    truth = np.array([[1, 0], [1, 0], [np.nan, np.nan], [np.nan, 1]])
    prob = np.array([[0.9, 0.2], [0.1, 0.9], [0.5, 0.5], [0.4, 0.7]])
    cut = np.full(truth.shape, 0.5)
    shown = outputs.Labels(list("abcd"), truth, prob, ["x", "y"], False, cut, True, np.arange(4))
    np.testing.assert_allclose(label_examples.believed(shown), [0.8, 0.1, np.nan, 0.7])
    assert label_examples.wrong(shown).tolist() == [False, True, False, False]
    alone = outputs.Labels(list("abcd"), truth, prob, ["x", "y"], True, cut, True, np.arange(4))
    np.testing.assert_allclose(label_examples.believed(alone), [0.9, 0.1, np.nan, np.nan])
    assert label_examples.wrong(alone).tolist() == [False, True, False, False]


# What is drawn


@pytest.fixture
def checked(monkeypatch):
    """Check every figure before it is saved, without saving it."""
    monkeypatch.setattr(style, "save", lambda made, out: check(made))


CROWDED = [(12, 1, False), (40, 5, True), (20, 8, False)]


@pytest.mark.usefixtures("checked")
@pytest.mark.parametrize(("images", "count", "exclusive"), CROWDED)
def test_no_text_is_cut_or_runs_into_another(images, count, exclusive, tmp_path, monkeypatch):
    monkeypatch.setattr(panels, "MOST", 6)  # as if there were a lot of classes
    monkeypatch.setattr(confusion, "NUMBERED", 7)
    labels = make_labels(images, count, exclusive)
    data = write_images(tmp_path / "train.h5", labels.ids)
    draw_all(labels, data, tmp_path)
    draw_all(boxed(images, count, most=8), data, tmp_path)


@pytest.mark.parametrize("kind", ["labels", "boxes"])
def test_same_files_give_the_same_bytes_without_time_or_version(kind, tmp_path):
    paths = write_run(tmp_path)
    if kind == "labels":
        given = (paths["decision"], paths["labels"], paths["train"], paths["folds"])
        shown: outputs.Labels | outputs.Boxed = outputs.read_labels(*given)
    else:
        shown = outputs.read_boxes(paths["boxes"], paths["train"], paths["folds"])
    drawn = [draw_all(shown, paths["train"], tmp_path / part) for part in "ab"]
    for first, second in zip(*drawn, strict=True):
        content = first.read_bytes()
        assert content == second.read_bytes(), first
        assert b"matplotlib.org" not in content, first
        assert b"dc:date" not in content, first
        if first.suffix == ".png":
            with Image.open(first) as image:
                assert image.size[0] > 700


def nothing() -> dict[str, outputs.Labels | outputs.Boxed]:
    """Outputs of which something is missing."""
    some, none = boxed(4, 2), Boxes.empty(4)
    same = (some.names, np.ones(4, bool), np.arange(4))
    labels = make_labels(4, 2)
    rest = (labels.names, False, labels.cut, False, labels.groups)
    zeros = np.zeros((0, 2))
    return {
        "no truth": outputs.Boxed(some.ids, none, some.pred, *same),
        "no prediction": outputs.Boxed(some.ids, some.truth, none, *same),
        "no boxes": outputs.Boxed(some.ids, none, none, *same),
        "nobody said": outputs.Boxed(some.ids, none, some.pred, same[0], ~same[1], same[2]),
        "no class": outputs.Boxed(some.ids, none, none, [], *same[1:]),
        "one image": boxed(1, 3, seed=2),
        "one image, labels": make_labels(1, 2),
        "one image, exclusive": make_labels(1, 2, True),
        "unknown": outputs.Labels(labels.ids, labels.truth * np.nan, labels.prob, *rest),
        "without": outputs.Labels(labels.ids, labels.truth * 0, labels.prob, *rest),
        "all known": outputs.Labels(labels.ids, np.ones((4, 2)), labels.prob, *rest),
        "no image": outputs.Labels([], zeros, zeros, rest[0], False, zeros, False, np.arange(0)),
    }


@pytest.mark.parametrize("name", nothing())
def test_what_is_missing_gives_a_figure_that_says_so(name, tmp_path, monkeypatch):
    shown = nothing()[name]
    data = write_images(tmp_path / "train.h5", shown.ids)
    titles = []
    monkeypatch.setattr(style, "save", lambda made, out: titles.append(made) or check(made))
    draw_all(shown, data, tmp_path)
    assert len(titles) == 5
    texts = [text.get_text() for made in titles for text in made.texts]
    assert not [text for text in texts if "nan" in text.lower()]


def test_names_of_classes_stand_in_the_figures_and_in_the_pictures_of_boxes(tmp_path, monkeypatch):
    shown = boxed(12, 3)
    data = write_images(tmp_path / "train.h5", shown.ids)
    seen = []
    monkeypatch.setattr(style, "save", lambda made, out: seen.append((out, made)))
    draw_all(shown, data, tmp_path)
    made = {Path(out).name: figure for out, figure in seen}
    texts = [text.get_text() for axes in made["worst.png"].axes for text in axes.texts]
    assert any(re.fullmatch(r".+: 0\.\d\d|.+: 1\.00", text) for text in texts)
    titles = [axes.get_title(loc="left") for axes in made["precision_recall.svg"].axes]
    assert [title.split("\n")[0] for title in titles] == shown.names
    assert "no truth" in titles[2]  # make_boxes leaves the last class without


def test_of_many_classes_those_with_the_most_truth_get_a_panel():
    weights = list(range(30))
    assert panels.choose(weights) == list(range(6, 30))
    assert "24 classes of 30" in panels.left_out(30, "classes")
    assert panels.left_out(24, "classes") == ""


def test_texts_of_boxes_do_not_lie_on_each_other(tmp_path, monkeypatch):
    shown = boxed(8, 2, most=12)
    data = write_images(tmp_path / "train.h5", shown.ids)
    taken: list[list] = []
    original = box_examples._name
    monkeypatch.setattr(
        box_examples, "_name", lambda *args: original(*args) or taken.append(args[-1])
    )
    cuts = [0.0, 0.0]
    box_examples.draw(shown, cuts, data, which="worst", out=str(tmp_path / "a.png"), count=4)
    each = {id(places): places for places in taken}.values()
    assert max(map(len, each)) > 3
    for places in each:
        for a, b in itertools.combinations(places, 2):
            assert not box_examples._touch(a, b)


# What is read and written


def write_run(root: Path) -> dict[str, str]:
    """Write the files of a run with labels and boxes."""
    labels, shown = make_labels(8, 3), boxed(8, 3)
    ids = [f"i{n}" for n in range(8)]
    table = pd.DataFrame({"id": ids, "boxes": np.diff(shown.truth.start)})
    table.loc[2, "boxes"] = -1
    image = np.zeros((8, 70, 90), np.uint8)
    arrays = {"image": image, "labels": labels.truth.astype(np.float32)}
    attrs = {"label_names": NAMES, "box_names": NAMES}
    store.write(root / "train.h5", {**arrays, "boxes": shown.truth.to_bytes()}, table, attrs)
    order = ids[::-1]
    back = pd.DataFrame({"id": order})
    prob = labels.prob[::-1].astype(np.float32)
    store.write(root / "labels.h5", {"labels": prob}, back)
    pred = shown.pred.take(np.arange(8)[::-1])
    store.write(root / "boxes.h5", {"boxes": pred.to_bytes()}, back)
    scheme = pd.DataFrame({"id": ids, "fold": np.arange(8) % 2, "group": [*"aabbcc", "", ""]})
    scheme.to_csv(root / "folds.csv", index=False)
    (root / "decision.json").write_text(json.dumps(DECISION))
    files = ("train.h5", "labels.h5", "boxes.h5", "folds.csv", "decision.json")
    return {name.partition(".")[0]: str(root / name) for name in files}


def test_images_are_read_in_one_order_with_the_thresholds_of_their_fold(tmp_path):
    paths = write_run(tmp_path)
    given = (paths["decision"], paths["labels"], paths["train"], paths["folds"])
    labels = outputs.read_labels(*given)
    assert labels.ids == [f"i{n}" for n in range(8)][::-1]
    expected = make_labels(8, 3)
    np.testing.assert_allclose(labels.truth, expected.truth[::-1])
    np.testing.assert_allclose(labels.prob, expected.prob[::-1], atol=1e-6)
    assert labels.cut[:, 1].tolist() == [pytest.approx(0.2 + 0.1 * (n % 2)) for n in range(8)][::-1]
    assert labels.names == ["a", HOSTILE, "class 3"]
    assert labels.searched
    assert not labels.exclusive
    groups = labels.groups.tolist()
    assert len(set(groups)) == 5  # three of two images, and two that are alone
    assert groups[2] == groups[3] != groups[0] != groups[1]
    content = {**DECISION, "params": {}, "per_fold": [{"fold": 0, "params": {}, "score": 0.5}]}
    Path(paths["decision"]).write_text(json.dumps(content))
    plain = outputs.read_labels(*given)
    assert (plain.cut == outputs.CUT).all()
    assert not plain.searched
    shown = outputs.read_boxes(paths["boxes"], paths["train"], paths["folds"])
    assert np.flatnonzero(~shown.labelled).tolist() == [5]
    assert shown.truth.image(0).tolist() == boxed(8, 3).truth.image(7).tolist()
    assert shown.pred.image(0).tolist() == boxed(8, 3).pred.image(7).tolist()


def test_the_page_of_scores_holds_what_the_decision_found_and_escapes_it(tmp_path):
    path, out = tmp_path / "d.json", tmp_path / "d.html"
    path.write_text(json.dumps(DECISION))
    decision_page.write(str(path), str(out))
    text = out.read_text(encoding="utf-8")
    assert "<script" not in text.lower()
    assert not re.search(r"(src|href)\s*=|url\(|@import", text)
    parts = ["Labels: mean average precision 0.7123", "0.6000 – 0.8000", "0.7300", "+0.2123"]
    parts += ["class 3", "m, round 1", "−0.0500", "50 %", "without fold 1", "0.5, 0.3, 0.5"]
    parts += ["&lt;script&gt;alert(1)&lt;/script&gt;: 0.25, n: 0.75", "no mean"]
    for part in parts:
        assert part in text, part
    bare = {"output": "boxes", "score": None, "interval": None}
    path.write_text(json.dumps(bare))
    decision_page.write(str(path), str(out))
    assert "Boxes: score not known" in out.read_text(encoding="utf-8")


def test_pseudo_labels_without_masks_have_no_coverage(tmp_path: Path) -> None:
    files = {}
    for fold in range(2):
        files[f"{HOSTILE}/round0/fold{fold}"] = path = str(tmp_path / f"{fold}.h5")
        arrays = {"labels": np.ones((4, 3), np.float32), "confidence": np.ones(4, np.float32)}
        table = pd.DataFrame({"id": list("abcd")})
        store.write(path, arrays, table, {"tiles": 9})
    store.write(tmp_path / "train.h5", {"labels": arrays["labels"]}, table, {})
    pseudo.draw(files, str(tmp_path / "train.h5"), str(tmp_path / "out.svg"))
    text = (tmp_path / "out.svg").read_text()
    assert "4 of 9 test images admitted per fold" in text
    assert "coverage" not in text
    assert "empty" not in text
