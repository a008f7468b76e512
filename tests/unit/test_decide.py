"""The decision search, against brute force over masks, and its honesty."""

import itertools
import json

import numpy as np
import pandas as pd
import pytest
from settings_of import decision_settings

from foldbelt import bootstrap, decide, metrics, store
from foldbelt.bootstrap import Resampling
from foldbelt.files import InputError, write_json
from foldbelt.search.counting import counts
from foldbelt.search.gates import level
from foldbelt.search.space import Grid
from foldbelt.store.geometry import resize_to

SPACE = {
    "threshold": [0.6, 0.3, 0.45, 102 / 255],
    "min_area": [0, 4, 9],
    "gate": [0, 0.55, 0.8],
}


def data(seed, n=48, shape=(8, 9), folds=4):
    """Images on which threshold, area and gate matter: blobs, some empty, some false alarms."""
    random = np.random.default_rng(seed)
    truth = np.zeros((n, *shape), np.uint8)
    flat = truth.reshape(n, shape[0], shape[1], -1)
    for image, k in itertools.product(range(n), range(flat.shape[3])):
        if random.random() < 0.6:
            y, x = random.integers(0, 5, 2)
            flat[image, y : y + random.integers(1, 5), x : x + random.integers(1, 5), k] = 1
    noise = random.normal(0, 40, truth.shape)
    prob = np.clip(20 + 20 * (seed % 4) + 100 * truth + noise, 0, 255).round().astype(np.uint8)
    return prob, truth, random.permutation(np.arange(n) % folds)


def decided(prob, params, label=None):
    """Decide images by the words of the documentation; prob (N, H, W)."""
    masks = prob / 255 > params[0]
    for i, mask in enumerate(masks):
        sure = prob[i].max() / 255 if label is None else label[i]
        if mask.sum() < params[1] or (params[2] > 0 and not sure > params[2]):
            mask[:] = False
    return masks


def point(params):
    return params["threshold"], params["min_area"], params["gate"]


def brute(prob, truth, folds, metric, ignore=None, label=None, space=SPACE):
    """Search one class by looping over the grid; per-image scores (G, N) and the results."""
    prob = prob if ignore is None else np.where(ignore, 0, prob).astype(np.uint8)
    points = list(itertools.product(space["threshold"], space["min_area"], space["gate"]))
    table = np.array(
        [metrics.score_images(metric, truth, decided(prob, p, label), ignore) for p in points]
    )

    def best(rows):
        means = table[:, rows].mean(axis=1)
        return int(np.flatnonzero(means > means.max() - 1e-9)[0])

    without = {f: best(folds != f) for f in np.unique(folds)}
    final = best(folds >= 0)
    images = np.array([table[without[f], i] for i, f in enumerate(folds)])
    return points, final, without, images, table[final].mean()


@pytest.mark.parametrize("metric", ["salt_score", "mean_dice"])
@pytest.mark.parametrize("ignored", [False, True])
@pytest.mark.parametrize("labelled", [False, True])
def test_search_equals_brute_force(metric, ignored, labelled):
    chosen = set()
    for seed in range(4):
        prob, truth, folds = data(seed)
        random = np.random.default_rng(seed)
        ignore = random.random(prob.shape) < 0.3 if ignored else None
        label = random.random(len(prob)) * 0.6 + 0.4 * truth.any(axis=(1, 2)) if labelled else None
        points, final, without, images, optimistic = brute(
            prob, truth, folds, metric, ignore, label
        )
        found = decide.search(
            prob, truth, folds, SPACE, metric, ignore=ignore, label_prob=label, draws=100
        )
        assert point(found.params) == points[final]
        assert found.score == pytest.approx(images.mean(), abs=1e-12)
        assert found.optimistic == pytest.approx(optimistic, abs=1e-12)
        np.testing.assert_allclose(found.images["score"], images, atol=1e-12)
        for entry in found.per_fold:
            assert point(entry["params"]) == points[without[entry["fold"]]]
            own = images[folds == entry["fold"]]
            assert entry["score"] == pytest.approx(own.mean(), abs=1e-12)
            assert entry["images"] == len(own)
        assert found.interval == (bootstrap.interval(found.images["score"], n=100))
        chosen |= {point(found.params)}
        again = decide.apply(prob, found, label)
        np.testing.assert_array_equal(again, decided(prob, points[final], label))
    assert len({p[0] for p in chosen}) > 1


