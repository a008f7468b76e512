"""`foldbelt init`: from a folder to a recipe, and what running it will take."""

import os
import re
import shlex
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from foldbelt.config.plan import Plan
from foldbelt.config.resolving import resolve
from foldbelt.files import InputError, write_text
from foldbelt.init import recipe, scale, trial
from foldbelt.init.facts import Facts, Machine
from foldbelt.init.layout import detect
from foldbelt.init.looking import look
from foldbelt.init.table import Choice, decide, nested
from foldbelt.machine import cpu_has_bfloat16

_JOB_GIB = 1.2  # torch, Python and their libraries, in a training
_LISTED = 5  # problems that are named

Measure = Callable[..., trial.Speed]


def run(
    data: Path,
    out: Path | None = None,
    name: str | None = None,
    hours: float = 2.0,
    gpus: int | None = None,
    cores: int | None = None,
    force: bool = False,
    measure: Measure = trial.measure,
) -> str:
    """Look at a folder, write a recipe, and say what running it will take.

    Parameters
    ----------
    data
        The folder.
    out
        The recipe's file; None: `config/<run>.yaml`.
    name
        Of the run; None: after the file, or else the folder.
    hours, gpus, cores
        What there is to train with; None: what the machine has.
    force
        Whether a file that is there is overwritten.
    measure
        Takes the trial steps; tests give one of their own.

    Returns
    -------
    str
        For the terminal.

    Raises
    ------
    InputError
        If the folder cannot be used, or the recipe is there.
    """
    name = _name(data, out, name)
    out = out or Path("config") / f"{name}.yaml"
    if out.exists() and not force:
        raise InputError(
            f"{out}: is there already, perhaps with changes of yours; give another --out, "
            "or --force."
        )
    machine = _machine(hours, gpus, cores)
    print(f"Looking at {data} …", file=sys.stderr)
    facts = replace(look(data, detect(data)), machine=machine)
    begun = first(name, gpus)
    draft = resolve(nested(decide(facts, begun)))
    print("Trying some training steps …", file=sys.stderr)
    speed = measure(draft, _shape(facts, draft), _classes(facts, draft))
    facts = replace(facts, machine=replace(machine, image_seconds=speed.image_seconds))
    choices = decide(facts, begun)
    settings = resolve(nested(choices))
    options = [f"--hours {hours:g}"]
    options += [f"--gpus {gpus}"] if gpus is not None else []
    options += [f"--cores {cores}"] if cores is not None else []
    write_text(out, recipe.render(choices, _heading(facts, out, " ".join(options))))
    return summary(facts, settings, speed, out)


def first(name: str, gpus: int | None = None) -> list[Choice]:
    """Give the lines above all others: the run's name, its seed, and the device if it was said."""
    return [
        Choice("run", name, f"results go to results/{name}/"),
        Choice("seed", 1, "another one shows how much is luck"),
        *([Choice("device", "cpu", "as --gpus 0 says")] if gpus == 0 else []),
    ]


def _heading(facts: Facts, out: Path, options: str) -> list[str]:
    data, file = shlex.quote(facts.path), shlex.quote(str(out))
    return [
        f"Written by `foldbelt init {data} --out {file} {options}`; it is yours to change.",
        "  Behind each line, or above it, stands why. Lines with `# ?` are questions for you.",
        f"  {facts.looked} of {facts.train} training images were looked at.",
        "  All keys: config/README.md; the rules: docs/init.md.",
        f"  snakemake --cores all --configfile {file}",
    ]


def _name(data: Path, out: Path | None, name: str | None) -> str:
    """Give the run's name, of letters that a folder may have."""
    text = name or (out.stem if out is not None else data.resolve().name)
    made = re.sub(r"[^A-Za-z0-9_-]+", "-", text).strip("-_") or "mine"
    if name is not None and made != name:
        raise InputError(f"--run {name}: letters, digits, - and _ may be in it; {made}, say.")
    return made


def _machine(hours: float, gpus: int | None, cores: int | None) -> Machine:
    import torch

    there = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if gpus is not None and gpus > there:
        print(f"Beware: --gpus {gpus}, but there are {there} here; speed is that of what is here.",
              file=sys.stderr)  # fmt: skip
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    cores = cores or len(os.sched_getaffinity(0))
    gpus = there if gpus is None else gpus
    return Machine(cores, gpus, hours, memory, bfloat16=cpu_has_bfloat16())


def _shape(facts: Facts, draft: dict[str, Any]) -> tuple[int, int, int]:
    """Give (height, width, channels) of what is trained on."""
    made = scale.of(facts)
    height, width = made.input
    if made.crop is not None:
        height, width = min(height, made.crop), min(width, made.crop)
    data = draft["data"]
    grey = 3 if data["image_mode"] == "rgb" else 1
    return height, width, grey if data["bands"] is None else len(data["bands"])


