"""What a run is, which of its files are there, and what it still needs."""

import csv
import json
import re
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from foldbelt import config as configs
from foldbelt.config.plan import Plan
from foldbelt.files import InputError
from foldbelt.registry import suggest

RESULTS = Path("results")
_TOLD = "told"  # the action of rows that are no problems


class Stage(NamedTuple):
    """A stage of a run: its name, as `snakemake … -- <name>` knows it, and its files."""

    name: str
    files: list[Path]

    @property
    def missing(self) -> list[Path]:
        """Those that are not there."""
        return [path for path in self.files if not path.exists()]


def folder_of(run: str) -> Path:
    """Find the folder of a run by its name, its folder or its recipe.

    Raises
    ------
    InputError
        If there is no such run; the message names the nearest.
    """
    path = Path(run)
    if path.suffix in (".yaml", ".yml"):
        return RESULTS / str(_read(path)["run"])
    for folder in (path, RESULTS / run):
        if folder.is_dir() and (folder != path or _is_run(folder)):
            return folder
    there = [folder.name for folder in RESULTS.glob("*") if folder.is_dir()]
    none = "; there is no folder results/ here" if not RESULTS.is_dir() else ""
    raise InputError(f"{run}: there is no such run below results/{none or suggest(run, there)}")


def describe(run: str) -> str:
    """Say in a few lines what a run is and how far it has come.

    Parameters
    ----------
    run
        Its name, its folder, or its recipe.

    Raises
    ------
    InputError
        If there is no such run, or its config cannot be used.
    """
    recipe = Path(run) if Path(run).suffix in (".yaml", ".yml") else None
    folder = folder_of(run)
    source = recipe or _config_of(folder)
    if source is None:
        return "\n".join([*_plain(folder), *_scores(folder), *_bundle(folder)])
    try:
        settings = configs.resolve(_read(source))
    except InputError as error:
        raise InputError(
            f"{source}: {error}\nOf a run of several recipes, write one that says all, or look at "
            f"the files in {folder}/."
        ) from None
    stages = stages_of(settings, folder)
    lines = [*_what(settings, folder, source), *(_line(stage, folder) for stage in stages)]
    lines += _unfinished(folder) + _scores(folder) + _bundle(folder)
    left = [stage.name for stage in stages if stage.missing]
    if left:
        lines.append(f"  still needed: {', '.join(left)}; the same command goes on:")
        given = source if source.name != "config.yaml" or recipe else _recipe_of(folder.name)
        lines.append(f"    snakemake --cores all --configfile {given or 'config/<yours>.yaml'}")
    return "\n".join(lines)


def stages_of(settings: dict[str, Any], folder: Path) -> list[Stage]:
    """Give the stages of a run and the files that each of them leaves."""
    plan = Plan(settings)
    channels = [f"<results>/channels/{c}/{part}.h5" for c in plan.channels for part in _PARTS]
    schemes = sorted({plan.folds_file(model) for model in plan.models})
    decided = [f"<results>/decision/round{n}.json" for n in plan.rounds] if plan.masks else []
    decided += [path for output in plan.scored for path in plan.decisions(output)]
    product = ["submission.csv"] if plan.masks or plan.joint else []
    product += [] if plan.joint else [f"{output}.csv" for output in plan.others]
    whole = {
        "ingest": [f"<results>/data/{part}.h5" for part in _PARTS],
        "channels": channels,
        "folds": schemes,
        "train": plan.trained(plan.early_stages() if settings["keep"] == "last" else ()),
        "oof": plan.all_predictions(),
        "decide": decided,
        "submission": [*(f"<results>/{name}" for name in product), "<results>/scores.json"],
        "report": ["<results>/report.html"],
    }
    return [
        Stage(name, [Path(str(path).replace("<results>", str(folder))) for path in paths])
        for name, paths in whole.items()
        if paths
    ]


_PARTS = ("train", "test")


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise InputError(f"{path}: there is no such recipe.")
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise InputError(f"{path}: is no YAML: {error}") from None
    if not isinstance(found, dict) or "run" not in found:
        raise InputError(f"{path}: is no recipe; the key `run` is missing.")
    return found


