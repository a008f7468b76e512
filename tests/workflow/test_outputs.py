"""Masks, labels and boxes at once: one run, three outputs, each with its score and its files."""

import json
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from running import Run

from foldbelt import bundle, store
from foldbelt.decide import rescoring

OPTIMISER = {"name": "adamw", "lr": 0.002}
ENCODER = {"encoder": "test_resnet"}
# Each model learns within seconds, and so much that its score is clear of what no model scores.
OBJECTS: dict[str, Any] = {
    "run": "objects",
    "seed": 1,
    "tensorboard": False,
    "competition": "folder",
    "data": {
        "synthetic": {"images": 80, "test_images": 10, "side": 64, "seed": 3},
        "cut": 1,
        "label": "scene",
        "boxes": "boxes.csv",
    },
    "channels": {"base": {"use": ["image"], "size": 64, "resize_mode": "resize"}},
    "folds": {"base": {"count": 2, "stratify": ["boxes"], "group": "place"}},
    "labels": {"metric": "accuracy"},
    "decision": {"bootstrap": 200},
    "stages": {
        "mask": {
            "loss": {"mask": {"bce": 1}, "label": {"cross_entropy": 0.5}},
            **{"epochs": 20, "batch_size": 8, "optimizer": {"name": "adamw", "lr": 0.003}},
        },
        "label": {
            "loss": {"label": {"cross_entropy": 1}},
            **{"epochs": 8, "batch_size": 8, "optimizer": OPTIMISER},
        },
        "box": {
            "loss": {"box": 1},
            **{"epochs": 20, "batch_size": 8, "optimizer": OPTIMISER},
            "augment": [{"HorizontalFlip": {"p": 0.5}}],
        },
    },
    "models": {
        "net": {
            "stages": ["mask"],
            "architecture": {"name": "vanilla", "width": 8, "depth": 3, "label_head": True},
        },
        "cls": {"stages": ["label"], "architecture": {"name": "classifier", **ENCODER}},
        "half": {"from": "cls", "seed": 1, "only_folds": [0]},
        "det": {
            "stages": ["box"],
            "architecture": {
                **{"name": "detector", "pyramid_channels": 64, "head_convs": 1, **ENCODER},
            },
        },
    },
}


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Give a finished run; nothing here changes it."""
    run = Run(tmp_path_factory.mktemp("objects"), OBJECTS)
    run.snakemake()
    run.snakemake("--", "bundle")
    return run


def scores_of(run: Run) -> dict[str, Any]:
    scores: dict[str, Any] = json.loads((run.results / "scores.json").read_text())
    return scores


def test_each_output_beats_its_baseline_beyond_the_interval(objects: Run) -> None:
    scores = scores_of(objects)
    assert set(scores["outputs"]) == {"labels", "boxes"}  # masks are what the rest of it is of
    metrics = {name: output["metric"] for name, output in scores["outputs"].items()}
    assert metrics == {"labels": "accuracy", "boxes": "mean_average_precision"}
    for output in (scores, *scores["outputs"].values()):
        assert output["interval"][0] > output["baseline"]
        assert output["interval"][0] <= output["score"] <= output["interval"][1]
    assert scores["hidden"] > scores["baseline"]
    assert set(scores["outputs"]["labels"]["members"]) == {"net", "cls", "half"}


def test_a_model_of_some_folds_is_trained_on_these_and_its_coverage_stated(objects: Run) -> None:
    scores = scores_of(objects)
    folds = pd.read_csv(objects.results / "folds" / "base.csv", dtype={"id": str})
    share = float((folds["fold"] == 0).mean())
    coverage = scores["outputs"]["labels"]["coverage"]
    assert coverage == {"net": 1, "cls": 1, "half": pytest.approx(share)}
    assert any(f"half predicted {share:.0%} of the images" in note for note in scores["notes"])
    made = {path.parent.name for path in objects.results.glob("*/half/round0/fold*/*")}
    assert made == {"fold0"}


def test_every_test_image_is_in_every_table(objects: Run) -> None:
    ids = set(store.table(objects.results / "data" / "test.h5")["id"])
    assert len(ids) == 10
    tables = {
        name: pd.read_csv(objects.results / f"{name}.csv", dtype={"id": str})
        for name in ("submission", "labels", "boxes")
    }
    for table in tables.values():
        assert set(table["id"]) == ids
    assert len(tables["labels"]) == len(tables["submission"]) == len(ids)
    boxes = tables["boxes"].dropna()
    assert (boxes["x1"] < boxes["x2"]).all()
    assert (boxes["y1"] < boxes["y2"]).all()
    assert set(boxes["class"]) <= {"disc", "square", "ring"}


def test_the_report_has_the_figures_and_nothing_is_left_to_do(objects: Run) -> None:
    report = (objects.results / "report.html").read_text()
    figures = sorted((objects.results / "figures").rglob("*.*"))
    for output in ("labels", "boxes"):
        kinds = {path.stem for path in figures if path.parent.name == output}
        assert kinds == {
            *("scores", "precision_recall", "reliability", "confusion", "worst", "best")
        }
        for kind in kinds:
            assert f"figures/{output}/{kind}." in report
    assert objects.planned() == {}


def test_a_bundle_gives_the_tables_of_all_outputs(objects: Run, tmp_path: Path) -> None:
    images = objects.results / "synthetic" / "competition" / "test"
    # There is no sample submission: all images are written.
    bundle.predict(objects.results / "bundle.zip", images, tmp_path)
    for name, expected in (("masks", "submission"), ("boxes", "boxes")):
        made = (tmp_path / f"{name}.csv").read_bytes()
        assert made == (objects.results / f"{expected}.csv").read_bytes()
    labels = pd.read_csv(tmp_path / "labels.csv", dtype=str)
    scenes = list(labels.columns[1:-1])
    likeliest = labels[scenes].astype(float).idxmax(axis=1)
    assert labels.pop("decision").tolist() == likeliest.tolist()
    assert labels.to_csv(index=False) == (objects.results / "labels.csv").read_text()


def test_a_decision_scored_anew_has_its_own_score(objects: Run) -> None:
    results = objects.results
    about = {"data": results / "data" / "train.h5", "folds": results / "folds" / "base.csv"}
    members = {"masks": {"net": [0, 1]}, "boxes": {"det": [0, 1]}}
    members["labels"] = {"net": [0, 1], "cls": [0, 1], "half": [0]}
    for output, folds_of in members.items():
        files = {
            name: [results / "predictions" / name / "round0" / f"fold{n}" / "oof.h5" for n in folds]
            for name, folds in folds_of.items()
        }
        if output == "masks":
            decision = results / "decision" / "round0.json"
            weights = results / "blend" / "round0" / "weights.json"
            made = rescoring.of_masks(files, weights, decision, **about)
        else:
            decision = results / "decision" / output / "round0.json"
            made = rescoring.of_output(output, files, decision, **about)
        assert made == pytest.approx(json.loads(decision.read_text())["score"], abs=1e-9)


def edited(objects: Run, checkout: Path, *modules: str) -> str:
    """Change some modules, and say what Snakemake would do."""
    for module in modules:
        path = checkout / "workflow" / "foldbelt" / module
        path.write_text(path.read_text() + "\n_CHANGED = True\n")
    return Run(objects.folder, objects.config, checkout).snakemake("--dry-run")


def jobs(output: str, pattern: str) -> set[str]:
    """Give what a pattern finds in what Snakemake would do."""
    return set(re.findall(pattern, output))


AFTER = {
    "decide/boxes.py": "decide_output",
    "decide/labels.py": "decide_output",
    "metrics/labels.py": "decide_output",
    "evaluate/outputs.py": "summarise_scores",
    "competitions/folder/submit.py": "write_output",
    "report/confusion.py": "draw_labels",
}


def test_how_outputs_are_decided_scored_written_and_drawn_trains_nothing(
    objects: Run, checkout: Path
) -> None:
    output = edited(objects, checkout, *AFTER)
    rules = jobs(output, r"(?m)^(?:local)?rule (\w+):") or jobs(output, r"(?m)^(\w+) +\d+$")
    assert set(AFTER.values()) <= rules
    assert not rules & {"train_stage", "predict_images", "predict_test_images", "split_folds"}


def test_edits_of_what_is_for_boxes_alone_train_and_predict_the_detector_alone(
    objects: Run, checkout: Path
) -> None:
    modules = ("models/detector.py", "train/boxes.py", "train/box_judging.py", "boxes/fusion.py")
    output = edited(objects, checkout, *modules)
    assert jobs(output, r"Train (\w+), round") == {"det"}
    assert jobs(output, r"Predict fold \d with (\w+), round") == {"det"}
