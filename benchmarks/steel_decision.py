"""Time the component tables and the search on them at the size of Severstal, beside skimage.

Makes out-of-fold files of `--images` pictures of 256 × 1600 with four classes: as many positives a
class as the original has, false alarms, faint noise around both, and nothing elsewhere, which is
what predictions look like. A few hundred different pictures are repeated. Then, in processes whose
memory is measured with all their children,

1. ``decide.tabulate_components`` with two workers writes the tables,
2. ``decide.run`` reads them and searches threshold × smallest mask × smallest component × gate,
3. the same tables are made by ``skimage.measure.label`` and ``regionprops`` on `--peer` pictures.

    python benchmarks/steel_decision.py [--images 12568] [--members 1] [--folder …]

Prints seconds, MiB, the ratio to the peer, and what was found.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import cv2
import h5py
import numpy as np
import pandas as pd
from processes import Took, measured

from foldbelt import decide, store
from foldbelt.search.space import Grid

SIZE = (256, 1600)
POSITIVE = (0.0714, 0.0197, 0.4098, 0.0637)  # 897, 247, 5150 and 801 of 12,568
ALARM = (0.04, 0.02, 0.10, 0.04)  # pictures without a defect where the networks see one
KINDS = 240
FOLDS = 5
SPACE = {
    "threshold": [0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7],
    "min_area": [0, 100, 200, 400, 600, 900, 1400, 2000],
    "min_component": [0, 50, 100, 150, 300],
    "gate": [0, 0.3, 0.4, 0.5, 0.55, 0.6, 0.65, 0.7, 0.8],
    "gate_mode": ["veto", "expected"],
}


def pictures(number: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Make probabilities (n, h, w, 4) uint8 and truth of different pictures."""
    random = np.random.default_rng(seed)
    prob, truth = np.zeros((2, number, *SIZE, 4), np.uint8)
    for row in range(number):
        for k in range(4):
            there = random.random() < POSITIVE[k]
            if not there and random.random() >= ALARM[k]:
                continue
            heat = np.zeros(SIZE, np.float32)
            for _ in range(random.integers(1, 6)):
                center = int(random.integers(SIZE[1])), int(random.integers(SIZE[0]))
                half = int(random.integers(8, 80)), int(random.integers(6, 40))
                cv2.ellipse(heat, center, half, float(random.integers(180)), 0, 360, 1.0, -1)
            if there:
                truth[row, ..., k] = heat > 0.5
            soft = cv2.GaussianBlur(heat, (0, 0), 9)
            rough = cv2.resize(random.random((32, 200), np.float32), SIZE[::-1])
            high = random.uniform(0.55, 1.0) if there else random.uniform(0.3, 0.75)
            level = high * soft * (0.6 + 0.8 * rough)
            prob[row, ..., k] = np.clip(255 * level, 0, 255)
    return prob, truth


def make(folder: Path, number: int, members: int) -> dict[str, Any]:
    """Write data, folds, predictions and weights; give what the stages take."""
    random = np.random.default_rng(1)
    prob, truth = pictures(min(KINDS, number))
    kind = np.arange(number) % len(prob)
    ids = np.array([f"{i:05d}.jpg" for i in range(number)])
    fold = random.permutation(np.arange(number) % FOLDS)
    table = pd.DataFrame({"id": ids})
    with store.Writer(folder / "train.h5", table=table, classes=4) as out:
        out.create("mask", truth.shape[1:], np.uint8)
        for start in range(0, number, 64):
            out.put("mask", start, truth[kind[start : start + 64]])
    pd.DataFrame({"id": ids, "fold": fold}).to_csv(folder / "folds.csv", index=False)
    there = truth.any(axis=(1, 2))
    label = np.clip(random.normal(0.15 + 0.7 * there[kind], 0.15), 0.001, 0.999)
    paths: dict[str, list[str]] = {}
    for member in range(members):
        name = f"m{member}"
        paths[name] = []
        for f in range(FOLDS):
            rows = np.flatnonzero(fold == f)
            path = folder / f"{name}-{f}.h5"
            with store.Writer(path, table=table.iloc[rows]) as out:
                out.create("prob", prob.shape[1:], np.uint8)
                for start in range(0, len(rows), 64):
                    out.put("prob", start, prob[kind[rows[start : start + 64]]])
                out.create("label_prob", (4,), np.float32)
                out.put("label_prob", 0, label[rows].astype(np.float32))
            paths[name].append(str(path))
    equal = [1 / members] * members
    content = {
        "members": list(paths),
        "all": equal,
        "without": {str(f): equal for f in range(FOLDS)},
    }
    (folder / "weights.json").write_text(json.dumps(content))
    given = {"members": paths, "data": str(folder / "train.h5")}
    return given | {"folds": str(folder / "folds.csv"), "weights": str(folder / "weights.json")}


