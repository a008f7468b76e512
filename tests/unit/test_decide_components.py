"""Small components, by the search on tables of them, against brute force over masks."""

import dataclasses
import functools
import itertools
import json

import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.ndimage
from settings_of import decision_settings
from test_decide import store_run, write_weights

from foldbelt import decide, metrics, store
from foldbelt.bootstrap import Resampling
from foldbelt.decide.selection import SHARED, select_axes
from foldbelt.files import InputError
from foldbelt.search import tabulating
from foldbelt.search.components import nested, without_small
from foldbelt.search.counting import counts
from foldbelt.search.space import Grid
from foldbelt.search.tables import Cuts, tabulate
from foldbelt.store.geometry import resize_to

SPACE = {
    "threshold": [0.6, 0.3, 0.45],
    "min_area": [0, 5, 12],
    "min_component": [0, 3, 6],
    "gate": [0, 0.6],
}
MODES = [["veto"], ["product"], ["area"], ["expected"], ["veto", "product", "area", "expected"]]


def data(seed, n=30, shape=(9, 12, 2), folds=3):
    """Blobs and specks, so that threshold, area, component and gate all matter."""
    random = np.random.default_rng(seed)
    truth = np.zeros((n, *shape), np.uint8)
    specks = np.zeros_like(truth)
    for image, k in itertools.product(range(n), range(shape[2])):
        y, x = random.integers(0, 6, 2)
        if random.random() < 0.5:
            truth[image, y : y + random.integers(2, 4), x : x + random.integers(1, 6), k] = 1
        y, x = random.integers(0, 8, 2)
        specks[image, y : y + 2, x : x + random.integers(1, 3), k] = random.random() < 0.6
    noise = random.normal(0, 35, truth.shape)
    prob = np.clip(20 + 130 * (truth | specks) + noise, 0, 255).round().astype(np.uint8)
    there = truth.any(axis=(1, 2))
    label = np.clip(random.normal(0.3 + 0.4 * there, 0.2), 0.01, 0.99)
    return prob, truth, random.permutation(np.arange(n) % folds), label.astype(np.float32)


def without_specks(plane, p, threshold, least, mode):
    """Cut one plane and take away its small components."""
    mask = (plane / 255 * p if mode == "product" else plane / 255) > threshold
    labels, number = scipy.ndimage.label(mask, np.ones((3, 3)))
    for component in range(1, number + 1):
        own = labels == component
        if own.sum() < least:
            mask[own] = False
    return mask


def stays(mask, p, min_area, gate, mode):
    """Tell whether a mask is large and likely enough."""
    smallest = min_area * 2 * (1 - p) if mode == "area" else min_area
    likely = p > gate if mode in ("veto", "expected") and gate > 0 else True
    return mask.sum() >= smallest and likely


