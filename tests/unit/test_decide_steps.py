"""What mends masks after the search, and what of it is kept."""

import itertools

import numpy as np
import pandas as pd
import pytest
from scipy import ndimage
from settings_of import decision_settings

from foldbelt import decide, metrics, registry, store
from foldbelt.bootstrap import Resampling
from foldbelt.decide import selection
from foldbelt.decide.masks import load_step
from foldbelt.decide.selection import _selected
from foldbelt.decide.steps import Tile
from foldbelt.files import InputError
from foldbelt.search.counting import counts
from foldbelt.search.space import Grid

FOLDS = np.arange(40) % 4


def tile(mask):
    prob = np.where(mask, 200, 10).astype(np.uint8)
    return Tile("a", prob, mask, np.full(mask.shape[2], 0.5))


def test_small_components_go_and_the_rest_stays():
    random = np.random.default_rng(0)
    step = load_step("components", {"min_area": [9, 4]})
    assert [one["min_area"] for one in step.candidates()] == [4, 9]  # the mildest first
    for _ in range(20):
        mask = random.random((17, 23, 2)) < 0.35
        found = step(tile(mask), {"min_area": 4})
        for k in range(2):
            labels, count = ndimage.label(mask[..., k], np.ones((3, 3)))
            sizes = np.bincount(labels.ravel(), minlength=count + 1)
            expected = mask[..., k] & (sizes[labels] >= 4)
            assert (found[..., k] == expected).all()


def test_small_holes_are_filled_and_bays_are_not():
    random = np.random.default_rng(1)
    step = load_step("holes", {"max_area": [3]})
    filled = 0
    for _ in range(20):
        mask = random.random((17, 23, 1)) < 0.6
        found = step(tile(mask), {"max_area": 3})
        labels, count = ndimage.label(ndimage.binary_fill_holes(mask[..., 0]) & ~mask[..., 0])
        sizes = np.bincount(labels.ravel(), minlength=count + 1)
        expected = mask[..., 0] | ((labels > 0) & (sizes[labels] <= 3))
        assert (found[..., 0] == expected).all()
        filled += int((found & ~mask).sum())
    assert filled


@pytest.mark.parametrize("name", ["components", "holes"])
def test_sizes_that_are_none_are_refused(name):
    key = {"components": "min_area", "holes": "max_area"}[name]
    for wrong in ([], [0], [2.5], [True]):
        with pytest.raises(InputError, match=rf"decision\.steps\.{name}\.{key}"):
            load_step(name, {key: wrong})


def images(seed=0):
    """Blobs with a faint label each; some are false alarms."""
    random = np.random.default_rng(seed)
    truth = np.zeros((40, 12, 12), np.uint8)
    shown = np.zeros_like(truth)
    for i in range(40):
        top, left = random.integers(0, 6, 2)
        shown[i, top : top + random.integers(2, 6), left : left + random.integers(2, 6)] = 1
        truth[i] = shown[i] * (random.random() < 0.6)
    prob = np.clip(30 + 130 * shown + random.normal(0, 30, truth.shape), 0, 255).astype(np.uint8)
    label = np.clip(0.3 + 0.4 * truth.any(axis=(1, 2)) + random.normal(0, 0.1, 40), 0, 1)
    return prob, truth, label


def by_words(prob, label, mode, threshold, least):
    """Decide one image by the words of the documentation."""
    if mode == "product":
        mask = prob / 255 * label > threshold
        return mask if mask.sum() >= least else np.zeros_like(mask)
    mask = prob / 255 > threshold
    return mask if mask.sum() >= least * 2 * (1 - label) else np.zeros_like(mask)


@pytest.mark.parametrize("mode", ["product", "area"])
def test_gates_are_searched_as_they_are_applied(mode):
    prob, truth, label = images()
    space = {"threshold": [0.21, 0.33, 0.47], "min_area": [0, 5, 14], "gate_mode": [mode]}
    found = decide.search(prob, truth, FOLDS, space, "salt_score", label_prob=label)
    assert found.params["gate_mode"] == mode
    assert found.space["gate"] == []
    scores = {}
    for point in itertools.product(space["threshold"], space["min_area"]):
        masks = np.stack([by_words(p, q, mode, *point) for p, q in zip(prob, label, strict=True)])
        scores[point] = metrics.score_images("salt_score", truth, masks).mean()
    assert found.optimistic == pytest.approx(max(scores.values()), abs=1e-12)
    masks = decide.apply(prob, found, label)
    assert metrics.score_images("salt_score", truth, masks).mean() == pytest.approx(
        found.optimistic, abs=1e-12
    )
    assert decide.apply(prob[3], found, label[3]).tolist() == masks[3].tolist()


