"""More images come to a finished run: what that redoes, and what stays."""

import os
import shutil
from pathlib import Path

import cv2
import pandas as pd
from running import Run

# What reads the test images, and the parts of the report that show them or the score of them.
OF_TEST_IMAGES = {
    *("ingest_test", "list_problems", "make_test_channels", "predict_test_images", "blend_test"),
    *("write_submission", "summarise_scores", "draw_data", "draw_results"),
    *("describe_run", "write_report"),
}
FOLDS = {"split_folds", "train_stage", "predict_images", "search_decision", "write_submission"}


def test_more_test_images_redo_what_is_predicted_of_them_and_no_more(
    run: Run, tmp_path: Path
) -> None:
    raw = tmp_path / "raw"
    shutil.copytree(run.config["data"]["path"], raw)
    folds = {"base": {**run.config["folds"]["base"], "group": None}}  # no mosaic, no pseudo-labels
    data = {**run.config["data"], "path": str(raw)}
    run.configure({**run.config, "data": data, "folds": folds, "pseudo": {"rounds": 0}})
    run.snakemake("--touch")
    some = next((raw / "test").rglob("*.png"))
    for number in range(3):
        cv2.imwrite(str(some.with_name(f"new{number}.png")), 255 - cv2.imread(str(some)) // 2)
    planned = run.planned()
    assert set(planned) == OF_TEST_IMAGES
    assert planned["predict_test_images"] == 4  # two models, two folds
    assert "ingest_test" not in run.planned("--", "bundle"), "a bundle knows no test image"


def test_what_a_kept_table_of_folds_says_is_what_counts(run: Run, tmp_path: Path) -> None:
    kept = tmp_path / "kept.csv"
    shutil.copy(run.results / "folds" / "base.csv", kept)
    own = {**run.config["folds"]["base"], "keep": str(kept)}
    run.configure({**run.config, "folds": {"base": own}})
    assert set(run.planned()) > FOLDS
    run.snakemake("--", "folds")
    assert (run.results / "folds" / "base.csv").read_bytes() == kept.read_bytes()
    run.snakemake("--touch")
    away = kept.rename(tmp_path / "away.csv")
    assert run.planned() == {}, "folds that are there need no table"
    away.rename(kept)
    os.utime(kept)
    assert run.planned() == {}
    table = pd.read_csv(kept, dtype=str)
    table.assign(fold=1 - table["fold"].astype(int)).to_csv(kept, index=False)
    os.utime(kept, (0, 0))  # older than all that was made of it
    assert set(run.planned()) > FOLDS
