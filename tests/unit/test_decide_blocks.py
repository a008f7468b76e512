"""Labels of several kinds: each block is decided by those who predict it, at its own level."""

import json

import numpy as np
import pytest
from test_decide_joint import Case

from foldbelt import store
from foldbelt.bootstrap import Resampling
from foldbelt.decide import label_blocks, labels, output_files
from foldbelt.decide import units as unit
from foldbelt.files import InputError
from foldbelt.metrics import labels as metrics
from foldbelt.report import confusion, decision_page, label_examples, outputs, ranking

NAMES = ["a", "b", "c", "none", "rust"]
GROUP = ["a", "b", "c"]
SPACE = {"mean": ["probability", "geometric"], "weights": "fitted", "step": 0.5}


def inputs(seed=0, units=50, metric="mean_average_precision", **space):
    """Make members of all labels, of the group alone and of the others alone."""
    random = np.random.default_rng(seed)
    of = np.repeat(np.arange(units), random.integers(1, 4, units))
    choice = np.eye(3)[random.choice(3, units, p=[0.5, 0.3, 0.2])][of]
    truth = np.concatenate([choice, random.random((len(of), 2)) < 0.4], axis=1)
    members = {}
    for name, noise in (("all", 3.0), ("group", 2.0), ("rest", 2.0)):
        logit = 3 * truth - 1.5 + random.normal(0, noise, truth.shape)
        prob = 1 / (1 + np.exp(-logit))
        prob[:, :3] /= prob[:, :3].sum(axis=1, keepdims=True)
        members[name] = prob.astype(np.float32)
    members["group"][:, 3:] = np.nan
    members["rest"][:, :3] = np.nan
    return {
        "members": members,
        "known": {},
        "truth": truth,
        "names": NAMES,
        "blocks": label_blocks.blocks_of(members, NAMES, [GROUP], {"study": GROUP}),
        "units": {"study": np.array([f"s{n}" for n in of])},
        "folds": of % 3,
        "space": SPACE | space,
        "metric": metric,
        "resampling": Resampling(of, draws=40),
    }


@pytest.mark.parametrize("metric", metrics.METRICS)
def test_each_block_is_decided_by_its_members_and_the_score_is_that_of_all_labels(metric):
    given = inputs(metric=metric)
    decision, prob = label_blocks.search(**given)
    assert json.loads(json.dumps(decision, allow_nan=False)) == decision
    first, second = decision["blocks"]
    assert (first["labels"], first["exclusive"], first["level"]) == (GROUP, True, "study")
    assert (second["labels"], second["exclusive"], second["level"]) == (NAMES[3:], False, None)
    assert set(decision["params"][first["name"]]["weights"]) == {"all", "group"}
    assert set(decision["params"][second["name"]]["weights"]) == {"all", "rest"}
    assert set(decision["members"]) == set(given["members"])
    # The same by hand: units once for the group, images for the others.
    once = unit.once(unit.number(given["units"]["study"]))
    assert first["images"] == len(once)
    assert second["images"] == len(prob)
    scores = [metrics.score(metric, given["truth"][once, :3], prob[once, :3], True)]
    if metric not in metrics.DECIDED:
        scores.append(metrics.score(metric, given["truth"][:, 3:], prob[:, 3:]))
        answers = [1 if metric == "log_loss" else 3, 2]
        assert [first["score"], second["score"]] == pytest.approx(scores)
        assert decision["score"] == pytest.approx(np.average(scores, weights=answers))
    assert first["score"] == pytest.approx(scores[0])
    low, high = decision["interval"]
    assert low <= decision["score"] <= high
    sign = -1 if metric in metrics.FALLING else 1
    assert sign * decision["score"] > sign * decision["baseline"]


@pytest.mark.parametrize(("how", "slow"), [("mean", np.nanmean), ("max", np.nanmax)])
def test_images_of_a_unit_get_what_comes_of_all_that_is_predicted_of_it(how, slow):
    random = np.random.default_rng(0)
    values = random.random((40, 2)).astype(np.float32)
    values[random.random(values.shape) < 0.2] = np.nan
    units = unit.number(random.choice(["a", "b", "c", "", "-1", "nan"], 40))
    values[units == units[0]] = np.nan  # of which nothing is predicted
    made = unit.join(values, units, how)
    for number in set(units.tolist()):
        rows = units == number
        there = ~np.isnan(values[rows]).all(axis=0)
        assert np.array_equal(there, ~np.isnan(made[rows]).any(axis=0))
        expected = slow(values[rows][:, there], axis=0)
        assert np.allclose(made[rows][:, there], expected, rtol=1e-6)


