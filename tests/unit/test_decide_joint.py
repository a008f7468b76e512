"""Labels and boxes are decided together without the fold that is scored."""

import json
import sys
import types

import numpy as np
import pandas as pd
import pytest

from foldbelt import metrics, registry, store
from foldbelt.boxes import Boxes
from foldbelt.config import complete
from foldbelt.decide import joint, joint_io, joint_mixing, output_files
from foldbelt.evaluate import outputs, summary
from foldbelt.files import InputError

NAMES = ["negative", "typical", "none"]
SETTINGS = complete("joint", {})
FOLDS = 3


class Case:
    """A run's files: studies of one to three images, boxes on those that are not negative."""

    def __init__(self, root, studies=60, seed=0):
        self.root = root
        random = np.random.default_rng(seed)
        size = random.integers(1, 4, studies)
        self.study = np.repeat(np.arange(studies), size)
        number = len(self.study)
        negative = (random.random(studies) < 0.4)[self.study]
        shown = ~negative & (random.random(number) < 0.8)
        self.labels = np.stack([negative, ~negative, ~shown], axis=1).astype(np.float64)
        self.known = random.random(number) < 0.9
        self.labels[~self.known, 2] = np.nan
        later = np.diff(self.study, prepend=-1) == 0
        self.labels[later & (random.random(number) < 0.5), :2] = np.nan
        self.boxes = [[[0, 10, 10, 30, 30, 1]] if there else [] for there in shown]
        self.ids = [f"i{n:03d}" for n in range(number)]
        self.folds = (self.study % FOLDS).astype(np.int64)
        sure = np.stack([negative, ~negative, ~shown], axis=1)
        self.given = {}
        for name, noise in (("a", 2.5), ("b", 4)):
            logit = 3 * sure - 1.5 + random.normal(0, noise, sure.shape)
            prob = 1 / (1 + np.exp(-logit))
            prob[:, :2] /= prob[:, :2].sum(axis=1, keepdims=True)
            self.given[name] = prob.astype(np.float32)
        found = []
        for there in shown:
            rows = [[0, 10, 10, 31, 29, random.beta(4, 2)]] if there else []
            rows += [[0, 40 + k, 50, 60, 70, random.beta(2, 3)] for k in range(random.integers(3))]
            found.append(rows)
        self.found = found
        self.write()

    def write(self):
        table = pd.DataFrame({"id": self.ids, "study": [f"s{n}" for n in self.study]})
        table["boxes"] = [len(b) if k else -1 for b, k in zip(self.boxes, self.known, strict=True)]
        table["height"] = table["width"] = 100
        attrs = {"label_names": NAMES, "box_names": ["opacity"]}
        attrs |= {"label_groups": [NAMES[:2]], "label_levels": {"study": NAMES[:2]}}
        truth = Boxes.join([np.reshape(b, (-1, 6)) for b in self.boxes])
        arrays = {"labels": self.labels.astype(np.float32), "boxes": truth.to_bytes()}
        store.write(self.root / "train.h5", arrays, table, attrs)
        scheme = {"id": self.ids, "fold": self.folds, "group": [f"s{n}" for n in self.study]}
        pd.DataFrame(scheme).to_csv(self.root / "folds.csv", index=False)
        only = pd.DataFrame({"id": self.ids})
        for name, prob in self.given.items():
            given = {"labels": prob}
            store.write(self.root / f"{name}.h5", given, only, {"label_names": NAMES})
        boxes = Boxes.join([np.reshape(b, (-1, 6)) for b in self.found]).to_bytes()
        store.write(self.root / "finder.h5", {"boxes": boxes}, only, {"box_names": ["opacity"]})

    def members(self, boxes=True):
        given = {"labels": {name: [self.root / f"{name}.h5"] for name in self.given}}
        return given | ({"boxes": {"finder": [self.root / "finder.h5"]}} if boxes else {})

    def decide(self, boxes=True, settings=None, draws=60, classes=None):
        """Decide on each output, and then on both."""
        members = self.members(boxes)
        common = {"data": self.root / "train.h5", "folds": self.root / "folds.csv"}
        common |= {"draws": draws, "seed": 0}
        for output in members:
            output_files.run(
                output,
                members=members[output],
                settings=complete(output, {"join": ["mean", "max"]} if output == "labels" else {}),
                decision=self.root / f"{output}.json",
                blend=self.root / f"{output}-oof.h5",
                **common,
            )
        joint_io.run(
            members=members,
            decisions={output: self.root / f"{output}.json" for output in members},
            settings=SETTINGS if settings is None else settings,
            classes=classes,
            decision=self.root / "joint.json",
            blend=self.root / "joint-oof.h5",
            **common,
        )
        return json.loads((self.root / "joint.json").read_text())


