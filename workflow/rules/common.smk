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

# A submission of labels and boxes that were decided together, and the module that scores it.
JOINT_PRODUCT = PLAN.joint and not PLAN.masks and registry.writes_joint(config["competition"])
JOINT_TRUTH = (
    [registry.truth(config["competition"])]
    if JOINT_PRODUCT and PLAN.truth and registry.scores_truth(config["competition"])
    else []
)

# What jobs ask for. A network on a GPU, and workers who look for connected components beside it.
GPUS = 0 if config["device"] == "cpu" else 1
TABLE_WORKERS = 2 if PLAN.by_component else 1
TRAINING_MEMORY = 4096  # MB: torch, CUDA, a network with its optimiser and its copies
LOADER_MEMORY = 500  # MB of a process that prepares batches
UNPACKED = 4  # images in memory, against their compressed file


def megabytes(files):
    """Size of the files that are there; of jobs that share a submission, some are made within."""
    return sum(Path(file).stat().st_size for file in files if Path(file).exists()) / 1e6


def grown(megabytes_asked, attempt):
    """Ask for half as much again in every attempt.

    Most attempts follow a time limit, not a lack of memory, and a node has only so much.
    """
    return int(megabytes_asked * (1 + attempt) / 2)


def memory(base, share=0.0):
    """Ask for a base (MB) and so much of the inputs' size; more in later attempts."""
    return lambda wildcards, input, attempt: grown(base + share * megabytes(input), attempt)


def training_memory(wildcards, input, attempt):
    """Ask for the images as far as they are held (`memory_gib`), and for what holds them (MB)."""
    held = min(UNPACKED * megabytes(input), 1024 * config["memory_gib"])
    loaders = LOADER_MEMORY * config["loader_workers"] if GPUS else 0
    return grown(TRAINING_MEMORY + loaders + held, attempt)


def training_threads(wildcards):
    """Ask a scheduler for the cores of a GPU's loaders, too; on one's own machine they share.

    There, `device: auto` may well mean the CPU, which has no loaders, and each core asked for in
    vain would keep another job waiting.
    """
    loaders = config["loader_workers"] if GPUS and workflow.non_local_exec else 0
    return config["cpu_threads"] + loaders


def minutes(base):
    """Ask for so many minutes, and in every attempt for that again."""
    return lambda wildcards, attempt: attempt * base


@functools.cache  # thousands of jobs, and a few dozen pieces of code behind them
def code(script, *modules):
    """Fingerprint of a rule's script and of all library code behind it."""
    return fingerprint(f"{WORKFLOW}/scripts/{script}.py", *modules)


def fold_scheme(name):
    """Give a scheme; a table whose folds it keeps counts by its content, not by its time."""
    kept = PLAN.kept_folds(name)
    content = digest([kept]) if kept and Path(kept).is_file() else None
    return {**RECIPES.folds[name], "keep": content}


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
