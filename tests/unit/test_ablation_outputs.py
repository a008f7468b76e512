"""Variants of models of labels and of boxes: scored by rank, compared like means over images."""

import copy
from typing import Any

import numpy as np
import pandas as pd
import pytest

from foldbelt import config, decide, store
from foldbelt.bootstrap import contributions, standard_error
from foldbelt.boxes import Boxes
from foldbelt.config import complete
from foldbelt.config.plan import Plan
from foldbelt.decide import alone, output_files
from foldbelt.evaluate import ablation
from foldbelt.files import InputError
from foldbelt.metrics import labels as metrics

IMAGES, FOLDS = 60, 3


# What an image contributes


def ranked(seed: int) -> tuple[Any, np.ndarray]:
    random = np.random.default_rng(seed)
    truth = (random.random((IMAGES, 2)) < 0.4).astype(float)
    prob = 0.3 * truth + random.random(truth.shape)
    groups = np.sort(random.integers(0, 15, IMAGES))
    return lambda count: metrics.score("auc", truth, prob, weights=count), groups


@pytest.mark.parametrize("seed", range(4))
def test_the_mean_is_the_score_and_the_spread_the_jackknifes(seed: int) -> None:
    statistic, groups = ranked(seed)
    made = contributions(statistic, groups)
    assert made.mean() == pytest.approx(statistic(np.ones(IMAGES)))
    names = np.unique(groups)
    without = np.array([statistic((groups != name) * 1.0) for name in names])
    number = len(names)
    jackknife = np.sqrt((number - 1) / number * ((without - without.mean()) ** 2).sum())
    assert standard_error(made, groups) == pytest.approx(jackknife)
    for name in names:
        assert np.ptp(made[groups == name]) < 1e-12


def test_of_a_mean_over_images_that_are_alone_they_are_the_values() -> None:
    values = np.random.default_rng(0).random(20)
    made = contributions(lambda count: np.average(values, weights=count), range(20))
    assert made == pytest.approx(values)


def test_differences_may_be_taken_image_by_image() -> None:
    (first, groups), (second, _) = ranked(0), ranked(1)
    both = contributions(lambda count: first(count) - second(count), groups)
    assert both == pytest.approx(contributions(first, groups) - contributions(second, groups))


def test_a_score_that_rests_on_one_group_is_refused() -> None:
    truth = np.array([[1.0], [0], [0]])
    with pytest.raises(InputError, match="lies in it"):
        contributions(lambda c: metrics.score("auc", truth, truth, weights=c), range(3))


# A model alone


STUDY = ["a", "b", "c"]