def brute(prob, truth, folds, space, label, ignore=None):
    """Search one class by looping over masks: the points, which is best without each fold, scores.

    prob, truth (N, H, W); label (N,) or None: then the largest probability is looked at.
    """
    hide = np.zeros(prob.shape, bool) if ignore is None else ignore
    prob, truth = np.where(hide, 0, prob), np.where(hide, 0, truth)
    sure = prob.max(axis=(1, 2)) / 255 if label is None else label.astype(np.float64)
    modes = space.get("gate_mode", ["veto"])
    gates = [("veto", g) for g in space["gate"]] if "veto" in modes else []
    gates += [(m, 0.0) for m in ("product", "area", "expected") if m in modes]
    names = ("threshold", "min_area", "min_component")
    points = [(*p, g) for *p, g in itertools.product(*(space[name] for name in names), gates)]
    empty = metrics.score_images("mean_dice", truth, 0 * truth)

    @functools.cache
    def cut(t, c, product):
        mode = "product" if product else ""
        pairs = zip(prob, sure, strict=True)
        masks = [without_specks(plane, p, t, c, mode) for plane, p in pairs]
        return masks, metrics.score_images("mean_dice", truth, np.stack(masks))

    def scores(t, m, c, gate, mode):
        masks, full = cut(t, c, mode == "product")
        kept = [stays(mask, p, m, gate, mode) for mask, p in zip(masks, sure, strict=True)]
        return np.array(kept), np.where(kept, full, empty)

    @functools.cache
    def tried(point, left_out):
        """Score all images at a point whose gate, if need be, is fitted without a fold."""
        t, m, c, (mode, gate) = point
        if mode == "expected":
            kept, plain = scores(t, m, c, 0, "veto")
            some = np.array([mask.any() for mask in cut(t, c, False)[0]])
            real = kept & some & truth.any(axis=(1, 2)) & (folds != left_out)
            gate = 1 / (1 + (plain[real].mean() if real.any() else 0))
        return gate, scores(t, m, c, gate, mode)[1]

    def best(left_out):
        needs = [left_out if point[3][0] == "expected" else None for point in points]
        every = [tried(point, need) for point, need in zip(points, needs, strict=True)]
        means = np.array([one[folds != left_out].mean() for _, one in every])
        first = int(np.flatnonzero(means > means.max() - 1e-9)[0])
        gate, one = every[first]
        return (*points[first][:3], gate, points[first][3][0]), one

    without = {f: best(f) for f in np.unique(folds).tolist()}
    images = np.array([without[f][1][i] for i, f in enumerate(folds.tolist())])
    return {f: point for f, (point, _) in without.items()}, best(None), images


def point(params, k):
    names = ("threshold", "min_area", "min_component", "gate")
    numbers = [params[name][k] for name in names]
    return (*numbers, params["gate_mode"][k] if "gate_mode" in params else "veto")


def same(found, expected):
    assert found[:3] == expected[:3]
    assert found[3] == pytest.approx(expected[3], abs=1e-12)
    assert found[4] == expected[4]


@pytest.mark.parametrize("modes", MODES, ids=["-".join(modes) for modes in MODES])
@pytest.mark.parametrize("labelled", [False, True])
def test_the_search_equals_brute_force_over_masks(modes, labelled):
    seed = 3 * len(modes[0]) + labelled
    prob, truth, folds, label = data(seed)
    label = label if labelled else None
    ignore = np.random.default_rng(seed).random(prob.shape[:3]) < 0.1 if seed % 2 else None
    space = {**SPACE, "gate_mode": modes}
    found = decide.search(prob, truth, folds, space, "mean_dice", None, ignore, 0, label, 20)
    scores = np.empty(truth.shape[:1] + truth.shape[3:])
    for k in range(2):
        own = None if label is None else label[:, k]
        planes = prob[..., k], truth[..., k]
        without, (final, one), scores[:, k] = brute(*planes, folds, space, own, ignore)
        same(point(found.params, k), final)
        for entry in found.per_fold:
            same(point(entry["params"], k), without[entry["fold"]])
        shown = prob if ignore is None else np.where(ignore[..., None], 0, prob).astype(np.uint8)
        masks = decide.apply(shown, found, label)[..., k]
        again = metrics.score_images("mean_dice", truth[..., k], masks, ignore)
        np.testing.assert_allclose(again, one, atol=1e-12)
        curve = found.curves[k]
        assert max(curve["all"]) == pytest.approx(one.mean(), abs=1e-12)
    np.testing.assert_allclose(found.images["classes"], scores, atol=1e-12)
    np.testing.assert_allclose(found.images["score"], scores.mean(axis=1), atol=1e-12)
    assert found.score == pytest.approx(scores.mean(), abs=1e-12)


def test_every_axis_of_the_space_is_chosen_from():
    chosen = [set() for _ in SPACE]
    for seed in range(8):
        prob, truth, folds, label = data(seed)
        found = decide.search(prob, truth, folds, SPACE, "mean_dice", label_prob=label)
        for values, name in zip(chosen, SPACE, strict=True):
            values.update(found.params[name])
    assert all(len(values) > 1 for values in chosen)


