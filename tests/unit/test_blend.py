"""Blend weights: the grid, greedy selection, honesty, and the blended files."""

import itertools
import json

import numpy as np
import pandas as pd
import pytest
from settings_of import blend_settings
from test_decide import store_run

from foldbelt import metrics, store
from foldbelt.ensemble import blend, weighing
from foldbelt.files import InputError
from foldbelt.search.means import mix, mix_labels

SPEC = {"search": True, "mean": "probability", "step": 0.25}


def run(root, common, spec=SPEC, metric="salt_score"):
    paths = {"out": str(root / "oof.h5"), "weights": str(root / "weights.json")}
    blend.run_oof(**common, settings=blend_settings(spec), metric=metric, **paths)
    return json.loads((root / "weights.json").read_text())


def brute(probs, truth, rows, metric, candidates, mean="probability"):
    """Try every weight and threshold; give the weights of the best, closest to equal ones."""
    best = []
    for vector in candidates:
        mixed = mix(list(probs.values()), vector, mean)[rows] / 255
        means = [
            np.mean(metrics.score_images(metric, truth[rows], mixed > t))
            for t in weighing.THRESHOLDS
        ]
        best.append(max(means))
    ties = np.flatnonzero(np.array(best) > max(best) - 1e-9)
    far = [round(float(np.var(candidates[i])), 9) for i in ties]
    return candidates[ties[far.index(min(far))]]


@pytest.mark.parametrize(
    ("metric", "mean"),
    [("salt_score", "probability"), ("mean_dice", "probability"), ("salt_score", "geometric")],
)
def test_weights_equal_brute_force(tmp_path, metric, mean):
    common, _, truth, folds, probs = store_run(tmp_path, seed=3, members=3)
    found = run(tmp_path, common, {**SPEC, "mean": mean}, metric)
    candidates = [
        (a / 4, b / 4, (4 - a - b) / 4)
        for a, b in itertools.product(range(5), repeat=2)
        if a + b <= 4
    ]
    assert tuple(found["all"]) == brute(probs, truth, folds >= 0, metric, candidates, mean)
    for fold in range(4):
        expected = brute(probs, truth, folds != fold, metric, candidates, mean)
        assert tuple(found["without"][str(fold)]) == expected
    assert found["members"] == ["m0", "m1", "m2"]
    assert found["mean"] == mean
    if mean != "probability":
        assert run(tmp_path, common, metric=metric)["all"] != found["all"]


def test_rows_of_a_fold_are_blended_with_weights_that_never_saw_it(tmp_path):
    common, ids, truth, folds, probs = store_run(tmp_path, seed=2)
    found = run(tmp_path, common)
    assert store.read(tmp_path / "oof.h5", "id").tolist() == ids.tolist()
    blended = store.read(tmp_path / "oof.h5", "prob")
    for i, fold in enumerate(folds):
        w = np.float32(found["without"][str(fold)])
        expected = np.rint(probs["m0"][i] * w[0] + probs["m1"][i] * w[1])
        np.testing.assert_array_equal(blended[i], expected)

    for fold in range(4):  # the truth of a fold turned over moves no weight found without it
        masks = np.where((folds == fold)[:, None, None], 1 - truth, truth)
        table = pd.DataFrame({"id": ids})
        store.write(common["data"], {"mask": masks}, table=table)
        other = run(tmp_path, common)
        assert other["without"][str(fold)] == found["without"][str(fold)]
        assert other["without"] != found["without"]


def test_ties_go_to_equal_weights(tmp_path):
    common, *_ = store_run(tmp_path, members=2, labelled=(False, False))
    common["members"]["m1"] = common["members"]["m0"]
    assert run(tmp_path, common)["all"] == [0.5, 0.5]
    assert run(tmp_path, common, {**SPEC, "step": 1})["all"] == [0, 1]


def test_many_members_are_selected_greedily(tmp_path, monkeypatch):
    common, _, truth, folds, probs = store_run(tmp_path, seed=3, members=3)
    monkeypatch.setattr(weighing, "CANDIDATES", 5)
    found = run(tmp_path, common)
    rows = folds != 1
    path, parts = [], (0, 0, 0)
    for _ in range(4):
        more = [tuple(p + (i == j) for j, p in enumerate(parts)) for i in range(3)]
        vectors = [tuple(p / sum(one) for p in one) for one in more]
        path.append(brute(probs, truth, rows, "salt_score", vectors))
        parts = more[vectors.index(path[-1])]
    assert tuple(found["without"]["1"]) == brute(probs, truth, rows, "salt_score", path)


def test_every_composition_once():
    found = list(weighing.compositions(4, 3))
    assert len(found) == len(set(found)) == 15
    assert found == sorted(found)
    assert {sum(parts) for parts in found} == {4}
    assert list(weighing.compositions(3, 1)) == [(3,)]


@pytest.mark.parametrize("members", [1, 3])
def test_equal_weights(tmp_path, members):
    common, _, _, folds, probs = store_run(tmp_path, members=members)
    found = run(tmp_path, common, {**SPEC, "search": members == 1})
    assert found["all"] == [1 / members] * members
    assert set(found["without"]) == set(map(str, folds))
    blended = store.read(tmp_path / "oof.h5", "prob")
    np.testing.assert_array_equal(blended, np.rint(np.mean(list(probs.values()), axis=0)))


