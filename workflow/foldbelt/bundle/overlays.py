"""Pictures for people who look: an image with what is predicted of it drawn over it.

Colours are those of Okabe and Ito (https://jfly.uni-koeln.de/color/), which colour-blind people
tell apart; every line is cased in black or white, so that it shows on any image. Below the image
stand the names that belong to the colours. Small images are enlarged and large ones reduced, so
that names can be read beside either.
"""

import functools
import importlib.util
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from foldbelt.boxes.overlaps import overlaps
from foldbelt.formats.folders import printable

LEAST_SIDE, MOST_SIDE = 640, 1600
"""Pixels of a picture's longer side."""
MOST_BOXES, LEAST_SCORE = 10, 0.1
"""Boxes that are drawn: the best so many, and none of a smaller score. A ranking needs the rest."""
SAME_PLACE = 0.5
"""Overlap (IoU) above which only the better of two boxes is drawn, whatever their classes."""
MOST_LABELS = 8

_Colour = tuple[int, int, int]
COLOURS: tuple[_Colour, ...] = (
    (240, 228, 66), (86, 180, 233), (213, 94, 0), (204, 121, 167), (0, 158, 115), (230, 159, 0),
    (0, 114, 178), (255, 255, 255),
)  # fmt: skip
"""Yellow, sky blue, vermilion, purple, green, orange, blue, white; neighbours differ most."""
_BLACK, _WHITE = (0, 0, 0), (255, 255, 255)
_LEAST_WIDTH = 320  # of a picture with its text
_FONT = 15
_LINE = 20
_GAP = 6
_WIDTH = 2  # pixels of a line; its casing has one more on both sides
_QUALITY = 90
_NARROW = 96  # levels between the darkest and the brightest pixels, below which both are spread
_FINEST = 0.5  # per cent of pixels that may become black, or white, by that
_SAMPLE = 1_000_000


@dataclass(frozen=True)
class Shown:
    """What is predicted of an image.

    Attributes
    ----------
    size
        (height, width) at which masks and boxes are.
    masks
        Gives the mask (h, w) u8 of each class, one after the other.
    classes
        Their names.
    boxes
        (m, 6) float32, columns as in `foldbelt.boxes.NUMBERS`; None where there are none to see.
    box_names
        Of their classes.
    labels
        Name → probability; NaN where nobody predicts.
    decided
        Names of the labels that the image has; None where nothing is decided.
    """

    size: tuple[int, int]
    masks: Iterator[np.ndarray]
    classes: Sequence[str]
    boxes: np.ndarray | None
    box_names: Sequence[str]
    labels: dict[str, float]
    decided: list[str] | None


def draw(image: np.ndarray, shown: Shown) -> bytes:
    """Draw an image with what is predicted of it.

    Parameters
    ----------
    image
        (h, w) or (h, w, C) u8, colours as RGB; of other bands than three the first is shown.
    shown
        What is predicted.

    Returns
    -------
    bytes
        A JPEG file.
    """
    size = _size(shown.size)
    picture, spread = _rgb(_resized(image, size))
    lines: list[tuple[_Colour | None, str]] = []
    for place, mask in enumerate(shown.masks):
        colour = COLOURS[place % len(COLOURS)]
        outline(picture, _shrunk(mask, size), colour)
        lines.append((colour, f"{shown.classes[place]}: {_share(mask)}"))
    drawn = Image.fromarray(picture)
    if shown.boxes is not None:
        lines += _draw_boxes(drawn, shown.boxes, shown, size)
    lines += [(None, text) for text in _label_lines(shown)]
    lines += [(None, "contrast raised")] if spread else []
    data = BytesIO()
    _with_lines(drawn, lines).save(data, "JPEG", quality=_QUALITY)
    return data.getvalue()


def _size(size: tuple[int, int]) -> tuple[int, int]:
    """Give the size (height, width) at which an image is shown."""
    longer = max(size)
    if longer > MOST_SIDE:
        factor = MOST_SIDE / longer
    else:
        factor = float(math.ceil(LEAST_SIDE / longer)) if longer < LEAST_SIDE else 1.0
    height, width = (max(1, round(side * factor)) for side in size)
    return height, width