def test_without_components_to_remove_nothing_is_said_of_them():
    prob, truth, folds, label = data(1)
    narrow = {key: SPACE[key] for key in ("threshold", "min_area", "gate")}
    plain = decide.search(prob, truth, folds, narrow, "mean_dice", label_prob=label)
    held = decide.search(
        prob, truth, folds, {**narrow, "min_component": [0]}, "mean_dice", label_prob=label
    )
    assert held == plain
    assert "min_component" not in json.dumps(plain.to_dict())


def test_a_table_counts_like_pixels_where_nothing_is_removed():
    prob, truth, folds, label = data(2)
    space = {**SPACE, "gate_mode": ["veto", "product", "area", "expected"]}
    table = tabulate(
        zip(prob, truth, itertools.repeat(None), strict=False), Cuts.of(Grid.of(space)), label
    )
    pixels = counts(zip(prob, truth, itertools.repeat(None), strict=False), label_prob=label)
    thresholds = np.array(SPACE["threshold"])
    for k, product in itertools.product(range(2), (False, True)):
        for one, other in zip(
            table.at(k, thresholds, product), pixels.at(k, thresholds, product), strict=True
        ):
            np.testing.assert_array_equal(one, other)
    every = {None: table, **dict.fromkeys(range(3), table)}
    plain = {None: pixels, **dict.fromkeys(range(3), pixels)}
    rest = {key: space[key] for key in space if key != "min_component"}
    settings = (Grid.of(rest), "mean_dice", Resampling())
    one, other = (decide.search_counts(counted, folds, *settings) for counted in (every, plain))
    assert one == other


def test_components_at_nested_levels_are_those_of_each_level_alone():
    random = np.random.default_rng(0)
    prob = scipy.ndimage.uniform_filter(random.random((40, 60)), 5)
    prob = (255 * (prob - prob.min()) / (prob.max() - prob.min())).astype(np.uint8)
    prob[:10], prob[:, 50:] = 0, 0
    truth = random.random(prob.shape) < 0.4
    levels = [60, 100, 130, 170, 256]
    for level, found in zip(levels, nested(prob, truth, levels), strict=True):
        labels, number = scipy.ndimage.label(prob >= level, np.ones((3, 3)))
        index = np.arange(1, number + 1)
        expected = (
            np.bincount(labels.ravel(), minlength=1)[1:],
            scipy.ndimage.sum(truth, labels, index),
            scipy.ndimage.maximum(prob, labels, index),
            scipy.ndimage.mean(prob, labels, index),
        )
        ours, theirs = (np.array(sorted(zip(*part, strict=True))) for part in (found, expected))
        np.testing.assert_allclose(ours.reshape(-1, 4), theirs.reshape(-1, 4))
        assert (number == 0) == (level == 256)
    assert number == 0


def test_pixels_that_touch_by_a_corner_are_one_component():
    mask = np.array([[1, 0, 0, 0], [0, 1, 0, 1], [0, 0, 0, 1]], bool)
    np.testing.assert_array_equal(without_small(mask, 2), mask)
    assert without_small(mask, 3).sum() == 0
    assert without_small(mask, 3) is not mask


def test_small_components_go_before_the_area_is_taken():
    prob = np.zeros((1, 4, 6), np.uint8)
    prob[0, 0, :3], prob[0, 2, 5] = 200, 200  # three pixels and one
    for least, area, left in ((0, 4, 4), (2, 4, 0), (2, 3, 3), (4, 0, 0)):
        params = {"threshold": 0.5, "min_area": area, "min_component": least, "gate": 0.0}
        assert decide.apply(prob, decide.Decision(params)).sum() == left


