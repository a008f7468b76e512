"""What every script imports first: foldbelt as it lies beside the scripts, and the job's log.

Jobs run under another Python with `--sdm conda`, and that one may hold an older foldbelt. Snakemake
lets scripts import their neighbours, so that this one can see to it that theirs is taken.
"""

import sys
from pathlib import Path

_OWN = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(_OWN))

import foldbelt  # noqa: E402

_USED = Path(foldbelt.__file__).resolve().parents[1]
if _USED != _OWN:
    raise ImportError(f"this script belongs to the foldbelt in {_OWN}, and {_USED} was imported")

from foldbelt.logs import job as job  # noqa: E402
