"""Blends by other means than that of probabilities, from weights to decision; and by halves."""

import json

import numpy as np
import pandas as pd
import pytest
from settings_of import decision_settings
from test_blend import SPEC, run, weights, write_tests
from test_decide import SPEC as DECISION
from test_decide import store_run

from foldbelt import decide, pseudo, store
from foldbelt.config import complete
from foldbelt.ensemble import blend
from foldbelt.files import InputError
from foldbelt.search.means import mix, mix_labels

SPACE = {**DECISION["space"], "gate": np.linspace(0, 0.98, 50).tolist()}
MEANS = [("logit", 0.5), ("geometric", 0.5), ("power", 0.5), ("power", 3)]


@pytest.mark.parametrize(("mean", "power"), MEANS)
def test_the_truth_of_a_fold_never_touches_its_blended_rows(tmp_path, mean, power):
    common, ids, truth, folds, probs = store_run(tmp_path, seed=2)
    spec = {**SPEC, "mean": mean, "power": power}
    found = run(tmp_path, common, spec)
    assert (found["mean"], found.get("power", 0.5)) == (mean, power)
    before = store.read(tmp_path / "oof.h5", "prob")
    moved = []
    for fold in range(4):
        own = folds == fold
        expected = mix(
            [probs[name][own] for name in found["members"]],
            found["without"][str(fold)],
            mean,
            power,
        )
        np.testing.assert_array_equal(before[own], expected)
        masks = np.where(own[:, None, None], 1 - truth, truth)
        store.write(common["data"], {"mask": masks}, table=pd.DataFrame({"id": ids}))
        run(tmp_path, common, spec)
        after = store.read(tmp_path / "oof.h5", "prob")
        np.testing.assert_array_equal(after[own], before[own])
        moved.append(not np.array_equal(after, before))
    assert any(moved)  # else the weights depend on nothing, and this shows nothing


@pytest.mark.parametrize(("mean", "power"), MEANS)
def test_the_decision_is_that_of_the_blended_predictions(tmp_path, mean, power):
    common, *_ = store_run(tmp_path, seed=3, labelled=(True, True))
    run(tmp_path, common, {**SPEC, "mean": mean, "power": power, "search": False})
    place = {"data": common["data"], "folds": common["folds"], "seed": 0}
    place["settings"] = decision_settings({**DECISION, "space": SPACE})
    out = tmp_path / "decision.json"
    decide.run(
        members=common["members"], weights=str(tmp_path / "weights.json"), out=str(out), **place
    )
    blended = decide.search_alone([str(tmp_path / "oof.h5")], **place)
    assert decide.load(out).to_dict() == blended.to_dict()
    content = json.loads((tmp_path / "weights.json").read_text()) | {"mean": "probability"}
    (tmp_path / "plain.json").write_text(json.dumps(content))
    decide.run(
        members=common["members"], weights=str(tmp_path / "plain.json"), out=str(out), **place
    )
    assert decide.load(out).to_dict() != blended.to_dict()


@pytest.mark.parametrize(("mean", "power"), MEANS)
def test_test_predictions_are_averaged_by_the_mean_of_the_weights(tmp_path, mean, power):
    members, ids, probs, labels = write_tests(tmp_path)
    path = weights(tmp_path)
    content = json.loads((tmp_path / "w.json").read_text()) | {"mean": mean, "power": power}
    (tmp_path / "w.json").write_text(json.dumps(content))
    blend.run_test(members=members, weights=path, out=str(tmp_path / "t.h5"))
    over_folds = [np.mean(probs[m], axis=0, dtype=np.float32) for m in ("m0", "m1")]
    expected = mix(over_folds, (0.3, 0.7), mean, power)
    np.testing.assert_array_equal(store.read(tmp_path / "t.h5", "prob", ids.tolist()), expected)
    expected = mix_labels([np.mean(labels["m0"], axis=0), None], (0.3, 0.7), mean, power)
    found = store.read(tmp_path / "t.h5", "label_prob", ids.tolist())
    np.testing.assert_allclose(found, expected, atol=1e-6)


PSEUDO = complete("pseudo", {"rule": "halves"})


def label(root, members, round=0):
    """Make the pseudo-labels of every model and fold."""
    made = {}
    for name, paths in members.items():
        made[name] = []
        for fold, path in enumerate(paths):
            out = str(root / f"{name}-{fold}-pseudo.h5")
            pseudo.run(predictions=[path], settings=PSEUDO, fold=fold, round=round, out=out)
            made[name].append(out)
    return made