def test_modes_compete_and_ties_go_to_the_veto():
    prob, truth, label = images()
    space = {"threshold": [0.3], "gate": [0, 0.5], "gate_mode": ["area", "veto", "product"]}
    found = decide.search(prob, truth, FOLDS, space, "salt_score", label_prob=label)
    each = [
        decide.search(
            prob, truth, FOLDS, {**space, "gate_mode": [mode]}, "salt_score", None, None, 0, label
        )
        for mode in ("veto", "product", "area")
    ]
    assert found.optimistic == max(one.optimistic for one in each)
    flat = {"threshold": [0.3], "gate": [0], "gate_mode": ["area", "veto"]}
    tied = decide.search(prob, truth, FOLDS, flat, "salt_score", label_prob=label)
    assert tied.params["gate_mode"] == "veto"
    with pytest.raises(InputError, match="'vote' is unknown"):
        decide.search(prob, truth, FOLDS, {"gate_mode": ["vote"]}, "salt_score")


def test_an_axis_that_does_not_pay_is_held_at_its_first_value():
    prob, truth, label = images()

    def fit(space):
        return decide.search(prob, truth, FOLDS, space, "salt_score", label_prob=label)

    full = {"threshold": [0.3, 0.4], "min_area": [0, 3, 500], "gate": [0, 0.5, 0.6]}

    def selected(space):
        grid = Grid.of(space)
        pairs = zip(prob, truth, itertools.repeat(None), strict=False)
        counted = counts(pairs, grid.levels, label)
        every = {None: counted, **dict.fromkeys(np.unique(FOLDS).tolist(), counted)}
        return _selected(every, FOLDS, grid, "salt_score", Resampling(draws=100), ())

    found = selected(full)
    assert [candidate["step"] for candidate in found.selection] == ["threshold", "min_area", "gate"]
    first, area, gate = found.selection
    assert first["score"] == fit({**full, "min_area": [0], "gate": [0]}).score
    assert gate["kept"]
    assert gate["difference"] == pytest.approx(gate["score"] - first["score"])
    assert gate["interval"][0] <= gate["difference"] <= gate["interval"][1]
    assert not area["kept"]
    assert found.space["min_area"] == [0]
    assert gate["score"] == fit({**full, "min_area": [0]}).score
    fixed = selected({"threshold": [0.3], "min_area": [4]})
    assert [candidate["step"] for candidate in fixed.selection] == ["threshold"]
    assert fixed.params["min_area"] == 4


def stored(root, truth, prob, groups=None):
    """Store images and out-of-fold predictions; give the arguments of `decide.run`."""
    root.mkdir(exist_ok=True)
    ids = np.array([f"i{i:02d}" for i in range(len(truth))])
    classes = truth.shape[3] if truth.ndim == 4 else 1
    arrays = {"image": prob[..., 0] if classes > 1 else prob, "mask": truth}
    store.write(root / "train.h5", arrays, table=pd.DataFrame({"id": ids}), classes=classes)
    pd.DataFrame({"id": ids, "fold": FOLDS}).to_csv(root / "folds.csv", index=False)
    paths = []
    for fold in range(4):
        paths.append(str(root / f"{fold}.h5"))
        own = fold == FOLDS
        store.write(paths[-1], {"prob": prob[own]}, table=pd.DataFrame({"id": ids[own]}))
    (root / "weights.json").write_text(
        '{"members": ["m"], "all": [1], "without": {"0": [1], "1": [1], "2": [1], "3": [1]}}'
    )
    common = {"members": {"m": paths}, "weights": root / "weights.json", "seed": 0}
    return common | {"data": root / "train.h5", "folds": root / "folds.csv"}


def speckled(seed=3):
    """Large bodies, and specks that are never true."""
    random = np.random.default_rng(seed)
    truth = np.zeros((40, 16, 16), np.uint8)
    prob = np.full(truth.shape, 20, np.uint8)
    for i in range(40):
        top, left = random.integers(0, 5, 2)
        truth[i, top : top + 6, left : left + 6] = 1
        prob[i][truth[i] > 0] = 220
        for _ in range(3):
            down, across = random.integers(11, 15, 2)
            prob[i, down : down + 2, across] = 210
    return truth, prob


SPEC = {"metric": "salt_score", "space": {"threshold": [0.5]}, "bootstrap": 100}
STEPS = {"components": {"min_area": [2, 8]}, "holes": None}


