"""The workflow as a module of another one, elsewhere, beside another foldbelt that is installed."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from running import TINY, Run

CALLER = """
configfile: "config.yaml"

module foldbelt:
    snakefile: "{snakefile}"
    {config}

use rule * from foldbelt as foldbelt_*

rule everything:
    default_target: True
    input: rules.foldbelt_all.input
"""
TRIGGERS = ["--rerun-triggers", "mtime", "params", "input", "software-env"]


def snakemake(folder: Path, *arguments: str) -> str:
    """Run the caller's workflow, where Python would find a foldbelt that cannot be imported."""
    other = folder / "installed" / "foldbelt"
    other.mkdir(parents=True, exist_ok=True)
    (other / "__init__.py").write_text("raise ImportError('not the checkout')\n")
    command = [sys.executable, "-m", "snakemake", "--cores", "2", *TRIGGERS, *arguments]
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True,
        env=os.environ | {"PYTHONPATH": str(folder / "installed")},
    )  # fmt: skip
    output = done.stdout + done.stderr
    if done.returncode:
        pytest.fail(f"{' '.join(command)}\nended with {done.returncode}:\n{output[-8000:]}")
    return output


def call(folder: Path, checkout: Path, config: str, recipe: dict[str, Any] | None = None) -> None:
    """Write another workflow that uses foldbelt and has a config with keys of its own."""
    text = CALLER.format(snakefile=checkout / "Snakefile", config=config)
    (folder / "Snakefile").write_text(text)
    (folder / "config.yaml").write_text(yaml.safe_dump({"own": 1, "segmentation": recipe or TINY}))


def test_runs_to_the_report_with_a_part_of_the_caller_s_config(
    finished: Run, tmp_path: Path, checkout: Path
) -> None:
    run = finished.copy(tmp_path / "run")  # whose training need not be done again
    call(run.folder, checkout, 'config: config["segmentation"]', run.config)
    assert "Nothing to be done" in snakemake(run.folder, "--dry-run")
    # An edit in this checkout takes effect, though Python would find another foldbelt.
    source = checkout / "workflow" / "foldbelt" / "submit.py"
    source.write_text(source.read_text() + "\n_CHANGED = True\n")
    shutil.rmtree(run.results / "data" / "sample")  # whose job looks for the raw files
    before = (run.results / "report.html").stat().st_mtime_ns
    assert "foldbelt_write_submission" in snakemake(run.folder)
    assert (run.results / "report.html").stat().st_mtime_ns > before
    assert "Nothing to be done" in snakemake(run.folder, "--dry-run")


def test_the_demo_runs_where_the_caller_gives_no_config(tmp_path: Path, checkout: Path) -> None:
    call(tmp_path, checkout, "")
    output = snakemake(tmp_path, "--dry-run", "--configfile", "config.yaml")
    assert "results/demo/report.html" in output
    output = snakemake(tmp_path, "--dry-run", "--directory", str(tmp_path / "elsewhere"),
                       "--configfile", "config.yaml")  # fmt: skip
    assert "results/demo/report.html" in output
