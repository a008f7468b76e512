"""Have Snakemake gather the figures into one file."""

import subprocess
import sys
from pathlib import Path

from _checkout import job

from foldbelt.files import atomic

with job(snakemake.log[0]), atomic(snakemake.output.report) as temporary:
    report = temporary.with_suffix(".html")  # Snakemake tells the kind of report by the name
    command = [
        sys.executable,
        "-m",
        "snakemake",
        "--snakefile",
        str(Path(snakemake.scriptdir).resolve().parents[1] / "Snakefile"),
        "--configfile",
        snakemake.input.config,
        "--report",
        str(report),
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    print(done.stdout, done.stderr, sep="\n")
    if done.returncode:
        raise RuntimeError(f"`{' '.join(command)}` failed with status {done.returncode}")
    report.replace(temporary)
