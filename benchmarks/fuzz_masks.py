"""Masks of two classes by any writer, in any form it offers: read as shown, or refused by name.

    python benchmarks/fuzz_masks.py [EXAMPLES] [SEED]

prints how many were read, the refusals by cause, and every example that was read wrong (there must
be none). The unit tests run a few hundred.
"""

import re
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import imageio.v3
import numpy as np
import tifffile
from PIL import Image

from foldbelt.formats import pixels
from foldbelt.formats.pixels import Meaning, Undecodable

LOSSLESS, LOSSY = 1.0, 0.98
"""Least intersection over union with what is shown."""
LEAST = 20
"""Pixels of the smallest object."""


class Example(NamedTuple):
    """A written file: what was done, what is shown as object, and how well it must be read."""

    how: str
    truth: np.ndarray
    least: float


class Cannot(Exception):
    """The writer does not offer this combination."""


def draw(rng: np.random.Generator) -> np.ndarray:
    """Draw objects (h, w) of 0 and 1, each of at least `LEAST` pixels; now and then none."""
    height, width = rng.integers(16, 96, 2)
    mask = np.zeros((height, width), np.uint8)
    for _ in range(rng.integers(1, 4)):
        centre = [int(rng.integers(width)), int(rng.integers(height))]
        axes = [int(n) for n in rng.integers(3, max(4, min(height, width) // 3), 2)]
        if rng.random() < 0.5:
            cv2.ellipse(mask, centre, axes, float(rng.integers(180)), 0, 360, 1, -1)
        else:
            corner = [c + 2 * a for c, a in zip(centre, axes, strict=True)]
            cv2.rectangle(mask, centre, corner, 1, -1)
    parts, labels, stats, _ = cv2.connectedComponentsWithStats(mask)
    small = [k for k in range(1, parts) if stats[k, cv2.CC_STAT_AREA] < LEAST]
    mask[np.isin(labels, small)] = 0
    if rng.random() < 0.03:
        mask[:] = rng.integers(2)
    return mask


def _value(rng: np.random.Generator) -> int:
    return int(rng.choice([1, 255, 255, 255, rng.integers(2, 255)]))


def pillow_png(rng: np.random.Generator, mask: np.ndarray, path: Path) -> Example:
    """All modes of PNG, with palettes that agree with their indices or do not."""
    mode = str(rng.choice(["1", "L", "P", "LA", "RGB", "RGBA", "I;16", "quantize", "alpha"]))
    exif, turn, how = _orientation(rng)
    x = _value(rng)
    image = _image(rng, mask, mode, x)
    options = {"exif": exif} if exif is not None else {}
    image.save(path, "PNG", optimize=bool(rng.random() < 0.3), **options)
    return Example(f"pillow png {mode} {x} {how}", turn(mask), LOSSLESS)


def _image(rng: np.random.Generator, mask: np.ndarray, mode: str, x: int) -> Image.Image:
    if mode == "1":
        return Image.fromarray(mask > 0)
    if mode == "P":
        bright = mask if rng.random() < 0.5 else 1 - mask
        shown = [0, 0, 0], rng.integers(1, 256, 3).tolist()
        colours = shown if bright is mask else shown[::-1]
        image = Image.fromarray(bright).convert("P")
        image.putpalette([*colours[0], *colours[1]])
        image.putdata(bright.ravel().tolist())
        return image
    if mode == "quantize":
        return Image.fromarray(mask * np.uint8(x)).quantize(2)
    if mode == "I;16":
        return Image.fromarray(mask.astype(np.uint16) * np.uint16(rng.choice([1, x, 65535])))
    if mode == "alpha":
        white = np.full_like(mask, 255)
        return Image.fromarray(np.dstack([white] * 3 + [mask * np.uint8(255)]))
    planes = {"L": 1, "LA": 1, "RGB": 3, "RGBA": 3}[mode]
    values = [mask * np.uint8(x)] * planes
    if mode in ("LA", "RGBA"):
        values.append(np.where(rng.random() < 0.5, 255, mask * 255).astype(np.uint8))
    return Image.fromarray(values[0] if len(values) == 1 else np.dstack(values))


def pillow_lossy(rng: np.random.Generator, mask: np.ndarray, path: Path) -> Example:
    """JPEG and WebP, saved again as PNG now and then."""
    kind = str(rng.choice(["JPEG", "JPEG", "WEBP"]))
    quality = int(rng.integers(30, 101))
    x = int(rng.choice([255, 255, 255, _value(rng)]))
    values = mask * np.uint8(x)
    image = Image.fromarray(values if rng.random() < 0.6 else np.dstack([values] * 3))
    exif, turn, how = _orientation(rng)
    options: dict[str, Any] = {"exif": exif} if exif is not None else {}
    options |= {"progressive": True} if rng.random() < 0.2 else {}
    image.save(path, kind, quality=quality, **options)
    # Of low values, and of black alone, nothing tells later that they were changed.
    again = exif is None and x >= 128 and mask.any() and bool(rng.random() < 0.3)
    if again:
        with Image.open(path) as opened:
            opened.convert("L").save(path, "PNG")
    told = f"pillow {kind} {quality} {x} again={again} {how}"
    return Example(told, _left(turn(mask), path), LOSSY)


def pillow_other(rng: np.random.Generator, mask: np.ndarray, path: Path) -> Example:
    """BMP, GIF and lossless WebP."""
    kind = str(rng.choice(["BMP", "GIF", "WEBP"]))
    mode = str(
        rng.choice({"BMP": ["1", "L", "P", "RGB"], "GIF": ["1", "L", "P"]}.get(kind, ["RGB"]))
    )
    x = _value(rng)
    options = {"lossless": True} if kind == "WEBP" else {}
    _image(rng, mask, mode, x).save(path, kind, **options)
    # WebP names no file as lossless, so that one value is taken for blurred ones
    return Example(f"pillow {kind} {mode} {x}", mask, LOSSLESS)


def pillow_tiff(rng: np.random.Generator, mask: np.ndarray, path: Path) -> Example:
    """All modes and compressions of TIFF, turned by its tag."""
    mode = str(rng.choice(["1", "L", "P", "RGB", "RGBA", "I;16", "LA"]))
    names = ["raw", "tiff_lzw", "tiff_deflate", "packbits", "zstd", "lzma", "tiff_adobe_deflate"]
    names += ["group3", "group4", "tiff_ccitt"] if mode == "1" else ["jpeg"]
    compression = str(rng.choice(names))
    x = _value(rng)
    k = int(rng.choice([1, rng.integers(1, 9)]))
    _image(rng, mask, mode, x).save(path, "TIFF", compression=compression, tiffinfo={274: k})
    lossy = compression == "jpeg"
    how = f"pillow tiff {mode} {compression} {x} turned={k}"
    truth = _turned(mask, k)
    return Example(how, _left(truth, path) if lossy else truth, LOSSY if lossy else LOSSLESS)


def _left(mask: np.ndarray, path: Path) -> np.ndarray:
    """Give what a lossy writer left: of values as low as 1 perhaps nothing at all."""
    with Image.open(path) as image:
        return mask if np.array(image).any() else np.zeros_like(mask)


def opencv(rng: np.random.Generator, mask: np.ndarray, path: Path) -> Example:
    """What OpenCV writes: PNG, TIFF, BMP, JPEG, WebP."""
    kind = str(rng.choice([".png", ".tif", ".bmp", ".jpg", ".webp"]))
    x, options = _value(rng), []
    deep = kind in (".png", ".tif") and rng.random() < 0.3
    values = mask.astype(np.uint16) * np.uint16(257 * x) if deep else mask * np.uint8(x)
    if kind == ".png" and not deep and rng.random() < 0.3:
        values, options = mask * np.uint8(255), [cv2.IMWRITE_PNG_BILEVEL, 1]
    elif kind == ".tif":
        scheme = int(rng.choice([1, 5, 8, 32773, 32946]))
        options = [cv2.IMWRITE_TIFF_COMPRESSION, scheme]
    elif kind == ".jpg":
        options = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(30, 101))]
    elif kind == ".webp":
        options = [cv2.IMWRITE_WEBP_QUALITY, int(rng.choice([101, rng.integers(30, 101)]))]
    colours = rng.random() < 0.3
    done, data = cv2.imencode(kind, np.dstack([values] * 3) if colours else values, options)
    if not done:
        raise Cannot
    path.write_bytes(data.tobytes())
    lossy = kind in (".jpg", ".webp")
    how = f"opencv {kind} {values.dtype} {x} {options} colours={colours}"
    return Example(how, _left(mask, path) if lossy else mask, LOSSY if lossy else LOSSLESS)


def tifffiles(rng: np.random.Generator, mask: np.ndarray, path: Path) -> Example:
    """What tifffile writes: any type, polarity, byte order, tiles, orientation."""
    name = str(rng.choice(["bool", "uint8", "uint16", "uint32", "int16", "float32", "float64"]))
    dtype = np.dtype(name)
    white = bool(rng.random() < 0.3)
    most = 1 if name == "bool" else np.iinfo(dtype).max if dtype.kind == "u" else 255
    x = most if white or rng.random() < 0.4 else int(rng.integers(1, min(most, 60000) + 1))
    stored = np.where((mask == 0) if white else (mask > 0), x, 0).astype(dtype)
    k = int(rng.choice([1, rng.integers(1, 9)]))
    options: dict[str, Any] = {"photometric": "miniswhite" if white else "minisblack"}
    options |= {"compression": str(rng.choice(["zlib", "lzma"]))} if rng.random() < 0.4 else {}
    options |= {"tile": (32, 32)} if rng.random() < 0.2 and name != "bool" else {}
    options |= {"byteorder": ">"} if rng.random() < 0.3 else {}
    options |= {"bigtiff": True} if rng.random() < 0.2 else {}
    options |= {"extratags": [(274, 3, 1, k, True)]} if k > 1 else {}
    if not white and name == "uint8" and rng.random() < 0.3:
        options |= {"photometric": "rgb", "planarconfig": "separate"}
        stored = np.stack([stored] * 3)
    tifffile.imwrite(path, stored, **options)
    return Example(f"tifffile {name} {x} {options}", _turned(mask, k), LOSSLESS)


def imageios(rng: np.random.Generator, mask: np.ndarray, path: Path) -> Example:
    """What imageio writes by its own choice of writers."""
    kind = str(rng.choice([".png", ".bmp", ".gif", ".tif", ".jpg"]))
    x = _value(rng)
    values = mask * np.uint8(x)
    if rng.random() < 0.3:
        values = np.dstack([values] * 3)
    named = path.with_suffix(kind)
    imageio.v3.imwrite(named, values)
    named.rename(path)
    if kind == ".jpg":
        return Example(f"imageio {kind} {x}", _left(mask, path), LOSSY)
    return Example(f"imageio {kind} {x}", mask, LOSSLESS)


def _orientation(
    rng: np.random.Generator,
) -> tuple[Any, Callable[[np.ndarray], np.ndarray], str]:
    if rng.random() < 0.7:
        return None, lambda mask: mask, ""
    k = int(rng.integers(1, 9))
    exif = Image.Exif()
    exif[274] = k
    return exif, lambda mask: _turned(mask, k), f"turned={k}"


def _turned(mask: np.ndarray, k: int) -> np.ndarray:
    """Turn as EXIF lays down, written otherwise than what is tested."""
    ways = {
        1: mask, 2: np.fliplr(mask), 3: np.rot90(mask, 2), 4: np.flipud(mask), 5: mask.T,
        6: np.rot90(mask, -1), 7: np.rot90(mask.T, 2), 8: np.rot90(mask),
    }  # fmt: skip
    return ways[k]


WRITERS = (pillow_png, pillow_lossy, pillow_other, pillow_tiff, opencv, tifffiles, imageios)


def one(seed: int, folder: Path) -> tuple[str, str]:
    """Write and read one example: ("read" | "refused" | "wrong" | "not written", what)."""
    rng = np.random.default_rng(seed)
    path = folder / f"mask{rng.choice(['.png', '.tif', '.jpg'])}"  # the content decides
    mask = draw(rng)
    writer = WRITERS[int(rng.integers(len(WRITERS)))]
    try:
        example = writer(rng, mask, path)
    except (Cannot, OSError, ValueError, KeyError, RuntimeError) as error:
        return "not written", f"{writer.__name__}: {type(error).__name__}"
    try:
        size = pixels.header(path)
        found = pixels.read_mask(pixels.read(path), Meaning()).planes[..., 0]
    except Undecodable as error:
        return "refused", str(error)
    finally:
        path.unlink(missing_ok=True)
    if size != found.shape or found.shape != example.truth.shape:
        return "wrong", f"{seed}: {example.how}: {found.shape}, header {size}"
    union = (found | example.truth).sum()
    overlap = (found & example.truth).sum() / union if union else 1.0
    if overlap < example.least:
        return "wrong", f"{seed}: {example.how}: {overlap:.4f}"
    return "read", example.how


def cause(reason: str) -> str:
    """Give a refusal without its numbers."""
    return re.sub(r"(is a )?\S+ (?=whose highest)", "", re.sub(r"[\d.,<% ]+", " ", reason))[:90]


def run(examples: int, seed: int = 0) -> tuple[Counter[str], Counter[str], list[str]]:
    """Run examples; give how they ended, the refusals by cause, and those read wrong."""
    ended: Counter[str] = Counter()
    causes: Counter[str] = Counter()
    wrong: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        number = seed * 10**7
        while ended["read"] + ended["refused"] + ended["wrong"] < examples:
            what, told = one(number, Path(folder))
            number += 1
            ended[what] += 1
            if what in ("refused", "not written"):
                causes[f"{what}: {cause(told)}"] += 1
            elif what == "wrong":
                wrong.append(told)
    return ended, causes, wrong


if __name__ == "__main__":
    how_many, first = [int(word) for word in (sys.argv[1:] + ["10000", "0"][len(sys.argv) - 1 :])]
    ends, reasons, failures = run(how_many, first)
    print(dict(ends))
    for reason, count in reasons.most_common():
        print(f"{count:6} {reason}")
    print("\n".join(["Read wrong:", *failures]) if failures else "None was read wrong.")
