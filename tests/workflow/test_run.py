"""What a run leaves behind."""

import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import timm
import torch
from running import ROOT, TINY, Run
from safetensors.torch import load_file, save_file

from foldbelt import bundle, rle, store


def test_leaves_the_product(finished: Run) -> None:
    scores = json.loads((finished.results / "scores.json").read_text())
    assert set(scores) >= {
        *("score", "interval", "optimistic", "baseline", "hidden"),
        *("members", "rounds", "select", "seconds"),
    }
    assert set(scores["members"]) == {
        f"{model}/round{number}" for model in ("small", "plain") for number in (0, 1)
    }
    assert len(scores["rounds"]) == 2
    assert scores["rounds"][-1] == scores["score"]
    assert scores["interval"][0] <= scores["score"] <= scores["interval"][1]
    assert 0 <= scores["hidden"] <= 1
    assert scores["seconds"]["train_stage"] > 0
    assert (finished.results / "report.html").stat().st_size > 100_000


def test_submission_has_every_test_id_once_in_the_samples_order(finished: Run) -> None:
    raw = Path(finished.config["data"]["path"])
    sample = pd.read_csv(raw / "sample_submission.csv")
    submission = pd.read_csv(finished.results / "submission.csv")
    assert list(submission.columns) == list(sample.columns)
    assert list(submission["id"]) == list(sample["id"])
    for text in submission["rle_mask"]:
        rle.decode(text, (101, 101))


def test_out_of_fold_rows_cover_the_training_set_once(finished: Run) -> None:
    ids = store.table(finished.results / "data" / "train.h5")["id"]
    folds = pd.read_csv(finished.results / "folds" / "base.csv", dtype={"id": str})
    blended = store.table(finished.results / "blend" / "round1" / "oof.h5")["id"]
    assert sorted(ids) == sorted(blended) == sorted(folds["id"])
    for fold in (0, 1):
        path = finished.results / "predictions" / "small" / "round0" / f"fold{fold}" / "oof.h5"
        assert sorted(store.table(path)["id"]) == sorted(folds["id"][folds["fold"] == fold])


def test_a_second_run_does_nothing(finished: Run) -> None:
    assert "Nothing to be done" in finished.snakemake()


@pytest.mark.parametrize("cores", [1])
def test_rebuilding_gives_the_same_bytes_whatever_the_cores_and_the_place(
    finished: Run, tmp_path: Path, cores: int
) -> None:
    raw = Path(finished.config["data"]["path"])
    shutil.copytree(raw, tmp_path / "elsewhere")
    data = {**finished.config["data"], "path": str(tmp_path / "elsewhere")}
    again = Run(tmp_path / "again", {**finished.config, "data": data})
    again.snakemake(cores=cores)
    one, other = finished.digests(), again.digests()
    assert sorted(one) == sorted(other)
    assert [name for name in one if one[name] != other[name]] == ["config.yaml"]
    scores = [json.loads((run.results / "scores.json").read_text()) for run in (finished, again)]
    assert {**scores[0], "seconds": 0} == {**scores[1], "seconds": 0}


def test_no_key_of_the_demo_is_left_in_a_recipe(tmp_path: Path) -> None:
    recipe = {key: TINY[key] for key in ("data", "stages", "models")} | {"run": "recipe"}
    run = Run(tmp_path, recipe)
    run.snakemake("--", "results/recipe/config.yaml")
    written = (run.results / "config.yaml").read_text()
    assert "demo" not in written
    assert "resnet" not in written.replace("encoder: resnet34", "")
    assert (ROOT / "config" / "config.yaml").read_text().count("demo") > 0