def search(given: dict[str, Any], components: str, out: str) -> None:
    """Search the grid, and select steps."""
    settings = decide.DecisionSettings("mean_dice", Grid.of(SPACE), {}, draws=1000)
    decide.run(**given, settings=settings, seed=0, out=out, components=components)


def tables(given: dict[str, Any], out: str) -> None:
    """Write the tables of components."""
    decide.tabulate_components(**given, grid=Grid.of(SPACE), out=out, workers=2)


def peer(given: dict[str, Any], number: int, out: str) -> None:
    """Find the same components with scikit-image, image by image, threshold by threshold."""
    from skimage.measure import label, regionprops

    ids = [f"{i:05d}.jpg" for i in range(number)]
    rows = []
    (paths,) = list(given["members"].values())[:1]
    known = {key: path for path in paths for key in store.read(path, "id")}
    for i, (truth, _) in enumerate(store.truth(given["data"], ids)):
        prob = store.read(known[ids[i]], "prob", [ids[i]])[0]
        for k in range(4):
            plane = prob[..., k]
            for t, threshold in enumerate(SPACE["threshold"]):
                for one in regionprops(label(plane / 255 > threshold, connectivity=2), plane):
                    inside = truth[..., k][one.slice][one.image].sum()
                    rows.append((i, k, t, one.area, inside, one.intensity_max, one.intensity_mean))
    Path(out).write_text(json.dumps(np.array(rows, float).sum(axis=0).tolist()))


def line(took: Took, name: str, what: str) -> None:
    """Print a row of the table."""
    print(f"{name:<20}{took.seconds:8.1f} s{took.busy:9.1f} CPU s{took.peak:7.0f} MiB  {what}")


def main() -> None:
    """Make the files, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=12_568)
    parser.add_argument("--members", type=int, default=1, help="models in the blend")
    parser.add_argument("--peer", type=int, default=100, help="pictures for scikit-image")
    parser.add_argument("--folder", type=Path, help="where the files go; by default they are lost")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.folder or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        start = time.perf_counter()
        given = make(folder, options.images, options.members)
        size = sum(path.stat().st_size for path in folder.glob("*.h5")) / 2**20
        made = time.perf_counter() - start
        number = options.images
        print(f"{number} pictures of 256 × 1600 × 4, {options.members} model(s): {size:.0f} MiB on")
        print(f"disk, made in {made:.0f} s")
        components, out = folder / "components.h5", folder / "decision.json"
        took = measured(tables, given=given, out=str(components))
        each = took.seconds / number
        with h5py.File(components) as file:
            rows = len(file["table/0/area"])
            some = file["table/0/image"][()] < options.peer
            names = ("image", "class", "cut", "area", "inter", "peak", "mean")
            sums = [float(file[f"table/0/{name}"][()][some].sum(dtype=float)) for name in names]
        written = components.stat().st_size / 2**20
        line(took, "tables, two workers", f"{rows} components, {written:.1f} MiB")
        took = measured(search, given=given, components=str(components), out=str(out))
        points = np.prod([len(SPACE[name]) for name in list(SPACE)[:3]]) * (len(SPACE["gate"]) + 1)
        line(took, "search", f"{points} points a class, 4 classes, {FOLDS} folds, whole selection")
        took = measured(peer, given=given, number=options.peer, out=str(folder / "peer.json"))
        line(took, "scikit-image", f"{options.peer} pictures, one core")
        others = json.loads((folder / "peer.json").read_text())
        if not np.allclose(others, sums, rtol=1e-6):
            raise SystemExit(f"scikit-image finds {others}, the tables hold {sums}")
        slow = took.seconds / options.peer
        print(f"scikit-image takes {slow:.3f} s a picture, {slow / each:.1f} times as long as the")
        print(f"tables with two workers ({each:.3f} s), and finds the same components")
        found = decide.load(out)
        print(f"score {found.score:.4f}, {found.params}")
        for candidate in found.selection:
            print(
                f"  {candidate['step']:14} {candidate['score']:.5f} "
                f"{'kept' if candidate['kept'] else 'left out'}"
            )


if __name__ == "__main__":
    main()
