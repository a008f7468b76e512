"""Members without masks: two blends, each with weights of its own, from fit to decision."""

import json

import numpy as np
import pandas as pd
import pytest
from settings_of import decision_settings
from test_blend import SPEC, run
from test_decide import SPEC as DECISION
from test_decide import store_run

from foldbelt import decide, store
from foldbelt.ensemble import blend, weighing
from foldbelt.evaluate import label_scores, scores, summary
from foldbelt.files import InputError
from foldbelt.search.blends import count_blends
from foldbelt.search.means import Mean, Vector, mix, mix_labels
from foldbelt.search.oof import OutOfFold
from foldbelt.store.predictions import mean_over_files

CLASSES = 2


def labelled_run(root, classifiers=2, masks=1, seed=0, truth=True):
    """Write `masks` segmenters without label heads, and classifiers of falling skill."""
    common, ids, mask, folds, probs = store_run(
        root, seed=seed, members=masks, labelled=(False, False), shape=(8, 9, CLASSES)
    )
    random = np.random.default_rng(seed + 1)
    labels = mask.any(axis=(1, 2))
    if truth:
        arrays = {"mask": mask, "labels": labels.astype(np.uint8)}
        attrs = {"label_names": ["pit", "scratch"]}
        table = pd.DataFrame({"id": ids})
        store.write(common["data"], arrays, table=table, attrs=attrs, classes=CLASSES)
    known = {}
    for c in range(classifiers):
        noise = random.normal(0, 2 + 0.5 * c, labels.shape)
        known[f"c{c}"] = (1 / (1 + np.exp(-(4 * labels - 2 + noise)))).astype(np.float32)
        common["members"][f"c{c}"] = []
        for fold in np.unique(folds):
            own = random.permutation(np.flatnonzero(folds == fold))
            path = str(root / f"c{c}-fold{fold}.h5")
            table = pd.DataFrame({"id": ids[own]})
            store.write(path, {"label_prob": known[f"c{c}"][own]}, table=table)
            common["members"][f"c{c}"].append(path)
    return common, ids, mask, folds, probs, known


def test_vectors_share_weights_among_those_that_have_something():
    assert Vector.of([1] * 3, [True] * 3, [False] * 3) == Vector((1 / 3,) * 3, (1 / 3,) * 3)
    found = Vector.of([1, 3, 4], [True, True, False], [False, True, True])
    assert found == Vector((0.25, 0.75, 0), (0, 3 / 7, 4 / 7))
    for weights, what in (([0, 1], "masks"), ([1, 0], "labels")):
        with pytest.raises(InputError, match=what):
            Vector.of(weights, [True, False], [False, True])


@pytest.mark.parametrize("mean", [("probability", 0.5), ("logit", 0.5), ("power", 2)])
def test_a_member_without_masks_changes_no_mask(mean):
    random = np.random.default_rng(0)
    a, b = random.integers(0, 256, (2, 30, 8, 9), np.uint8)
    np.testing.assert_array_equal(
        mix([a, None, b], (0.3, 0, 0.7), *mean), mix([a, b], (0.3, 0.7), *mean)
    )
    near = mix([a, None, b], (0.15, 0.5, 0.35), *mean).astype(int)
    assert np.abs(near - mix([a, b], (0.3, 0.7), *mean)).max() <= 1  # in the last bit of a tie
    np.testing.assert_array_equal(
        mix([a, None, b], (0, 1, 0), *mean), mix([a, b], (0.5, 0.5), *mean)
    )
    with pytest.raises(InputError, match="no member predicts masks"):
        mix([None, None], (0.5, 0.5))


def test_weights_of_masks_are_those_without_the_classifiers(tmp_path):
    """And the other way about: what is not there has no weight, and moves none."""
    common, *_ = labelled_run(tmp_path, masks=3, seed=1)
    found = run(tmp_path, common, metric="mean_dice")
    oof = tmp_path / "oof.h5"
    prob, label = store.read(oof, "prob"), store.read(oof, "label_prob")
    own = {name: common["members"][name] for name in ("m0", "m1", "m2")}
    alone = run(tmp_path, {**common, "members": own}, metric="mean_dice")
    assert "labels" not in alone
    assert found["all"] == [*alone["all"], 0, 0]
    assert len({*found["all"]}) > 2
    for fold, vector in alone["without"].items():
        assert found["without"][fold] == [*vector, 0, 0]
    np.testing.assert_array_equal(store.read(oof, "prob"), prob)
    assert not store.has(oof, "label_prob")
    one = {"m2": own["m2"], "c0": common["members"]["c0"], "c1": common["members"]["c1"]}
    other = run(tmp_path, {**common, "members": one}, metric="mean_dice")
    assert other["all"] == [1, 0, 0]
    assert other["labels"]["all"] == found["labels"]["all"][2:]
    np.testing.assert_array_equal(store.read(oof, "label_prob"), label)


