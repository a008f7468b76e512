"""What is left of a blend keeps its shares, and its score is that of the run's own decision."""

import dataclasses
import json

import numpy as np
import pytest
from settings_of import decision_settings
from test_blend import SPEC, run
from test_blend_labels import labelled_run
from test_decide import SPEC as DECISION

from foldbelt import decide
from foldbelt.bundle.choosing import Choice, choose, left, left_blend
from foldbelt.decide import rescoring
from foldbelt.files import InputError

OF_MASKS = ["m0", "m1"]


@pytest.fixture(scope="module")
def decided(tmp_path_factory):
    """A run of two segmenters and two classifiers: what the stages took, and the two files."""
    root = tmp_path_factory.mktemp("run")
    common, *_ = labelled_run(root, masks=2, seed=2)
    run(root, common, {**SPEC, "weights": {"m0": 3, "m1": 1, "c0": 3, "c1": 7}}, "mean_dice")
    spec = {**DECISION, "space": {**DECISION["space"], "gate": [0.2, 0.5], "min_component": [0, 3]}}
    spec["steps"] = {"holes": None, "components": None}
    settings = dataclasses.replace(
        decision_settings(spec), forced=frozenset({"gate", "holes", "components"})
    )
    files = {"blend": root / "weights.json", "decision": root / "decision.json"}
    decide.run(**common, weights=files["blend"], settings=settings, seed=1, out=files["decision"])
    return common, files


def chosen(decided, kept, steps=()):
    common, files = decided
    oof = {"masks": {name: common["members"][name] for name in kept}}
    left_out = [name for name in common["members"] if name not in kept]
    choice = Choice(left_out, steps, oof, common["folds"])
    decisions = {"masks": files["decision"]}
    return choose(choice, {"masks": kept}, files["blend"], decisions, common["data"])


def test_with_all_members_and_steps_the_score_is_that_of_the_decision(decided):
    common, files = decided
    decision = json.loads(files["decision"].read_text())
    assert decision["gate_on"] == "label"
    assert {one["step"] for one in decision["steps"]} == {"holes", "components"}
    given = common["members"], files["blend"], files["decision"], common["data"], common["folds"]
    assert rescoring.of_masks(*given) == pytest.approx(decision["score"], abs=1e-9)


def test_without_steps_it_is_what_the_decision_had_before_them(decided):
    made = chosen(decided, list(decided[0]["members"]), ["components", "holes", "crf"])
    decision = json.loads(decided[1]["decision"].read_text())
    assert made.steps == ["components", "holes"], "crf was not there"
    assert made.scores["masks"]["score"] == pytest.approx(np.mean(decision["images"]["base"]))
    assert made.scores["masks"]["run"] == decision["score"] != made.scores["masks"]["score"]
    assert made.decisions["masks"]["steps"] == []


def test_the_others_get_the_weight_of_who_stays_behind(decided, capsys):
    made = chosen(decided, ["m1", "c0", "c1"])
    assert made.blend["all"] == [1, 0, 0]
    assert made.blend["labels"]["all"] == pytest.approx([0, 0.3, 0.7])
    assert made.blend["labels"]["without"]["2"] == pytest.approx([0, 0.3, 0.7])
    assert made.scores["masks"]["score"] != made.scores["masks"]["run"]
    assert "without m0" in capsys.readouterr().out
    with pytest.raises(InputError, match="gate by labels"):
        chosen(decided, OF_MASKS)


def test_masks_may_stay_behind_where_others_travel(decided):
    common, files = decided
    choice = Choice(OF_MASKS, folds=common["folds"])
    made = choose(choice, {"labels": ["c0"]}, files["blend"], {}, common["data"])
    assert made.blend is None
    assert not made.decisions


def test_who_weighed_nothing_weighs_alike_where_nobody_else_is_left():
    content = {
        "members": ["a", "b", "c"],
        "all": [1.0, 0.0, 0.0],
        "without": {"0": [0.0, 0.2, 0.8]},
    }
    made = left_blend(content, ["b", "c"])
    assert made["all"] == [0.5, 0.5]
    assert made["without"]["0"] == pytest.approx([0.2, 0.8])
    params = {"weights": {"a": 1.0, "b": 0.0}, "calibration": {"a": 1, "b": 2}, "iou": 0.5}
    decision = {"params": params, "per_fold": [{"fold": 0, "params": params}]}
    expected = {"weights": {"b": 1.0}, "calibration": {"b": 2}, "iou": 0.5}
    made = left(decision, ["b"])
    assert made == {"params": expected, "per_fold": [{"fold": 0, "params": expected}]}
    assert left(decision, ["a", "b"]) == decision
