"""CPU seconds that planning takes: a large ablation, one file of it, and an empty workflow.

    python benchmarks/dag.py [CHECKOUT] [--repeats N]

The recipe is config/tgs.yaml under config/ablation.yaml with VARIANTS variants, three seeds and
all five folds. A dry run reads no image, so 22,000 files of a few bytes in the competition's
layout stand for the raw ones. `one file` is what every job of a cluster pays before it starts: the
whole Snakefile is parsed for it. CHECKOUT measures another version of the workflow.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
VARIANTS = 56
ONE = "results/tgs/models/resnet34/round0/fold0/bce.safetensors"
TRIVIAL = 'rule all:\n    output: "done"\n    shell: "touch {output}"\n'


def overlay(checkout: Path) -> dict[str, Any]:
    """Give the ablation of the checkout, filled up to VARIANTS variants that train anew."""
    given = yaml.safe_load((checkout / "config" / "ablation.yaml").read_text())
    variants = given["ablation"]["variants"]
    for number in range(VARIANTS - len(variants)):
        decay = {"optimizer": {"weight_decay": round(1e-5 * (number + 1), 6)}}
        variants[f"decay{number}"] = {"stages": {"*": decay}}
    given["ablation"] |= {"variants": variants, "seeds": [0, 1, 2], "folds": None}
    return given


def make_raw(folder: Path) -> None:
    """Write files in the layout of the competition, as many as it has."""
    for part, count in (("train/images", 4000), ("train/masks", 4000), ("test/images", 18000)):
        (folder / part).mkdir(parents=True)
        for number in range(count):
            (folder / part / f"{number:010x}.png").write_bytes(b"-")
    for name in ("train", "depths", "sample_submission"):
        (folder / f"{name}.csv").write_text("id\n")


def cpu_seconds(checkout: Path, folder: Path, *arguments: str) -> tuple[float, str]:
    """Plan in `folder`; give user and system time of the process, and what it printed."""
    command = [sys.executable, "-m", "snakemake", "--dry-run", "--cores", "1", "--quiet", "rules"]
    environment = os.environ | {"PYTHONPATH": str(checkout / "workflow")}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [*command, "--directory", str(folder), *arguments],
        cwd=checkout, env=environment, capture_output=True, text=True,
    )  # fmt: skip
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(done.stdout[-3000:] + done.stderr[-3000:])
    took = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return took, done.stdout + done.stderr


def jobs(printed: str) -> str:
    """Give the number of jobs from a dry run's table."""
    totals = [line.split()[1] for line in printed.splitlines() if line.startswith("total")]
    return totals[0] if totals else "0"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkout", nargs="?", default=str(ROOT))
    parser.add_argument("--repeats", type=int, default=3, help="the fastest counts")
    given = parser.parse_args()
    checkout = Path(given.checkout).resolve()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        make_raw(folder / "resources" / "tgs")
        (folder / "Trivial").write_text(TRIVIAL)
        (folder / "ablation.yaml").write_text(yaml.safe_dump(overlay(checkout), sort_keys=False))
        recipe = ["--configfile", str(checkout / "config/tgs.yaml"), str(folder / "ablation.yaml")]
        for name, arguments in {
            "ablation": [*recipe, "--", "ablation"],
            "one file": [*recipe, "--", ONE],
            "trivial Snakefile": ["--snakefile", str(folder / "Trivial")],
        }.items():
            took = [cpu_seconds(checkout, folder, *arguments) for _ in range(given.repeats)]
            print(f"{name}: {min(took)[0]:.1f} CPU s, {jobs(took[0][1])} jobs", flush=True)


if __name__ == "__main__":
    main()