@pytest.fixture
def case(tmp_path):
    return Case(tmp_path)


def rows_of(case, labels, boxes, truth):
    """Write labels and boxes as a submission does: labels as boxes 0 0 1 1, studies once."""
    rows = []
    for k, name in enumerate(NAMES):
        units = [f"s{n}" for n in case.study] if k < 2 else case.ids
        for unit in dict.fromkeys(units):
            images = [n for n, other in enumerate(units) if other == unit]
            known = [case.labels[n, k] for n in images if np.isfinite(case.labels[n, k])]
            if known and (not truth or known[0] > 0.5):
                rows.append([f"{unit}_{k > 1}", name, 0, 0, 1, 1, labels[images[0], k]])
    for n in np.flatnonzero(case.known):
        for box in boxes.image(n):
            rows.append([f"{case.ids[n]}_True", "opacity", *box[1:5], box[5]])
    columns = ["image", "class", "x1", "y1", "x2", "y2", "score"]
    return pd.DataFrame(rows, columns=columns)


def test_the_score_is_that_of_the_rows_that_are_written(case):
    decision = case.decide()
    path = case.root / "joint-oof.h5"
    labels, boxes = store.read(path, "labels"), Boxes.from_bytes(store.read(path, "boxes"))
    true = Boxes.join([np.reshape(b, (-1, 6)) for b in case.boxes])
    truth = rows_of(case, case.labels, true, True).drop(columns="score")
    pred = rows_of(case, labels, boxes, False)
    expected = metrics.mean_average_precision(truth, pred)
    assert decision["score"] == pytest.approx(expected, abs=1e-12)
    each = [decision["classes"][name] for name in (*NAMES, "opacity")]
    assert decision["score"] == pytest.approx(np.mean(each), abs=1e-12)
    for name, score in decision["classes"].items():
        part = (table[table["class"] == name] for table in (truth, pred))
        assert score == pytest.approx(metrics.mean_average_precision(*part), abs=1e-12)
    low, high = decision["interval"]
    assert decision["baseline"] < low <= decision["score"] <= high


def test_mixing_pays_and_what_it_pays_is_told(case):
    decision = case.decide(draws=120)
    assert set(decision["without"]) == {"none_mix", "negative_mix", "none_product"}
    for part in decision["without"].values():
        assert part["difference"] == pytest.approx(decision["score"] - part["score"])
        assert part["interval"][0] <= part["difference"] <= part["interval"][1]
    assert decision["without"]["none_mix"]["difference"] > 0.01
    assert decision["params"]["none_mix"]["absence"] > 0
    assert decision["params"]["none_exponent"] > 0
    # All parts off is what the outputs score by themselves.
    off = complete("joint", {})
    for part in joint_mixing.PARTS.values():
        off |= part
    plain = case.decide(settings=off)
    assert plain["params"] == joint_mixing.NEUTRAL
    assert plain["without"] == {}
    assert plain["score"] < decision["score"]
    np.testing.assert_array_equal(
        store.read(case.root / "joint-oof.h5", "labels"),
        store.read(case.root / "labels-oof.h5", "labels"),
    )
    np.testing.assert_array_equal(
        np.concatenate(list(store.read(case.root / "joint-oof.h5", "boxes"))),
        np.concatenate(list(store.read(case.root / "boxes-oof.h5", "boxes"))),
    )


