"""Real images, rewritten in the forms that people have: the arrays must be the same.

    python benchmarks/forms.py FOLDER [IMAGES]

FOLDER has images/ and masks/ of 0, 127 (unlabelled) and 255. Every form is read, and compared with
the folder as it is, pixel by pixel.
"""

import contextlib
import io
import sys
import tempfile
import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image

from foldbelt import ingest, store
from foldbelt.config import complete

SIZE = 256


def _turned(array: np.ndarray, path: Path) -> None:
    exif = Image.Exif()
    exif[274] = 6
    Image.fromarray(np.ascontiguousarray(np.rot90(array))).save(path, exif=exif)


def _white(array: np.ndarray, path: Path) -> None:
    tifffile.imwrite(path, 255 - array, photometric="miniswhite", compression="zlib")


def _lzw(array: np.ndarray, path: Path) -> None:
    Image.fromarray(np.ascontiguousarray(array[::-1, ::-1])).save(
        path, compression="tiff_lzw", tiffinfo={274: 3}
    )


def _alpha(array: np.ndarray, path: Path) -> None:
    Image.fromarray(np.dstack([array] * 3 + [np.full_like(array, 255)])).save(path)


def _palette(array: np.ndarray, path: Path) -> None:
    """Indices that say the opposite of what is shown."""
    image = Image.fromarray(255 - array).convert("P")
    image.putpalette(np.repeat(np.arange(256, dtype=np.uint8)[::-1], 3).tolist())
    image.putdata((255 - array).ravel().tolist())
    image.save(path)


def _plain(array: np.ndarray, path: Path) -> None:
    Image.fromarray(array).save(path)


def _planes(array: np.ndarray, path: Path) -> None:
    tifffile.imwrite(path, np.stack([array] * 3), photometric="rgb", planarconfig="separate")


def _misnamed(array: np.ndarray, path: Path) -> None:
    Image.fromarray(array).save(path, "PNG")


Write = Callable[[np.ndarray, Path], None]
FORMS: dict[str, tuple[Write, Write, str, str]] = {
    # image and mask writers, names of image and mask
    "nested folders": (_plain, _plain, "p{part}/{name}.png", "p{part}/{name}.png"),
    "suffix _mask, BMP and GIF": (_plain, _plain, "{name}.bmp", "{name}_mask.gif"),
    "EXIF orientation 6": (_turned, _turned, "{name}.png", "{name}.png"),
    "zero is white": (_white, _white, "{name}.tif", "{name}.tif"),
    "LZW, turned by 180°": (_lzw, _lzw, "{name}.tif", "{name}.tif"),
    "alpha": (_alpha, _alpha, "{name}.png", "{name}.png"),
    "PNG bytes named .jpg": (_misnamed, _misnamed, "{name}.jpg", "{name}.jpg"),
    "planes apart": (_planes, _planes, "{name}.tif", "{name}.tif"),
    "accents composed and not": (_plain, _plain, "ö{name}.png", "NFD"),
    "inverted palette, images": (_palette, _plain, "{name}.png", "{name}.png"),
}


def read(root: Path) -> tuple[np.ndarray, ...]:
    """Ingest a folder, and give images, masks and unlabelled pixels in order of the names."""
    with tempfile.TemporaryDirectory() as out, contextlib.redirect_stdout(io.StringIO()):
        data = Path(out) / "train.h5"
        settings = complete("data", {"size": SIZE, "ignore": 127})
        ingest.run("folder", root, settings, data, Path(out) / "problems.csv")
        ids = [name.split("/")[-1].removeprefix("ö") for name in store.read(data, "id").tolist()]
        order = np.argsort(ids)
        return tuple(store.read(data, name)[order] for name in ("image", "mask", "ignore"))


def main(folder: Path, images: int) -> bool:
    """Rewrite and read; print a line a form; give whether all are the same."""
    names = sorted((folder / "images").iterdir())[:images]
    pairs = []
    for path in names:
        with Image.open(path) as image, Image.open(folder / f"masks/{path.stem}.png") as mask:
            pairs.append((path.stem, np.array(image.convert("L")), np.array(mask)))
    with tempfile.TemporaryDirectory() as place:
        plain = Path(place) / "plain"
        _write(plain, pairs, (_plain, _plain, "{name}.png", "{name}.png"))
        expected = read(plain)
        good = True
        for k, (form, how) in enumerate(FORMS.items()):
            root = Path(place) / str(k)
            _write(root, pairs, how)
            found = read(root)
            same = all(map(np.array_equal, found, expected))
            good &= same
            print(f"{'same ' if same else 'OTHER'} {form}: {len(found[0])} images", flush=True)
    return good


def _write(
    root: Path,
    pairs: list[tuple[str, np.ndarray, np.ndarray]],
    how: tuple[Write, Write, str, str],
) -> None:
    write_image, write_mask, image_name, mask_name = how
    for number, (name, image, mask) in enumerate(pairs):
        given = {"name": name, "part": number % 5}
        named = unicodedata.normalize("NFC", image_name.format(**given))
        partner = unicodedata.normalize("NFD", named) if mask_name == "NFD" else ""
        partner = partner or mask_name.format(**given)
        for folder, file, array, write in (
            ("images", named, image, write_image),
            ("masks", partner, mask, write_mask),
        ):
            path = root / folder / file
            path.parent.mkdir(parents=True, exist_ok=True)
            write(array, path)


if __name__ == "__main__":
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 50
    sys.exit(0 if main(Path(sys.argv[1]), count) else 1)