def test_classes_and_bytes(tmp_path):
    common, *_ = store_run(tmp_path, shape=(8, 9, 2))
    run(tmp_path, common, metric="mean_dice")
    first = [(tmp_path / name).read_bytes() for name in ("oof.h5", "weights.json")]
    turned = {**common, "members": {m: p[::-1] for m, p in common["members"].items()}}
    run(tmp_path, turned, metric="mean_dice")
    assert [(tmp_path / name).read_bytes() for name in ("oof.h5", "weights.json")] == first
    assert store.read(tmp_path / "oof.h5", "prob").shape == (48, 8, 9, 2)


def test_labels_are_averaged_over_the_members_that_have_them():
    a, b = np.array([[0.2]], np.float32), np.array([[0.8]], np.float32)
    assert mix_labels([a, None, b], [0.25, 0.5, 0.25])[0, 0] == pytest.approx(0.5)
    assert mix_labels([a, None, b], [0.1, 0.6, 0.3])[0, 0] == pytest.approx(0.65)
    assert mix_labels([a, None, b], [0, 1, 0])[0, 0] == pytest.approx(0.5)
    assert mix_labels([None, None], [0.5, 0.5]) is None


def test_mean_is_rounded_and_one_member_untouched():
    a, b = np.array([[0, 1, 10, 255]], np.uint8), np.array([[1, 2, 30, 255]], np.uint8)
    assert mix([a, b], [0.7, 0.3]).tolist() == [[0, 1, 16, 255]]
    assert mix([a, b], [0, 1]).tolist() == b.tolist()
    assert mix([a, b], [0.5, 0.5]).dtype == np.uint8


def test_unknown_settings_are_refused(tmp_path):
    common, *_ = store_run(tmp_path)
    with pytest.raises(InputError, match="harmonic"):
        run(tmp_path, common, {**SPEC, "mean": "harmonic"})
    with pytest.raises(InputError, match="divide 1"):
        run(tmp_path, common, {**SPEC, "step": 0.3})


def write_tests(root, n=70, shape=(4, 5), labelled=True, folds=3, seed=0):
    random = np.random.default_rng(seed)
    ids = np.array([f"x{i}" for i in range(n)], dtype=object)
    members, probs, labels = {}, {}, {}
    for m in range(2):
        members[f"m{m}"], probs[f"m{m}"], labels[f"m{m}"] = [], [], []
        for fold in range(folds):
            order = random.permutation(n)
            prob = random.integers(0, 256, (n, *shape), np.uint8)
            label = random.random((n, 1)).astype(np.float32)
            arrays = {"prob": prob[order]}
            if labelled and m == 0:
                arrays["label_prob"] = label[order]
            path = root / f"m{m}-{fold}-test.h5"
            store.write(path, arrays, table=pd.DataFrame({"id": ids[order]}))
            members[f"m{m}"].append(str(path))
            probs[f"m{m}"].append(prob)
            labels[f"m{m}"].append(label)
    return members, ids, probs, labels


def weights(root, final=(0.3, 0.7)):
    content = {"members": ["m0", "m1"], "mean": "probability", "all": final, "without": {}}
    (root / "w.json").write_text(json.dumps(content))
    return str(root / "w.json")


def test_test_blend_is_the_weighted_mean_of_means_over_folds(tmp_path):
    members, ids, probs, labels = write_tests(tmp_path)
    out = tmp_path / "test.h5"
    blend.run_test(members=members, weights=weights(tmp_path), out=str(out))
    means = {m: np.mean(p, axis=0) for m, p in probs.items()}
    expected = 0.3 * means["m0"] + 0.7 * means["m1"]
    assert sorted(store.read(out, "id")) == sorted(ids)
    found = store.read(out, "prob", ids.tolist()).astype(float)
    assert np.abs(found - expected).max() <= 0.5 + 1e-4
    label = store.read(out, "label_prob", ids.tolist())
    np.testing.assert_allclose(label, np.mean(labels["m0"], axis=0), atol=1e-6)


@pytest.mark.parametrize("labelled", [False, True])
def test_no_test_image_is_legal(tmp_path, labelled):
    members, *_ = write_tests(tmp_path, n=0, shape=(4, 5, 2), labelled=labelled)
    out = tmp_path / "test.h5"
    blend.run_test(members=members, weights=weights(tmp_path), out=str(out))
    assert store.read(out, "prob").shape == (0, 4, 5, 2)
    assert store.has(out, "label_prob") == labelled


def test_offenders_among_test_files_are_listed(tmp_path):
    members, ids, *_ = write_tests(tmp_path, n=6)
    path = members["m1"][1]
    names = ["alien", *ids[2:]]
    store.write(path, {"prob": np.zeros((5, 4, 5), np.uint8)}, table=pd.DataFrame({"id": names}))
    with pytest.raises(InputError) as error:
        blend.run_test(members=members, weights=weights(tmp_path), out=str(tmp_path / "t.h5"))
    for line in ("alien is not in", "x0 of", "x1 of"):
        assert f"{path}: {line}" in str(error.value)
    assert not (tmp_path / "t.h5").exists()
