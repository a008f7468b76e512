"""The raw files as the rules know them: by content, which the main process digests."""

import importlib
from pathlib import Path

from foldbelt import raw_files

STATE = f"results/{config['run']}/state"
# What of the config decides what is read; where the files lie is not tracked, their content is.
DATA = {k: v for k, v in config["data"].items() if k not in ("path", "synthetic", "truth")}


@functools.cache
def raw_digests():
    """Digests of the raw files by part, taken by the main process and read by its jobs."""
    warn_of_triggers()
    if PLAN.synthetic:  # what is drawn follows from params
        return {}
    recorded = raw_files.recorded(STATE)
    if not workflow.is_main_process:
        return recorded or {}
    root = Path(PLAN.raw)
    if not root.is_dir():
        text = f"data.path: {root} is no folder; set it to where the raw files lie."
        if recorded is None:
            raise WorkflowError(text)
        logger.warning(f"{text} What was read from there stands; nothing can be read anew.")
        return recorded
    try:
        files = importlib.import_module(registry.lister(config["competition"])).files
        return raw_files.digests(files(root, DATA), root, STATE, logger.info)
    except (OSError, ValueError) as error:
        raise WorkflowError(str(error)) from None


def raw_digest(part):
    """Give the rule of one part its digest."""
    return raw_digests().get(part)


def raw_folder(wildcards):
    """Name the raw files as an input where they are drawn, or missing: then no job may start."""
    raw_digests()  # says it if the folder is missing
    missing = workflow.is_main_process and not Path(PLAN.raw).is_dir()
    return PLAN.raw if PLAN.synthetic or missing else []
