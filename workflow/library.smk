"""foldbelt as it lies beside this file, whatever else is installed.

Snakemake puts the folder of a file that it includes first among those from which Python imports.
This file lies where the library does, so that there is nothing to install and nothing goes stale.
"""

import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

import foldbelt

WORKFLOW = str(workflow.current_basedir)

if Path(foldbelt.__file__).resolve().parents[1] != Path(WORKFLOW).resolve():
    raise WorkflowError(
        f"This workflow lies in {WORKFLOW} and needs the foldbelt beside it, but Python imports "
        f"the one in {Path(foldbelt.__file__).parent}. Uninstall that one, and leave its folder out "
        "of PYTHONPATH. A workflow that is used from a web address has no library beside it: clone "
        "it, and give the path of the clone's Snakefile."
    )
