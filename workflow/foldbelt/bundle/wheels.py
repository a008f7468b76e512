"""The packages that a bundle needs, as an archive for a machine without internet.

torch and torchvision are never among them: they take gigabytes, have to fit the machine's driver
and each other, and are there wherever networks are computed.
"""

import email
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from foldbelt.bundle import archive
from foldbelt.bundle.archive import MANIFEST, MANIFEST_BYTES
from foldbelt.bundle.manifest import parse
from foldbelt.bundle.needs import BESIDE
from foldbelt.bundle.targets import refuse_target
from foldbelt.files import InputError, PathLike, refuse_folder
from foldbelt.registry import suggest

NEVER = ("torch", "torchvision")
PLATFORMS = tuple(f"manylinux_2_{minor}_x86_64" for minor in range(28, 16, -1))
"""Linux with glibc 2.28 or newer, and what was built for older ones."""
REQUIREMENTS = "requirements.txt"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_VERSION = re.compile(r"\d+(\.\d+){1,2}", re.ASCII)
_LINES = 12  # of what pip says last


def gather(
    bundle: PathLike,
    out: PathLike,
    *,
    python: str | None = None,
    platforms: Sequence[str] = PLATFORMS,
    without: Iterable[str] = (),
) -> list[str]:
    """Download wheels of what a bundle needs, in the versions with which it was made.

    Parameters
    ----------
    bundle
        The zip file, or the folder that it was unpacked to.
    out
        The archive to write: wheels, and requirements.txt with what the bundle itself needs.
    python
        Version of Python where it predicts, such as "3.11"; None: with which it was made.
    platforms
        As pip names them.
    without
        Packages that are there already. They are left out, and what only they need.

    Returns
    -------
    list of str
        Names of the wheels.

    Raises
    ------
    InputError
        If the bundle cannot be used, everything is left out or something of which nobody knows, or
        pip cannot download something.
    """
    refuse_folder(out)
    if python is not None and not _VERSION.fullmatch(python):
        raise InputError(f"--python {python}: is no version of Python; write it as 3.11.")
    named = list(without)
    with archive.opened(bundle) as opened:
        manifest = parse(opened.text(MANIFEST, MANIFEST_BYTES), bundle)
    refuse_target(bundle, out, manifest.entries)
    skipped = {_normal(name) for name in (*NEVER, *named)}
    needs = dict(manifest.needs)
    for name in [more for package in needs for more in BESIDE.get(package, ())]:
        needs |= {name: manifest.install[name]} if name in manifest.install else {}
    wanted = [
        f"{name}=={version}" if version else name
        for name, version in sorted(needs.items())
        if _normal(name) not in skipped
    ]
    if not wanted:
        raise InputError(
            f"{bundle} needs {', '.join(sorted(needs)) or 'nothing'}, all of which is left out; "
            "there is nothing to download."
        )
    target = ["--python-version", python or manifest.install["python"]]
    target += [word for platform in platforms for word in ("--platform", platform)]
    with tempfile.TemporaryDirectory(prefix="foldbelt-wheels-") as folder:
        asked = _download(wanted, target, Path(folder), skipped)
        known = {*map(_normal, (*NEVER, *needs)), *asked}
        strange = [name for name in named if _normal(name) not in known]
        if strange:
            raise InputError(
                f"--without {', '.join(strange)}: nothing that the bundle needs is called that"
                f"{suggest(_normal(strange[0]), known)} Nothing was written."
            )
        wheels = {path.name: path for path in sorted(Path(folder).glob("*.whl"))}
        archive.write(out, {REQUIREMENTS: "".join(f"{one}\n" for one in wanted)}, wheels)
    return list(wheels)


def _download(wanted: list[str], target: list[str], folder: Path, skipped: set[str]) -> set[str]:
    """Download packages and what these need in turn; give the names of all that was asked for.

    pip could follow dependencies itself, but not leave out torch, on which timm depends.
    """
    known = {*skipped, *map(_normal, wanted)}
    waiting, seen, asked = wanted, set[Path](), {_normal(one) for one in wanted}
    while waiting:
        _pip(["--no-deps", "--only-binary", ":all:", *target, "--dest", str(folder), *waiting])
        new = set(folder.glob("*.whl")) - seen
        seen |= new
        waiting = []
        for requirement in sorted(one for wheel in new for one in _dependencies(wheel)):
            asked.add(_normal(requirement))
            if _normal(requirement) not in known:
                known.add(_normal(requirement))
                waiting.append(requirement)
    return asked


def _pip(words: list[str]) -> None:
    command = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check", *words]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        said = "\n".join((done.stderr or done.stdout).strip().splitlines()[-_LINES:])
        raise InputError(
            f"pip cannot download what is needed:\n{said}\nIs there internet, and a wheel for this "
            "version of Python and platform? `--without` leaves a package out."
        )


def _dependencies(wheel: Path) -> list[str]:
    """List what a wheel says that it needs; extras are not asked for."""
    with zipfile.ZipFile(wheel) as opened:
        (about,) = (n for n in opened.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", n))
        stated = email.message_from_bytes(opened.read(about)).get_all("Requires-Dist") or []
    return [one for one in stated if "extra ==" not in one.partition(";")[2]]


def _normal(requirement: str) -> str:
    """Give the name in a requirement as indexes compare names.

    Examples
    --------
    >>> _normal("hf_xet<2.0.0,>=1.6; python_version > '3'"), _normal("Pillow")
    ('hf-xet', 'pillow')
    """
    name = _NAME.match(requirement.strip())
    return re.sub(r"[-_.]+", "-", name[0]).lower() if name else requirement
