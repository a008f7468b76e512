"""Whole runs on tiny data, each in a folder of its own."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]

TINY: dict[str, Any] = {
    "run": "tiny",
    "seed": 3,
    "tensorboard": False,
    "data": {"synthetic": {"sections": 6, "seed": 5}},
    "channels": {"base": {"use": ["image", "cumsum"], "size": 32, "resize_mode": "resize"}},
    "folds": {"base": {"count": 2, "stratify": ["empty"], "group": "mosaic"}},
    "stages": {
        "bce": {"loss": {"bce": 1}, "epochs": 1, "augment": [{"HorizontalFlip": {"p": 0.5}}]},
        "lovasz": {"loss": {"lovasz": 1}, "epochs": 1},
    },
    "models": {
        "small": {
            "stages": ["bce", "lovasz"],
            "architecture": {"name": "vanilla", "width": 4, "depth": 2, "label_head": True},
        },
        "plain": {
            "stages": ["bce"],
            "architecture": {"name": "vanilla", "width": 4, "depth": 2},
        },
    },
    # Hardly trained networks are confident of nothing: admit all test tiles.
    "pseudo": {"rounds": 1, "rule": "everything"},
    "decision": {"bootstrap": 100, "steps": {"holes": None}},
}

# These tell times; scores.json does in one key and is compared without it.
TIMED = ("logs/", "benchmarks/", "state/", "report.html", "figures/provenance.html", "scores.json")


class Run:
    """A working folder in which the workflow runs.

    Parameters
    ----------
    folder
        The working folder; everything lies below `folder/results/<run>`.
    config
        Written to `folder/config.yaml`.
    checkout
        Where the workflow's own files lie.
    """

    def __init__(self, folder: Path, config: dict[str, Any], checkout: Path = ROOT) -> None:
        self.folder = folder
        self.checkout = checkout
        self.results = folder / "results" / config["run"]
        folder.mkdir(parents=True, exist_ok=True)
        self.configure(config)

    def configure(self, config: dict[str, Any]) -> None:
        self.config = config
        (self.folder / "config.yaml").write_text(yaml.safe_dump(config))

    def command(self, *arguments: str, cores: int = 2) -> list[str]:
        """Words of a Snakemake command."""
        command = [
            sys.executable,
            "-m",
            "snakemake",
            "--snakefile",
            str(self.checkout / "Snakefile"),
        ]
        command += [
            "--directory",
            str(self.folder),
            "--configfile",
            str(self.folder / "config.yaml"),
        ]
        return [*command, "--cores", str(cores), *arguments]

    def snakemake(
        self,
        *arguments: str,
        cores: int = 2,
        check: bool = True,
        environment: dict[str, str] | None = None,
    ) -> str:
        """Run Snakemake and return what it printed."""
        command = self.command(*arguments, cores=cores)
        environment = dict(environment or os.environ) | {
            "PYTHONPATH": str(self.checkout / "workflow")
        }
        done = subprocess.run(
            command, cwd=self.checkout, env=environment, capture_output=True, text=True
        )
        output = done.stdout + done.stderr
        if check and done.returncode:
            pytest.fail(f"{' '.join(command)}\nended with {done.returncode}:\n{output[-8000:]}")
        return output

    def planned(self, *arguments: str) -> dict[str, int]:
        """Rules and numbers of jobs that Snakemake would run now."""
        output = self.snakemake("--dry-run", *arguments)
        counts = re.search(r"^job +count\n-+ +-+\n(.*?)^total", output, re.M | re.S)
        if counts is None:
            assert "Nothing to be done" in output, output
            return {}
        rows = (line.split() for line in counts.group(1).strip().splitlines())
        return {name: int(count) for name, count in rows if name not in TARGETS}

    def digests(self) -> dict[str, str]:
        """SHA-256 of every artefact that tells no time."""
        return {
            name: hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(self.results.rglob("*"))
            if path.is_file()
            and not (name := str(path.relative_to(self.results))).startswith(TIMED)
        }

    def copy(self, folder: Path, checkout: Path | None = None) -> "Run":
        """Copy the finished run, times of files and Snakemake's records included."""
        shutil.copytree(self.folder, folder, copy_function=shutil.copy2, symlinks=True)
        return Run(folder, self.config, checkout or self.checkout)


TARGETS = ["all", "ingest", "channels", "folds", "train", "oof"]
TARGETS += ["adversarial", "decide", "pseudo", "blend", "submission", "report", "bundle"]
