"""foldbelt's own code as a wheel, the same bytes for the same code.

A wheel is a zip file of the modules and some texts about them [1]_; nothing is compiled, so that
nothing has to be built. It states no dependencies: what a bundle needs its manifest says, which is
less than foldbelt does.

References
----------
.. [1] https://packaging.python.org/en/latest/specifications/binary-distribution-format/
"""

import base64
import hashlib
import importlib.metadata
import io
from collections.abc import Mapping
from pathlib import Path

from foldbelt import provenance
from foldbelt.bundle import archive
from foldbelt.machine import version

_UNKNOWN = "0"  # version of code that was never installed


def name() -> str:
    """Name the file: project, version, and that it is for any Python 3 anywhere.

    Examples
    --------
    >>> name().startswith("foldbelt-"), name().endswith("-py3-none-any.whl")
    (True, True)
    """
    return f"foldbelt-{_version()}-py3-none-any.whl"


def content() -> bytes:
    """Pack the modules and stubs of the package that is imported."""
    folder = provenance.package()
    files = {
        path.relative_to(folder.parent).as_posix(): path for path in provenance.sources(folder)
    }
    about, licence = f"foldbelt-{_version()}.dist-info", _licence(folder)
    texts = {
        f"{about}/METADATA": _metadata(bool(licence)),
        f"{about}/WHEEL": "Wheel-Version: 1.0\nGenerator: foldbelt\nRoot-Is-Purelib: true\n"
        "Tag: py3-none-any\n",
    }
    texts |= {f"{about}/licenses/LICENSE": licence} if licence else {}
    record = f"{about}/RECORD"
    texts[record] = _record(texts, files) + f"{record},,\n"
    packed = io.BytesIO()
    archive.pack(packed, texts, files)
    return packed.getvalue()


def _version() -> str:
    return version("foldbelt") or _UNKNOWN


def _metadata(licensed: bool) -> str:
    lines = {
        "Metadata-Version": "2.4",
        "Name": "foldbelt",
        "Version": _version(),
        "Summary": "The code of a bundle; its manifest says what has to be installed beside it",
        "License-Expression": "MIT",
        "Requires-Python": ">=3.11,<3.14",
    }
    lines |= {"License-File": "LICENSE"} if licensed else {}
    return "".join(f"{key}: {value}\n" for key, value in lines.items())


def _licence(folder: Path) -> str:
    """Find the licence, which has to go with every copy: installed, or in the checkout."""
    try:
        files = importlib.metadata.files("foldbelt") or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    places = [Path(str(file.locate())) for file in files if file.name == "LICENSE"]
    places = [place for place in (*places, folder.parents[1] / "LICENSE") if place.is_file()]
    return places[0].read_text(encoding="utf-8") if places else ""


def _record(texts: Mapping[str, str], files: Mapping[str, Path]) -> str:
    """List digest and size of every file, as installers expect it."""
    contents = {name: text.encode() for name, text in texts.items()}
    contents |= {name: path.read_bytes() for name, path in files.items()}
    lines = []
    for name in sorted(contents):
        digest = base64.urlsafe_b64encode(hashlib.sha256(contents[name]).digest())
        lines.append(f"{name},sha256={digest.decode().rstrip('=')},{len(contents[name])}\n")
    return "".join(lines)