def test_ties_go_to_threshold_then_area_then_component_then_gate():
    prob = np.zeros((4, 3, 3), np.uint8)
    prob[:2] = 255
    space = {"threshold": [0.7, 0.2], "min_area": [1, 0], "min_component": [2, 0]}
    space |= {"gate": [0.5, 0]}
    found = decide.search(prob, prob > 0, [0, 1, 0, 1], space, "mean_dice")
    assert found.params == {"threshold": 0.7, "min_area": 1, "min_component": 2, "gate": 0.5}
    # A speck and a blob, both false, and a blob that is true: the area alone can do it, and so can
    # the component; the first area stays if any component will do.
    prob[:] = 0
    prob[:2], prob[2, 0, 0], prob[3, 0, :2] = 255, 255, 255
    space = {"threshold": [0.5], "min_area": [0, 3], "min_component": [0, 3]}
    found = decide.search(
        prob,
        prob.min(axis=(1, 2), keepdims=True) > np.zeros_like(prob),
        [0, 1, 0, 1],
        space,
        "mean_dice",
    )
    assert (found.params["min_area"], found.params["min_component"]) == (0, 3)


def test_the_expected_gate_follows_from_the_masks_outside_the_fold():
    prob, truth, folds, label = data(5)
    space = {"threshold": [0.45], "min_component": [3], "gate_mode": ["expected"]}
    found = decide.search(prob, truth, folds, space, "mean_dice", label_prob=label)
    plain = decide.Decision({"threshold": 0.45, "min_component": 3.0})
    masks = decide.apply(prob, plain)
    for entry in [*found.per_fold, {"fold": None, "params": found.params}]:
        rows = folds != entry["fold"] if entry["fold"] is not None else folds >= 0
        for k in range(2):
            real = masks[..., k].any(axis=(1, 2)) & truth[..., k].any(axis=(1, 2)) & rows
            d = metrics.mean_dice(truth[real][..., k], masks[real][..., k])
            assert entry["params"]["gate"][k] == pytest.approx(1 / (1 + d), abs=1e-12)
    kept = decide.apply(prob, found, label)
    there = label > np.array(found.params["gate"])
    np.testing.assert_array_equal(kept, masks & there[:, None, None])


def test_the_expected_gate_is_worth_it_where_probabilities_are_true():
    random = np.random.default_rng(0)
    n, chance = 3000, 0.7
    p = random.random(n)
    there = random.random(n) < p
    truth = np.zeros((n, 1, 10), np.uint8)
    truth[there, :, :10] = 1
    prob = np.zeros_like(truth)
    prob[:, :, :5] = 255  # Dice 2/3 wherever there is anything
    space = {"threshold": [0.5], "gate": [step / 50 for step in range(50)]}
    folds = np.arange(n) % 3
    best = decide.search(prob, truth, folds, space, "mean_dice", label_prob=p)
    space = {"threshold": [0.5], "gate_mode": ["expected"]}
    found = decide.search(prob, truth, folds, space, "mean_dice", label_prob=p)
    assert found.params["gate"] == pytest.approx(1 / (1 + 2 / 3))
    assert abs(found.params["gate"] - best.params["gate"]) < 0.1
    assert found.score > best.score - 0.003
    assert chance


def test_one_set_of_parameters_for_all_classes_is_a_candidate():
    kept = set()
    for seed in range(5):
        prob, truth, folds, label = data(seed)
        pairs = zip(prob, truth, itertools.repeat(None), strict=False)
        table = tabulate(pairs, Cuts.of(Grid.of(SPACE)), label)
        every = {None: table, **dict.fromkeys(range(3), table)}
        whole = {"metric": "mean_dice", "resampling": Resampling(draws=50)}
        found = select_axes(every, folds, Grid.of(SPACE), **whole)
        steps = [candidate["step"] for candidate in found.selection]
        assert steps == ["threshold", "min_area", "min_component", "gate", SHARED]
        candidate, own = (
            found.selection[-1],
            max(r["score"] for r in found.selection[:-1] if r["kept"]),
        )
        space = {**found.space, "gate_mode": ["veto"]}
        one = decide.search_counts(every, folds, Grid.of(space), **whole, shared=True)
        assert candidate["score"] == one.score
        assert candidate["difference"] == pytest.approx(one.score - own)
        for entry in [*one.per_fold, {"params": one.params}]:
            for values in entry["params"].values():
                assert values[0] == values[1]
        assert candidate["kept"] == (one.score > own + 1e-12)
        assert not candidate["kept"] or found.params == one.params
        kept.add(candidate["kept"])
    assert kept == {True, False}


