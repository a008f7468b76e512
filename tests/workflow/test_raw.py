"""Raw files are known by content: what redoes a run is what they say, part by part."""

import os
import shutil
from pathlib import Path

import cv2
import pytest
from running import Run

REPORT = {"draw_data", "describe_run", "write_report"}
TRAINING = {"ingest_train", "train_stage"}


@pytest.fixture
def own(run: Run, tmp_path: Path) -> Run:
    """Give a finished run with raw files of its own to change."""
    raw = tmp_path / "raw"
    shutil.copytree(run.config["data"]["path"], raw)
    run.configure({**run.config, "data": {**run.config["data"], "path": str(raw)}})
    return run


def raw(run: Run) -> Path:
    return Path(run.config["data"]["path"])


def test_a_copy_a_touch_and_strange_files_redo_nothing(own: Run) -> None:
    (raw(own) / "notes.csv").write_text("id,remark\n")
    shutil.copy(own.results / "submission.csv", raw(own) / "my_submission.csv")
    os.utime(next((raw(own) / "test").rglob("*.png")))
    assert set(own.planned()) == {"write_config", "describe_run", "write_report"}  # the new path


def test_a_changed_test_image_is_read_anew_and_trains_no_model_of_round_0(own: Run) -> None:
    path = next((raw(own) / "test").rglob("*.png"))
    cv2.imwrite(str(path), 255 - cv2.imread(str(path)))
    planned = own.planned("--", "results/tiny/predictions/small/round0/fold0/test.h5")
    # Folds keep mosaics together, and mosaics are found among all tiles.
    assert {"ingest_test", "find_neighbours", "make_test_channels"} <= set(planned)
    assert "ingest_train" not in planned
    assert "training depends on them: folds keep the tiles of a mosaic" in own.snakemake("-n")


def test_a_linked_folder_that_changes_is_noticed(own: Run, tmp_path: Path) -> None:
    images = raw(own) / "train" / "images"
    images.rename(tmp_path / "images")
    images.symlink_to(tmp_path / "images")
    assert not TRAINING & set(own.planned())
    path = next((tmp_path / "images").iterdir())
    cv2.imwrite(str(path), 255 - cv2.imread(str(path)))
    assert set(own.planned()) >= TRAINING


def test_results_without_their_raw_files_decide_and_report(run: Run, tmp_path: Path) -> None:
    config = {**run.config, "data": {**run.config["data"], "path": str(tmp_path / "gone")}}
    config["decision"] = {**config["decision"], "space": {"threshold": [0.4, 0.5]}}
    run.configure(config)
    output = run.snakemake()
    assert f"data.path: {tmp_path / 'gone'} is no folder" in output
    assert run.planned() == {}
    assert f"data.path: {tmp_path / 'gone'} is no folder" in run.snakemake("--dry-run")
    (run.results / "data" / "train.h5").unlink()
    output = run.snakemake("--dry-run", check=False)
    assert "ingest_train" in output
    assert str(tmp_path / "gone") in output
    assert "Missing input files" in output


def test_a_folder_that_never_was_is_named(tmp_path: Path, run: Run) -> None:
    config = {**run.config, "data": {"path": str(tmp_path / "nowhere")}}
    output = Run(tmp_path / "fresh", config).snakemake("--dry-run", check=False)
    assert f"data.path: {tmp_path / 'nowhere'} is no folder; set it to where" in output
