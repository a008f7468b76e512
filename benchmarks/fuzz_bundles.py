"""Damaged and hostile bundles: each has to be refused by a message, or predict as it should.

    python benchmarks/fuzz_bundles.py BUNDLE IMAGE [--archives 10000] [--contents 1000] [--seed 0]

First the bytes of the archive are changed: flipped, cut off, cut out, repeated, put elsewhere, half
of the times where zip files say what they hold. A bundle that is still opened must be the same in
all that is read of it. Then single values in its JSON files are replaced by values of other types
and sizes, with digests that fit, and the image is predicted.

Counts what was refused, what was read, and what ended in anything but an answer or a refusal; of
that it prints the first cases. Nothing may be left beside the bundle, nor where it was unpacked.
"""

import argparse
import copy
import getpass
import hashlib
import io
import json
import os
import random
import resource
import tempfile
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from foldbelt import bundle
from foldbelt.bundle.reading import Bundle
from foldbelt.files import InputError

MANIFEST = "manifest.json"
ODD = [
    None, True, -1, 0, 2.5, 10**30, float("nan"), float("inf"), "", "x", "../x", "/x", "\x00",
    "\ud800", [], {}, [[]], [None], {"x": 1}, ["../x"], [10**9, 10**9],
]  # fmt: skip
SHOWN = 10
TORCHS = f"torchinductor_{getpass.getuser()}"  # a folder that torch makes


def flipped(data: bytes, dice: random.Random) -> bytes:
    """Change the bytes of an archive in one or a few places."""
    headers = [place for mark in (b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06")
               for place in found(data, mark)]  # fmt: skip
    made = bytearray(data)
    for _ in range(dice.choice([1, 1, 1, 2, 5])):
        near = dice.random() < 0.5
        place = dice.choice(headers) + dice.randrange(60) if near else dice.randrange(len(made))
        place = min(place, len(made) - 1)
        length = dice.choice([1, 1, 2, 4, 30, 1000])
        kind = dice.choice(["bit", "byte", "cut", "out", "repeat", "move"])
        if kind == "bit":
            made[place] ^= 1 << dice.randrange(8)
        elif kind == "byte":
            made[place] = dice.choice([0, 1, 0x7F, 0x80, 0xFF, ord("/"), ord(".")])
        elif kind == "cut":
            del made[place:]
        elif kind == "out":
            del made[place : place + length]
        elif kind == "repeat":
            made[place:place] = made[place : place + length]
        else:
            part = bytes(made[place : place + length])
            other = dice.randrange(len(made))
            made[other : other + len(part)] = part
        if not made:
            break
    return bytes(made)


def found(data: bytes, mark: bytes) -> Iterator[int]:
    """Give the places of some bytes."""
    place = data.find(mark)
    while place >= 0:
        yield place
        place = data.find(mark, place + 1)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Give the paths to all values of a JSON file."""
    yield path
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield from places(value[key], (*path, key))


def replaced(entries: dict[str, bytes], dice: random.Random) -> tuple[dict[str, bytes], str]:
    """Replace a value of a JSON file, or leave it out; give what was done, too."""
    entries = dict(entries)
    name = dice.choice(sorted(name for name in entries if name.endswith(".json")))
    content = json.loads(entries[name])
    path = dice.choice([path for path in places(content) if path])
    holder = content
    for key in path[:-1]:
        holder = holder[key]
    if dice.random() < 0.2:
        del holder[path[-1]]
        said = f"{name} without {path}"
    else:
        holder[path[-1]] = copy.deepcopy(dice.choice(ODD))
        said = f"{name}: {path} is {holder[path[-1]]!r}"
    entries[name] = json.dumps(content).encode()
    if name != MANIFEST:
        manifest = json.loads(entries[MANIFEST])
        known = {"sha256": hashlib.sha256(entries[name]).hexdigest(), "bytes": len(entries[name])}
        manifest["entries"][name] = known
        entries[MANIFEST] = json.dumps(manifest).encode()
    return entries, said


def packed(entries: dict[str, bytes]) -> bytes:
    """Pack entries as a bundle is packed."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return made.getvalue()


class Outcomes:
    """Counts outcomes, and keeps the first of those that may not be."""

    def __init__(self, scratch: Path) -> None:
        self.scratch, self.counts, self.wrong = scratch, Counter[str](), list[str]()

    def note(self, said: str, outcome: str, allowed: bool = True) -> None:
        """Count an outcome; look whether something was left."""
        left = [path.name for path in self.scratch.iterdir() if path.name not in ("tmp", "b.zip")]
        left += [path.name for path in (self.scratch / "tmp").iterdir() if path.name != TORCHS]
        if left:
            outcome, allowed = f"left {', '.join(left)}", False
        self.counts[outcome] += 1
        if not allowed:
            self.wrong.append(f"{said}: {outcome}")


def main() -> None:
    """Change archives, then contents."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("image", type=Path)
    parser.add_argument("--archives", type=int, default=10_000)
    parser.add_argument("--contents", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_AS, (24 * 2**30, resource.RLIM_INFINITY))
    data, image = given.bundle.read_bytes(), given.image.resolve()
    with zipfile.ZipFile(given.bundle) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    with tempfile.TemporaryDirectory() as place:
        scratch = Path(place)
        (scratch / "tmp").mkdir()
        tempfile.tempdir = str(scratch / "tmp")
        path = scratch / "b.zip"
        os.chdir(scratch)
        for what, count in (("archives", given.archives), ("contents", given.contents)):
            outcomes, dice = Outcomes(scratch), random.Random(given.seed)
            for number in range(count):
                said = f"{what} {number}"
                if what == "archives":
                    path.write_bytes(flipped(data, dice))
                else:
                    changed, more = replaced(entries, dice)
                    path.write_bytes(packed(changed))
                    said += f", {more[:200]}"
                try:
                    if what == "archives":
                        with Bundle(path) as opened:
                            same = all(opened.file(n).read_bytes() == entries[n] for n in
                                       opened.manifest.entries)  # fmt: skip
                        outcome, allowed = ("read" if same else "READ OTHERWISE"), same
                    else:
                        with bundle.load(path, device="cpu") as model:
                            model(image)
                        outcome, allowed = "predicted", True
                except InputError:
                    outcome, allowed = "refused", True
                except Exception as error:
                    outcome, allowed = f"{type(error).__name__}", False
                    said += f": {error}"[:200]
                outcomes.note(said, outcome, allowed)
            print(f"{count} {what}: {dict(outcomes.counts.most_common())}")
            for line in outcomes.wrong[:SHOWN]:
                print(f"  {line}")


if __name__ == "__main__":
    main()