def test_a_shared_expected_gate_is_of_all_classes_together():
    prob, truth, folds, label = data(5)
    space = {"threshold": [0.45], "gate_mode": ["expected"]}
    counted = counts(zip(prob, truth, itertools.repeat(None), strict=False), label_prob=label)
    every = {None: counted, **dict.fromkeys(range(3), counted)}
    found = decide.search_counts(
        every, folds, Grid.of(space), "mean_dice", Resampling(), shared=True
    )
    masks = prob / 255 > 0.45
    real = masks.any(axis=(1, 2)) & truth.any(axis=(1, 2))
    pairs = metrics.score_pairs("mean_dice", truth, masks)
    assert found.params["gate"] == pytest.approx([1 / (1 + pairs[real].mean())] * 2)


# The artefact.

SPEC = {"metric": "mean_dice", "space": SPACE, "bootstrap": 50}


def run_arguments(root, labelled=(True, True), shape=(8, 9, 2)):
    common, *_ = store_run(root, labelled=labelled, shape=shape)
    without = {"0": [0.2, 0.8], "1": [1.0, 0.0], "2": [0.2, 0.8], "3": [0.5, 0.5]}
    weights = write_weights(root / "w.json", ["m0", "m1"], [0.2, 0.8], without)
    return common | {"weights": weights}


@pytest.mark.parametrize("modes", [["veto"], ["veto", "product", "expected"]])
def test_a_decision_from_the_file_is_the_one_from_memory(tmp_path, modes):
    given = run_arguments(tmp_path)
    space = {**SPACE, "gate_mode": modes}
    spec = {**SPEC, "space": space}
    decide.tabulate_components(**given, grid=Grid.of(space), out=tmp_path / "c.h5", workers=1)
    for name, more in (("a", {}), ("b", {"components": tmp_path / "c.h5"})):
        decide.run(
            **given, settings=decision_settings(spec), seed=0, out=tmp_path / f"{name}.json", **more
        )
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    with h5py.File(tmp_path / "c.h5") as file:
        assert json.loads(file.attrs["table"]) == [0, 1, 2]
        assert json.loads(file.attrs["weights"])[1] == [[1, 0], [1, 0]]
        assert json.loads(file.attrs["members"]) == ["m0", "m1"]
        for number in range(3):
            group = file[f"table/{number}"]
            offsets = group["offsets"][()]
            rows = [
                set(group["image"][first:last].tolist())
                for first, last in itertools.pairwise(offsets)
            ]
            assert all(own <= {image} for image, own in enumerate(rows))
            assert offsets[-1] == len(group["area"])
            assert (group["inter"][()] <= group["area"][()]).all()
            assert (group["mean"][()] <= group["peak"][()]).all()


def test_the_file_is_the_same_whoever_makes_it(tmp_path, monkeypatch):
    given = run_arguments(tmp_path)
    monkeypatch.setattr("foldbelt.search.tabulating.PIXELS", 7 * 8 * 9 * 2)
    decide.tabulate_components(**given, grid=Grid.of(SPACE), out=tmp_path / "1.h5", workers=2)
    monkeypatch.undo()
    decide.tabulate_components(**given, grid=Grid.of(SPACE), out=tmp_path / "2.h5", workers=1)
    assert (tmp_path / "1.h5").read_bytes() == (tmp_path / "2.h5").read_bytes()
    monkeypatch.setattr("foldbelt.search.tabulating.ROWS", 64)
    decide.tabulate_components(**given, grid=Grid.of(SPACE), out=tmp_path / "4.h5", workers=1)
    with h5py.File(tmp_path / "1.h5") as one, h5py.File(tmp_path / "4.h5") as other:
        for name in one["table/1"]:
            np.testing.assert_array_equal(one[f"table/1/{name}"], other[f"table/1/{name}"])


