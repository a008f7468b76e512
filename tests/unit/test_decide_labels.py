"""How labels are averaged and decided is found without the fold that is scored."""

import json

import numpy as np
import pytest

from foldbelt.bootstrap import Resampling
from foldbelt.decide import label_task
from foldbelt.decide import labels as decide
from foldbelt.files import InputError
from foldbelt.metrics import labels as metrics
from foldbelt.search.means import MEANS, mix_labels

NAMES = ["typical", "atypical", "none"]
SPACE = {"mean": list(MEANS), "weights": "fitted", "step": 0.5}


def inputs(exclusive=False, images=90, seed=0):
    random = np.random.default_rng(seed)
    if exclusive:
        truth = np.eye(3)[random.choice(3, images, p=[0.5, 0.3, 0.2])]
    else:
        truth = (random.random((images, 3)) < [0.5, 0.3, 0.2]).astype(float)
    members = {}
    for name, noise in (("good", 1), ("fair", 2), ("bad", 8)):
        logit = 3 * truth - 2 + random.normal(0, noise, truth.shape)
        prob = np.exp(logit) / np.exp(logit).sum(axis=1, keepdims=True)
        members[name] = (prob if exclusive else 1 / (1 + np.exp(-logit))).astype(np.float32)
    return {
        "members": members,
        "known": {},
        "truth": truth,
        "names": NAMES,
        "exclusive": exclusive,
        "folds": np.arange(images) % 3,
        "space": SPACE,
        "metric": "log_loss",
        "resampling": Resampling(draws=60),
    }


