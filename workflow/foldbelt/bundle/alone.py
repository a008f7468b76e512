"""`predict.py` of a bundle: the command `foldbelt predict`, with nothing but the standard library.

`program` is that file itself; here is what it calls once foldbelt's code is checked.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from foldbelt.bundle.command import DEVICES, run
from foldbelt.bundle.predicting import Step
from foldbelt.files import InputError, PathLike, words_of

_EVERY = 10.0  # seconds between lines, where no terminal shows one line that changes
_OFTEN = 0.1  # seconds between its changes
_REST = "\x1b[K"  # has a terminal clear the rest of its line


def main(bundle: PathLike, words: Sequence[str] | None = None) -> int:
    """Predict the images that a command line names.

    Parameters
    ----------
    bundle
        The zip file, or the folder that it was unpacked to.
    words
        Of the command line; None: those of this process.

    Returns
    -------
    int
        0, or 1 where something given cannot be used: the message says what and what to do. Where
        the command is called in a wrong way, argparse ends the process with 2.
    """
    given = _parser().parse_args(words)
    try:
        said = run(
            bundle,
            given.images,
            given.out,
            device=given.device,
            cpu_threads=given.threads,
            sample=given.sample,
            table=given.table,
            overlays=given.overlays,
            progress=Progress(),
        )
    except InputError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"Error: {words_of(error)}", file=sys.stderr)
        return 1
    print(said)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="predict.py",
        description="Predict all images in the folder IMAGES, and write what the run decides on to "
        "the folder OUT: masks/ (PNG), masks.csv (run lengths), labels.csv, boxes.csv; and "
        "problems.csv. Stopped and repeated, it goes on where it was.",
    )
    parser.add_argument("images", metavar="IMAGES")
    parser.add_argument("out", metavar="OUT")
    parser.add_argument("--device", choices=list(DEVICES), default="auto", help="where to compute")
    parser.add_argument("--threads", type=_positive, help="compute threads on a CPU; the last "
                        "digits depend on them (default: as the run had)")  # fmt: skip
    parser.add_argument("--sample", type=Path, help="a folder with the competition's sample "
                        "submission: submission.csv is written in its form")  # fmt: skip
    parser.add_argument("--table", type=Path, help="a csv with id, and what channels need to know "
                        "of every image, such as its depth")  # fmt: skip
    parser.add_argument("--overlays", action="store_true", help="also draw what is predicted over "
                        "the images, into overlays/")  # fmt: skip
    return parser


def _positive(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 5 and 0 < int(text) <= 4096):
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1 to 4096")
    return int(text)


class Progress:
    """Tells how far it is and how long it takes still: a line that changes, or one now and then."""

    def __init__(self) -> None:
        self._told = self._last = 0.0
        self._new, self._busy = 0, 0.0

    def __call__(self, step: Step) -> None:
        """Note how far it is. Images that were done before take no time."""
        now, shows = time.monotonic(), sys.stderr.isatty()
        if not step.done:
            self._told, self._busy = now - _EVERY, 0.0
        elif step.new > self._new:
            self._busy += now - self._last
        self._last, self._new = now, step.new
        if step.done < step.total and now - self._told < (_OFTEN if shows else _EVERY):
            return
        self._told = now
        line, end = self._line(step), "" if shows and step.done < step.total else "\n"
        print(f"\r{line}{_REST}" if shows else line, end=end, file=sys.stderr, flush=True)

    def _line(self, step: Step) -> str:
        place = f"{step.done} of {step.total}"
        line = f"drawing {place}" if step.drawing else f"{place} images"
        if not step.new:
            return line
        each = self._busy / step.new
        return f"{line}, {each:.3f} s each, {_time((step.total - step.done) * each)} left"


def _time(seconds: float) -> str:
    """Write a time.

    Examples
    --------
    >>> _time(4.2), _time(75), _time(7260)
    ('4 s', '1 min 15 s', '2 h 1 min')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
