"""Whole runs that several tests look at."""

import shutil
from pathlib import Path

import pytest
from running import ROOT, TINY, Run

from foldbelt.synthetic.seismic import seismic


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Give one finished run; tests copy it before they change anything.

    Its raw files lie in a folder of their own, as people's do.
    """
    raw = tmp_path_factory.mktemp("raw") / "competition"
    seismic(raw, **TINY["data"]["synthetic"])
    data = {"path": str(raw), "truth": str(raw.with_name("competition-truth.csv"))}
    run = Run(tmp_path_factory.mktemp("finished"), {**TINY, "data": data})
    run.snakemake()
    return run


@pytest.fixture
def run(finished: Run, tmp_path: Path) -> Run:
    """Give a copy of the finished run to play with."""
    return finished.copy(tmp_path / "run")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Give a copy of the workflow's files to edit."""
    target = tmp_path / "checkout"
    for part in ("workflow", "profiles", "envs", "config"):
        shutil.copytree(ROOT / part, target / part, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy2(ROOT / "Snakefile", target)
    return target
