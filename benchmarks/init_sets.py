"""What `foldbelt init` is worth: its recipe, a fixed recipe and a plain script on data sets.

    python benchmarks/init_sets.py resources/a resources/b … --hours 0.1

For each set, in a folder of its own below --work: the recipe of `foldbelt init`, run unchanged; a
fixed recipe, `init_before.yaml`, with only the path changed (and the competition, and what its
masks mean); and a plain script of segmentation-models-pytorch and albumentations with its usual
defaults, on the folds of the first, and for training alone the minutes that the first took in all
(`--hours` where it did not run). One table: set, images, all empty, score and interval of each,
what the first has over it with its interval, seconds. What is finished is not run again; `--only`
runs one of the three.

The plain script (`benchmarks/plain_training.py`): U-Net on resnet18 from scratch (or from
`--weights FILE`), images read in colour and resized to 256, Dice loss, Adam 0.001, flips and
brightness, batches of 8, threshold .5, one network a fold, one thread each and as many at a time
as there are cores, each for its share of the time, counted as time of the processor, so that a
busy machine takes nothing from it. All are scored at the size of the originals, image by image.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from foldbelt import bootstrap, store
from foldbelt.init.layout import detect
from foldbelt.metrics import masks as metrics
from foldbelt.registry import metric as metric_of

ROOT = Path(__file__).parents[1]
WAYS = ("init", "before", "plain")


def main() -> None:
    """Run what is not there yet, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("sets", nargs="+", type=Path)
    parser.add_argument("--hours", type=float, default=0.1)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--before", type=Path, default=ROOT / "benchmarks/init_before.yaml")
    parser.add_argument("--only", choices=WAYS)
    parser.add_argument("--work", type=Path, default=Path("results/init_sets"))
    parser.add_argument("--out", type=Path, default=Path("results/init_sets.csv"))
    parser.add_argument("--weights", type=Path, help="of the plain script's encoder")
    given = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for path in given.sets:
        rows += compared(path.resolve(), given)
        pd.DataFrame(rows).to_csv(given.out, index=False)
        print(pd.DataFrame(rows).to_string(index=False), flush=True)


def compared(path: Path, given: argparse.Namespace) -> list[dict[str, Any]]:
    """Give the rows of one set."""
    place = (given.work / path.name).resolve()
    place.mkdir(parents=True, exist_ok=True)
    for way in [given.only] if given.only else WAYS:
        if not (place / f"{way}.json").exists():
            {"init": run_init, "before": run_before, "plain": run_plain}[way](path, place, given)
    rows = []
    first: dict[str, float] | None = None
    for way in WAYS:
        if (place / f"{way}.json").exists():
            found = json.loads((place / f"{way}.json").read_text(encoding="utf-8"))
            first = first or (found["images"] if way == "init" else None)
            rows.append(row(path.name, way, found, None if way == "init" else first))
    return rows


def row(name: str, way: str, found: dict[str, Any], first: dict[str, float] | None) -> dict:
    """Give one row of the table; `first` has the scores of the images that it is compared to."""
    scores = pd.Series(found["images"])
    groups = pd.Series(found["groups"])[scores.index]
    low, high = bootstrap.interval(scores.to_numpy(), groups, seed=1) or (np.nan, np.nan)
    made = {"set": name, "way": way, "images": len(scores), "empty": found["empty"]}
    made |= {"score": scores.mean(), "low": low, "high": high, "seconds": found["seconds"]}
    if first is not None:
        gained = pd.Series(first)[scores.index].to_numpy() - scores.to_numpy()
        span = bootstrap.interval(gained, groups, seed=1, bounds=(-1, 1)) or (np.nan, np.nan)
        made |= {"init_gains": gained.mean(), "gain_low": span[0], "gain_high": span[1]}
    return {key: round(value, 4) if isinstance(value, float) else value
            for key, value in made.items()}  # fmt: skip


def run_init(path: Path, place: Path, given: argparse.Namespace) -> None:
    """Have a recipe written, and run it."""
    began = time.monotonic()
    write_init(path, place, given)
    run(place / "init.yaml", place, given.cores, began)


def write_init(path: Path, place: Path, given: argparse.Namespace) -> None:
    """Have a recipe written, if there is none."""
    if (place / "init.yaml").exists():
        return
    command = [sys.executable, "-m", "foldbelt.cli", "init", str(path), "--run", "init"]
    command += ["--out", str(place / "init.yaml"), "--hours", str(given.hours)]
    subprocess.run([*command, "--cores", str(given.cores)], check=True, cwd=ROOT)


