"""Pseudo-labels tell a fold's model nothing of the fold's truth."""

import os
import shutil
from pathlib import Path

import h5py
import hdf5plugin  # noqa: F401 (masks are compressed by it)
import pandas as pd
import pytest
from running import Run

FOLD = 0
WEIGHTS = f"models/small/round1/fold{FOLD}/lovasz.safetensors"


def retrained_after_inverting(run: Run, ids: list[str]) -> bytes:
    """Invert some masks, leave all else as it was, and train fold 0 anew through round 1."""
    with h5py.File(run.results / "data" / "train.h5", "r+") as file:
        rows = [name.decode() for name in file["id"][:]]
        for name in ids:
            place = rows.index(name)
            file["mask"][place] = 1 - file["mask"][place]
            if "labels" in file:
                file["labels"][place] = file["mask"][place].any()
    for part in ("channels", "folds"):  # stay as they are: fixed folds, same input
        for path in sorted((run.results / part).rglob("*")):
            os.utime(path)
    for part in ("models", "predictions", "pseudo"):
        shutil.rmtree(run.results / part)
    run.snakemake("--", f"results/{run.config['run']}/{WEIGHTS}")
    return (run.results / WEIGHTS).read_bytes()


@pytest.mark.parametrize("part", ["validation", "training"])
def test_only_training_masks_reach_the_weights(finished: Run, tmp_path: Path, part: str) -> None:
    before = (finished.results / WEIGHTS).read_bytes()
    folds = pd.read_csv(finished.results / "folds" / "base.csv", dtype={"id": str})
    held_out = folds["fold"] == FOLD
    ids = folds["id"][held_out] if part == "validation" else folds["id"][~held_out][:1]
    after = retrained_after_inverting(finished.copy(tmp_path / "run"), list(ids))
    assert (after == before) == (part == "validation")