@pytest.mark.parametrize("round", [0, 1])
def test_by_halves_no_model_predicts_what_it_was_trained_on(tmp_path, round, monkeypatch):
    monkeypatch.setattr("foldbelt.store.predictions.BLOCK_BYTES", 4 * 20 * 16)  # 16 images a block
    members, ids, probs, labels = write_tests(tmp_path)
    labelled = label(tmp_path, members, round)
    given = {"members": members, "weights": weights(tmp_path), "out": str(tmp_path / "t.h5")}
    blend.run_test(**given, labelled=labelled)
    found = store.read(tmp_path / "t.h5", "prob", ids.tolist()).astype(float)
    label_prob = store.read(tmp_path / "t.h5", "label_prob", ids.tolist())
    kinds = set()
    for row, name in enumerate(ids):
        mean = 0
        for member, weight in (("m0", 0.3), ("m1", 0.7)):
            unseen = [f for f in range(3) if name not in store.read(labelled[member][f], "id")]
            kinds.add(tuple(unseen))
            mean = mean + weight * np.mean([probs[member][f][row] for f in unseen], axis=0)
        assert np.abs(found[row] - mean).max() <= 0.5 + 1e-4
        expected = np.mean([labels["m0"][f][row] for f in unseen], axis=0)
        np.testing.assert_allclose(label_prob[row], expected, atol=1e-6)
    assert kinds == {(0, 2), (1,)}

    # What a model says of the images it was trained on moves nothing.
    for member, paths in members.items():
        for fold, path in enumerate(paths):
            own = store.read(path, "id")
            seen = np.isin(own, store.read(labelled[member][fold], "id").tolist())
            arrays = {"prob": store.read(path, "prob")}
            if store.has(path, "label_prob"):
                arrays["label_prob"] = store.read(path, "label_prob")
            arrays = {key: value.copy() for key, value in arrays.items()}
            for value in arrays.values():
                value[seen] = 1
            store.write(path, arrays, table=pd.DataFrame({"id": own}))
    blend.run_test(**given, labelled=labelled)
    np.testing.assert_array_equal(store.read(tmp_path / "t.h5", "prob", ids.tolist()), found)


def test_members_without_pseudo_labels_count_in_full(tmp_path):
    members, ids, probs, _ = write_tests(tmp_path)
    labelled = label(tmp_path, {"m1": members["m1"]})
    out = tmp_path / "t.h5"
    blend.run_test(
        members=members, weights=weights(tmp_path, (1.0, 0.0)), out=str(out), labelled=labelled
    )
    found = store.read(out, "prob", ids.tolist()).astype(float)
    assert np.abs(found - np.mean(probs["m0"], axis=0)).max() <= 0.5


def test_an_image_that_every_fold_was_trained_on_is_named(tmp_path):
    members, ids, *_ = write_tests(tmp_path, n=12)
    labelled = label(tmp_path, members)
    given = {"weights": weights(tmp_path), "out": str(tmp_path / "t.h5")}
    even = {name: paths[::2] for name, paths in members.items()}
    with pytest.raises(InputError, match="odd number") as error:
        blend.run_test(members=even, labelled={m: p[::2] for m, p in labelled.items()}, **given)
    lost = [name for name in ids if pseudo.half_of(name) == 1]
    assert lost
    for name in lost:
        assert f"m0: all its folds were trained on {name}\n" in str(error.value)
    with pytest.raises(InputError, match="m0: 2 files of pseudo-labels for 3"):
        blend.run_test(members=members, labelled={"m0": labelled["m0"][:2]}, **given)
    assert not (tmp_path / "t.h5").exists()


def test_external_test_predictions_are_one_file_and_checked(tmp_path):
    members, ids, probs, _ = write_tests(tmp_path)
    path = str(tmp_path / "elsewhere.h5")
    mean = np.rint(np.mean(probs["m1"], axis=0)).astype(np.uint8)
    store.write(path, {"prob": mean}, table=pd.DataFrame({"id": ids}))
    given = {"weights": weights(tmp_path), "out": str(tmp_path / "t.h5")}
    blend.run_test(members={**members, "m1": [path]}, **given)
    found = store.read(tmp_path / "t.h5", "prob", ids.tolist()).astype(float)
    expected = 0.3 * np.mean(probs["m0"], axis=0) + 0.7 * mean
    assert np.abs(found - expected).max() <= 0.5 + 1e-4
    store.write(path, {"prob": mean[:, 1:] / 255}, table=pd.DataFrame({"id": ids}))
    with pytest.raises(InputError, match="not uint8") as error:
        blend.run_test(members={**members, "m1": [path]}, **given)
    assert f"{path}: `prob` has the shape (70, 3, 5), not (70, 4, 5)" in str(error.value)