@pytest.mark.parametrize("fold", range(FOLDS))
def test_nothing_that_is_applied_to_a_fold_knows_its_truth(case, fold):
    first = case.decide()
    names = ("joint-oof.h5", "labels-oof.h5", "boxes-oof.h5")
    before = {n: (case.root / n) for n in names}
    kept = {n: [np.array(x) for x in read_all(p)] for n, p in before.items()}
    inside = np.flatnonzero(case.folds == fold)
    case.labels[inside] = 1 - case.labels[inside]
    for n in inside:
        case.boxes[n] = [] if case.boxes[n] else [[0, 40, 50, 60, 70, 1]]
    case.write()
    second = case.decide()
    assert first["per_fold"][fold]["params"] == second["per_fold"][fold]["params"]
    assert first["params"] != second["params"]  # else it shows nothing
    for name, path in before.items():
        for one, other in zip(kept[name], read_all(path), strict=True):
            for n in inside:
                np.testing.assert_array_equal(one[n], other[n])


def read_all(path):
    names = [name for name in ("labels", "boxes") if store.has(path, name)]
    made = []
    for name in names:
        rows = store.read(path, name)
        made.append(rows if name == "labels" else np.array([*map(bytes, rows), b""], object))
    return made


def test_images_of_a_study_have_one_answer_and_test_images_are_changed_alike(case):
    decision = case.decide()
    labels = store.read(case.root / "joint-oof.h5", "labels")
    for study in np.unique(case.study):
        assert len(np.unique(labels[case.study == study, :2], axis=0)) == 1
    # The blends of all training images stand for those of test images.
    joint_io.apply_test(
        labels=case.root / "labels-oof.h5",
        boxes=case.root / "boxes-oof.h5",
        data=case.root / "train.h5",
        decision=case.root / "joint.json",
        out=case.root / "test.h5",
    )
    made = store.read(case.root / "test.h5", "labels")
    plain = store.read(case.root / "labels-oof.h5", "labels")
    found = Boxes.from_bytes(store.read(case.root / "boxes-oof.h5", "boxes"))
    shares, params = decision["params"]["none_mix"], decision["params"]
    absence = [np.prod(1 - found.image(n)[:, 5].astype(float)) for n in range(len(found))]
    rest = 1 - shares["negative"] - shares["absence"]
    none = (
        rest * plain[:, 2]
        + shares["negative"] * plain[:, 0]
        + shares["absence"] * np.array(absence)
    )
    np.testing.assert_allclose(made[:, 2], none, atol=1e-6)
    scores = Boxes.from_bytes(store.read(case.root / "test.h5", "boxes")).scores
    left = (1 - none)[found.of()] ** (params["none_exponent"] / params["box_exponent"])
    np.testing.assert_allclose(scores, found.scores * left, atol=1e-6)
    mean = pd.Series(none).groupby(case.study).transform("mean")
    share = params["negative_mix"]
    np.testing.assert_allclose(made[:, 0], plain[:, 0] * (1 - share) + share * mean, atol=1e-6)
    np.testing.assert_array_equal(made[:, 1], plain[:, 1])
    assert set(store.table(case.root / "test.h5")) == {"id", "study", "height", "width"}


def test_runs_without_boxes_or_without_none_are_decided_too(case):
    decision = case.decide(boxes=False)
    assert set(decision["classes"]) == set(NAMES)
    assert decision["params"]["none_mix"]["absence"] == 0
    six = [*NAMES, "opacity"]
    demanded = case.decide(boxes=False, classes=six)
    assert demanded["classes"]["opacity"] == 0
    assert demanded["score"] == pytest.approx(decision["score"] * 3 / 4)
    without = case.decide(settings=SETTINGS | {"none": "nothing"})
    assert without["params"] == joint_mixing.NEUTRAL
    with pytest.raises(InputError, match=r"joint\.box is 'mass'; boxes are of opacity"):
        case.decide(settings=SETTINGS | {"box": "mass"})


