"""Run Snakemake with the arguments given and print, as its last line, what it planned as JSON.

A dry run tells neither which jobs share a submission nor what they ask for.
"""

import json
import sys
from typing import Any

from snakemake.cli import main
from snakemake.workflow import Workflow

_execute = Workflow.execute


def _told(workflow: Workflow, **given: Any) -> Any:
    done = _execute(workflow, **given)
    jobs = [
        {
            "rule": job.rule.name,
            "local": job.rule.name in workflow._localrules or job.rule.norun,
            "group": job.group,
            "retries": job.restart_times,
            "threads": job.threads,
            "resources": dict(job.resources.items()),
        }
        for job in workflow.dag.jobs
    ]
    groups = {id(group): group for group in workflow.dag._group.values()}
    shared = [sorted(job.rule.name for job in group) for group in groups.values()]
    print(json.dumps({"jobs": jobs, "groups": shared}, default=str))
    return done


if __name__ == "__main__":
    Workflow.execute = _told
    main(sys.argv[1:])