@pytest.mark.parametrize("mean", ["probability", "logit"])
@pytest.mark.parametrize("greedy", [False, True])
def test_label_weights_minimise_the_log_loss_without_the_fold(tmp_path, mean, greedy, monkeypatch):
    if greedy:
        monkeypatch.setattr(weighing, "CANDIDATES", 3)
    common, _, mask, folds, _, known = labelled_run(tmp_path, seed=4)
    found = run(tmp_path, common, {**SPEC, "mean": mean, "step": 0.1}, "mean_dice")
    assert found["members"] == ["m0", "c0", "c1"]
    truth = mask.any(axis=(1, 2))

    def best(rows):
        losses = []
        for part in range(11):
            weights = (part / 10, 1 - part / 10)
            p = mix_labels([known["c0"], known["c1"]], weights, mean)[rows].astype(float)
            losses.append(-np.mean(np.where(truth[rows], np.log(p), np.log(1 - p))))
        return [0, np.argmin(losses) / 10, 1 - np.argmin(losses) / 10]

    expected = {fold: best(folds != fold) for fold in range(4)}
    if greedy:  # which may stop early, at fractions of fewer steps
        loss = {f: found["labels"]["without"][str(f)][1] - expected[f][1] for f in expected}
        assert max(map(abs, loss.values())) < 0.15
    else:
        for fold in range(4):
            assert found["labels"]["without"][str(fold)] == pytest.approx(expected[fold])
        assert found["labels"]["all"] == pytest.approx(best(folds >= 0))
    assert 0.5 < found["labels"]["all"][1] < 1  # else it shows nothing
    # The rows of a fold are blended with the weights that never saw it.
    blended = store.read(tmp_path / "oof.h5", "label_prob")
    for i, fold in enumerate(folds):
        w = found["labels"]["without"][str(fold)]
        one = mix_labels([known["c0"][[i]], known["c1"][[i]]], w[1:], mean)
        np.testing.assert_allclose(blended[[i]], one, atol=1e-6)


def test_the_labels_of_a_fold_turned_over_move_no_weight_found_without_it(tmp_path):
    common, ids, mask, folds, *_ = labelled_run(tmp_path, seed=4)
    spec = {**SPEC, "step": 0.05}
    found = run(tmp_path, common, spec, "mean_dice")
    labels = mask.any(axis=(1, 2))
    for fold in range(4):
        turned = np.where((folds == fold)[:, None], ~labels, labels).astype(np.uint8)
        arrays = {"mask": mask, "labels": turned}
        store.write(common["data"], arrays, table=pd.DataFrame({"id": ids}), classes=CLASSES)
        other = run(tmp_path, common, spec, "mean_dice")["labels"]["without"]
        assert other[str(fold)] == found["labels"]["without"][str(fold)]
        assert other != found["labels"]["without"]


def test_without_true_labels_their_weights_are_equal(tmp_path):
    common, *_ = labelled_run(tmp_path, truth=False)
    assert run(tmp_path, common, metric="mean_dice")["labels"]["all"] == [0, 0.5, 0.5]
    common, *_ = labelled_run(tmp_path, classifiers=3)
    equal = run(tmp_path, common, {**SPEC, "search": False}, "mean_dice")
    assert (equal["all"], equal["labels"]["all"]) == ([1, 0, 0, 0], [0, 1 / 3, 1 / 3, 1 / 3])