def run_before(path: Path, place: Path, given: argparse.Namespace) -> None:
    """Run the fixed recipe, with the path, and what without it could not be read."""
    layout = detect(path)
    recipe = yaml.safe_load(given.before.read_text(encoding="utf-8"))
    recipe |= {"run": "before", "competition": layout.competition}
    kept = {"size": recipe["data"]["size"]} if layout.competition == "folder" else {}
    recipe["data"] = {"path": str(path), **kept, **layout.section()}
    (place / "before.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")
    run(place / "before.yaml", place, given.cores, time.monotonic())


def snakemake(recipe: Path, place: Path, cores: int, *targets: str) -> None:
    """Run a recipe in a place."""
    command = ["snakemake", "--snakefile", str(ROOT / "Snakefile"), "--cores", str(cores)]
    command += ["--configfile", str(recipe), *(["--", *targets] if targets else [])]
    with (place / f"{recipe.stem}.log").open("a", encoding="utf-8") as file:
        subprocess.run(command, check=True, cwd=place, stdout=file, stderr=file)


def run(recipe: Path, place: Path, cores: int, began: float) -> None:
    """Run a recipe to its end, and note its scores."""
    snakemake(recipe, place, cores)
    taken, results = time.monotonic() - began, place / "results" / recipe.stem
    last = sorted((results / "decision").glob("round*.json"))[-1]
    images = json.loads(last.read_text(encoding="utf-8"))["images"]["score"]
    summary = json.loads((results / "scores.json").read_text(encoding="utf-8"))
    ids, groups = folds_of(results)
    note(place / f"{recipe.stem}.json", ids, images, groups, summary["baseline"], taken)


def folds_of(results: Path) -> tuple[list[str], list[str]]:
    """Give the ids of a run's training images, and the group of each."""
    ids = store.read(results / "data" / "train.h5", "id").astype(str).tolist()
    table = pd.read_csv(results / "folds" / "base.csv", dtype=str, keep_default_na=False)
    groups = table.set_index("id")["group"] if "group" in table else pd.Series(ids, ids)
    return ids, [groups[name] or name for name in ids]


def note(
    file: Path, ids: list[str], images: Any, groups: list[str], empty: float, taken: float
) -> None:
    """Write down what a way scored."""
    scores = dict(zip(ids, np.asarray(images, float).tolist(), strict=True))
    by = dict(zip(ids, groups, strict=True))
    made = {"empty": empty, "seconds": round(taken), "images": scores, "groups": by}
    file.write_text(json.dumps(made), encoding="utf-8")


def run_plain(path: Path, place: Path, given: argparse.Namespace) -> None:
    """Train the plain script on the folds of the run `init`, and score it as that is scored."""
    write_init(path, place, given)
    snakemake(place / "init.yaml", place, given.cores, "results/init/folds/base.csv")
    results, began = place / "results" / "init", time.monotonic()
    ids, groups = folds_of(results)
    table = pd.read_csv(results / "folds" / "base.csv", dtype={"id": str})
    folds = sorted(table["fold"].unique().tolist())
    first = place / "init.json"
    whole = json.loads(first.read_text())["seconds"] if first.exists() else given.hours * 3600
    seconds = whole * given.cores / len(folds)
    script = [sys.executable, str(ROOT / "benchmarks" / "plain_training.py"), str(path)]
    script += ["--recipe", str(place / "init.yaml"), "--folds", str(results / "folds/base.csv")]
    script += ["--seconds", str(seconds)]
    script += ["--weights", str(given.weights)] if given.weights else []

    def one(fold: int) -> Path:
        out = place / f"plain{fold}.npz"
        if not out.exists():
            env = {**os.environ, "OMP_NUM_THREADS": "1"}
            subprocess.run([*script, "--fold", str(fold), "--out", str(out)], check=True, env=env)
        return out

    with ThreadPoolExecutor(given.cores) as pool:
        parts = list(pool.map(one, folds))
    taken = time.monotonic() - began
    data = results / "data" / "train.h5"
    name = metric_of(store.attrs(data)["config"]["competition"])
    predicted = {key: value for part in parts for key, value in np.load(part).items()}
    scores, empty = [], []
    for one_id, (truth, ignore) in zip(ids, store.truth(data, ids), strict=True):
        count = int(np.prod(truth.shape))
        mask = np.unpackbits(predicted[one_id], count=count).reshape(truth.shape)
        known = None if ignore is None else np.asarray(ignore, bool)[None]
        pair = [np.asarray(part, bool)[None] for part in (truth, mask)]
        scores.append(float(metrics.score_images(name, *pair, known)[0]))
        nothing = np.zeros_like(pair[0])
        empty.append(float(metrics.score_images(name, pair[0], nothing, known)[0]))
    note(place / "plain.json", ids, scores, groups, float(np.mean(empty)), taken)


if __name__ == "__main__":
    main()
