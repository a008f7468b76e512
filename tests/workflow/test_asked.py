"""What jobs ask a cluster for, told by Snakemake itself; nothing runs."""

import json
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from running import ROOT, TINY, Run

CLUSTERS = ["slurm", "generic"]
WEIGHTS = "results/tiny/models/plain/round0/fold0/bce.safetensors"
INPUTS = ["data/train.h5", "channels/base/train.h5", "folds/base.csv"]


def planned(run: Run, *arguments: str, profile: str = "default") -> dict[str, Any]:
    command = run.command("--dry-run", "--quiet", "all", cores=8)
    command[1:3] = [str(ROOT / "tests" / "planned_jobs.py")]
    cores = command.index("--cores")
    if profile != "default":
        del command[cores : cores + 2]
    command += ["--workflow-profile", str(ROOT / "profiles" / profile), *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(next(line for line in done.stdout.splitlines() if line.startswith("{")))


@pytest.mark.parametrize("profile", CLUSTERS)
def test_short_jobs_run_where_snakemake_does_or_share_a_submission(
    tmp_path: Path, profile: str
) -> None:
    plan = planned(Run(tmp_path, TINY), profile=profile)
    alone = {job["rule"] for job in plan["jobs"] if not job["local"] and not job["group"]}
    assert alone == {
        *("make_synthetic", "ingest_train", "ingest_test", "find_neighbours", "split_folds"),
        *("make_channels", "make_test_channels"),
        *("train_stage", "predict_images", "predict_test_images", "select_pseudo"),
    }
    shared = plan["groups"]
    assert ["blend_oof", "blend_test", "search_decision"] in shared
    assert ["summarise_scores", "write_submission"] in shared
    drawn = [group for group in shared if all(rule.startswith("draw_") for rule in group)]
    # Four curves, two augmentations, data, pseudo-labels, results.
    assert sorted(Counter(map(len, drawn)).elements()) == [4, 5]


@pytest.mark.parametrize(
    ("profile", "asked", "expected"),
    [
        ("default", None, {0}),
        ("default", 2, {0, 2}),
        ("slurm", None, {3}),
        ("generic", None, {3}),
        ("slurm", 5, {3, 5}),
    ],
)
def test_a_recipe_s_number_of_retries_comes_before_that_of_a_profile(
    tmp_path: Path, profile: str, asked: int | None, expected: set[int]
) -> None:
    jobs = planned(Run(tmp_path, {**TINY, "retries": asked}), profile=profile)["jobs"]
    assert {job["retries"] for job in jobs} == expected
    heavy = {job["retries"] for job in jobs if job["rule"].startswith(("train_", "predict_"))}
    assert heavy == {max(expected)}


def asked_by_training(folder: Path, megabytes: int, attempt: int = 1, **changes: Any) -> int:
    """Give the memory (MB) that a training asks for whose channels take so much disk."""
    run = Run(folder, {**TINY, "device": "cpu", "memory_gib": 8, **changes})
    for name in INPUTS:
        (run.results / name).parent.mkdir(parents=True, exist_ok=True)
        with (run.results / name).open("wb") as file:
            file.truncate(megabytes * 10**6 if name.startswith("channels") else 0)  # sparse
    jobs = planned(run, "--attempt", str(attempt), "--", WEIGHTS)["jobs"]
    return next(job["resources"]["mem_mb"] for job in jobs if job["rule"] == "train_stage")


def test_memory_follows_the_data_up_to_what_is_held_and_grows_by_attempt(tmp_path: Path) -> None:
    small = asked_by_training(tmp_path / "a", 10)
    large = asked_by_training(tmp_path / "b", 500)
    assert small == pytest.approx(4096 + 4 * 10, abs=1)
    assert large - small == pytest.approx(4 * 490, abs=1)
    assert asked_by_training(tmp_path / "c", 10**5) == 4096 + 8 * 1024
    assert asked_by_training(tmp_path / "d", 10, attempt=3) == pytest.approx(2 * small, abs=3)
    loaders = asked_by_training(tmp_path / "e", 10, device="auto", loader_workers=4)
    assert loaders == small + 4 * 500


def test_on_one_s_own_machine_loaders_keep_no_other_training_waiting(tmp_path: Path) -> None:
    run = Run(tmp_path, {**TINY, "device": "auto", "loader_workers": 5, "cpu_threads": 2})
    jobs = planned(run)["jobs"]
    assert {job["threads"] for job in jobs if job["rule"] == "train_stage"} == {2}
