"""Scores class by class."""

import json

import numpy as np
import pandas as pd
import pytest
from settings_of import decision_settings
from test_decide import SPACE, data, store_run, write_weights
from test_decide_steps import run, speckled

from foldbelt import bootstrap, decide, metrics, rle, store
from foldbelt.evaluate import class_scores, scores, summary
from foldbelt.files import InputError, seed_for

SPEC = {"metric": "mean_dice", "space": SPACE, "bootstrap": 50}
NAMES = ["1", "3"]


def finished(root, spec=SPEC):
    """Two classes, one round, eight test images with a hidden truth in pairs."""
    common, ids, truth, *_ = store_run(root, seed=3, shape=(8, 9, 2))
    table = pd.DataFrame({"id": ids})
    store.write(
        common["data"], {"mask": truth}, table=table, classes=2, attrs={"class_names": NAMES}
    )
    equal = {str(fold): [0.5, 0.5] for fold in range(4)}
    weights = write_weights(root / "w.json", ["m0", "m1"], [0.5, 0.5], equal)
    decide.run(
        **common,
        weights=weights,
        settings=decision_settings(spec),
        seed=1,
        out=root / "round0.json",
    )
    random = np.random.default_rng(0)
    names = [f"x{i}" for i in range(8)]
    hidden = random.random((8, 8, 9, 2)) < [0.5, 0.2]
    hidden[:3, ..., 0] = False
    prob = np.clip(100 * hidden + random.integers(0, 120, hidden.shape), 0, 255).astype(np.uint8)
    table = pd.DataFrame({"id": names})
    store.write(root / "test.h5", {"image": prob[..., 0]}, table, {"class_names": NAMES})
    label = random.random((8, 2)).astype(np.float32)
    store.write(root / "blend.h5", {"prob": prob, "label_prob": label}, table=table)
    rows = [
        (f"{name}_{NAMES[k]}", rle.encode(mask[..., k]))
        for name, mask in zip(names, hidden, strict=True)
        for k in range(2)
    ]
    columns = ["ImageId_ClassId", "EncodedPixels"]
    pd.DataFrame(rows, columns=columns).to_csv(root / "truth.csv", index=False)
    arguments = {
        "members": {"m0/round0": common["members"]["m0"]},
        "decisions": {0: root / "round0.json"},
        "data": common["data"],
        "folds": common["folds"],
        "settings": decision_settings(spec),
        "seed": 1,
        "truth": root / "truth.csv",
        "test": root / "test.h5",
        "blend_test": root / "blend.h5",
        "select": {},
        "benchmarks": [],
        "out": root / "scores.json",
        "competition": "steel",
    }
    return arguments, truth, hidden, prob, label


def test_every_class_has_its_scores(tmp_path):
    given, truth, hidden, prob, label = finished(tmp_path)
    scores.run(**given)
    found = json.loads((tmp_path / "scores.json").read_text())
    last = decide.load(given["decisions"][0])
    own = np.array(last.images["classes"])
    np.testing.assert_allclose(own.mean(axis=1), last.images["score"])
    pairs = metrics.score_pairs("mean_dice", hidden, decide.apply(prob, last, label))
    empty = metrics.score_pairs("mean_dice", truth, 0 * truth)
    assert list(found["classes"]) == sorted(NAMES)
    for k, name in enumerate(NAMES):
        one, there = found["classes"][name], truth[..., k].any(axis=(1, 2))
        assert one["score"] == pytest.approx(own[:, k].mean())
        assert one["positives"] == there.sum()
        assert one["on_positives"] == pytest.approx(own[there, k].mean())
        assert one["baseline"] == pytest.approx(empty[:, k].mean())
        assert one["hidden"] == pytest.approx(pairs[:, k].mean())
        assert one["parameters"] == {key: v[k] for key, v in last.params.items()}
        seed = seed_for(1, "class", name)
        drawn = bootstrap.interval(own[:, k], last.images["group"], 50, seed)
        assert one["interval"] == list(drawn)
    for key in ("score", "baseline", "hidden"):
        mean = np.mean([one[key] for one in found["classes"].values()])
        assert found[key] == pytest.approx(mean)
    assert found["classes"]["1"]["score"] != found["classes"]["3"]["score"]
    assert "class 3 " in summary.describe(tmp_path / "scores.json")


def test_what_parameters_of_every_class_add_is_told(tmp_path):
    given, *_ = finished(tmp_path)
    scores.run(**given)
    found = json.loads((tmp_path / "scores.json").read_text())
    (shared,) = (
        candidate for candidate in found["selection"] if candidate["step"] == "one for all"
    )
    (row,) = (one for one in found["differences"] if one["over"] == "one set for all classes")
    assert row["difference"] == -shared["difference"]
    assert row["interval"] == [-shared["interval"][1], -shared["interval"][0]]
    assert row["interval"][0] <= row["difference"] <= row["interval"][1]


def test_steps_keep_the_scores_of_the_classes(tmp_path):
    truth, prob = (np.stack([part, part[:, ::-1]], axis=3) for part in speckled())
    last, _ = run(tmp_path, truth, prob, {"components": {"min_area": [2, 8]}})
    pairs = np.array(last.images["classes"])
    np.testing.assert_allclose(pairs.mean(axis=1), last.images["score"])
    assert last.steps
    assert last.images["base"] != last.images["score"]


def test_one_class_is_not_told_apart():
    prob, truth, folds = data(0)
    found = decide.search(prob, truth, folds, SPACE, "mean_dice")
    assert set(found.images) == {"score"}


def test_ignored_pixels_are_no_positives(tmp_path):
    mask = np.zeros((2, 4, 4, 2), np.uint8)
    mask[:, 0, 0] = 1
    ignore = np.zeros((2, 4, 4), np.uint8)
    ignore[1, 0, 0] = 1
    table = pd.DataFrame({"id": ["a", "b"]})
    store.write(tmp_path / "t.h5", {"mask": mask, "ignore": ignore}, table=table, classes=2)
    areas = class_scores.true_areas(tmp_path / "t.h5", ["b", "a"])
    assert areas.tolist() == [[0, 0], [1, 1]]
    store.write(tmp_path / "u.h5", {"mask": mask}, table, {"class_names": NAMES}, classes=2)
    with pytest.raises(InputError, match="names 2 classes"):
        class_scores.names_of(tmp_path / "u.h5", 3)
