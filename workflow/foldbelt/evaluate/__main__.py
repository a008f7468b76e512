"""`python -m foldbelt.evaluate results/<run>/scores.json` prints the scores of a run."""

import sys

from foldbelt.evaluate.summary import describe

try:
    print(describe(sys.argv[1]))
except (OSError, IndexError) as error:
    raise SystemExit(
        f"{error}. Say python -m foldbelt.evaluate results/<run>/scores.json after the run."
    ) from None
