"""Figures of many classes, members and rounds with long names: nothing is cut or overlaps."""

import itertools
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text
from test_plots import HOSTILE, SCORES, history

from foldbelt import store
from foldbelt.decide import Decision
from foldbelt.report import (
    adversarial,
    balance,
    best_worst,
    channels,
    classes,
    examples,
    pseudo,
    score_by,
    scores,
    selection,
    style,
    threshold,
    training,
)

MEMBERS = [f"unet-efficientnet-b{m}-crops-then-whole-mixup" for m in range(8)]
FOLDS, ROUNDS, IMAGES = 7, 2, 21


def shown(made: Figure) -> list[Text]:
    """Give all texts of a figure that can be seen."""
    texts = [*made.texts, *(text for legend in made.legends for text in legend.get_texts())]
    for axes in made.axes:
        if not axes.get_visible():
            continue
        texts += [*axes.texts, axes.title, axes._left_title, axes.xaxis.label, axes.yaxis.label]
        legend = axes.get_legend()
        texts += legend.get_texts() if legend else []
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            ticks = zip(axis.get_majorticklocs(), axis.get_majorticklabels(), strict=False)
            texts += [label for place, label in ticks if low <= place <= high]
    return [text for text in texts if text.get_visible() and text.get_text().strip()]


def check(made: Figure) -> None:
    """Fail where a text leaves the figure or touches another; slanted ones may pass each other."""
    style._settle(made)
    made.draw_without_rendering()  # places the legends
    whole = made.bbox
    texts = [(text, text.get_window_extent()) for text in shown(made)]
    for text, box in texts:
        inside = whole.x0 <= box.x0 and whole.y0 <= box.y0 and box.x1 <= whole.x1
        assert inside, f"cut: {text.get_text()!r}"
        assert box.y1 <= whole.y1, f"cut: {text.get_text()!r}"
    level = [(text, box) for text, box in texts if text.get_rotation() in (0, 90)]
    for (one, a), (other, b) in itertools.combinations(level, 2):
        apart = a.x1 <= b.x0 or b.x1 <= a.x0 or a.y1 <= b.y0 + 1 or b.y1 <= a.y0 + 1
        assert apart, f"{one.get_text()!r} runs into {other.get_text()!r}"


@pytest.fixture(scope="module", params=[(1, 40, 40), (4, 16, 96), (15, 40, 40)])
def run(request, tmp_path_factory):
    """Artefacts of a run, as paths by name, and its number of classes."""
    count, height, width = request.param
    root, random = tmp_path_factory.mktemp("crowded"), np.random.default_rng(0)
    mask = np.zeros((IMAGES, height, width, count), np.uint8)
    for row, k in itertools.product(range(IMAGES), range(count)):
        if (row + k) % 4 == 0:
            y, x = random.integers(0, (height - 8, width - 8))
            mask[row, y : y + 8, x : x + 8, k] = 1
    ids = [f"a-rather-long-image-name-{row:04d}.jpg" for row in range(IMAGES)]
    table = pd.DataFrame({"id": ids, "coverage": mask.any(-1).mean((1, 2))})
    table["depth"] = random.random(IMAGES) * 1e5
    names = [f"surface-defect-no-{k:02d}" for k in range(count)]
    for k, name in enumerate(names):
        table[f"area_{name}"] = mask[..., k].mean((1, 2))
    image = random.integers(0, 256, (IMAGES, height, width), dtype=np.uint8)
    flat = mask if count > 1 else mask[..., 0]
    store.write(
        root / "train.h5", {"image": image, "mask": flat}, table, {"class_names": names}, count
    )
    store.write(root / "oof.h5", {"prob": np.roll(flat, 2, axis=2) * 200}, table[["id"]])
    scheme = pd.DataFrame({"id": ids, "fold": np.arange(IMAGES) % FOLDS, "group": ids})
    scheme["strata"] = [f"a stratum with a name {row % 6}" for row in range(IMAGES)]
    scheme.to_csv(root / "folds.csv", index=False)
    admitted = {"mask": flat[:9], "confidence": np.linspace(0.9, 1, 9, dtype=np.float32)}
    store.write(root / "pseudo.h5", admitted, table[["id"]][:9], {"tiles": 40}, count)
    (root / "decision.json").write_text(json.dumps(decision(ids, count).to_dict()))
    found = {name: str(root / name) for name in ("train.h5", "oof.h5", "folds.csv", "pseudo.h5")}
    found["decision"], found["scores"] = str(root / "decision.json"), str(root / "scores.json")
    recipes = ("base", "whitened-zca", "cumulative-sums-and-depth")
    found |= {f"channels {name}": write_channels(root, name, ids, image.shape) for name in recipes}
    one = {"score": 0.9, "interval": [0.8, 0.95], "baseline": 0.7, "positives": 1005}
    one |= {"hidden": 0.88, "parameters": {}}
    each = {"classes": dict.fromkeys(names, one)} if count > 1 else {}
    members = {f"{name}/round{r}": 0.8 for name in MEMBERS for r in range(ROUNDS)}
    Path(found["scores"]).write_text(json.dumps({**SCORES, **each, "members": members}))
    return found, count