def test_units_are_numbered_as_they_come_and_those_without_a_name_are_alone():
    names = np.array(["b", "", "a", "b", "-1", "", "a", "nan", "0"])
    assert unit.number(names).tolist() == [0, 1, 2, 0, 3, 4, 2, 5, 6]
    assert unit.number(np.array([], str)).tolist() == []
    unit.check_folds(names, np.array([0, 1, 2, 0, 0, 2, 2, 1, 0]), "study")
    with pytest.raises(InputError, match=r"(?s)2 problems.*study a: .*study b: "):
        unit.check_folds(names, np.array([0, 1, 2, 1, 0, 2, 0, 1, 0]), "study")


def test_images_of_a_unit_are_joined_as_is_best_and_the_same_for_other_images():
    given = inputs(join=["max"])
    decision, prob = label_blocks.search(**given)
    numbers = unit.number(given["units"]["study"])
    for number in np.unique(numbers):
        assert len(np.unique(prob[numbers == number, :3], axis=0)) == 1
    assert len(np.unique(prob[:, 3])) > len(np.unique(numbers))
    entry = decision["per_fold"][1]
    other = {**decision, "params": entry["params"]}
    made = label_blocks.apply(given["members"], other, NAMES, given["units"])
    inside = given["folds"] == entry["fold"]
    np.testing.assert_array_equal(made[inside], prob[inside])
    both, _ = label_blocks.search(**inputs(join=["max", "mean"]))
    mean, _ = label_blocks.search(**inputs(join=["mean"]))
    assert both["blocks"][0]["optimistic"] == pytest.approx(
        max(decision["blocks"][0]["optimistic"], mean["blocks"][0]["optimistic"]), abs=0.02
    )


def test_a_block_at_no_level_is_what_it_is_alone():
    given = inputs()
    only = {n: prob[:, 3:] for n, prob in given["members"].items() if n != "group"}
    blocks = label_blocks.blocks_of(only, NAMES[3:], [], {})
    assert len(blocks) == 1
    common = (given["folds"], given["space"], given["metric"], given["resampling"])
    truth = given["truth"][:, 3:]
    one, prob = label_blocks.search(only, {}, truth, NAMES[3:], blocks, {}, *common)
    plain, same = labels.search(only, {}, truth, NAMES[3:], False, *common)
    np.testing.assert_array_equal(prob, same)
    assert one["params"][blocks[0].name] == plain["params"]
    for key in ("score", "interval", "optimistic", "baseline", "members", "classes"):
        assert one[key] == pytest.approx(plain[key])
    # Where nothing but one block is there, the whole of it is a plain decision.
    made = label_blocks.apply(only, plain, NAMES[3:], {})
    np.testing.assert_array_equal(made, labels.apply(only, plain))


@pytest.mark.parametrize("fold", range(3))
def test_the_parameters_of_a_fold_do_not_know_its_truth(fold):
    given = inputs(join=["mean", "max"], metric="balanced_accuracy")
    inside = given["folds"] == fold
    inverted = given["truth"].copy()
    inverted[inside, :3] = np.roll(inverted[inside, :3], 1, axis=1)
    inverted[inside, 3:] = 1 - inverted[inside, 3:]
    decision, prob = label_blocks.search(**given)
    other, others = label_blocks.search(**{**given, "truth": inverted})
    assert decision["per_fold"][fold]["params"] == other["per_fold"][fold]["params"]
    np.testing.assert_array_equal(prob[inside], others[inside])
    assert decision["params"] != other["params"]


def test_a_unit_has_the_truth_of_any_of_its_images_and_counts_once():
    given = inputs()
    numbers = unit.number(given["units"]["study"])
    hidden = given["truth"].copy()
    last = np.ones(len(numbers), bool)
    last[len(numbers) - 1 - unit.once(numbers[::-1])] = False
    hidden[last, :3] = np.nan  # known of the last image of a unit alone
    decision, prob = label_blocks.search(**given)
    other, same = label_blocks.search(**{**given, "truth": hidden})
    np.testing.assert_array_equal(prob, same)
    assert other["blocks"] == decision["blocks"]