def test_a_decision_is_the_same_however_many_share_its_work(tmp_path, monkeypatch):
    given = run_arguments(tmp_path)
    monkeypatch.setattr("foldbelt.search.tabulating.PIXELS", 3 * 8 * 9 * 2)
    forks = []
    pool = tabulating.ProcessPoolExecutor
    monkeypatch.setattr(tabulating, "ProcessPoolExecutor", lambda *a: forks.append(a) or pool(*a))
    own = (given["members"]["m0"], given["data"], given["folds"], decision_settings(SPEC), 0)
    assert decide.search_alone(*own, workers=2) == decide.search_alone(*own, workers=1)
    assert [workers for workers, _ in forks] == [2]


def test_blends_that_differ_in_their_labels_alone_share_a_table(tmp_path):
    given = run_arguments(tmp_path)
    content = json.loads((tmp_path / "w.json").read_text())
    content["without"] = {fold: content["all"] for fold in content["without"]}
    content["labels"] = {"all": [0.5, 0.5], "without": {f: [0.5, 0.5] for f in content["without"]}}
    content["labels"]["without"]["1"] = [1.0, 0.0]
    (tmp_path / "w.json").write_text(json.dumps(content))
    for name, modes, tables in (("a", ["veto"], [0, 0]), ("b", ["product"], [0, 1])):
        space = {**SPACE, "gate_mode": modes}
        decide.tabulate_components(**given, grid=Grid.of(space), out=tmp_path / name, workers=1)
        with h5py.File(tmp_path / name) as file:
            assert sorted(json.loads(file.attrs["table"])) == tables
            assert len(file["gate"]) == 2
            assert (file["gate/0"][()] != file["gate/1"][()]).any()


def test_a_table_of_others_is_refused(tmp_path):
    given = run_arguments(tmp_path)
    path = tmp_path / "c.h5"
    decide.tabulate_components(**given, grid=Grid.of(SPACE), out=path, workers=1)
    out = {"out": tmp_path / "d.json", "seed": 0, "components": path}
    wider = {**SPACE, "threshold": [*SPACE["threshold"], 0.9]}
    with pytest.raises(InputError, match="other thresholds"):
        decide.run(**given, settings=decision_settings({**SPEC, "space": wider}), **out)
    with pytest.raises(InputError, match="other thresholds"):
        decide.run(
            **given,
            settings=decision_settings({**SPEC, "space": {**SPACE, "gate_mode": ["product"]}}),
            **out,
        )
    content = json.loads((tmp_path / "w.json").read_text())
    content["without"]["1"] = [0.9, 0.1]
    (tmp_path / "w.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"c\.h5: holds no table of weights \[\[\[0\.9, 0\.1"):
        decide.run(**given, settings=decision_settings(SPEC), **out)


def test_components_are_found_at_the_original_size(tmp_path):
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
            resized = resize_to(prob[i], tuple(sizes[i]))
            ignore = None if ignores[i] is None else ignores[i][None]
            if ignore is not None:
                resized = np.where(ignore[0][..., None], 0, resized).astype(np.uint8)
            masks = decide.apply(resized, one)
            score = metrics.mean_dice(truths[i][None], masks[None], ignore=ignore)
            assert found.images["score"][i] == pytest.approx(score, abs=1e-12)


def test_counts_of_pixels_refuse_to_guess_components():
    prob, truth, folds, _ = data(0)
    counted = counts(zip(prob, truth, itertools.repeat(None), strict=False))
    every = {None: counted, **dict.fromkeys(range(3), counted)}
    with pytest.raises(InputError, match="table"):
        decide.search_counts(every, folds, Grid.of(SPACE), "mean_dice", Resampling())


def test_steps_come_after_the_components(tmp_path):
    prob, truth, folds, label = data(3)
    found = decide.search(prob, truth, folds, SPACE, "mean_dice", label_prob=label)
    assert max(found.params["min_component"]) > 0
    masks = decide.Masks(dataclasses.replace(found, steps=[]))
    ids = [str(i) for i in range(len(prob))]
    np.testing.assert_array_equal(list(masks(ids, prob, label)), decide.apply(prob, found, label))
