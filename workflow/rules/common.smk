"""What all rules share: the checked config, the plan that follows from it, the digest of their code."""

import functools
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.logging import logger
from snakemake.settings.types import RerunTrigger

from foldbelt import registry
from foldbelt.config import resolving
from foldbelt.config.plan import Plan
from foldbelt.files import digest
from foldbelt.provenance import fingerprint

try:
    config = resolving.resolve(config)
    PLAN = Plan(config)
except ValueError as error:
    raise WorkflowError(str(error)) from None

NAME = r"[A-Za-z0-9][A-Za-z0-9_-]*"
RECIPES = PLAN.recipes
ROUNDS, LAST = PLAN.rounds, PLAN.rounds[-1]
READER = registry.reader(config["competition"])
METRIC = registry.metric_module(config["decision"]["metric"])
LISTER = registry.lister(config["competition"])
WRITER = registry.writer(config["competition"])

# What jobs need. A network on a GPU, and workers who look for connected components beside it.
GPUS = 0 if config["device"] == "cpu" else 1
TRAINING_MEMORY = int(1024 * (config["memory_gib"] + 4))  # MB
TRAINING_THREADS = config["cpu_threads"] + (config["loader_workers"] if GPUS else 0)
TABLE_WORKERS = 2 if PLAN.by_component else 1


def memory(base, share=0.0):
    """Ask for a base (MB) and so much of the inputs' size, and in every attempt for that again."""
    return lambda wildcards, input, attempt: attempt * int(
        base + (share * input.size_mb if share else 0)
    )


@functools.cache  # thousands of jobs, and a few dozen pieces of code behind them
def code(script, *modules):
    """Fingerprint of a rule's script and of all library code behind it."""
    return fingerprint(f"{WORKFLOW}/scripts/{script}.py", *modules)


@functools.cache
def captions():
    """Digest of all captions: a report shows them as they are when it is written."""
    return digest(sorted(Path(f"{WORKFLOW}/report").glob("*.rst")))


@functools.cache
def warn_of_triggers():
    """Say once if a touched script would retrain; the triggers are known after all is parsed."""
    if workflow.is_main_process and RerunTrigger.CODE in workflow.rerun_triggers:
        logger.warning(
            "Reruns are triggered by `code`: a touched script, or a `git switch`, retrains. Take "
            "`rerun-triggers: [mtime, params, input, software-env]` into your workflow profile, or "
            "say `--rerun-triggers mtime params input software-env` (docs/profiles.md)."
        )