def test_weights_may_be_given():
    given = inputs(weights={"all": 3, "group": 1})
    decision, _ = label_blocks.search(**given)
    first, second = (decision["params"][block["name"]] for block in decision["blocks"])
    assert first["weights"] == {"all": 0.75, "group": 0.25}
    assert second["weights"] == {"all": 0.75, "rest": 0.25}  # who is not named weighs 1
    with pytest.raises(InputError, match="all, group all weigh 0"):
        label_blocks.search(**inputs(weights={"all": 0, "group": 0}))


def test_what_no_block_can_hold_is_named():
    given = inputs()
    torn = {**given["members"], "all": given["members"]["all"].copy()}
    torn["all"][:, 0] = np.nan
    with pytest.raises(InputError, match="all: predicts b, c of a, b, c; let it predict all"):
        label_blocks.blocks_of(torn, NAMES, [GROUP], {})
    with pytest.raises(InputError, match="a, b, c: are not of one level"):
        label_blocks.blocks_of(given["members"], NAMES, [GROUP], {"study": ["a"]})
    folds = given["folds"].copy()
    first = np.flatnonzero(unit.number(given["units"]["study"]) == 1)
    folds[first[0]] += 1
    units = {"study": given["units"]["study"].copy()}
    units["study"][first] = "s1"
    folds[first[1:] if len(first) > 1 else first] = folds[first[0]] - 1
    units["study"][0], folds[0] = "s1", folds[first[0]] - 1
    with pytest.raises(InputError, match="study s1: has images in several folds"):
        label_blocks.search(**{**given, "folds": folds, "units": units})


def test_labels_that_nobody_predicts_are_left_out():
    given = inputs()
    members = {"group": given["members"]["group"]}
    blocks = label_blocks.blocks_of(members, NAMES, [GROUP], {"study": GROUP})
    decision, prob = label_blocks.search(**{**given, "members": members, "blocks": blocks})
    assert decision["classes"]["none"] is None
    assert np.isnan(prob[:, 3:]).all()
    assert decision["score"] == pytest.approx(decision["blocks"][0]["score"])


def test_figures_count_units_once_and_confuse_the_groups(tmp_path):
    case = Case(tmp_path)
    case.decide()
    paths = [tmp_path / name for name in ("labels.json", "labels-oof.h5", "train.h5", "folds.csv")]
    decision = json.loads(paths[0].read_text())
    shown = outputs.read_labels(*map(str, paths))
    curves = ranking.of_labels(shown.truth, shown.prob, shown.names, shown.groups, draws=20)
    for curve in curves.each:
        assert curve.area == pytest.approx(decision["classes"][curve.name])
    assert curves.mean == pytest.approx(decision["score"])
    assert shown.apart == ((0, 1),)
    assert shown.alone() == [2]
    counts = confusion.of_classes(shown.truth[:, :2], shown.prob[:, :2])
    assert counts.sum() == len(np.unique(case.study))
    assert (label_examples.given(shown)[:, :2].sum(axis=1) == 1).all()
    confusion.draw(shown, str(tmp_path / "confusion.svg"))
    decision_page.write(str(paths[0]), str(tmp_path / "scores.html"))
    page = (tmp_path / "scores.html").read_text()
    assert "negative" in page
    assert "join: " in page


def test_thresholds_of_a_block_reach_the_figures(tmp_path):
    case = Case(tmp_path)
    output_files.run(
        "labels",
        members=case.members()["labels"],
        data=tmp_path / "train.h5",
        folds=tmp_path / "folds.csv",
        settings={"metric": "balanced_accuracy", "threshold": [0.2, 0.4, 0.6]},
        draws=20,
        seed=0,
        decision=tmp_path / "labels.json",
        blend=tmp_path / "oof.h5",
    )
    decision = json.loads((tmp_path / "labels.json").read_text())
    names = ("labels.json", "oof.h5", "train.h5", "folds.csv")
    shown = outputs.read_labels(*(str(tmp_path / name) for name in names))
    assert shown.searched
    assert (shown.cut[:, :2] == outputs.CUT).all()
    for entry in decision["per_fold"]:
        inside = case.folds == entry["fold"]
        assert (shown.cut[inside, 2] == entry["params"]["none"]["threshold"][0]).all()
    assert list(store.attrs(tmp_path / "oof.h5")["label_names"]) == ["negative", "typical", "none"]
