"""A bundle's zip file: the same bytes for the same content, and nothing in it is believed.

Entries are stored, not compressed: weights do not shrink, and what is stored cannot unpack to more
than the file that it lies in. That bound is checked, so an archive cannot fill memory or a disk.
"""

import hashlib
import re
import shutil
import stat
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from foldbelt.files import InputError, PathLike, Problem, atomic, raise_all

MANIFEST = "manifest.json"
MANIFEST_BYTES = 2**24
"""Size of a manifest at most; a bundle of a thousand networks needs a hundredth."""
MOST_ENTRIES = 10_000

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the first that a zip file can state
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*")
_PIECE = 2**20
_ENCRYPTED = 1
_SHOWN = 5
_LONGEST = 255  # bytes of a name that file systems take
_BROKEN = (zipfile.BadZipFile, NotImplementedError, EOFError, RuntimeError, ValueError, OSError)
_CURE = "Make the bundle again from the run, or fetch it again."


Texts = Mapping[str, str | bytes]


def write(out: PathLike, texts: Texts, files: Mapping[str, PathLike]) -> None:
    """Write a zip file, whole or not at all.

    Parameters
    ----------
    out
        The zip file.
    texts, files
        As for `pack`.
    """
    with atomic(out) as temporary:
        pack(temporary, texts, files)


def pack(out: Path | IO[bytes], texts: Texts, files: Mapping[str, PathLike]) -> None:
    """Pack a zip file.

    Parameters
    ----------
    out
        A file, or what is open for writing.
    texts, files
        Name → content, and name → the file whose bytes become the entry. Entries are sorted by
        name, without times, so that the same content gives the same bytes.
    """
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted([*texts, *files]):
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.create_system = 3  # Unix, on any system
            entry.external_attr = (stat.S_IFREG | 0o644) << 16
            if name in texts:
                archive.writestr(entry, texts[name])
                continue
            entry.file_size = Path(files[name]).stat().st_size  # beyond 2 GiB entries differ
            with open(files[name], "rb") as source, archive.open(entry, "w") as target:
                shutil.copyfileobj(source, target, _PIECE)


class Archive:
    """A zip file whose entries are plain, stored, differently named and no larger than it is.

    Parameters
    ----------
    path
        The file, as given, for messages.
    archive
        The same, open.

    Raises
    ------
    InputError
        Naming all entries that are otherwise.
    """

    def __init__(self, path: PathLike, archive: zipfile.ZipFile) -> None:
        self.path, self._archive = path, archive
        entries = archive.infolist()
        if len(entries) > MOST_ENTRIES:
            raise InputError(f"{path} holds {len(entries)} entries; no bundle has so many. {_CURE}")
        if MANIFEST not in {entry.filename for entry in entries}:
            raise InputError(f"{path} is no bundle: it lacks {MANIFEST}. {_CURE}")
        problems = [Problem(_shown(entry), fault) for entry in entries if (fault := _fault(entry))]
        folders = {parent for entry in entries for parent in _folders(entry.filename)}
        problems += [
            Problem(_shown(entry), "is a folder of another entry, too")
            for entry in entries
            if entry.filename in folders
        ]
        times = Counter(entry.filename for entry in entries)
        problems += [
            Problem(ascii(name)[1:-1], "occurs more than once") for name in times if times[name] > 1
        ]
        raise_all(problems, f"{path} is no bundle", _CURE, most=20)
        size = Path(path).stat().st_size
        total = sum(entry.file_size for entry in entries)
        if total > size:
            raise InputError(
                f"{path} is no bundle: its entries claim {total} bytes, the file has {size}. "
                f"{_CURE}"
            )
        self.sizes = {entry.filename: entry.file_size for entry in entries}

    def text(self, name: str, most: int) -> bytes:
        """Read a small entry, of at most so many bytes."""
        if name not in self.sizes:
            raise InputError(f"{self.path} is no bundle: it lacks {name}. {_CURE}")
        if self.sizes[name] > most:
            raise InputError(
                f"{self.path}: {name} has {self.sizes[name]} bytes, more than {most}. {_CURE}"
            )
        with _told(self.path, name), self._archive.open(name) as source:
            return source.read(most)

    def unpack(self, name: str, target: Path) -> str:
        """Write an entry to a file; give the SHA-256 of what was written."""
        total = hashlib.sha256()
        target.parent.mkdir(parents=True, exist_ok=True)
        with _told(self.path, name):
            source = self._archive.open(name)
        with source, target.open("wb") as file:
            for piece in self._pieces(source, name):
                total.update(piece)
                file.write(piece)
        return total.hexdigest()

    def _pieces(self, source: IO[bytes], name: str) -> Iterator[bytes]:
        """Read what an entry claims to hold, and no more."""
        left = self.sizes[name]
        while left > 0:
            with _told(self.path, name):  # what goes wrong in writing is no fault of the archive
                piece = source.read(min(_PIECE, left))
            if not piece:
                return
            left -= len(piece)
            yield piece


