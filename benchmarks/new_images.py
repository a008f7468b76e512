"""What it takes to predict new images by a bundle, beside its networks alone.

    python benchmarks/new_images.py BUNDLE IMAGES [--counts 100 1000] [--python PYTHON]
        [--sample FOLDER] [--kills 5] [--threads 10]

The images of a folder are copied, one after the other, until there are as many as asked for, and
predicted by the `predict.py` of the bundle, in the Python that is named: one that has what the
bundle needs, and no foldbelt. Its peer is what cannot be saved: every network of the bundle, on
random images of the same number and size, in the same batches and views, in the same Python.

Prints of each number of images the CPU seconds and the peak memory of both, starts of the process
included. Then the process is killed again and again, each time later, and started once more; what
is there at the end is compared with what an undisturbed process wrote. Last, threads ask one loaded
bundle for images, all at once; their answers are compared with those that one thread gets.
"""

import argparse
import hashlib
import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

NETWORKS = """
import json, sys, zipfile
folder, count = sys.argv[1], int(sys.argv[2])
sys.path.insert(0, sys.argv[3])
import numpy as np, torch
from foldbelt.bundle.pipeline import Pipeline
from foldbelt.bundle.reading import Bundle
from foldbelt import runtime
from foldbelt.predict.predictor import Predictor, sizes_at
from foldbelt.predict.windows import Windows
from foldbelt.models._saved import load_model
with Bundle(folder) as bundle:
    device = runtime.prepare(int(bundle.recipe["cpu_threads"]), None)
    random = np.random.default_rng(0)
    for member in bundle.manifest.members:
        attrs, how = bundle.channels[member.channels]["attrs"], member.predict
        for name in member.weights:
            module, known = load_model(str(bundle.file(name)), member.snapshot)
            halved = runtime.halved(known.get("amp", False), device)
            masks = known.get("masks", True)
            predictor = Predictor(module, attrs, how["tta"], device, sizes_at(attrs["size"],
                how["scales"]), Windows.of(how["windows"]), masks, halved)
            for start in range(0, count, how["batch_size"]):
                images = min(how["batch_size"], count - start)
                shape = images, *attrs["size"], len(attrs["names"])
                predictor.average(torch.from_numpy(random.integers(0, 256, shape, np.uint8)))
"""

THREADS = """
import sys, threading
folder, code, count, *paths = sys.argv[1:]
sys.path.insert(0, code)
from foldbelt import bundle
model = bundle.load(folder)
alone = [{name: a.tobytes() for name, a in model(path).items()} for path in paths]
wrong = []
def ask(first):
    for place in range(len(paths)):
        place = (place + first) % len(paths)
        found = {name: a.tobytes() for name, a in model(paths[place]).items()}
        if found != alone[place]:
            wrong.append(paths[place])
threads = [threading.Thread(target=ask, args=(n,)) for n in range(int(count))]
[t.start() for t in threads]
[t.join() for t in threads]
print(f"{count} threads, {len(paths)} images each: {len(wrong)} answers differ")
"""


def copies(source: Path, count: int, folder: Path) -> Path:
    """Copy images, in turn, with their folders, until there are as many as asked for."""
    images = sorted(path for path in source.rglob("*") if path.is_file())
    for number, path in zip(range(count), itertools.cycle(images), strict=False):
        below = path.relative_to(source)
        name = f"{number:06}_{below.name}"
        target = folder / f"{number // len(images)}_{below.parent.as_posix()}".rstrip("._") / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    return folder


def environment() -> dict[str, str]:
    """Give an environment in which no other foldbelt is found."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


def timed(words: list[str]) -> tuple[float, float]:
    """Run a process; give its CPU seconds and its peak memory in MiB."""
    process = subprocess.Popen(words, env=environment(), stderr=subprocess.DEVNULL,
                               stdout=subprocess.DEVNULL)  # fmt: skip
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(words)[:200]} ended with status {process.returncode}")
    return used.ru_utime + used.ru_stime, used.ru_maxrss / 2**10


def files(folder: Path) -> dict[str, str]:
    """Give the digests of all files; the journal's lines may be in another order, and repeat."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "journal.jsonl"
    }


def killed(words: list[str], out: Path, times: int, length: float) -> int:
    """Kill a process several times, each time later; then let it end. Give how often it was hit."""
    hit = 0
    for number in range(times):
        process = subprocess.Popen(words, env=environment(), stderr=subprocess.DEVNULL,
                                   stdout=subprocess.DEVNULL)  # fmt: skip
        try:
            process.wait(length * (number + 1) / (times + 1))
        except subprocess.TimeoutExpired:
            process.kill()
            hit += 1
        process.wait()
    timed(words)
    return hit


def main() -> None:
    """Measure, kill, and ask at once."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("images", type=Path)
    parser.add_argument("--counts", type=int, nargs="+", default=[100, 1000])
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--threads", type=int, default=10)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        bundle, code = place / "bundle", place / "code"
        zipfile.ZipFile(given.bundle).extractall(bundle)
        (wheel,) = bundle.glob("*.whl")
        zipfile.ZipFile(wheel).extractall(code)
        manifest = json.loads((bundle / "manifest.json").read_text())
        networks = sum(len(member["weights"]) for member in manifest["members"])
        print(f"{networks} networks; CPU seconds and peak MiB, of the networks alone and in all")
        words, length = [], 0.0
        for count in given.counts:
            images = copies(given.images, count, place / f"images{count}")
            out = place / f"out{count}"
            words = [given.python, str(bundle / "predict.py"), str(images), str(out)]
            alone, least = timed([given.python, "-c", NETWORKS, str(bundle), str(count), str(code)])
            start = time.monotonic()
            took, peak = timed(words)
            length = time.monotonic() - start
            print(f"{count:6} images {alone:8.1f} s {least:6.0f}", end="")
            print(f"{took:8.1f} s {peak:6.0f} {took / alone:6.2f}", flush=True)
        whole = files(place / f"out{count}")
        again = place / "again"
        hit = killed([*words[:-1], str(again)], again, given.kills, length)
        same = "the same" if files(again) == whole else "OTHER"
        print(f"killed {hit} times and started again: {same} {len(whole)} files")
        few = sorted(str(p) for p in (place / f"images{given.counts[0]}").rglob("*") if p.is_file())
        asked = [given.python, "-c", THREADS, str(bundle), str(code), str(given.threads), *few[:20]]
        subprocess.run(asked, env=environment(), check=True)


if __name__ == "__main__":
    main()