@pytest.mark.parametrize("exclusive", [False, True])
@pytest.mark.parametrize("metric", metrics.METRICS)
def test_the_score_is_that_of_what_is_given_and_beats_constants(metric, exclusive):
    given = inputs(exclusive)
    decision, prob = decide.search(**{**given, "metric": metric})
    assert json.loads(json.dumps(decision, allow_nan=False)) == decision
    sign = -1 if metric == "log_loss" else 1
    assert sign * decision["score"] > sign * decision["baseline"]
    low, high = decision["interval"]
    assert low <= decision["score"] <= high
    assert sign * (low if sign > 0 else high) > sign * decision["baseline"]
    assert sign * decision["members"]["good"] > sign * decision["members"]["bad"]
    assert decision["params"]["weights"]["good"] > decision["params"]["weights"]["bad"]
    assert set(decision["classes"]) == set(NAMES)
    judged = prob
    if metric in metrics.DECIDED:
        judged = np.empty_like(prob)
        for entry in decision["per_fold"]:
            rows = given["folds"] == entry["fold"]
            judged[rows] = decide.decide(prob[rows], {**decision, **entry})
        assert exclusive == ("threshold" not in decision["params"])
    expected = metrics.score(metric, given["truth"], judged, exclusive)
    assert decision["score"] == pytest.approx(expected)
    if exclusive:
        np.testing.assert_allclose(prob.sum(axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("exclusive", [False, True])
@pytest.mark.parametrize("metric", ["balanced_accuracy", "log_loss"])
def test_parameters_of_a_fold_do_not_know_its_truth(metric, exclusive):
    given = inputs(exclusive) | {"metric": metric}
    inside = given["folds"] == 1
    inverted = given["truth"].copy()
    inverted[inside] = np.roll(inverted[inside], 1, axis=1) if exclusive else 1 - inverted[inside]
    decision, prob = decide.search(**given)
    other, others = decide.search(**{**given, "truth": inverted})
    assert decision["per_fold"][1]["params"] == other["per_fold"][1]["params"]
    np.testing.assert_array_equal(prob[inside], others[inside])
    assert decision["per_fold"][0]["params"] != other["per_fold"][0]["params"]


@pytest.mark.parametrize("exclusive", [False, True])
def test_a_decision_is_applied_as_it_was_found(exclusive):
    given = inputs(exclusive) | {"metric": "accuracy"}
    decision, prob = decide.search(**given)
    for entry in decision["per_fold"]:
        rows = given["folds"] == entry["fold"]
        part = {name: p[rows] for name, p in given["members"].items()}
        np.testing.assert_array_equal(decide.apply(part, {**decision, **entry}), prob[rows])
    made = decide.apply(given["members"], decision)
    on = decide.decide(made, decision)
    assert on.shape == made.shape
    assert on.dtype == bool
    optimistic = metrics.accuracy(given["truth"], on.astype(float), exclusive)
    assert decision["optimistic"] == pytest.approx(optimistic)
    if exclusive:
        assert (on.sum(axis=1) == 1).all()
    made[3] = np.nan
    assert not decide.decide(made, decision)[3].any()
    with pytest.raises(InputError, match=r"new: was not there[\s\S]*good: has no labels"):
        decide.apply({"new": made, "fair": made}, decision)


def test_thresholds_are_the_best_of_the_other_folds():
    given = inputs() | {"metric": "balanced_accuracy"}
    given["members"] = {"good": given["members"]["good"]}
    decision, _ = decide.search(**given)
    tried = label_task.SPACE["threshold"]
    for entry in decision["per_fold"]:
        rows = given["folds"] != entry["fold"]
        for k, limit in enumerate(entry["params"]["threshold"]):
            parts = given["truth"][rows][:, [k]], given["members"]["good"][rows][:, [k]]
            scores = [metrics.balanced_accuracy(*parts, threshold=t) for t in tried]
            assert limit == tried[int(np.argmax(scores))]
    assert decision["members"]["good"] == decision["score"] < decision["optimistic"]


def test_the_best_mean_is_taken():
    given = inputs() | {"space": {"mean": list(MEANS), "power": [0.5, 2.0]}}
    decision, _ = decide.search(**given)
    for entry in decision["per_fold"]:
        rows = given["folds"] != entry["fold"]
        scores = {
            (mean, power): metrics.log_loss(
                given["truth"][rows],
                mix_labels([p[rows] for p in given["members"].values()], [1, 1, 1], mean, power),
            )
            for mean in MEANS
            for power in (0.5, 2.0)
        }
        params = entry["params"]
        made = scores[params["mean"], params.get("power", 0.5)]
        assert made == pytest.approx(min(scores.values()), abs=1e-12)


@pytest.mark.parametrize("mean", MEANS)
def test_exclusive_probabilities_sum_to_one_whatever_the_mean(mean):
    _, prob = decide.search(**{**inputs(exclusive=True), "space": {"mean": [mean]}})
    np.testing.assert_allclose(prob.sum(axis=1), 1, atol=1e-6)


def test_what_is_decided_is_averaged_as_the_log_loss_would_have_it():
    for exclusive in (False, True):
        params = [
            decide.search(**{**inputs(exclusive, seed=1), "space": space, "metric": metric})[0]
            for metric in ("accuracy", "log_loss")
            for space in [{"mean": list(MEANS), "weights": "fitted", "step": 0.1}]
        ]
        first, second = (one["params"] for one in params)
        assert {**first, "threshold": 0} == {**second, "threshold": 0}


def test_a_member_of_some_folds_is_missing_in_the_others():
    given = inputs()
    known = given["folds"] != 2
    spoilt = {
        **given["members"],
        "good": np.where(known[:, None], given["members"]["good"], np.nan),
    }
    given |= {"members": spoilt, "known": {"good": known}}
    decision, prob = decide.search(**given)
    assert decision["coverage"] == {"good": pytest.approx(2 / 3), "fair": 1, "bad": 1}
    assert np.isfinite(prob).all()
    params = decision["per_fold"][2]["params"]
    weights = [params["weights"][name] for name in ("fair", "bad")]
    mean = params["mean"], params.get("power", 1.0)
    parts = [spoilt[name][~known] for name in ("fair", "bad")]
    np.testing.assert_allclose(prob[~known], mix_labels(parts, weights, *mean), rtol=1e-6)
    # Weights are fitted where all predicted: what the others did in fold 2 does not matter.
    fair = np.where(known[:, None], spoilt["fair"], 1 - spoilt["fair"])
    space = {"weights": "fitted", "step": 0.25}
    params = [
        decide.search(**{**given, "members": some, "space": space})[0]["params"]
        for some in (spoilt, {**spoilt, "fair": fair})
    ]
    assert params[0] == params[1]
    with pytest.raises(InputError, match="no image was predicted by all"):
        decide.search(**{**given, "known": {"good": known, "fair": ~known}})


def test_a_member_of_one_fold_weighs_as_the_others_there():
    given = inputs()
    known = given["folds"] == 1
    good = np.where(known[:, None], given["members"]["good"], np.nan)
    given |= {"members": {**given["members"], "good": good}, "known": {"good": known}}
    decision, prob = decide.search(**{**given, "space": {"weights": "fitted", "step": 0.25}})
    weights = [entry["params"]["weights"] for entry in decision["per_fold"]]
    assert set(weights[1].values()) == {1 / 3}
    assert weights[0]["good"] == weights[2]["good"] == decision["params"]["weights"]["good"] > 1 / 3
    assert np.isfinite(prob).all()


def first_of(given, truth):
    return decide.search(**{**given, "truth": truth})[0]


@pytest.mark.parametrize("exclusive", [False, True])
def test_unknown_labels_count_nowhere_and_images_without_members_are_nan(exclusive):
    given = inputs(exclusive)
    truth = given["truth"].copy()
    truth[::4] = np.nan
    for metric in metrics.METRICS:
        first, prob = decide.search(**{**given, "truth": truth, "metric": metric})
        rows = np.flatnonzero(np.arange(90) % 4)
        part = {name: p[rows] for name, p in given["members"].items()}
        less = {**given, "members": part, "truth": truth[rows], "folds": given["folds"][rows]}
        second, others = decide.search(**{**less, "metric": metric})
        assert first == second
        np.testing.assert_array_equal(prob[rows], others)
    partly = truth.copy()
    partly[::4, 1:] = given["truth"][::4, 1:]  # where labels exclude each other, still not known
    assert (first_of(given, partly) == first_of(given, truth)) == exclusive
    known = dict.fromkeys(given["members"], np.arange(90) > 4)
    decision, prob = decide.search(**{**given, "known": known})
    assert np.isnan(prob[:5]).all()
    assert np.isfinite(decision["score"])


def test_baselines_by_hand():
    truth = np.zeros((6, 1))
    truth[:2] = 1  # fold 0: 1, 1, 0; fold 1: 0, 0, 0
    folds = np.array([0, 0, 1, 0, 1, 1])
    expected = {
        "auc": 0.5,
        "balanced_accuracy": 0.5,
        "mean_average_precision": 1 / 3,
        "accuracy": 1 / 6,  # without fold 1 most have it, without fold 0 none has
        "log_loss": -(2 * np.log(1e-6) + np.log(1 - 1e-6) + 3 * np.log(1 / 3)) / 6,
    }
    for metric, value in expected.items():
        decision, _ = decide.search(
            {"one": truth * 0.5 + 0.1},
            {},
            truth,
            ["x"],
            False,
            folds,
            {},
            metric,
            Resampling(draws=9),
        )
        assert decision["baseline"] == pytest.approx(value), metric


def test_what_cannot_be_decided_is_said():
    given = inputs()
    with pytest.raises(InputError, match=r"meen: is no key[\s\S]*'median' is unknown"):
        decide.search(**{**given, "space": {"meen": 1, "mean": ["median"]}})
    with pytest.raises(InputError, match="choose one of accuracy"):
        decide.search(**{**given, "metric": "dice"})
    with pytest.raises(InputError, match=r"good: is \(5, 3\), not \(90, 3\)"):
        decide.search(**{**given, "members": {"good": given["members"]["good"][:5]}})
    with pytest.raises(InputError, match="auc cannot be computed"):
        decide.search(**{**given, "metric": "auc", "truth": np.zeros((90, 3))})
    decision, prob = decide.search(**{**given, "metric": "auc"})
    with pytest.raises(InputError, match="auc needs no thresholds"):
        decide.decide(prob, decision)
