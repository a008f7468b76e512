"""What a decision is made of is chosen without the fold that it is scored on, and may harm."""

import numpy as np
import pytest
import selection_bias
from test_decide_steps import SPEC, speckled, stored

from foldbelt import decide
from foldbelt.bootstrap import Resampling
from foldbelt.decide.selection import select_axes
from foldbelt.decide.widening import widened
from foldbelt.search.counting import Counts, counts
from foldbelt.search.gates import LEVELS
from foldbelt.search.space import Grid
from foldbelt.search.sums import Counted
from foldbelt.search.tables import Cuts, tabulate


def selected(counted: Counted, folds: np.ndarray, forced=(), **space):
    every = {None: counted, **dict.fromkeys(np.unique(folds).tolist(), counted)}
    grid = Grid.of(space)
    return select_axes(every, folds, grid, "mean_dice", Resampling(draws=20), forced)


def test_the_score_of_parts_without_worth_does_not_flatter():
    (reported, chosen), (error, _) = selection_bias.bias(60, 150)
    assert abs(reported) < 3 * error
    assert chosen > 3 * error, "the score that chose them does"


def test_the_truth_of_a_fold_has_no_say_in_what_it_is_decided_with():
    random = np.random.default_rng(1)
    folds = np.arange(60) % 3
    space = {"threshold": [0.5], "min_area": [0, 60, 100], "gate": [0, 0.3, 0.6]}
    changed = 0
    for seed in range(20):
        counted = selection_bias.worthless(np.random.default_rng(seed), 60)
        rows = np.flatnonzero(folds == 1)
        other = counted.take(np.arange(60))
        truth = np.where(random.random(20) < 0.5, other.pred[rows, 0, 0], 0)
        other.truth[rows, 0], other.inter[rows, 0] = (
            truth,
            other.pred[rows, 0] * (truth > 0)[:, None],
        )
        found = [selected(one, folds, **space) for one in (counted, other)]
        assert found[0].per_fold[1]["params"] == found[1].per_fold[1]["params"]
        changed += found[0].params != found[1].params
    assert changed > 3, "while the decision for the submission does change"