def test_ignored_pixels_count_nowhere():
    prob, truth, folds = data(3)
    ignore = np.random.default_rng(1).random(prob.shape) < 0.3
    first = decide.search(prob, truth, folds, SPACE, "salt_score", ignore=ignore)
    prob[ignore] = 255 - prob[ignore]
    truth[ignore] = 1 - truth[ignore]
    second = decide.search(prob, truth, folds, SPACE, "salt_score", ignore=ignore)
    assert first.params == second.params
    assert first.per_fold == second.per_fold
    space = {"min_area": [2, 1]}  # two pixels are on, one of them known
    prob, truth = np.full((2, 1, 2), 200, np.uint8), np.ones((2, 1, 2), np.uint8)
    ignore = np.array([[[False, True]]] * 2)
    found = decide.search(prob, truth, [0, 1], space, "salt_score", ignore=ignore)
    assert found.params["min_area"] == 1


@pytest.mark.parametrize("labelled", [False, True])
def test_each_class_is_searched_alone(labelled):
    prob, truth, folds = data(5, shape=(8, 9, 3))
    ignore = np.random.default_rng(0).random(prob.shape[:3]) < 0.1
    label = np.random.default_rng(1).random((len(prob), 3)) if labelled else None
    found = decide.search(prob, truth, folds, SPACE, "mean_dice", ignore=ignore, label_prob=label)
    images = np.zeros(len(prob))
    for k in range(3):
        one = None if label is None else label[:, k]
        points, final, _, scores, _ = brute(
            prob[..., k], truth[..., k], folds, "mean_dice", ignore, one
        )
        assert tuple(value[k] for value in point(found.params)) == points[final]
        images += scores / 3
        np.testing.assert_array_equal(
            decide.apply(prob, found, label)[..., k], decided(prob[..., k], points[final], one)
        )
    np.testing.assert_allclose(found.images["score"], images, atol=1e-12)
    single = decide.apply(prob[7], found, None if label is None else label[7])
    np.testing.assert_array_equal(single, decide.apply(prob, found, label)[7])


def test_ties_go_to_the_first_of_the_grid():
    prob = np.array([[[255, 0]], [[255, 0]]], np.uint8)
    space = {"threshold": [0.7, 0.2, 0.5], "min_area": [1, 0], "gate": [0.5, 0.0]}
    found = decide.search(prob, prob > 0, [0, 1], space, "salt_score")
    assert found.params == {"threshold": 0.7, "min_area": 1, "gate": 0.5}


