"""How boxes are fused is found without the fold that is scored."""

import json
from dataclasses import replace

import numpy as np
import pytest

from foldbelt.bootstrap import Resampling
from foldbelt.boxes import Boxes
from foldbelt.boxes.fusion import fuse
from foldbelt.decide import boxes as decide
from foldbelt.files import InputError
from foldbelt.metrics.ranked import Ranking

NAMES = ["lung", "heart"]
SPACE = {"fusion": ["nms", "wbf"], "iou": [0.4, 0.6], "weights": "fitted", "step": 0.5}
DRAWS = Resampling(draws=50)


def predicted(random, truth, noise, missed, false):
    rows = []
    for n in range(len(truth)):
        true = truth.image(n)[random.random(len(truth.image(n))) > missed]
        twice = np.concatenate([true, true[random.random(len(true)) < 0.5]])
        moved = twice[:, 1:5] + random.normal(0, noise, (len(twice), 4))
        low, high = moved[:, :2], moved[:, 2:]
        moved = np.hstack([np.minimum(low, high), np.maximum(low, high)])
        corner = random.random((false, 2)) * 60
        stray = np.hstack([corner, corner + 20])
        right = np.column_stack([twice[:, 0], moved, random.beta(4, 2, len(twice))])
        wrong = np.column_stack([random.integers(0, 2, false), stray, random.beta(2, 4, false)])
        rows.append(np.concatenate([right, wrong]))
    return Boxes.join(rows)


@pytest.fixture
def given():
    random = np.random.default_rng(0)
    rows = []
    for _ in range(45):
        n = random.integers(0, 4)
        corner = random.random((n, 2)) * 60
        name = random.integers(0, 2, (n, 1))
        rows.append(np.hstack([name, corner, corner + 25, np.ones((n, 1))]))
    truth = Boxes.join(rows)
    members = {
        "good": predicted(random, truth, 1.5, 0.1, 1),
        "fair": predicted(random, truth, 3, 0.3, 2),
        "bad": predicted(random, truth, 30, 0.5, 3),
    }
    known = {name: np.ones(45, bool) for name in members}
    return {
        "members": members,
        "known": known,
        "truth": truth,
        "labelled": np.ones(45, bool),
        "names": NAMES,
        "folds": np.arange(45) % 3,
        "space": SPACE,
        "resampling": DRAWS,
    }


def same(a, b):
    return all(
        np.array_equal(getattr(a, part), getattr(b, part))
        for part in ("start", "xyxy", "classes", "scores")
    )


def test_the_score_is_that_of_the_boxes_given_and_beats_every_member(given):
    decision, made = decide.search(**given)
    ranking = Ranking.match(given["truth"], made, 2)
    assert decision["score"] == ranking.score()
    assert decision["interval"][0] <= decision["score"] <= decision["interval"][1]
    assert decision["classes"] == dict(zip(NAMES, ranking.classes().tolist(), strict=True))
    assert decision["baseline"] == Ranking.match(given["truth"], Boxes.empty(45), 2).score()
    assert set(decision["members"]) == {"good", "fair", "bad"}
    assert decision["score"] > max(decision["members"].values())
    assert decision["members"]["good"] > decision["members"]["fair"] > decision["members"]["bad"]
    weights = decision["params"]["weights"]
    assert weights["good"] >= weights["fair"] >= weights["bad"]
    assert decision["coverage"] == {"good": 1, "fair": 1, "bad": 1}
    assert json.loads(json.dumps(decision, allow_nan=False)) == decision


def test_parameters_of_a_fold_do_not_know_its_truth(given):
    decision, made = decide.search(**given)
    empty = given["truth"].keep(given["folds"][given["truth"].of()] != 1)
    other, inverted = decide.search(**{**given, "truth": empty})
    rows = np.flatnonzero(given["folds"] == 1)
    assert same(made.take(rows), inverted.take(rows))
    assert decision["per_fold"][1]["params"] == other["per_fold"][1]["params"]
    assert decision["per_fold"][0]["params"] != other["per_fold"][0]["params"]
    assert decision["score"] != other["score"]


def test_a_decision_is_applied_as_it_was_found(given):
    decision, made = decide.search(**given)
    for entry in decision["per_fold"]:
        rows = np.flatnonzero(given["folds"] == entry["fold"])
        members = {name: boxes.take(rows) for name, boxes in given["members"].items()}
        assert same(decide.apply(members, entry), made.take(rows))
    whole = decide.apply(given["members"], decision)
    assert decision["optimistic"] == Ranking.match(given["truth"], whole, 2).score()
    assert decide.apply(given["members"], json.loads(json.dumps(decision))).scores.max() <= 1
    with pytest.raises(InputError, match=r"new: was not there[\s\S]*good: has no boxes"):
        decide.apply({"new": given["truth"], "fair": given["truth"]}, decision)


