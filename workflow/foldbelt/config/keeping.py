"""Whether the folds that a scheme keeps are a file, and of another run.

Runs whenever the Snakefile is parsed, so nothing heavy is imported here.
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from foldbelt.files import Problem


def problems(config: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield schemes that keep no file, or folds which this very run writes, and writes anew."""
    own = Path(os.path.abspath(f"results/{config['run']}"))
    for name, scheme in config["folds"].items():
        kept = scheme["keep"]
        if kept is None:
            continue
        if Path(kept).is_dir():
            yield Problem(f"folds.{name}.keep", f"{kept} is a folder; name the csv of the folds")
        elif own in Path(os.path.abspath(kept)).parents:
            reason = (
                f"{kept} is written by this run, and would be written anew; copy it out of "
                f"results/{config['run']}, and name the copy"
            )
            yield Problem(f"folds.{name}.keep", reason)