def run(root, truth, prob, steps=STEPS):
    given = stored(root, truth, prob)
    decide.run(
        **given, settings=decision_settings({**SPEC, "steps": steps}), out=root / "decision.json"
    )
    return decide.load(root / "decision.json"), given


def test_a_step_is_kept_where_it_pays_and_left_out_where_it_does_not(tmp_path):
    truth, prob = speckled()
    found, given = run(tmp_path, truth, prob)
    plain = decide.search_alone(
        given["members"]["m"], given["data"], given["folds"], decision_settings(SPEC), 0
    )
    assert [(candidate["step"], candidate["kept"]) for candidate in found.selection] == [
        ("threshold", True),
        ("components", True),
        ("holes", False),
    ]
    assert found.selection[0]["score"] == plain.score
    assert found.images["base"] == plain.images["score"]
    options = {"min_area": [2, 8]}
    assert found.steps == [{"step": "components", "options": options, "params": {"min_area": 8}}]
    masks = decide.Masks(found, decide.Surroundings(given["data"]))
    decided = np.stack(list(masks(list(found.images["id"]), prob, None)))
    scores = metrics.score_images("salt_score", truth, decided)
    assert found.score == found.optimistic == scores.mean() == 1
    assert all(entry["steps"] == found.steps for entry in found.per_fold)


def test_what_is_done_to_a_fold_never_saw_its_truth():
    folds = np.arange(8) % 4
    scores = np.zeros((8, 2))
    scores[folds == 0, 1] = 1.0  # pays in fold 0 alone, and so much that it pays in all
    scores[folds > 0, 0] = 0.3
    keys = {fold: "k" for fold in (None, 0, 1, 2, 3)}
    after, chosen = selection._choose({"k": scores[..., None]}, keys, folds)
    assert chosen == {None: 1, 0: 0, 1: 1, 2: 1, 3: 1}
    assert after[:, 0].tolist() == [
        scores[i, chosen[fold]] for i, fold in enumerate(folds.tolist())
    ]
    scores[:] = 0.5
    assert set(selection._choose({"k": scores[..., None]}, keys, folds)[1].values()) == {
        0
    }  # ties: do nothing


def test_steps_see_the_threshold_that_a_product_leaves(tmp_path):
    truth, prob = speckled()
    given = stored(tmp_path, truth, prob)
    params = {"threshold": [0.3, 0.3], "min_area": [0, 0], "gate": [0, 0]}
    params["gate_mode"] = ["product", "veto"]
    found = decide.Decision(params, gate_on="label")
    masks = decide.Masks(found, decide.Surroundings(given["data"]))
    both = np.stack([prob[0], prob[0]], axis=2)
    (tile,) = masks.tiles(["i00"], [both], np.array([[0.6, 0.6]]))
    assert tile.threshold.tolist() == [0.5, 0.3]
    for k in range(2):
        assert (tile.mask[..., k] == (prob[0] / 255 > tile.threshold[k])).all()


def test_neighbours_with_unlabelled_pixels_say_nothing(tmp_path):
    ids = ["a", "b", "c"]
    masks, ignore = np.zeros((2, 3, 8, 8), np.uint8)
    masks[:, :, :4], ignore[2, 0, 0] = 1, 1
    table = pd.DataFrame({"id": ids})
    store.write(tmp_path / "train.h5", {"image": masks, "mask": masks, "ignore": ignore}, table)
    places = pd.DataFrame({"id": ids, "mosaic": 0, "row": [0, 1, 2], "column": 0})
    places.to_csv(tmp_path / "mosaic.csv", index=False)
    around = decide.Surroundings(
        tmp_path / "train.h5", tmp_path / "train.h5", tmp_path / "mosaic.csv"
    )
    found = list(around.of(ids, [(8, 8)] * 3, ["neighbours"]))
    assert [sorted(one["neighbours"]) for one in found] == [["below"], ["above"], ["above"]]
    assert (found[1]["neighbours"]["above"][..., 0] == masks[0]).all()


def test_steps_need_their_surroundings(tmp_path):
    found, _ = run(tmp_path, *speckled())
    with pytest.raises(InputError, match="where the images are"):
        decide.Masks(found)


def test_what_a_step_looks_at_is_read_from_its_source():
    modules = registry.steps(["components", "holes"])
    assert modules == ["foldbelt.decide.steps.components", "foldbelt.decide.steps.holes"]
    for name in registry.known("decide/steps"):
        (module,) = registry.steps([name])
        for need in ("image", "neighbours"):
            assert registry.looks_at(need, [module]) == (need in load_step(name).needs)