def test_a_study_of_several_folds_is_named(case):
    study = next(s for s in range(60) if (case.study == s).sum() > 1)
    case.folds[np.flatnonzero(case.study == study)[0]] = (study + 1) % FOLDS
    case.write()
    with pytest.raises(InputError, match=f"study s{study}: has images in several folds"):
        case.decide()


def test_the_order_of_boxes_within_an_image_stays(case):
    case.decide()
    boxes = Boxes.from_bytes(store.read(case.root / "joint-oof.h5", "boxes"))
    for n in range(len(boxes)):
        assert (np.diff(boxes.image(n)[:, 5]) <= 0).all()
    again = joint.Ranking.match(
        Boxes.join([np.reshape(b, (-1, 6)) for b in case.boxes]), boxes, 1, case.known
    )
    decision = json.loads((case.root / "joint.json").read_text())
    assert again.score() == pytest.approx(decision["classes"]["opacity"], abs=1e-12)


def test_the_scores_of_a_run_are_those_of_the_joint_decision(case, monkeypatch):
    decision = case.decide()
    run = case.root / "named"
    run.mkdir()
    monkeypatch.setattr(registry, "truth", lambda name: "hidden_of_tests")
    module = types.ModuleType("hidden_of_tests")
    module.hidden_score = lambda submission, truth: {"score": 0.5, "classes": {"none": 0.5}}
    monkeypatch.setitem(sys.modules, "hidden_of_tests", module)
    given = {
        "decisions": [case.root / f"{name}.json" for name in ("joint", "labels", "boxes")],
        "outputs": ["joint", "labels", "boxes"],
        "rounds": [0],
        "predictions": [],
        "select": {},
        "notes": [],
        "benchmarks": [],
        "out": run / "scores.json",
    }
    outputs.run(**given, competition="any", submission="s.csv", truth="t.csv")
    scores = json.loads((run / "scores.json").read_text())
    assert (scores["output"], scores["score"]) == ("joint", decision["score"])
    assert list(scores["outputs"]) == ["boxes", "joint", "labels"]
    assert scores["outputs"]["joint"]["without"] == decision["without"]
    assert scores["outputs"]["labels"]["blocks"][0]["level"] == "study"
    assert (scores["hidden"], scores["hidden_classes"]) == (0.5, {"none": 0.5})
    text = summary.describe(run / "scores.json")
    lines = text.splitlines()
    assert lines[0].startswith("mean_average_precision of the labels and boxes, decided together")
    assert f"{decision['score']:.4f}" in lines[1]
    assert "on the hidden truth of the test  0.5000" in text
    assert f"{decision['without']['none_mix']['difference']:.4f}" in text
    assert "of the boxes of the run" in text
    outputs.run(**given)
    assert json.loads((run / "scores.json").read_text())["hidden"] is None


def test_exponents_of_one_ratio_give_the_same_scores():
    boxes = Boxes.join([[[0, 0, 0, 1, 1, 0.9], [0, 2, 2, 3, 3, 0.2]], [[0, 0, 0, 1, 1, 0.5]]])
    labels = np.array([[0.75], [0.1]], np.float32)
    there = np.ones(2, bool)
    given = joint_mixing.Given(labels, ["none"], np.arange(2), boxes, ["opacity"], there)
    roles = joint_mixing.Roles(0, None, (0,))

    def scores(a, b):
        params = {"box_exponent": a, "none_exponent": b}
        return joint_mixing.scaled_scores(given, roles, labels[:, 0], params)

    np.testing.assert_array_equal(scores(0.5, 0.25), scores(1, 0.5))
    np.testing.assert_allclose(scores(1, 0.5), [0.45, 0.1, 0.5 * 0.9**0.5], rtol=1e-6)


def test_pairs_of_one_ratio_are_tried_once_and_the_first_stands_for_them():
    settings = complete("joint", {"box_exponent": [1, 0.5], "none_exponent": [0, 0.25, 0.5]})
    task = joint.Task({}, None, None, np.zeros(0), settings, None, None)
    assert task._exponents() == [(1, 0), (1, 0.25), (1, 0.5), (0.5, 0.5)]
