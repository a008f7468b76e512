"""What jobs say, which goes both to their log file and to the terminal.

Nothing here can change a result, so it counts in no fingerprint (`foldbelt.provenance`).
"""

import contextlib
import math
import sys
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TextIO

from foldbelt.files import InputError, PathLike


class _Tee:
    """Write to several streams, line by line: a killed job's log still has its last epoch."""

    def __init__(self, *streams: TextIO) -> None:
        self.streams = streams

    def write(self, text: str) -> int:
        for stream in self.streams:
            stream.write(text)
            stream.flush()
        return len(text)

    def flush(self) -> None:
        for stream in self.streams:
            stream.flush()

    def isatty(self) -> bool:
        return False


def epoch_line(row: Sequence[float], epochs: int, metric: str, speed: float, left: int) -> str:
    """Word what a training says after an epoch.

    Parameters
    ----------
    row
        epoch, learning rate, loss of training, and loss and metric of validation (NaN without one).
    epochs
        Of the stage.
    metric
        Its name.
    speed
        Images a second.
    left
        Seconds.

    Examples
    --------
    >>> epoch_line([2, 0.01, 0.5, 0.4, 0.9], 8, "salt_score", 212.3, 75)
    'epoch 2/8  lr 1.00e-02  train 0.5000  valid 0.4000  salt_score 0.9000  212 images/s  1:15 left'
    """
    valid = "" if math.isnan(row[3]) else f"  valid {row[3]:.4f}  {metric} {row[4]:.4f}"
    return (
        f"epoch {int(row[0])}/{epochs}  lr {row[1]:.2e}  train {row[2]:.4f}{valid}  "
        f"{speed:.0f} images/s  {left // 60}:{left % 60:02d} left"
    )


CURES = {
    "mask": "crops of large images that hold objects (stages.*.crop with positive), Dice of images "
    "with a mask alone (loss.dice.empty: skip), a prior for rare classes "
    "(architecture.prior), more "
    "images with a mask (sampler), a larger channels.*.size, more epochs",
    "label": "more epochs, a larger channels.*.size, pretrained weights (architecture.weights)",
    "box": "more epochs, a larger channels.*.size, levels that fit the boxes (architecture.levels)",
}
"""Output → the keys that usually help where nothing is learnt."""


def unlearnt(output: str, metric: str, score: float, constant: float) -> str:
    """Word that a model is no better than what says the same of every image.

    Examples
    --------
    >>> unlearnt("box", "map", 0.0, 0.0)[:74]
    'Beware: nothing learnt yet: map 0.0000, and 0.0000 for finding no box. Wha'
    """
    same = {"mask": "empty masks", "label": "the same for every image", "box": "finding no box"}
    return (
        f"Beware: nothing learnt yet: {metric} {score:.4f}, and {constant:.4f} for {same[output]}. "
        f"What usually helps: {CURES[output]}. `foldbelt init` proposes such keys."
    )


@contextlib.contextmanager
def job(log: PathLike) -> Iterator[None]:
    """Run a job's body with its output copied to `log`.

    An InputError is for the user to correct: the job ends with its message alone. Any other error
    shows its traceback.

    Parameters
    ----------
    log
        The log file; an old one is overwritten.

    Raises
    ------
    SystemExit
        With status 1 if the body raised.
    """
    Path(log).parent.mkdir(parents=True, exist_ok=True)
    with open(log, "w", encoding="utf-8") as file:
        out, err = _Tee(sys.stdout, file), _Tee(sys.stderr, file)
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                yield
            except InputError as error:
                print(f"Error: {error}", file=sys.stderr)
                raise SystemExit(1) from None
            except Exception:
                traceback.print_exc()
                raise SystemExit(1) from None