def test_the_best_point_outside_a_fold_is_taken(given):
    space = {"fusion": ["nms", "wbf"], "iou": [0.3, 0.5, 0.7], "calibrate": False}
    decision, _ = decide.search(**{**given, "space": space})
    for entry in decision["per_fold"]:
        rows = given["folds"] != entry["fold"]
        scores = {
            (fusion, iou): Ranking.match(
                given["truth"], fuse(list(given["members"].values()), [1, 1, 1], fusion, iou), 2
            ).score(rows)
            for fusion in space["fusion"]
            for iou in space["iou"]
        }
        params = entry["params"]
        best = scores[params["fusion"], params["iou"]]
        assert best == pytest.approx(max(scores.values()), abs=1e-12)
        assert params["calibration"] is None


def test_a_member_of_some_folds_is_missing_in_the_others(given):
    known = {**given["known"], "good": given["folds"] != 2}
    members = given["members"]
    decision, made = decide.search(**{**given, "members": members, "known": known})
    assert decision["coverage"]["good"] == pytest.approx(2 / 3)
    rows, entry = np.flatnonzero(given["folds"] == 2), decision["per_fold"][2]
    parts = {name: boxes.take(rows) for name, boxes in members.items()}
    without = {name: given["known"][name][rows] for name in parts} | {"good": rows < 0}
    assert same(made.take(rows), decide.apply(parts, entry, without))
    assert entry["params"]["weights"]["good"] > 0
    less = dict(members)
    less["good"] = less["good"].keep(known["good"][less["good"].of()])
    assert decide.search(**{**given, "members": less, "known": known})[0] == decision
    # Weights are fitted where all predicted: what the others did in fold 2 does not matter.
    space = {"weights": "fitted", "step": 0.5, "calibrate": False}
    fair = members["fair"].keep(given["folds"][members["fair"].of()] != 2)
    changed = [
        decide.search(**{**given, "members": some, "known": known, "space": space})[0]
        for some in (members, {**members, "fair": fair})
    ]
    assert changed[0]["params"] == changed[1]["params"]
    assert changed[0]["score"] != changed[1]["score"]
    nobody = {**known, "fair": given["folds"] == 2}
    with pytest.raises(InputError, match="no image was predicted by all members"):
        decide.search(**{**given, "known": nobody})


def test_a_member_of_one_fold_weighs_as_the_others_there(given):
    known = {**given["known"], "good": given["folds"] == 1}
    decision, made = decide.search(**{**given, "known": known})
    weights = [entry["params"]["weights"] for entry in decision["per_fold"]]
    assert set(weights[1].values()) == {1 / 3}
    assert weights[0] == weights[2] == decision["params"]["weights"]
    rows = np.flatnonzero(given["folds"] == 1)
    parts = {name: boxes.take(rows) for name, boxes in given["members"].items()}
    assert same(made.take(rows), decide.apply(parts, decision["per_fold"][1]))


def test_calibration_undoes_scores_on_another_scale(given):
    logit = np.log(given["members"]["good"].scores) - np.log1p(-given["members"]["good"].scores)
    scores = (1 / (1 + np.exp(4 - logit / 2))).astype(np.float32)
    modest = {**given["members"], "good": replace(given["members"]["good"], scores=scores)}
    for calibrate in (True, False):
        space = {"iou": [0.5], "calibrate": calibrate}
        plain, boxes = decide.search(**{**given, "space": space})
        other, others = decide.search(**{**given, "space": space, "members": modest})
        assert np.allclose(boxes.scores[:50], others.scores[:50], atol=1e-3) == calibrate
        assert (other["score"] < plain["score"] - 0.01) != calibrate


def test_images_that_nobody_labelled_count_nowhere_but_are_fused(given):
    labelled = np.arange(45) % 4 != 0
    truth = given["truth"]
    moved = Boxes(truth.start, truth.xyxy.copy(), truth.classes, truth.scores)
    moved.xyxy[~labelled[truth.of()]] += 1000
    first, boxes = decide.search(**{**given, "labelled": labelled})
    second, others = decide.search(**{**given, "labelled": labelled, "truth": moved})
    assert first == second
    assert same(boxes, others)
    assert np.diff(boxes.start)[~labelled].sum() > 0


def test_one_member_is_left_as_it_is_but_for_what_overlaps(given):
    one = {name: {"fair": given[name]["fair"]} for name in ("members", "known")}
    space = {"fusion": ["nms", "wbf"], "iou": (np.arange(1, 20) / 20).tolist()}
    decision, _ = decide.search(**{**given, **one, "space": space})
    assert len({entry["params"]["iou"] for entry in decision["per_fold"]}) > 1
    assert decision["params"]["weights"] == {"fair": 1}
    assert decision["params"]["calibration"] is None
    assert decision["members"]["fair"] == decision["score"]


def test_what_cannot_be_decided_is_said(given):
    space = {"fusion": ["soft"], "iuo": [0.5], "iou": 0.5}
    with pytest.raises(InputError, match=r"iuo: is no key[\s\S]*iou: is 0.5[\s\S]*'soft'"):
        decide.search(**{**given, "space": space})
    with pytest.raises(InputError, match="two folds"):
        decide.search(**{**given, "labelled": given["folds"] == 0})
    with pytest.raises(InputError, match="known of fair: has 3 images, not 45"):
        decide.search(**{**given, "known": {"fair": np.ones(3, bool)}})
    with pytest.raises(InputError, match="nothing can be found"):
        decide.search(**{**given, "truth": Boxes.empty(45)})
