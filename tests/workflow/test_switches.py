"""Every value that the schema allows goes through a whole run (see tests/switches.yaml)."""

import copy
import hashlib
import json
import zipfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
import timm
import torch
from running import Run
from safetensors.torch import save_file
from switches import RECIPES, recipe

from foldbelt import bundle, models

NAMES = [name for name in RECIPES if name != "base"]
WHOLE = {
    "snapshots",
    "heads",
    "maskless",
    "chest",
}  # with figures and report; the others as far as the submission
ABLATIONS = {"variants", "all-folds"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the folder in which all recipes run one after the other."""
    root = tmp_path_factory.mktemp("switches")
    torch.manual_seed(0)
    state = timm.create_model("test_resnet", num_classes=0).state_dict()
    save_file(
        {name: value.contiguous() for name, value in state.items()}, root / "encoder.safetensors"
    )
    whole = models.build(RECIPES["base"]["models"]["net"]["architecture"], 1, 1, 0)
    save_file(whole.state_dict(), root / "whole.safetensors")
    random = np.random.default_rng(0)
    for part in ("images", "masks", "test"):
        (root / "own" / part).mkdir(parents=True)
    for number in range(12):
        height, width = 20 + number, 40 - number
        image = random.integers(0, 255, (height, width, 3), dtype=np.uint8)
        mask = np.zeros((height, width), np.uint8)
        mask[2:9, 2:9], mask[10:15, 10:20], mask[:2] = 1, 2, 127
        cv2.imwrite(str(root / "own" / "images" / f"i{number}.png"), image)
        cv2.imwrite(str(root / "own" / "masks" / f"i{number}.png"), mask)
        if number < 3:
            cv2.imwrite(str(root / "own" / "test" / f"t{number}.png"), image)
    names = [f"i{number}" for number in range(12)]
    views = pd.DataFrame({"id": names, "frontal": [1, 0.25, ""] * 4, "lateral": [0, 0.75, ""] * 4})
    views.to_csv(root / "own" / "labels.csv", index=False)
    boxes = pd.DataFrame({"id": names[:8], "class": ["one", "two"] * 4, "x1": 2, "y1": 2})
    boxes.assign(x2=9, y2=9).to_csv(root / "own" / "boxes.csv", index=False)
    return root


def run_recipe(folder: Path, name: str) -> Run:
    """Run a recipe, unless it has been run, to what it is there for."""
    given = recipe(name)
    for model in given["models"].values():
        if model.get("architecture", {}).get("weights"):
            digest = hashlib.sha256((folder / model["architecture"]["weights"]).read_bytes())
            model["architecture"]["sha256"] = digest.hexdigest()
    run = Run(folder, given)
    target = [] if name in WHOLE else ["--", "ablation" if name in ABLATIONS else "submission"]
    if not (run.results / "done").exists():
        run.snakemake(*target)
        assert run.planned(*target) == {}, "a finished run has nothing left to do"
        (run.results / "done").touch()
    return run


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ABLATIONS])
def test_runs_to_the_end(folder: Path, name: str) -> None:
    if name == "external":
        run_recipe(folder, "snapshots")  # whose predictions and data it reads
    if name == "others":
        run_recipe(folder, "chest")  # likewise
    results = run_recipe(folder, name).results
    scores = json.loads((results / "scores.json").read_text())
    assert 0 <= scores["score"] <= 1
    outputs = ("boxes.csv", "labels.csv") if name == "maskless" else ("submission.csv",)
    assert all((results / output).is_file() for output in outputs)
    assert (results / "report.html").is_file() == (name in WHOLE)


def bundled(run: Run, out: Path, **options: Any) -> dict[str, Any]:
    """Make a run's bundle, and predict the run's own test images by it; give its manifest."""
    run.snakemake("--", "bundle")
    path = Path(run.config["data"].get("path") or run.results / "synthetic" / "competition")
    path = run.folder / path / "test"
    images = path / "images" if (path / "images").is_dir() else path
    bundle.predict(run.results / "bundle.zip", images, out, **options)
    with zipfile.ZipFile(run.results / "bundle.zip") as archive:
        manifest: dict[str, Any] = json.loads(archive.read("manifest.json"))
    return manifest


def test_a_bundle_of_studies_gives_the_bytes_of_the_submission(
    folder: Path, tmp_path: Path
) -> None:
    run = run_recipe(folder, "chest")
    manifest = bundled(run, tmp_path, sample=run.results / "data" / "sample")
    submitted = (run.results / "submission.csv").read_bytes()
    assert (tmp_path / "submission.csv").read_bytes() == submitted
    assert {name: one["score"] for name, one in manifest["scores"].items()} == {
        name: one["run"] for name, one in manifest["scores"].items()
    }


def test_what_was_predicted_elsewhere_stays_behind_and_the_score_is_told(
    folder: Path, tmp_path: Path
) -> None:
    run_recipe(folder, "chest")
    manifest = bundled(run_recipe(folder, "others"), tmp_path, overlays=True)
    assert manifest["left_out"] == {"members": ["member", "product"], "steps": []}
    assert manifest["outputs"] == {"labels": ["all"], "boxes": ["find"]}
    assert set(manifest["scores"]) == {"labels", "boxes", "joint"}
    assert manifest["licence"] == "CC BY 4.0"
    assert len(list((tmp_path / "overlays").iterdir())) == 10


def test_some_snapshots_in_half_precision_travel(folder: Path, tmp_path: Path) -> None:
    run = run_recipe(folder, "snapshots")
    manifest = bundled(run, tmp_path)
    assert manifest["outputs"] == {"masks": ["net.s1", "twin.s1", "twin.s2"]}
    assert manifest["left_out"]["members"] == ["net.s2"]
    weights = list((run.results / "models").rglob("fold*/sgd.safetensors"))
    entries = [e for name, e in manifest["entries"].items() if name.startswith("weights/")]
    assert sum(e["bytes"] for e in entries) < 0.7 * sum(p.stat().st_size for p in weights)


def test_early_weights_may_go(folder: Path) -> None:
    run = run_recipe(folder, "halves")
    models = run.results / "models"
    stems = [{path.stem for path in models.rglob(f"*.{kind}")} for kind in ("safetensors", "csv")]
    assert stems == [{"finetune"}, {"pretrain", "finetune"}]
    assert run.planned("--", "train") == {}, "what is gone on purpose is not missed"


def test_every_snapshot_is_a_member_of_its_own(folder: Path) -> None:
    results = run_recipe(folder, "snapshots").results
    scores = json.loads((results / "scores.json").read_text())
    names = {f"{model}.s{i}/round0" for model in ("net", "twin") for i in (1, 2)}
    assert set(scores["members"]) == names
    weights = json.loads((results / "blend" / "round0" / "weights.json").read_text())
    assert weights["mean"] == "logit"


def test_a_leak_is_named_and_others_predictions_are_a_member(folder: Path) -> None:
    run_recipe(folder, "snapshots")
    results = run_recipe(folder, "external").results
    scores = json.loads((results / "scores.json").read_text())
    assert {"elsewhere/round0", "elsewhere/round1"} <= set(scores["members"])
    assert any("all folds" in note for note in scores["notes"])


@pytest.mark.parametrize("name", sorted(ABLATIONS))
def test_an_ablation_has_a_row_a_variant_and_does_shared_work_once(folder: Path, name: str) -> None:
    run = run_recipe(folder, name)
    table = pd.read_csv(run.results / "ablation.csv", comment="#")
    variants = {"base", *run.config["ablation"]["variants"]}
    assert set(table["variant"]) == variants
    kinds = set(table["verdict"].str.partition(":")[0])
    seeds = len(run.config["ablation"].get("seeds", [0]))
    assert kinds <= {"base", "leak", "no verdict" if seeds < 3 else "undecided", "helps", "harms"}
    assert seeds > 2 or not kinds & {"helps", "harms"}
    trained = {path.parts[-4] for path in run.results.glob("models/*/round0/fold*/*.safetensors")}
    if name == "variants":
        # `no-flips`, `labelled` and `halved` take the base's first training.
        assert trained == {"base--seed1", "wider--seed0", "wider--seed1", "net"}
    # Two folds of the sample, each image with a score under every variant.
    assert table["images"].nunique() == 1


def test_an_external_member_with_a_strange_image_is_refused(folder: Path) -> None:
    run_recipe(folder, "snapshots")
    run = run_recipe(folder, "external")
    given = copy.deepcopy(run.config)
    place = given["blend"]["external"]["elsewhere"]
    place["oof"] = place["test"]
    run.configure(given)
    output = run.snakemake("--", "blend", check=False)
    assert "elsewhere" in output
    assert "Make these predictions again" in output or "is in no fold" in output
