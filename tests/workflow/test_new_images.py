"""More images come to a finished run: what that redoes, and what stays."""

import os
import shutil
from pathlib import Path

import pandas as pd
from running import Run

FOLDS = {"split_folds", "train_stage", "predict_images", "search_decision", "write_submission"}


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
