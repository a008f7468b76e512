"""The tables of labels and of boxes that a run writes, in the forms in which truth is read."""

import csv
import math
from collections.abc import Sequence
from io import StringIO

import numpy as np

from foldbelt.boxes import XYXY, Boxes

_DIGITS = 6  # decimals of a probability or a score


def write_labels(ids: Sequence[str], prob: np.ndarray, names: Sequence[str]) -> str:
    """Write the table of labels: id and one column of probabilities a label, sorted by id.

    Parameters
    ----------
    ids
        Of the N images.
    prob
        (N, L) float in [0, 1]; NaN, where nobody predicts, becomes an empty cell.
    names
        Of the L labels.

    Returns
    -------
    str
        A csv with six decimals, which `data.label` with `columns` reads.
    """
    order = sorted(range(len(ids)), key=lambda row: ids[row])
    lines = [_line(["id", *names])]
    for row in order:
        numbers = np.asarray(prob[row], np.float64).tolist()
        lines.append(
            _line(
                [
                    ids[row],
                    *("" if math.isnan(number) else f"{number:.{_DIGITS}f}" for number in numbers),
                ]
            )
        )
    return "".join(lines)


def write_boxes(ids: Sequence[str], boxes: Boxes, names: Sequence[str]) -> str:
    """Write the table of boxes: id, class, x1, y1, x2, y2, score.

    Images are sorted by id, boxes of an image by falling score, then by class and place. An image
    without a box has one row with nothing but its id, so that every image is in the table.

    Parameters
    ----------
    ids
        Of the N images.
    boxes
        Of these images, at their original size.
    names
        Of the classes.

    Returns
    -------
    str
        A csv with two decimals of a pixel and six of a score, which `data.boxes` reads. A box so
        thin that nothing would be left of it is written a hundredth of a pixel wide.
    """
    lines = [_line(["id", "class", *XYXY, "score"])]
    for row in sorted(range(len(ids)), key=lambda row: ids[row]):
        rows = [_written(box, names) for box in boxes.image(row).astype(np.float64).tolist()]
        rows.sort(key=lambda cells: (-float(cells[-1]), *cells[:1], *map(float, cells[1:-1])))
        lines += [_line([ids[row], *cells]) for cells in rows or [[""] * 6]]
    return "".join(lines)


def _written(box: Sequence[float], names: Sequence[str]) -> list[str]:
    """Give the cells class, x1, y1, x2, y2, score of a box."""
    kind, *corners, score = box
    hundredths = [round(corner * 100) for corner in corners]
    for side in (0, 1):
        hundredths[side + 2] = max(hundredths[side + 2], hundredths[side] + 1)
    return [names[int(kind)], *(f"{n / 100:.2f}" for n in hundredths), f"{score:.{_DIGITS}f}"]


def _line(cells: Sequence[str]) -> str:
    """Write one line of a csv; a cell with a comma or a quote is quoted."""
    text = StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue()