def test_fixed_weights_go_by_model_and_fit_nothing(tmp_path):
    common, *_ = labelled_run(tmp_path, masks=2)
    files = common["members"]
    common["members"] = {
        "net.s1": files["m0"], "net.s2": files["m1"], "c0": files["c0"], "c1": files["c1"]
    }  # fmt: skip
    spec = {**SPEC, "weights": {"c1": 3, "net": 2}}
    found = run(tmp_path, common, spec, "mean_dice")
    assert found["all"] == [0.5, 0.5, 0, 0]
    assert found["labels"]["all"] == [0, 0, 0.25, 0.75]
    assert set(map(tuple, found["without"].values())) == {(0.5, 0.5, 0, 0)}
    found = run(tmp_path, common, {**spec, "weights": {"net.s2": 0}}, "mean_dice")
    assert found["all"] == [1, 0, 0, 0]
    with pytest.raises(InputError, match=r"blend\.weights.*masks"):
        run(tmp_path, common, {**spec, "weights": {"net": 0}}, "mean_dice")


def test_snapshots_share_the_weight_of_their_model():
    members = ["net.s1", "net.s2", "other", "b.s1"]
    assert weighing._fixed(members, {"net": 3}) == [1.5, 1.5, 1, 1]
    assert weighing._fixed(members, {"net": 3, "net.s2": 2}) == [1.5, 2, 1, 1]


@pytest.mark.parametrize("mean", ["probability", "logit"])
def test_a_classifier_in_a_decision_is_a_label_head(tmp_path, mean):
    """A segmenter and two classifiers decide as one model would that says what they say."""
    common, ids, _, folds, probs, known = labelled_run(tmp_path, seed=2)
    out = {name: tmp_path / f"{name}.json" for name in ("weights", "two", "one")}
    spec = {**DECISION, "space": {**DECISION["space"], "gate": [0, 0.2, 0.5, 0.8]}}
    spec["steps"] = {"holes": None, "components": None}
    rest = {"settings": decision_settings(spec), "seed": 1}
    fixed = {"c0": 3, "c1": 7}
    run(tmp_path, common, {**SPEC, "mean": mean, "weights": fixed}, "mean_dice")
    decide.run(**common, **rest, weights=str(out["weights"]), out=str(out["two"]))
    both = []
    for fold in np.unique(folds):
        own = np.flatnonzero(folds == fold)
        label = mix_labels([known["c0"][own], known["c1"][own]], (0.3, 0.7), mean)
        arrays = {"prob": probs["m0"][own], "label_prob": label}
        both.append(str(tmp_path / f"both{fold}.h5"))
        store.write(both[-1], arrays, table=pd.DataFrame({"id": ids[own]}))
    content = {"members": ["both"], "all": [1], "without": {str(f): [1] for f in range(4)}}
    out["weights"].write_text(json.dumps(content))
    whole = {**common, "members": {"both": both}}
    decide.run(**whole, **rest, weights=str(out["weights"]), out=str(out["one"]))
    assert out["two"].read_bytes() == out["one"].read_bytes()
    assert decide.load(out["two"]).gate_on == "label"


@pytest.mark.parametrize("space", [{}, {"min_component": [0, 3]}, {"gate_mode": ["product"]}])
@pytest.mark.parametrize("width", [1, CLASSES, 5])
def test_labels_of_other_things_than_the_classes_gate_no_mask(tmp_path, space, width):
    common, ids, mask, *_ = labelled_run(tmp_path, classifiers=1)
    spec = {**DECISION, "space": {**DECISION["space"], "gate": [0, 0.5], **space}}
    spec["steps"] = {"holes": None}
    run(tmp_path, common, SPEC, "mean_dice")
    table = pd.DataFrame({"id": ids})
    attrs = {"class_names": ["pit", "scratch"], "label_names": [f"view{i}" for i in range(width)]}
    for path, name in ((common["data"], "labels"), *((p, "prob") for p in common["members"]["c0"])):
        own = store.read(path, "id").astype(str)
        label = np.random.default_rng(0).random((len(own), width))
        if name == "prob":
            arrays = {"label_prob": label.astype(np.float32)}
            store.write(path, arrays, table=pd.DataFrame({"id": own}))
        else:
            arrays = {"mask": mask, "labels": (label > 0.5).astype(np.uint8)}
            store.write(path, arrays, table=table, attrs=attrs, classes=CLASSES)
    rest = {"settings": decision_settings(spec), "seed": 1}
    decide.run(**common, **rest, weights=str(tmp_path / "weights.json"), out=tmp_path / "with.json")
    masked = {**common, "members": {"m0": common["members"]["m0"]}}
    content = {"members": ["m0"], "all": [1], "without": {str(f): [1] for f in range(4)}}
    (tmp_path / "alone.json").write_text(json.dumps(content))
    out = tmp_path / "without.json"
    decide.run(**masked, **rest, weights=str(tmp_path / "alone.json"), out=out)
    assert (tmp_path / "with.json").read_bytes() == out.read_bytes()
    assert decide.load(out).gate_on == "peak"