def test_a_local_file_of_pretrained_weights_is_where_training_starts(
    finished: Run, tmp_path: Path
) -> None:
    encoder = timm.create_model("test_resnet", num_classes=0)
    for parameter in encoder.parameters():
        torch.nn.init.constant_(parameter, 0.125)
    save_file(encoder.state_dict(), tmp_path / "encoder.safetensors")
    run = finished.copy(tmp_path / "run")
    architecture = {"name": "unet", "encoder": "test_resnet", "decoder_channels": [4, 4, 4, 4, 4]}
    architecture |= {"weights": str(tmp_path / "encoder.safetensors"), "sha256": None}
    stages = {"still": {"loss": {"bce": 1}, "epochs": 1, "optimizer": {"lr": 1e-12}}}
    models = {"started": {"stages": ["still"], "architecture": architecture}}
    run.configure({**run.config, "stages": stages, "models": models})
    target = run.results / "models" / "started" / "round0" / "fold0" / "still.safetensors"
    run.snakemake("--", str(target.relative_to(run.folder)))
    trained = [value for name, value in load_file(target).items() if "layer1.0.conv1" in name]
    assert trained
    assert all(torch.allclose(value, torch.tensor(0.125), atol=1e-6) for value in trained)


def test_a_bundle_predicts_the_bytes_of_the_submission(run: Run, tmp_path: Path) -> None:
    path = run.results / "decision" / "round1.json"
    decision = json.loads(path.read_text())
    probs = store.read(run.results / "blend" / "round1" / "test.h5", "prob")
    # Hardly trained networks are confident of nothing: cut where some pixels are on either side.
    decision["params"] |= {"threshold": float(np.median(probs)) / 255, "min_area": 0, "gate": 0}
    path.write_text(json.dumps(decision))
    run.snakemake("--", "bundle", "results/tiny/submission.csv")
    archive = run.results / "bundle.zip"
    before = archive.read_bytes()
    archive.unlink()
    run.snakemake("--", "bundle")
    assert archive.read_bytes() == before
    with zipfile.ZipFile(archive) as opened:  # round 1 was trained on the test images
        raw = json.loads(opened.read("manifest.json"))["raw"]
    assert set(raw) == {"train", "test"}
    images, out = Path(run.config["data"]["path"]) / "test" / "images", tmp_path / "out"
    shutil.copytree(run.results / "data" / "sample", tmp_path / "sample")
    shutil.move(archive, tmp_path / "bundle.zip")
    shutil.rmtree(run.results / "models")
    bundle.predict(tmp_path / "bundle.zip", images, out, sample=tmp_path / "sample")
    submitted = (run.results / "submission.csv").read_bytes()
    assert (out / "submission.csv").read_bytes() == submitted
    masks = pd.read_csv(out / "masks.csv")["rle"]
    assert masks.notna().mean() > 0.5, "else this shows nothing"


def test_a_run_that_cannot_travel_says_why(tmp_path: Path) -> None:
    travelling = {"members": ["smal"], "without_steps": ["crf"]}
    pseudo = {"rounds": 1, "rule": "halves"}
    hub = {"name": "unet", "encoder": "hf-hub:someone/net"}
    models = {**TINY["models"], "small": {**TINY["models"]["small"], "architecture": hub}}
    run = Run(tmp_path, {**TINY, "bundle": travelling, "pseudo": pseudo, "models": models})
    output = run.snakemake("--dry-run", "--", "bundle", check=False)
    assert "bundle.members: smal: no such member; did you mean 'small'?" in output
    assert "bundle.without_steps: crf" in output
    assert "models.small.architecture.encoder: hf-hub:someone/net" in output
    assert "pseudo.rule: halves" in output, "all reasons are told at once"
    assert "write_bundle" not in run.planned("--", "submission")


def test_a_mistyped_key_is_refused_with_its_name_and_the_right_one(tmp_path: Path) -> None:
    stages = {"bce": {"loss": {"bce": 1}, "epoch": 3, "epochs": 1}}
    run = Run(tmp_path, {**TINY, "stages": stages, "sede": 1})
    output = run.snakemake("--dry-run", check=False)
    assert "stages.bce.epoch" in output
    assert "did you mean 'epochs'" in output
    assert "sede" in output, "all offenders are listed at once"


def test_spoilt_data_stops_before_anything_trains(finished: Run, tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    shutil.copytree(finished.config["data"]["path"], raw)
    images = sorted((raw / "train" / "images").iterdir())
    images[0].write_bytes(b"no image")
    images[1].unlink()
    run = Run(tmp_path / "run", {**TINY, "data": {"path": str(raw)}})
    output = run.snakemake(check=False)
    assert images[0].stem in output
    assert images[1].stem in output
    assert not (run.results / "models").exists()