def _is_run(folder: Path) -> bool:
    return any((folder / name).exists() for name in ("data", "config.yaml", "state", "logs"))


def _config_of(folder: Path) -> Path | None:
    """Find a run's config: its own copy, or else a recipe in config/ of that name."""
    own = folder / "config.yaml"
    if own.is_file():
        return own
    return _recipe_of(folder.name)


def _recipe_of(run: str) -> Path | None:
    """Find the recipe in config/ of a run."""
    named = re.compile(rf"^run:\s*(['\"]?){re.escape(run)}\1\s*(#.*)?$", re.MULTILINE)
    recipes = sorted(Path("config").glob("*.yaml"))
    return next((p for p in recipes if named.search(p.read_text(encoding="utf-8"))), None)


def _what(settings: dict[str, Any], folder: Path, source: Path) -> list[str]:
    data = settings["data"]["path"] or "synthetic"
    models = ", ".join(
        f"{name} ({model['architecture']['name']})" for name, model in settings["models"].items()
    )
    rounds = settings["pseudo"]["rounds"]
    return [
        f"run {settings['run']}: {settings['competition']} data, {data}",
        f"  recipe {source}, files in {folder}/",
        f"  models {models}" + (f", {rounds} pseudo-label rounds" if rounds else ""),
    ]


def _plain(folder: Path) -> list[str]:
    """Say what can be said of a run whose config is not known."""
    there = sorted(path.name for path in folder.iterdir())
    return [
        f"run {folder.name}: files in {folder}/, without a config.yaml and without a recipe of "
        "that name in config/; name the recipe to see what is missing",
        f"  there are {', '.join(there) or 'no files'}",
    ]


def _line(stage: Stage, folder: Path) -> str:
    missing = stage.missing
    done = f"{len(stage.files) - len(missing)} of {len(stage.files)}"
    if not missing:
        return f"  {stage.name:<11} done     {len(stage.files)} file{'s' * (len(stage.files) > 1)}"
    named = missing[0].relative_to(folder).as_posix()
    more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
    word = "part" if len(missing) < len(stage.files) else "missing"
    return f"  {stage.name:<11} {word:<8} {done} files; not there: {named}{more}"


def _unfinished(folder: Path) -> list[str]:
    """Name trainings that were interrupted, and problems of the raw files."""
    states = [path for path in (folder / "state").glob("*") if path.is_dir()]
    lines = (
        [f"  {len(states)} training job(s) run now, or were interrupted and will go on"]
        if states
        else []
    )
    problems = folder / "data" / "problems.csv"
    if problems.is_file() and not _is_older(problems, folder / "data" / "train.h5"):
        with problems.open(encoding="utf-8", newline="") as file:
            count = sum(row.get("action") != _TOLD for row in csv.DictReader(file))
        named = f"{count} problem{'s' * (count > 1)} of the raw files"
        lines += [f"  {named}: {problems}"] if count else []
    return lines


def _is_older(path: Path, other: Path) -> bool:
    """Tell whether a file is there that was written later: what the first says is of the past."""
    return other.is_file() and other.stat().st_mtime > path.stat().st_mtime


def _scores(folder: Path) -> list[str]:
    path = folder / "scores.json"
    if not path.is_file():
        return []
    scores = json.loads(path.read_text(encoding="utf-8"))
    around = scores.get("interval")
    interval = f", {around[0]:.4f} to {around[1]:.4f}" if around else ""
    return [
        f"  {scores.get('metric', 'score')} {scores['score']:.4f}{interval} (leave-one-fold-out); "
        f"all empty {scores['baseline']:.4f}; `foldbelt scores {folder.name}` has the rest"
    ]


def _bundle(folder: Path) -> list[str]:
    """Name the bundle and its use, if it was made; no other stage asks for it."""
    path = folder / "bundle.zip"
    return [f"  for new images: foldbelt predict {path} IMAGES OUT"] if path.is_file() else []