def _classes(facts: Facts, draft: dict[str, Any]) -> int:
    if facts.kind == "masks":
        return len(facts.classes)
    labels = draft["models"]["base"]["labels"] or facts.labels
    return max(len(labels) if facts.kind == "labels" else 1, 1)


def summary(facts: Facts, settings: dict[str, Any], speed: trial.Speed, out: Path) -> str:
    """Say what was found, and what running the recipe will take."""
    plan = Plan(settings)
    stage, machine = settings["stages"]["base"], facts.machine
    trainings = sum(
        len(plan.folds_of(name)) * len(model["stages"])
        for name, model in settings["models"].items()
    )
    folds = len(plan.folds)
    seen = facts.train * (folds - 1) / folds
    turns = -(-trainings // machine.jobs)
    hours = turns * seen * stage["epochs"] * speed.image_seconds / 3600
    whole = hours / scale.TRAINING + scale.STARTING / 3600
    memory, disk = _memory(facts, settings, speed), _disk(facts, settings)
    gpu = f" --resources gpu={machine.gpus}" if machine.gpus else ""
    lines = [
        f"{out} is written: {facts.competition} data ({facts.layout.why}).",
        f"  found    {_found(facts)}",
        *_problems(facts),
        f"  runs     {trainings} trainings of {stage['epochs']} epochs, then predictions, "
        "search, report",
        f"  takes    about {_spoken(whole)}, of which {_spoken(hours)} training, on "
        f"{_where(machine)}",
        f"  memory   about {memory:.1f} GiB of {machine.memory_gib:.0f}"
        + (f", {speed.gpu_gib:.1f} GiB of a GPU" if speed.gpu_gib else ""),
        f"  disk     at most {disk:.2g} GiB in results/{settings['run']}/",
        "Read it, answer the questions in it (# ?), then",
        f"  snakemake --cores {machine.cores}{gpu} --configfile {shlex.quote(str(out))}",
        f"  foldbelt show {settings['run']}",
    ]
    return "\n".join(lines)


def _found(facts: Facts) -> str:
    kinds = {"masks": facts.classes, "labels": facts.labels, "boxes": []}[facts.kind]
    what = f"{facts.kind} of {', '.join(kinds[:6])}" if kinds else facts.kind
    shown = f", on {facts.positive:.0%} of the images" if facts.kind != "labels" else ""
    groups = f", {facts.grouping.number} groups" if facts.grouping is not None else ""
    return (
        f"{facts.train} training and {facts.test} test images of about "
        f"{facts.height}×{facts.width}; "
        f"{what}{shown}{groups}"
    )


def _problems(facts: Facts) -> list[str]:
    """Name problems of the files; reading them all will name the rest."""
    if not facts.problems:
        return []
    lines = [f"  beware   {len(facts.problems)} problem(s), which would stop the run:"]
    lines += [f"             {one.file}: {one.reason}" for one in facts.problems[:_LISTED]]
    images = any(one.id is not None for one in facts.problems)
    drop = "; data.on_problem: drop leaves such images out" if images else ""
    if any("has no mask" in one.reason for one in facts.problems):
        drop += "; one that shows nothing needs a black mask"
    return [*lines, f"             `snakemake … -- ingest` names all{drop}"]


def _memory(facts: Facts, settings: dict[str, Any], speed: trial.Speed) -> float:
    """Estimate GiB of all jobs at a time."""
    height, width, channels = _shape(facts, settings)
    stage = settings["stages"]["base"]
    made = scale.of(facts)
    held = facts.train * made.input[0] * made.input[1] * (channels + len(facts.classes) / 8)
    held = min(held / 2**30, settings["memory_gib"])
    kept = stage["batch_size"] * height * width * scale.ENCODERS[made.encoder].step_bytes / 2**30
    return facts.machine.jobs * (_JOB_GIB + held + (0 if facts.machine.gpus else kept))


def _disk(facts: Facts, settings: dict[str, Any]) -> float:
    """Bound GiB of what is stored: images, channels, probabilities of all members and of the
    blend."""
    made = scale.of(facts)
    number, pixels = facts.train + facts.test, made.size[0] * made.size[1]
    planes = max(len(facts.classes), 1)
    stored = number * pixels * (max(facts.bands, 1) * 2 + planes / 8)
    folds = settings["folds"]["base"]["count"]
    predicted = (2 * facts.train + (folds + 1) * facts.test) * pixels * planes
    return float(stored + (predicted if facts.kind == "masks" else 0)) / 2**30 + 0.1


def _where(machine: Machine) -> str:
    return f"{machine.gpus} GPU(s)" if machine.gpus else f"{machine.cores} cores"


def _spoken(hours: float) -> str:
    return f"{hours:.1f} h" if hours >= 1 else f"{max(1, round(hours * 60))} min"
