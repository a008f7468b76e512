"""Check the types of the workflow's scripts: `python tests/typed_scripts.py`.

Snakemake puts a `snakemake` before a script when it runs it. mypy is shown copies that declare it,
on the first line, so that the numbers of the lines stay.
"""

import os
import sys
import tempfile
from pathlib import Path

from mypy import api

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = ROOT / "workflow" / "scripts"
DECLARED = "from typing import Any; snakemake: Any; "


def main() -> int:
    """Print what mypy says, and give its exit status."""
    os.chdir(ROOT)
    os.environ["MYPYPATH"] = "workflow"
    with tempfile.TemporaryDirectory() as folder:
        for script in SCRIPTS.glob("*.py"):
            text = script.read_text(encoding="utf-8")
            Path(folder, script.name).write_text(DECLARED + text, encoding="utf-8")
        output, errors, status = api.run(sorted(map(str, Path(folder).iterdir())))
        for place in (os.path.relpath(folder), folder):  # mypy gives the shorter one
            output = output.replace(place, str(SCRIPTS.relative_to(ROOT)))
        print(output, end="")
        print(errors, end="", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