def test_blends_that_weigh_masks_alike_share_their_pixel_counts(tmp_path):
    common, *_ = labelled_run(tmp_path)
    oof = OutOfFold(**common)
    vectors = [Vector((1, 0, 0), (0, w, 1 - w)) for w in (0.2, 0.7)]
    first, second = count_blends(oof, vectors, np.array([100]))
    assert first.pred is second.pred
    assert first.inter is second.inter
    for vector, counts in zip(vectors, (first, second), strict=True):
        labels = mix_labels(oof.label_probs(), vector.labels)
        np.testing.assert_array_equal(counts.gate, labels.astype(float))


@pytest.mark.parametrize("mean", ["probability", "geometric"])
def test_test_predictions_of_masks_and_labels_are_blended_apart(tmp_path, mean, monkeypatch):
    monkeypatch.setattr("foldbelt.store.predictions.BLOCK_BYTES", 4 * 40 * 16)  # 16 images a block
    random = np.random.default_rng(0)
    ids = np.array([f"x{i}" for i in range(70)], dtype=object)
    members, means = {}, {}
    for name in ("net", "c0", "c1"):
        kind = "prob" if name == "net" else "label_prob"
        members[name], means[name] = [], 0
        for fold in range(3):
            order = random.permutation(len(ids))
            prob = random.integers(0, 256, (len(ids), 4, 5, 2), np.uint8)
            prob = prob if name == "net" else random.random((len(ids), 2)).astype(np.float32)
            path = str(tmp_path / f"{name}{fold}.h5")
            store.write(path, {kind: prob[order]}, table=pd.DataFrame({"id": ids[order]}))
            members[name].append(path)
            means[name] = means[name] + prob / np.float64(3)
    content = {"members": list(members), "mean": mean, "all": [1, 0, 0], "without": {}}
    content["labels"] = {"all": [0, 0.3, 0.7], "without": {}}
    (tmp_path / "w.json").write_text(json.dumps(content))
    place = {"weights": str(tmp_path / "w.json"), "out": str(tmp_path / "t.h5")}
    blend.run_test(members=members, **place)
    found = store.read(tmp_path / "t.h5", "prob", ids.tolist())
    assert np.abs(found - means["net"]).max() <= 0.5 + 1e-4
    expected = mix_labels([means["c0"], means["c1"]], (0.3, 0.7), mean)
    label = store.read(tmp_path / "t.h5", "label_prob", ids.tolist())
    np.testing.assert_allclose(label, expected, atol=1e-6)
    with pytest.raises(InputError, match="no masks"):
        blend.run_test(members={"c0": members["c0"]}, **_weights_of(tmp_path, ["c0"]))
    half = [members["net"][0], members["c0"][1], members["net"][2]]
    with pytest.raises(InputError, match=r"c01.h5: lacks `prob`, which other files of net have"):
        blend.run_test(members={"net": half}, **_weights_of(tmp_path, ["net"]))


def test_masks_and_labels_are_averaged_over_the_files_that_have_them(tmp_path):
    random = np.random.default_rng(0)
    ids = [f"x{i}" for i in range(20)]
    prob, label = random.integers(0, 256, (2, 20, 3, 4), np.uint8), random.random((2, 20, 1))
    kinds = [{"prob": prob[0]}, {"label_prob": label[0]}, {"prob": prob[1], "label_prob": label[1]}]
    paths = []
    for number, arrays in enumerate(kinds):
        paths.append(str(tmp_path / f"{number}.h5"))
        store.write(paths[-1], arrays, table=pd.DataFrame({"id": ids}))
    ((rows, mean, known),) = mean_over_files(paths, ids)
    assert rows == slice(0, 20)
    np.testing.assert_allclose(mean, prob.astype(float).mean(axis=0))
    np.testing.assert_allclose(known, label.mean(axis=0), rtol=1e-6)
    use = np.ones((3, 20), bool)
    use[0, :8] = use[1, 5:11] = False
    ((_, mean, known),) = mean_over_files(paths, ids, use)
    np.testing.assert_array_equal(mean[:8], prob[1, :8])
    np.testing.assert_allclose(mean[8:], prob.astype(float).mean(axis=0)[8:])
    np.testing.assert_allclose(known[5:11], label[1, 5:11], rtol=1e-6)
    np.testing.assert_allclose(known[:5], label.mean(axis=0)[:5], rtol=1e-6)
    assert next(mean_over_files(paths[1:2], ids))[1] is None