def test_equal_means_are_equal_however_the_sums_round():
    # At .5 and at .3 the images of a fold have the same scores in another order: a tie in truth.
    def row(high, low):
        """20 true pixels; scores high/10 at .5 and low/10 at .3."""
        prob = np.zeros(60, np.uint8)
        prob[: 10 + high] = 200
        prob[10 + high : 10 + low] = 100
        extra = next(k for k in range(40) if -(-20 * (10 + max(high, low)) // (20 + k)) - 10 == low)
        prob[20 : 20 + extra] = 100
        return prob

    random, rounded = np.random.default_rng(0), 0
    for _ in range(20):
        scores = random.integers(1, 10, 15)
        other = random.permutation(scores)
        rounded += sum(scores / 10) != sum(other / 10)
        prob = np.array([row(*pair) for pair in zip(scores, other, strict=True)] * 2)[:, None]
        truth = np.broadcast_to(np.arange(60) < 20, prob.shape)
        for values in ([0.5, 0.3], [0.3, 0.5]):
            folds = np.arange(30) // 15
            found = decide.search(prob, truth, folds, {"threshold": values}, "salt_score")
            assert found.curves[0]["all"] == pytest.approx([np.mean(scores) / 10] * 2, abs=1e-9)
            assert found.params["threshold"] == values[0]
    assert rounded > 3


def test_a_pixel_is_on_above_the_threshold_exactly():
    prob = np.arange(256, dtype=np.uint8)[None]
    thresholds = [v / 255 for v in range(256)] + [0.1, 0.35, 0.5, 0.6, 0.7, np.nextafter(0.4, 0)]
    for threshold in thresholds:
        expected = prob / 255 > threshold
        made = decide.apply(prob, decide.Decision({"threshold": threshold}))
        np.testing.assert_array_equal(made, expected)
        assert level(threshold) == 256 - expected.sum()


def test_gate_zero_is_no_gate_and_a_gate_is_strict():
    prob = np.full((3, 2, 2), 204, np.uint8)
    label = np.array([0.0, 0.5, 0.75])
    for gate, kept in ((0.0, [1, 1, 1]), (0.5, [0, 0, 1])):
        one = decide.Decision({"gate": gate}, gate_on="label")
        assert decide.apply(prob, one, label).any(axis=(1, 2)).tolist() == kept
    peak = decide.Decision({"gate": 204 / 255})
    assert not decide.apply(prob, peak).any()
    with pytest.raises(InputError, match="label probabilities"):
        decide.apply(prob, decide.Decision({"gate": 0.5}, gate_on="label"))


def test_parameters_of_a_fold_never_saw_its_truth():
    prob, truth, folds = data(11)
    one = decide.search(prob, truth, folds, SPACE, "salt_score")
    for fold in range(4):
        flipped = np.where((folds == fold)[:, None, None], 1 - truth, truth)
        other = decide.search(prob, flipped, folds, SPACE, "salt_score")
        assert other.per_fold[fold]["params"] == one.per_fold[fold]["params"]
        assert other.per_fold[fold]["score"] != one.per_fold[fold]["score"]
        rest = [f for f in range(4) if f != fold]
        assert any(other.per_fold[f]["params"] != one.per_fold[f]["params"] for f in rest)


def test_counts_may_differ_with_the_fold_left_out():
    prob, truth, folds = data(12)
    space, levels = {"threshold": [0.3, 0.5, 0.7]}, level(np.array([0.3, 0.5, 0.7]))
    shifted = {f: np.clip(prob + 25.0 * i, 0, 255).astype(np.uint8) for i, f in enumerate(range(4))}
    shifted[None] = prob
    made = {
        f: counts(zip(p, truth, itertools.repeat(None), strict=False), levels)
        for f, p in shifted.items()
    }
    found = decide.search_counts(made, folds, Grid.of(space), "salt_score", Resampling())
    full = {**space, "min_area": [0], "gate": [0]}
    for fold in range(4):
        points, _, without, images, _ = brute(shifted[fold], truth, folds, "salt_score", space=full)
        assert found.per_fold[fold]["params"]["threshold"] == points[without[fold]][0]
        own = np.array(found.images["score"])[folds == fold]
        np.testing.assert_allclose(own, images[folds == fold], atol=1e-12)
    points, final, _, _, optimistic = brute(prob, truth, folds, "salt_score", space=full)
    assert found.params["threshold"] == points[final][0]
    assert found.optimistic == pytest.approx(optimistic)


def test_curves_show_the_score_at_each_threshold():
    prob, truth, folds = data(13)
    found = decide.search(prob, truth, folds, SPACE, "salt_score")
    (curve,) = found.curves
    for i, threshold in enumerate(curve["threshold"]):
        one = decide.Decision({**found.params, "threshold": threshold})
        scores = metrics.salt_score(truth, decide.apply(prob, one))
        assert curve["all"][i] == pytest.approx(scores.mean())
        for fold in range(4):
            assert curve["folds"][str(fold)][i] == pytest.approx(scores[folds == fold].mean())
    assert max(curve["all"]) == pytest.approx(found.optimistic)


def test_interval_draws_groups():
    prob, truth, folds = data(14)
    groups = np.array([f"g{i}" for i in np.arange(len(prob)) // 4])
    found = decide.search(prob, truth, folds, SPACE, "salt_score", groups=groups, seed=4)
    assert found.interval == (bootstrap.interval(found.images["score"], groups, seed=4))


def test_json_round_trip(tmp_path):
    prob, truth, folds = data(15, shape=(8, 9, 2))
    found = decide.search(prob, truth, folds, SPACE, "mean_dice")
    write_json(tmp_path / "d.json", found.to_dict())
    assert decide.load(tmp_path / "d.json") == found
    write_json(tmp_path / "d.json", {"score": 1})
    with pytest.raises(InputError, match=r"d\.json: this is no decision"):
        decide.load(tmp_path / "d.json")


def test_nonsense_is_refused():
    prob, truth, folds = data(16)
    space = {"treshold": [0.5], "min_area": [-1], "gate": [1.5]}
    with pytest.raises(InputError, match=r"treshold is unknown.*min_area takes.*-1.*gate takes"):
        decide.search(prob, truth, folds, space, "salt_score")
    with pytest.raises(InputError, match=r"not '0\.5'"):
        decide.search(prob, truth, folds, {"threshold": "0.5"}, "salt_score")
    with pytest.raises(InputError, match="two folds"):
        decide.search(prob, truth, folds * 0, SPACE, "salt_score")
    with pytest.raises(InputError, match="uint8"):
        decide.search(prob / 255, truth, folds, SPACE, "salt_score")
    with pytest.raises(InputError, match="pixel counts"):
        decide.search(prob, truth, folds, SPACE, "accuracy")
    with pytest.raises(InputError, match="0 and 1"):
        decide.search(prob, truth * 255, folds, SPACE, "salt_score")


# The stage: members' files to a decision.

SPEC = {"metric": "mean_dice", "space": SPACE, "bootstrap": 100}


def store_run(root, seed=0, members=2, labelled=(True, False), shape=(8, 9), order=None):
    """Write data, folds and members' predictions; give what the stages take."""
    prob, truth, folds = data(seed, shape=shape)
    random = np.random.default_rng(seed)
    ids = np.array([f"t{i:03d}" for i in random.permutation(len(prob))])
    classes = 1 if len(shape) == 2 else shape[2]
    train, table = root / "train.h5", pd.DataFrame({"id": ids})
    store.write(train, {"mask": truth}, table=table, classes=classes)
    rows = pd.DataFrame({"id": ids, "fold": folds, "strata": "", "group": ids})
    rows["group"] = rows["group"].str[:3]
    rows.sample(frac=1, random_state=seed).to_csv(root / "folds.csv", index=False)
    probs, paths = {}, {}
    for m in range(members):
        noise = random.normal(0, 20 + 25 * m, prob.shape)
        probs[f"m{m}"] = np.clip(prob + noise, 0, 255).astype(np.uint8)
        paths[f"m{m}"] = []
        for fold in np.unique(folds):
            own = random.permutation(np.flatnonzero(folds == fold))
            arrays = {"prob": probs[f"m{m}"][own]}
            if labelled[m % 2]:
                arrays["label_prob"] = random.random((len(own), classes)).astype(np.float32)
            path = root / f"m{m}-fold{fold}.h5"
            store.write(path, arrays, table=pd.DataFrame({"id": ids[own]}))
            paths[f"m{m}"].append(str(path))
    common = {"members": paths, "data": str(train), "folds": str(root / "folds.csv")}
    return common, ids, truth, folds, probs


def write_weights(path, members, final, without):
    content = {"members": list(members), "all": final, "without": without}
    path.write_text(json.dumps(content))
    return str(path)


def test_run_scores_each_fold_with_the_weights_that_never_saw_it(tmp_path):
    common, ids, truth, folds, probs = store_run(tmp_path, labelled=(False, False))
    without = {"0": [0.2, 0.8], "1": [1.0, 0.0], "2": [0.5, 0.5], "3": [0.0, 1.0]}
    weights = write_weights(tmp_path / "w.json", ["m0", "m1"], [0.7, 0.3], without)
    out = tmp_path / "decision.json"
    decide.run(**common, weights=weights, settings=decision_settings(SPEC), seed=3, out=str(out))
    found = decide.load(out)
    assert found.images["id"] == ids.tolist()
    for fold in range(4):
        w = np.float32(without[str(fold)])
        blended = np.rint(probs["m0"] * w[0] + probs["m1"] * w[1]).astype(np.uint8)
        entry, own = found.per_fold[fold], folds == fold
        masks = decide.apply(blended[own], decide.Decision(entry["params"]))
        expected = metrics.score_images("mean_dice", truth[own], masks)
        np.testing.assert_allclose(np.array(found.images["score"])[own], expected, atol=1e-12)
    groups = [name[:3] for name in ids]
    assert found.interval == (bootstrap.interval(found.images["score"], groups, 100, 3))
    first = out.read_bytes()
    reordered = {**common, "members": {m: p[::-1] for m, p in common["members"].items()}}
    decide.run(**reordered, weights=weights, settings=decision_settings(SPEC), seed=3, out=str(out))
    assert out.read_bytes() == first


def test_run_scores_at_the_original_size(tmp_path):
    random = np.random.default_rng(0)
    sizes = random.integers(10, 30, (12, 2))
    truths = [(random.random((h, w, 2)) < 0.4).astype(np.uint8) for h, w in sizes]
    ignores = [random.random((h, w)) < 0.2 if i % 2 else None for i, (h, w) in enumerate(sizes)]
    ids, folds = np.array([f"i{i:02d}" for i in range(12)]), np.arange(12) % 3
    prob = random.integers(0, 256, (12, 16, 16, 2), np.uint8)
    table = pd.DataFrame({"id": ids, "height": sizes[:, 0], "width": sizes[:, 1]})
    original = [store.encode_original(t, g) for t, g in zip(truths, ignores, strict=True)]
    arrays = {"mask": (prob > 128).astype(np.uint8), "original": original}
    store.write(tmp_path / "train.h5", arrays, table=table, classes=2)
    pd.DataFrame({"id": ids, "fold": folds}).to_csv(tmp_path / "folds.csv", index=False)
    paths = []
    for fold in range(3):
        paths.append(tmp_path / f"{fold}.h5")
        own = folds == fold
        store.write(paths[-1], {"prob": prob[own]}, table=pd.DataFrame({"id": ids[own]}))
    found = decide.search_alone(
        paths, tmp_path / "train.h5", tmp_path / "folds.csv", decision_settings(SPEC), 0
    )
    for fold, entry in enumerate(found.per_fold):
        one = decide.Decision(entry["params"])
        for i in np.flatnonzero(folds == fold):
            mask = decide.apply(resize_to(prob[i], tuple(sizes[i])), one)
            ignore = None if ignores[i] is None else ignores[i][None]
            if ignores[i] is not None:
                resized = resize_to(prob[i], tuple(sizes[i]))
                mask = decide.apply(np.where(ignores[i][..., None], 0, resized), one)
            score = metrics.mean_dice(truths[i][None], mask[None], ignore=ignore)
            assert found.images["score"][i] == pytest.approx(score, abs=1e-12)


def test_the_gate_sees_the_labels_of_the_members_that_have_them(tmp_path):
    common, ids, truth, folds, probs = store_run(tmp_path, labelled=(True, False))
    weights = write_weights(
        tmp_path / "w.json", ["m0", "m1"], [0.5, 0.5], {f: [0.5, 0.5] for f in range(4)}
    )
    out = tmp_path / "decision.json"
    decide.run(**common, weights=weights, settings=decision_settings(SPEC), seed=0, out=str(out))
    label = pd.concat(
        pd.Series(store.read(p, "label_prob")[:, 0], index=store.read(p, "id"))
        for p in common["members"]["m0"]
    )[ids].to_numpy()
    blended = np.rint((probs["m0"] + probs["m1"].astype(float)) / 2).astype(np.uint8)
    expected = decide.search(blended, truth, folds, SPACE, "mean_dice", label_prob=label)
    found = decide.load(out)
    assert (found.gate_on, found.params) == ("label", expected.params)


def test_every_offender_in_the_predictions_is_listed(tmp_path):
    common, ids, _, folds, _ = store_run(tmp_path)
    path = common["members"]["m1"][2]
    own = ids[folds == 2]
    spoilt = [*own[2:], "alien", ids[folds == 1][0]]
    arrays = {"prob": np.zeros((len(spoilt), 8, 9), np.uint8)}
    store.write(path, arrays, table=pd.DataFrame({"id": spoilt}))
    with pytest.raises(InputError) as error:
        decide.search_alone(
            {"m1": common["members"]["m1"]},
            common["data"],
            common["folds"],
            decision_settings(SPEC),
            0,
        )
    text = str(error.value)
    assert f"{path}: alien is in no fold" in text
    assert f"{path}: {ids[folds == 1][0]} is in {common['members']['m1'][1]}, too" in text
    assert f"{path}: holds images of several folds (1, 2)" in text
    for name in own[:2]:
        assert f"m1: {name} (fold 2) is in none of its files" in text


def test_weights_of_other_members_are_refused(tmp_path):
    common, *_ = store_run(tmp_path)
    weights = write_weights(tmp_path / "w.json", ["m0", "mX"], [1, 0], {})
    with pytest.raises(InputError, match="mX"):
        decide.run(
            **common,
            weights=weights,
            settings=decision_settings(SPEC),
            seed=0,
            out=str(tmp_path / "d.json"),
        )
    weights = write_weights(tmp_path / "w.json", ["m0", "m1"], [1, 0], {"0": [1, 0]})
    with pytest.raises(InputError, match="without fold 1, 2, 3"):
        decide.run(
            **common,
            weights=weights,
            settings=decision_settings(SPEC),
            seed=0,
            out=str(tmp_path / "d.json"),
        )