def rare(number: int = 40, junk: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """One image in ten holds a defect; nothing tells it from the junk that is in all."""
    random = np.random.default_rng(0)
    truth = np.zeros((number, 8, 8), np.uint8)
    truth[::10, :3, :3] = 1
    prob = random.integers(0, 230, truth.shape).astype(np.uint8) if junk else truth * 200
    return prob, truth


def test_empty_masks_are_a_decision_where_nothing_is_better():
    prob, truth = rare()
    folds = np.arange(40) // 10  # a defect in each
    counted = counts(zip(prob, truth, [None] * 40, strict=True), np.arange(LEVELS), None)
    found = selected(counted, folds, threshold=[0.3, 0.5], gate=[0, 0.4, 0.6])
    assert found.score == 0.9
    assert not decide.apply(prob, found).any()
    assert found.params["threshold"] == 1
    assert found.ends == []
    assert max(found.curves[0]["threshold"]) == 0.5


@pytest.mark.parametrize("axis", ["gate", "threshold", "min_area"])
def test_a_grid_goes_on_beyond_its_last_value(axis):
    """Junk looks like the defects, less sure or smaller, and some of it nearly as much."""
    truth = np.zeros((40, 16, 16), np.uint8)
    truth[::2, :6, :6] = 1
    prob = truth * 250
    for row, likeness in zip(range(1, 40, 2), np.linspace(0.1, 1, 20), strict=True):
        if axis == "min_area":
            prob[row, :5, : 1 + int(3 * likeness)] = 250
        else:
            prob[row, :6, :6] = 230 * likeness
    spaces = {
        "gate": {"gate": [0, 0.5, 0.8]},
        "threshold": {"threshold": [0.3, 0.4, 0.5]},
        "min_area": {"min_area": [0, 5, 15]},
    }
    counted = counts(zip(prob, truth, [None] * 40, strict=True), np.arange(LEVELS), None)
    folds = np.arange(40) // 2 % 4
    found = selected(counted, folds, **{"threshold": [0.5]} | spaces[axis])
    assert found.optimistic == 1
    assert found.score > 0.95
    assert np.array_equal(decide.apply(prob, found), truth > 0)
    assert found.ends == []


def test_a_grid_goes_on_where_empty_masks_beat_all_of_it():
    """Junk has labels up to .89, defects .97: no gate up to .8 is as good as no mask at all."""
    there = np.arange(60) % 10 < 3
    truth = np.zeros((60, 8, 8), np.uint8)
    truth[there, :4, :4] = 1
    prob = np.zeros_like(truth)
    prob[:, :4, :4] = 230
    labels = np.full(60, 0.97)
    labels[~there] = np.linspace(0.7, 0.89, (~there).sum())
    counted = counts(zip(prob, truth, [None] * 60, strict=True), np.arange(LEVELS), labels)
    narrow = decide.search(
        prob, truth, np.arange(60) // 10, {"gate": [0, 0.6, 0.7, 0.8]}, "mean_dice",
        label_prob=labels,
    )  # fmt: skip
    assert narrow.score < (~there).mean(), "or empty masks would not win"
    found = selected(counted, np.arange(60) // 10, threshold=[0.5], gate=[0, 0.6, 0.7, 0.8])
    assert found.score == 1
    assert found.params["gate"] > 0.89
    assert found.params["threshold"] == 0.5
    assert found.ends == []


def test_a_forced_axis_does_not_go_on_to_off():
    """A quarter of the defects is smaller than the least size that is forced: that harm stays."""
    truth = np.zeros((40, 16, 16), np.uint8)
    truth[:, :4, :5] = 1
    truth[::4] = 0
    truth[::4, 0, :5] = 1
    pairs = list(zip(truth * 230, truth, [None] * 40, strict=True))
    folds, sizes = np.arange(40) // 4 % 5, [0, 12, 30]
    grid = Grid.of({"threshold": [0.5], "min_component": sizes})
    counted = {
        "min_area": counts(pairs, np.arange(LEVELS), None),
        "min_component": tabulate(pairs, Cuts.of(grid), None),
    }
    found = {
        axis: selected(counted[axis], folds, [axis], threshold=[0.5], **{axis: sizes})
        for axis in counted
    }
    assert {axis: one.params[axis] for axis, one in found.items()} == dict.fromkeys(counted, 12)
    for axis, one in found.items():
        assert one.score == pytest.approx(0.75)
        assert [entry["params"][axis] for entry in one.per_fold] == [12] * 5


def test_widening_ends_where_there_is_nothing_more():
    prob, truth = rare(junk=False)
    counted = counts(zip(prob, truth, [None] * 40, strict=True), np.arange(LEVELS), None)
    grid = Grid.of({"threshold": [0.2, 0.4], "min_area": [0, 5], "gate": [0, 0.999999]})
    names = {"threshold": "smallest", "min_area": "largest", "gate": "largest"}
    for _ in range(12):
        grid = widened(grid, [{"name": n, "end": e} for n, e in names.items()], counted)
    assert grid.threshold.min() > 0
    assert grid.min_area.max() <= 9, "no mask is larger"
    assert grid.gate.max() < 1
    assert sum(grid.shape) < 80
    table_like = Counts(np.array([51]), *(getattr(counted, n) for n in ("pred", "inter")),
                        counted.truth, counted.gate, "peak")  # fmt: skip
    assert not table_like.at_all_levels
    same = widened(grid, [{"name": "threshold", "end": "largest"}], table_like)
    assert same.threshold.tolist() == grid.threshold.tolist()


def test_a_forced_axis_may_harm_and_says_so():
    prob, truth = rare(junk=False)
    counted = counts(zip(prob, truth, [None] * 40, strict=True), np.arange(LEVELS), None)
    space = {"threshold": [0.5], "min_area": [0, 40]}
    free = selected(counted, np.arange(40) // 10, **space)
    forced = selected(counted, np.arange(40) // 10, ["min_area"], **space)
    assert free.score == 1
    assert forced.score == pytest.approx(0.9)
    assert forced.selection[-1]["difference"] == pytest.approx(-0.1)
    assert forced.selection[-1]["kept"]


def test_without_an_axis_that_was_dropped_a_recipe_scores_the_same_in_every_image():
    """An ablation takes an axis away from the recipe as its own selection made it."""
    prob, truth = rare(junk=False)
    counted = counts(zip(prob, truth, [None] * 40, strict=True), np.arange(LEVELS), None)
    recipe = selected(counted, np.arange(40) // 10, threshold=[0.5], min_area=[0, 40])
    without = selected(counted, np.arange(40) // 10, threshold=[0.5], min_area=[0])
    assert [one["kept"] for one in recipe.selection] == [True, False]
    assert recipe.images == without.images


def search(given, steps, forced=()):
    settings = decide.DecisionSettings.of(
        {**SPEC, "space": {**SPEC["space"]}, "steps": steps}, forced
    )
    return decide.search_alone(
        given["members"], given["data"], given["folds"], settings, 0, steps=True
    )


def test_a_forced_step_that_harms_is_kept_with_its_harm(tmp_path):
    truth, prob = speckled()
    truth[:, 12, 12] = prob[:, 12, 12] = 1
    prob[:, 12, 12] = 220  # a single true pixel in every image
    given = stored(tmp_path, truth, prob)
    steps = {"components": {"min_area": [200]}}
    free, forced = search(given, steps), search(given, steps, ["components"])
    assert free.steps == []
    assert [one["step"] for one in forced.steps] == ["components"]
    assert forced.selection[-1]["difference"] < -0.1
    assert forced.score == pytest.approx(free.score + forced.selection[-1]["difference"])
    assert all(entry["steps"] for entry in forced.per_fold)


def test_a_step_is_selected_without_the_fold_that_it_is_scored_on(tmp_path):
    """Specks pay in one fold alone: the others would not remove them, so the step is not its."""
    truth, prob = speckled()
    clean = np.arange(len(truth)) % 4 != 2
    prob[clean] = np.where(truth[clean] > 0, 220, 20)
    truth[clean, 12, 12], prob[clean, 12, 12] = 1, 220
    given = stored(tmp_path, truth, prob)
    found = search(given, {"components": {"min_area": [8]}})
    kept = {entry["fold"] for entry in found.per_fold if entry.get("steps")}
    assert 2 not in kept