def write_data(root, seed: int = 0) -> dict[str, str]:
    """Write labels, three of them of studies and exclusive, and boxes, of images in three folds."""
    random = np.random.default_rng(seed)
    study = np.sort(random.integers(0, IMAGES * 3 // 4, IMAGES))
    labels = np.eye(3)[random.integers(0, 3, IMAGES)[study]]
    labels = np.hstack([labels, random.random((IMAGES, 1)) < 0.5]).astype(np.float32)
    labels[random.random(IMAGES) < 0.1, 3] = np.nan
    corner = random.integers(0, 60, (IMAGES, 2))
    box = np.hstack([np.zeros((IMAGES, 1)), corner, corner + 20, np.ones((IMAGES, 1))])
    boxes = Boxes.join([row[None] if place % 3 else row[:0] for place, row in enumerate(box)])
    ids = [f"i{n:02d}" for n in range(IMAGES)]
    table = pd.DataFrame({"id": ids, "study": [f"s{n}" for n in study]})
    table["boxes"] = np.where(np.arange(IMAGES) % 7, np.diff(boxes.start), -1)
    attrs = {"label_names": [*STUDY, "d"], "box_names": ["x"], "label_groups": [STUDY]}
    attrs["label_levels"] = {"study": STUDY}
    arrays = {"labels": labels, "boxes": boxes.to_bytes()}
    arrays["image"] = np.zeros((IMAGES, 4, 4), np.uint8)
    store.write(root / "train.h5", arrays, table, attrs)
    scheme = pd.DataFrame(
        {"id": ids, "fold": study % FOLDS, "group": [f"p{n // 2}" for n in study]}
    )
    scheme.to_csv(root / "folds.csv", index=False)
    return {"data": str(root / "train.h5"), "folds": str(root / "folds.csv")}


def predict(root, name: str, skill: float, seed: int, some: bool = False) -> list[str]:
    """Write out-of-fold predictions of a model that knows so much; `some`: of the study alone."""
    random = np.random.default_rng([seed, int(100 * skill)])
    scheme = pd.read_csv(root / "folds.csv")
    truth = np.nan_to_num(store.read(root / "train.h5", "labels"), nan=0.5)
    prob = np.clip(0.3 + skill * truth + random.normal(0, 0.3, truth.shape), 0.01, 0.99)
    prob[:, 3] = np.nan if some else prob[:, 3]
    boxes = Boxes.from_bytes(store.read(root / "train.h5", "boxes"))
    paths = []
    for fold in range(FOLDS):
        rows = np.flatnonzero(scheme["fold"] == fold)
        made = []
        for row in rows:
            moved = np.repeat(boxes.image(row), 2, axis=0)
            moved[:, 1:5] += random.normal(0, 9 * (1 - skill), moved[:, 1:5].shape)
            moved[:, 3:5] = np.maximum(moved[:, 3:5], moved[:, 1:3])
            moved[:, 5] = random.random(len(moved))
            made.append(moved)
        paths.append(root / f"{name}{fold}.h5")
        store.write(
            paths[-1],
            {"labels": prob[rows].astype(np.float32), "boxes": Boxes.join(made).to_bytes()},
            pd.DataFrame({"id": scheme["id"][rows].tolist()}),
            {"label_names": [*STUDY, "d"], "box_names": ["x"]},
        )
    return list(map(str, paths))


def settings(output: str, **changes: Any) -> dict[str, Any]:
    section = complete(output, changes)
    return {key: value for key, value in section.items() if key != "external"}


CASES = [
    ("labels", {}, False),
    ("labels", {}, True),
    ("labels", {"metric": "auc"}, False),
    ("labels", {"metric": "log_loss"}, False),
    ("boxes", {"fusion": ["nms"], "iou": [0.5]}, False),
]


@pytest.mark.parametrize(("output", "changes", "some"), CASES)
def test_a_variants_score_is_that_of_the_decision(tmp_path, output, changes, some) -> None:
    given = write_data(tmp_path)
    members = {"0": predict(tmp_path, "m", 0.5, 0, some)}
    how = {**given, "settings": settings(output, **changes), "draws": 5, "seed": 0}
    found = alone.score(output, members=members, **how)
    paths = {"decision": tmp_path / "d.json", "blend": tmp_path / "b.h5"}
    output_files.run(output, members=members, **how, **paths)
    score = pd.read_json(tmp_path / "d.json", typ="series")["score"]
    sign = -1 if changes.get("metric") == "log_loss" else 1
    assert found.score == pytest.approx(sign * score)
    assert np.mean(found.images["score"]) == pytest.approx(sign * score)
    scheme = pd.read_csv(tmp_path / "folds.csv").set_index("id")
    assert scheme.loc[found.images["id"], "group"].tolist() == found.images["group"]
    if output == "boxes":
        some = {"0": members["0"][:2]}  # a variant may be trained on some folds alone
        part = alone.score(output, members=some, **how)
        assert set(scheme.loc[part.images["id"], "fold"]) == {0, 1}
        boxes = store.table(tmp_path / "train.h5").set_index("id")["boxes"]
        assert sorted(found.images["id"]) == sorted(boxes.index[boxes >= 0])


@pytest.mark.parametrize("output", ["labels", "boxes"])
def test_a_better_variant_helps_and_the_same_does_not(tmp_path, output) -> None:
    given = write_data(tmp_path)
    results: dict[str, list[str]] = {}
    for name, skill in {"base": 0.2, "better": 0.7, "like": 0.2}.items():
        for seed in range(3):
            members = {"0": predict(tmp_path, name, skill, seed + 5 * (name == "like"))}
            how = {**given, "settings": settings(output), "draws": 5, "seed": 0}
            path = str(tmp_path / f"{name}{seed}.json")
            decide.save(alone.score(output, members=members, **how), path)
            results.setdefault(name, []).append(path)
    out = tmp_path / "ablation.csv"
    none: dict[str, Any] = {"train_benchmarks": {}, "predict_benchmarks": {}}
    ablation.run(results=results, base="base", seeds=[0, 1, 2], out=out, **none)
    table = pd.read_csv(out).set_index("variant")
    assert table["verdict"].to_dict() == {
        "better": "helps",
        "base": "base",
        "like": "undecided",
    }
    assert table.loc["better", "score"] - table.loc["base", "score"] == pytest.approx(
        table.loc["better", "difference"], abs=1e-5
    )


# Which output variants are compared by


RECIPE: dict[str, Any] = {
    "run": "small",
    "competition": "chest",
    "data": {"path": "somewhere", "size": 64, "masks": "from_boxes"},
    "channels": {"base": {"size": 64, "resize_mode": "resize"}},
    "stages": {
        "one": {"loss": {"label": {"cross_entropy": 1}, "mask": {"bce": 4}}, "epochs": 1},
        "two": {"loss": {"label": {"cross_entropy": 1}}, "epochs": 1},
        "box": {"loss": {"box": 1}, "epochs": 1},
    },
    "models": {
        "net": {
            "stages": ["one"],
            "labels": ["negative", "typical", "indeterminate", "atypical"],
            "architecture": {"name": "classifier", "encoder": "test_resnet", "mask_reduction": 8},
        },
        "finder": {
            "stages": ["box"],
            "architecture": {"name": "detector", "encoder": "test_resnet", "levels": [8, 16, 32]},
        },
    },
}


def plan(changes: dict[str, Any] | None = None, **given: Any) -> Plan:
    recipe = config.merge(copy.deepcopy(RECIPE), changes or {})
    return Plan(config.resolve({**recipe, "ablation": given}))


def test_variants_are_compared_by_what_the_run_decides_on() -> None:
    loss = {"label": {"cross_entropy": 1}, "mask": {"bce": 1}}  # a loss is given as a whole
    weights = {"stages": {"one": {"loss": loss}}}
    made = plan(variants={"weight1": weights, "max": {"labels": {"join": ["max"]}}})
    chosen = {name: one.output for name, one in made.variants.items()}
    assert chosen == dict.fromkeys(("base", "weight1", "max"), "labels")
    assert made.variants["max"].settings["join"] == ["max"]
    assert made.variant_predictions("max", 0) == made.variant_predictions("base", 0)
    assert made.variant_code("base", "m") == ["foldbelt.decide.labels_io"]
    finder = plan(model="finder", variants={"x": {"stages": {"box": {"epochs": 2}}}})
    assert finder.variants["x"].output == "boxes"
    assert finder.variants["x"].settings == finder.config["boxes"] | {"weights": "equal"}


def test_without_the_mask_loss_is_a_variant_and_so_is_a_stage_more() -> None:
    bare = {"models": {"*": {"stages": ["two"], "architecture": {"mask_reduction": None}}}}
    made = plan(variants={"bare": bare, "both": {"models": {"*": {"stages": ["one", "two"]}}}})
    assert made.recipes.models["bare--seed0"]["stages"] == ["two"]
    assert made.recipes.models["both--seed0"]["weights"][0]["one"] == "net"


@pytest.mark.parametrize(
    ("changes", "variant", "message"),
    [
        ({}, {"labels": {"metric": "auc"}}, "share labels.metric"),
        (
            {"stages": {"one": {"loss": {"label": {"bce": 1}, "mask": {"bce": 4}}}}},
            {"models": {"*": {"labels": ["none"]}}},
            "share models.net.labels",
        ),
        ({"labels": {"metric": "accuracy"}}, {}, "labels.metric.*needs thresholds"),
        ({"outputs": ["boxes"]}, {}, "predicts none of"),
    ],
)
def test_what_cannot_be_compared_is_refused(changes, variant, message) -> None:
    with pytest.raises(InputError, match=message):
        plan(changes, variants={"x": variant})


def test_one_model_on_some_folds_is_varied_on_these() -> None:
    once = {"predict": {"tta": ["none"]}}
    made = plan({"models": {"net": {"only_folds": [0, 2]}}}, variants={"x": once})
    folds = {path.split("fold")[-1][0] for path in made.variant_predictions("x", 0)}
    assert folds == {"0", "2"}