def decision(ids: list[str], count: int) -> Decision:
    grid = np.array([0.2, 0.3, 0.4, 0.5, 0.6, 0.7])
    line = (0.9 - (grid - 0.5) ** 2).tolist()
    curve = {"threshold": grid.tolist(), "all": line}
    curve["folds"] = {str(fold): line for fold in range(FOLDS)}
    params = {"threshold": [0.5] * count, "min_area": [40.0 * k for k in range(count)]}
    images = {"id": ids, "group": ids, "score": [0.5] * len(ids)}
    images |= {"classes": [[0.5] * count for _ in ids]} if count > 1 else {}
    steps = ("threshold", "min_area", "gate", "one for all", HOSTILE)
    candidates = [
        {"step": step, "score": 0.5, "difference": n / 9, "interval": [n / 9, 1], "kept": n > 1}
        for n, step in enumerate(steps)
    ]
    candidates[0]["difference"] = None
    return Decision(
        params=params,
        metric="mean_dice",
        score=0.9,
        optimistic=0.91,
        per_fold=[{"fold": fold, "params": params} for fold in range(FOLDS)],
        curves=[{"class": k, **curve} for k in range(count)],
        images=images,
        selection=candidates,
    )


def write_channels(root: Path, name: str, ids: list[str], shape: tuple[int, ...]) -> str:
    _, height, width = shape
    x = np.random.default_rng(1).integers(0, 256, (len(ids), height, width + 8, 3), np.uint8)
    attrs = {"names": ["image", "image_row", "cumsum"], "scale": [0.02] * 3, "offset": [-2.0] * 3}
    attrs |= {"resize_mode": "pad-reflect", "size": [height, width + 8], "source": [height, width]}
    attrs |= {"whiten": {"method": "zca"}}
    store.write(root / f"{name}.h5", {"x": x}, pd.DataFrame({"id": ids}), attrs)
    return str(root / f"{name}.h5")


@pytest.fixture(autouse=True)
def checked(monkeypatch):
    """Check every figure before it is saved, without saving it."""
    monkeypatch.setattr(style, "save", lambda made, out: check(made))


def test_no_text_is_cut_or_runs_into_another(run):
    paths, count = run
    train, names = paths["train.h5"], classes.mask_names(paths["train.h5"], count)
    four = (paths["oof.h5"], train, paths["decision"], paths["folds.csv"])
    recipes = {
        name.partition(" ")[2]: path for name, path in paths.items() if name.startswith("channels ")
    }
    series = itertools.product(MEMBERS, range(2), range(FOLDS))
    files = {f"{m}/round{r}/fold{f}": paths["pseudo.h5"] for m, r, f in series}
    examples.draw(train, "a.png")
    channels.draw(train, recipes, "a.png")
    balance.draw(paths["folds.csv"], train, "a.svg", paths["folds.csv"] + ".html")
    scores.draw(paths["scores"], "a.svg")
    threshold.draw(dict.fromkeys(range(ROUNDS), paths["decision"]), "a.svg", names)
    selection.draw(decision=paths["decision"], out="a.svg")
    best_worst.draw(*four, which="worst", out="a.png", count=4)
    score_by.draw(*four, "a.svg", draws=10)
    pseudo.draw(files, train, "a.svg")


def test_stages_with_long_names_keep_apart(tmp_path):
    stages = ("a-first-stage-with-a-long-name", "crops", "whole", "a-last-stage-with-a-long-name")
    files = {
        f"round 0/fold {fold}/{stage}": history(tmp_path, f"{fold}{stage}", 3 + 7 * (place == 1))
        for fold in range(3)
        for place, stage in enumerate(stages)
    }
    training.draw(files, f"{MEMBERS[0]}, round 0", "a.svg")


def test_likeness_keeps_its_columns_apart(run, tmp_path):
    paths, _ = run
    ids = store.read(paths["train.h5"], "id")
    rows = [
        pd.DataFrame({"id": ids, "part": part, "test_likeness": np.linspace(0, 1, len(ids))})
        for part in ("train", "test")
    ]
    pd.concat(rows).to_csv(tmp_path / "l.csv", index=False)
    feature = {"meaning": "what a feature with a long name means", "auc_alone": 0.9}
    feature |= {"train": -123.4, "test": None}
    report = {"auc": 0.9, "interval": [0.8, 1.0], "accuracy": 0.8, "classifier": "trees"}
    report |= {"images": {"train": 35, "test": 35}, "features": [feature] * 20}
    (tmp_path / "l.json").write_text(json.dumps(report))
    both = dict.fromkeys(("train", "test"), paths["train.h5"])
    adversarial.draw(
        **both, likeness=tmp_path / "l.csv", report=str(tmp_path / "l.json"), out="a.png"
    )


def test_the_check_sees_what_is_cut_and_what_overlaps():
    for places in [(0.9, 0.1), (0.1, 0.1)]:
        made = Figure(figsize=(3, 2))
        for place in places:
            made.text(place, 0.5, "some text")
        with pytest.raises(AssertionError, match=r"cut|runs into"):
            check(made)