def _weights_of(root, members):
    path = root / "others.json"
    path.write_text(json.dumps({"members": members, "all": [1], "without": {}}))
    return {"weights": str(path), "out": str(root / "others.h5")}


def test_classifiers_alone_are_refused(tmp_path):
    common, *_ = labelled_run(tmp_path)
    alone = {**common, "members": {"c0": common["members"]["c0"]}}
    with pytest.raises(InputError, match="c0 predict image labels and no masks"):
        OutOfFold(**alone)
    mixed = [*common["members"]["m0"][:3], common["members"]["c0"][3]]
    with pytest.raises(InputError, match=r"c0-fold3.h5: lacks `prob`"):
        OutOfFold(**{**common, "members": {"m0": mixed}})


def test_label_scores_equal_their_definitions():
    random = np.random.default_rng(0)
    truth = random.integers(0, 2, (60, 2))
    prob = np.round(random.random((60, 2)), 1)  # with ties
    for k in range(2):
        yes, no = prob[truth[:, k] == 1, k], prob[truth[:, k] == 0, k]
        pairs = (yes[:, None] > no) + 0.5 * (yes[:, None] == no)
        assert label_scores.auc(truth[:, k], prob[:, k]) == pytest.approx(pairs.mean())
    assert label_scores.auc(np.ones(4), random.random(4)) is None
    sure = label_scores.log_loss(np.array([[1, 0], [1, 0]]), np.array([[1, 0], [0, 0.5]]))
    assert sure[0] == pytest.approx(0, abs=1e-5)
    assert sure[1] == pytest.approx((np.log(1e6) + np.log(2)) / 2)


def test_scores_of_members_without_masks_are_those_of_their_labels(tmp_path):
    common, ids, mask, _, _, known = labelled_run(tmp_path, seed=2)
    run(tmp_path, common, metric="mean_dice")
    decision = str(tmp_path / "decision.json")
    weights = str(tmp_path / "weights.json")
    decide.run(
        **common, weights=weights, settings=decision_settings(DECISION), seed=1, out=decision
    )
    table = pd.DataFrame({"id": ["x"]})
    store.write(tmp_path / "test.h5", {"prob": np.zeros((1, 8, 9, 2), np.uint8)}, table=table)
    out = tmp_path / "scores.json"
    scores.run(
        members={f"{name}/round0": paths for name, paths in common["members"].items()},
        decisions={0: decision},
        data=common["data"],
        folds=common["folds"],
        settings=decision_settings(DECISION),
        seed=1,
        truth=None,
        test=str(tmp_path / "test.h5"),
        blend_test=str(tmp_path / "test.h5"),
        select={},
        benchmarks=[],
        out=str(out),
    )
    found = json.loads(out.read_text())
    assert list(found["members"]) == ["m0/round0"]
    assert list(found["labels"]) == ["c0/round0", "c1/round0"]
    truth = mask.any(axis=(1, 2))
    for name in ("c0", "c1"):
        p = known[name].astype(float)
        own = found["labels"][f"{name}/round0"]
        expected = -np.mean(np.where(truth, np.log(p), np.log(1 - p)))
        assert own["log_loss"] == pytest.approx(expected)
        areas = [label_scores.auc(truth[:, k], p[:, k]) for k in range(2)]
        assert list(own["auc"].values()) == pytest.approx(areas)
        assert list(own["auc"]) == ["pit", "scratch"]
    assert "c0/round0" in summary.describe(out)
    other = np.zeros((len(ids), 3), np.uint8)
    arrays = {"mask": mask, "labels": other}
    store.write(common["data"], arrays, table=pd.DataFrame({"id": ids}), classes=CLASSES)
    with pytest.raises(InputError, match="3 image labels, but 2 were predicted"):
        label_scores.of_members(common["members"], common["data"], ids)
    with pytest.raises(InputError, match="3 image labels, but 2 were predicted"):
        weighing.LabelTable(OutOfFold(**common), Mean())
