"""Predict a folder of images by this bundle, where foldbelt is not installed.

    python predict.py IMAGES OUT [--device cpu] [--threads 4] [--overlays] [--table FILE.csv]
        [--sample FOLDER]

This file lies in every bundle as predict.py, and once more under the name by which
`python bundle.zip IMAGES OUT` finds it. It needs Python 3.11 or newer and the packages that
manifest.json lists under "needs". The functions that predict are foldbelt's own, in the wheel
beside it; before anything is imported from that, its digest is compared with the manifest's.
"""

from __future__ import annotations  # so that an older Python comes as far as to say that it is one

import sys

if __name__ == "__main__" and not getattr(sys.flags, "safe_path", False):
    del sys.path[0]  # the bundle itself: from there nothing is imported that was not checked

import contextlib
import hashlib
import importlib
import importlib.metadata
import importlib.util
import io
import json
import os
import re
import signal
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

_HERE = Path(__file__).resolve().parent  # a folder, or the zip file
_MANIFEST = "manifest.json"
_OLDEST = (3, 11)
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")  # names of packages, and of the wheel
_IMPORTED_AS = {
    "opencv-python-headless": "cv2",
    "Pillow": "PIL",
    "segmentation-models-pytorch": "segmentation_models_pytorch",
}


class Refused(Exception):
    """The bundle cannot be used here; the message says why, and what to do."""


def main(words: Sequence[str] | None = None) -> int:
    """Predict, and give the status: 0, or 1 where something given cannot be used."""
    if sys.stderr is None:  # it was closed: the next file that is opened would be taken for it
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # schedulers stop jobs by it
    try:
        if sys.version_info < _OLDEST:
            raise Refused(f"Python {sys.version_info[0]}.{sys.version_info[1]} is too old; take "
                          "3.11 or newer.")  # fmt: skip
        manifest = _manifest()
        wheel = _checked(manifest)
        _check_packages(manifest["needs"])
        with _unpacked(wheel) as place:
            return _start(place, words)
    except Refused as error:
        print(f"Error: {_HERE}: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        print("\nStopped. The same command goes on from here.", file=sys.stderr)
    return 1


@contextlib.contextmanager
def _unpacked(wheel: bytes) -> Iterator[str]:
    """Unpack the code to a folder that goes when it is not needed any more."""
    with contextlib.ExitStack() as stack:
        try:
            place = stack.enter_context(tempfile.TemporaryDirectory(prefix="foldbelt-code-"))
            zipfile.ZipFile(io.BytesIO(wheel)).extractall(place)
        except OSError as error:
            raise Refused(
                f"foldbelt's code cannot be unpacked to a temporary folder ({error}). It takes a "
                "few MB; set TMPDIR to a folder that has room."
            ) from error
        yield place


def _start(place: str, words: Sequence[str] | None) -> int:
    """Import the code that was checked, and no other of that name."""
    if "foldbelt" in sys.modules:
        raise Refused("another foldbelt is imported in this process; start Python anew.")
    sys.path.insert(0, place)
    from foldbelt.bundle import alone

    return alone.main(_HERE, words)


def _read(name: str) -> bytes:
    """Read an entry of the bundle, unpacked or not."""
    try:
        if _HERE.is_dir():
            return (_HERE / name).read_bytes()
        with zipfile.ZipFile(_HERE) as archive:
            return archive.read(name)
    except (OSError, KeyError, ValueError, RuntimeError, zipfile.BadZipFile) as error:
        raise Refused(f"{name} cannot be read ({error}); unpack the bundle again.") from error


def _manifest() -> dict[str, Any]:
    try:
        manifest: dict[str, Any] = json.loads(_read(_MANIFEST))
        needs, wheel = manifest["needs"], manifest["wheel"]
        named = all(_PLAIN.fullmatch(name) for name in [wheel, *needs])
        stated = all(isinstance(version, str) for version in needs.values())
        if named and stated and isinstance(manifest["entries"][wheel]["sha256"], str):
            return manifest
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        pass
    raise Refused(f"{_MANIFEST} is damaged; unpack the bundle again.")


def _checked(manifest: dict[str, Any]) -> bytes:
    """Read the wheel, and compare it with its digest."""
    name = manifest["wheel"]
    content = _read(name)
    found, stated = hashlib.sha256(content).hexdigest(), manifest["entries"][name]["sha256"]
    if found != stated:
        raise Refused(
            f"{name} has the SHA-256 {found[:12]}…, the manifest says {stated[:12]}…; it was "
            "damaged or changed on its way. Nothing of it was run; fetch the bundle again."
        )
    return content


def _check_packages(needs: dict[str, str]) -> None:
    """Refuse where packages are missing or broken, all named; tell which have another version."""
    missing = [name for name in needs if not _is_there(name)]
    if missing:
        wanted = " ".join(_pinned(name, needs[name]) for name in missing)
        raise Refused(
            f"packages are needed that are not installed: {', '.join(missing)}. "
            f"With internet: pip install {wanted}. Without: `foldbelt wheels` puts them in an "
            "archive where there is some (docs/offline.md)."
        )
    broken = [f"{name} ({fault})" for name in needs if (fault := _fault(name))]
    if broken:
        raise Refused(
            f"packages are installed and cannot be imported: {', '.join(broken)}. What they lack "
            "is in the archive of `foldbelt wheels`, too; torchvision has to be the one of this "
            "torch."
        )
    for name, stated in needs.items():
        found = _version(name)
        if found and stated and found.partition("+")[0] != stated.partition("+")[0]:
            note = f"{name} is {found} here and was {stated} where the bundle was made"
            print(f"{note}: the last digits may differ", file=sys.stderr)


def _pinned(name: str, version: str) -> str:
    return f"{name}=={version.partition('+')[0]}" if version else name


def _is_there(name: str) -> bool:
    try:
        return importlib.util.find_spec(_IMPORTED_AS.get(name, name)) is not None
    except ImportError:
        return False


def _fault(name: str) -> str:
    """Import a package, which is used later; say what keeps it from that, "" if nothing does."""
    try:
        importlib.import_module(_IMPORTED_AS.get(name, name))
    except Exception as error:  # of a package that does not fit another, anything
        return f"{type(error).__name__}: {' '.join(str(error).split())}"
    return ""


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


if __name__ == "__main__":
    sys.exit(main())