class Folder:
    """The folder that a bundle was unpacked to, as `Archive`; other files may lie in it.

    Parameters
    ----------
    path
        The folder.
    """

    def __init__(self, path: PathLike) -> None:
        self.path = path
        found = [file for file in Path(path).rglob("*") if file.is_file()]
        names = {file.relative_to(path).as_posix(): file.stat().st_size for file in found}
        self.sizes = {name: size for name, size in names.items() if _NAME.fullmatch(name)}

    def text(self, name: str, most: int) -> bytes:
        """Read a small file, of at most so many bytes."""
        if name not in self.sizes:
            raise InputError(f"{self.path} is no bundle: it lacks {name}. {self._cure()}")
        with (Path(self.path) / name).open("rb") as file:
            return file.read(most)

    def _cure(self) -> str:
        """Name the bundles that lie in the folder, where there are some."""
        packed = sorted(name for name in self.sizes if name.endswith(".zip"))[:_SHOWN]
        return f"Name a file in it: {', '.join(packed)}." if packed else _CURE

    def unpack(self, name: str, target: Path) -> str:
        """Give the SHA-256 of a file, which lies where it belongs."""
        with target.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def opened(path: PathLike) -> Iterator[Archive | Folder]:
    """Open a zip file and check its directory, or the folder that it was unpacked to.

    Raises
    ------
    InputError
        If it cannot be read, or is none that `write` could have made.
    """
    if Path(path).is_dir():
        yield Folder(path)
        return
    if not Path(path).is_file():
        raise InputError(f"{path}: there is no such file; `snakemake … -- bundle` makes it.")
    with _told(path, "its directory"):
        archive = zipfile.ZipFile(path)
    with archive:
        yield Archive(path, archive)


@contextmanager
def _told(path: PathLike, name: str) -> Iterator[None]:
    """Say of which file and entry it is that zipfile cannot make sense."""
    try:
        yield
    except InputError:
        raise
    except _BROKEN as error:
        reason = str(error) or type(error).__name__
        raise InputError(f"{path}: {name} cannot be read ({reason}). {_CURE}") from error


def _shown(entry: zipfile.ZipInfo) -> str:
    return ascii(entry.orig_filename)[1:-1]


def _folders(name: str) -> Iterator[str]:
    """Give the folders in which an entry lies."""
    place = name.find("/")
    while place >= 0:
        yield name[:place]
        place = name.find("/", place + 1)


def _fault(entry: zipfile.ZipInfo) -> str:
    """Say why an entry is none of a bundle's; "" if nothing speaks against it."""
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if not _NAME.fullmatch(entry.orig_filename) or entry.filename != entry.orig_filename:
        return "is no plain path within the archive"
    if max(map(len, entry.filename.split("/"))) > _LONGEST or len(entry.filename) > 4 * _LONGEST:
        return "has a name that is too long"
    if kind not in (0, stat.S_IFREG):
        return "is a link or no plain file"
    if entry.flag_bits & _ENCRYPTED:
        return "is encrypted"
    if entry.compress_type != zipfile.ZIP_STORED or entry.compress_size != entry.file_size:
        return "is compressed; bundles store their entries as they are"
    return ""