def _resized(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Bring an image to a size: pixels stay to be seen where it grows."""
    flat = image if image.ndim == 2 or image.shape[2] == 3 else image[..., 0]
    grows = size[0] > flat.shape[0] or size[1] > flat.shape[1]
    method = cv2.INTER_NEAREST if grows else cv2.INTER_AREA
    return cv2.resize(np.ascontiguousarray(flat), size[::-1], interpolation=method)


def _rgb(image: np.ndarray) -> tuple[np.ndarray, bool]:
    """Give three colours, and whether levels were spread, without which hardly any differ."""
    step = max(1, math.isqrt(max(1, image.size // _SAMPLE)))
    low, high = np.percentile(image[::step, ::step], [_FINEST, 100 - _FINEST])
    narrow = bool(0 < high - low < _NARROW)
    if narrow:
        levels = (image.astype(np.float32) - low) * (255 / (high - low))
        image = np.clip(levels, 0, 255).astype(np.uint8)
    return (np.repeat(image[..., None], 3, axis=2) if image.ndim == 2 else image.copy()), narrow


def _shrunk(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Bring a mask to a size, (h, w) u8 of 0 and 1; what is thin stays to be seen."""
    if mask.shape == size:
        return mask
    if size[0] > mask.shape[0] or size[1] > mask.shape[1]:
        return cv2.resize(mask, size[::-1], interpolation=cv2.INTER_NEAREST)
    share = cv2.resize(mask * np.uint8(255), size[::-1], interpolation=cv2.INTER_AREA)
    return (share > 0).astype(np.uint8)


def outline(picture: np.ndarray, mask: np.ndarray, colour: _Colour) -> None:
    """Draw the outline of a mask, within it, and its casing around that.

    Parameters
    ----------
    picture
        (h, w, 3) u8, changed.
    mask
        (h, w) u8 of 0 and 1.
    colour
        Red, green, blue.
    """
    kernel = np.ones((3, 3), np.uint8)
    inner = cv2.erode(mask, kernel, iterations=_WIDTH, borderValue=0)
    outer = cv2.dilate(mask, kernel)
    deeper = cv2.erode(inner, kernel, borderValue=0)
    picture[(outer > 0) & (mask == 0)] = _casing(colour)
    picture[(inner > 0) & (deeper == 0)] = _casing(colour)
    picture[(mask > 0) & (inner == 0)] = colour


def _casing(colour: _Colour) -> _Colour:
    """Black around light colours, white around dark ones."""
    red, green, blue = colour
    return _BLACK if 0.299 * red + 0.587 * green + 0.114 * blue > 110 else _WHITE


def _share(mask: np.ndarray) -> str:
    """Say how much of an image a mask covers."""
    pixels = int(np.count_nonzero(mask))
    if not pixels:
        return "none"
    share = pixels / mask.size
    return f"{share:.1%}" if share >= 1 / 1000 else f"{pixels} px"


def _draw_boxes(
    drawn: Image.Image, boxes: np.ndarray, shown: Shown, size: tuple[int, int]
) -> Iterator[tuple[_Colour | None, str]]:
    """Draw the best boxes, the best on top; say how many there are."""
    ranked = boxes[np.argsort(-boxes[:, 5], kind="stable")]
    best = _apart(ranked[ranked[:, 5] >= LEAST_SCORE])
    canvas, font = ImageDraw.Draw(drawn), _font()
    factor = np.array([size[1], size[0]] * 2) / np.array([shown.size[1], shown.size[0]] * 2)
    of_masks = len(shown.classes)  # their colours come first
    for row in best[::-1]:
        colour = COLOURS[(of_masks + int(row[0])) % len(COLOURS)]
        corners = _within((row[1:5] * factor).tolist(), drawn.size)
        canvas.rectangle(_grown(corners, 1), outline=_casing(colour), width=_WIDTH + 2)
        canvas.rectangle(corners, outline=colour, width=_WIDTH)
        text = printable(f"{shown.box_names[int(row[0])]} {row[5]:.2f}")
        _tag(canvas, corners, text, colour, drawn.size, font)
    for place, name in enumerate(shown.box_names):
        of_class = ranked[ranked[:, 0] == place]
        number = int((best[:, 0] == place).sum())
        there = f"{number} of {len(of_class)} boxes shown" if len(of_class) else "no box"
        rest = f", the best scores {of_class[0, 5]:.2f}" if len(of_class) else ""
        yield COLOURS[(of_masks + place) % len(COLOURS)], f"{name}: {there}{rest}"


def _apart(ranked: np.ndarray) -> np.ndarray:
    """Give the best boxes (k, 6), less those at the place of a better one."""
    kept: list[np.ndarray] = []
    for row in ranked.astype(np.float64):
        others = np.reshape(kept, (-1, 6))
        same = overlaps(others[:, 1:5], np.tile(row[1:5], (len(others), 1)))
        if not (same > SAME_PLACE).any():
            kept.append(row)
        if len(kept) == MOST_BOXES:
            break
    return np.reshape(kept, (-1, 6))


def _within(corners: Sequence[float], size: tuple[int, int]) -> tuple[float, float, float, float]:
    """Keep a box within the picture, and with an inside."""
    x1, y1, x2, y2 = corners
    width, height = size
    x1, y1 = min(max(x1, 0), width - 2), min(max(y1, 0), height - 2)
    return x1, y1, max(min(x2, width - 1), x1 + 1), max(min(y2, height - 1), y1 + 1)


def _grown(
    corners: tuple[float, float, float, float], by: int
) -> tuple[float, float, float, float]:
    x1, y1, x2, y2 = corners
    return x1 - by, y1 - by, x2 + by, y2 + by


def _tag(
    canvas: ImageDraw.ImageDraw,
    corners: tuple[float, float, float, float],
    text: str,
    colour: _Colour,
    size: tuple[int, int],
    font: ImageFont.ImageFont | ImageFont.FreeTypeFont,
) -> None:
    """Write beside a box, above it where there is room, and in any case within the picture."""
    width, height = canvas.textlength(text, font=font) + 2 * 3, _FONT + 4
    left = min(max(corners[0], 0), max(0, size[0] - width))
    top = corners[1] - height if corners[1] >= height else min(corners[1], size[1] - height)
    canvas.rectangle((left, top, left + width, top + height), fill=colour)
    canvas.text((left + 3, top + 1), text, fill=_casing(colour), font=font)


def _label_lines(shown: Shown) -> Iterator[str]:
    known = {name: prob for name, prob in shown.labels.items() if not math.isnan(prob)}
    ranked = sorted(known, key=lambda name: -known[name])
    if ranked:
        words = [f"{name} {known[name]:.2f}" for name in ranked[:MOST_LABELS]]
        yield "labels: " + ", ".join(words) + (", …" if len(ranked) > MOST_LABELS else "")
    if shown.decided is not None:
        yield f"decided: {', '.join(shown.decided) or 'none of the labels'}"


def _with_lines(drawn: Image.Image, lines: Sequence[tuple[_Colour | None, str]]) -> Image.Image:
    """Add lines of text below a picture, with a patch of their colour where they have one."""
    font = _font()
    patch, width = _FONT + _GAP, max(drawn.width, _LEAST_WIDTH)
    canvas = ImageDraw.Draw(drawn)
    wrapped = [
        (colour if first else None, bool(colour), part)
        for colour, text in lines
        for first, part in _wrapped(canvas, printable(text), width - 2 * _GAP - patch, font)
    ]
    height = len(wrapped) * _LINE + (2 * _GAP if wrapped else 0)
    whole = Image.new("RGB", (width, drawn.height + height), _WHITE)
    whole.paste(drawn, (0, 0))
    canvas = ImageDraw.Draw(whole)
    for number, (colour, indented, text) in enumerate(wrapped):
        top = drawn.height + _GAP + number * _LINE
        if colour is not None:
            canvas.rectangle((_GAP, top + 2, _GAP + _FONT, top + 2 + _FONT), colour, _BLACK)
        left = _GAP + (patch if indented else 0)
        canvas.text((left, top), text, fill=_BLACK, font=font)
    return whole


def _wrapped(
    canvas: ImageDraw.ImageDraw,
    text: str,
    width: float,
    font: ImageFont.ImageFont | ImageFont.FreeTypeFont,
) -> Iterator[tuple[bool, str]]:
    """Break a text into lines of a width; tell which is the first."""
    line, first = "", True
    for word in text.split(" "):
        longer = f"{line} {word}" if line else word
        if line and canvas.textlength(longer, font=font) > width:
            yield first, line
            line, first = word, False
        else:
            line = longer
    yield first, line


@functools.cache
def _font() -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    """Give matplotlib's font, which has most alphabets; else the one that Pillow has."""
    found = importlib.util.find_spec("matplotlib")
    if found is not None and found.origin is not None:
        path = Path(found.origin).parent / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf"
        if path.is_file():
            return ImageFont.truetype(str(path), _FONT)
    return ImageFont.load_default(_FONT)
