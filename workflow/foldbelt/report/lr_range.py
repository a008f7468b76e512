"""The figure of a learning-rate range test (Smith 2017: Cyclical Learning Rates)."""

import pandas as pd

from foldbelt.files import PathLike
from foldbelt.report import style


def draw(*, rates: PathLike, out: str) -> None:
    """Draw the loss over the learning rates tried, and the rate that they suggest.

    Parameters
    ----------
    rates
        The csv that :mod:`foldbelt.train.lr_range` writes: step, lr, loss, smoothed.
    out
        The figure.
    """
    table = pd.read_csv(rates, keep_default_na=False)
    lowest = table["lr"].iloc[int(table["smoothed"].argmin())]
    tenth = table["lr"][table["suggestion"].str.contains("tenth")]
    if len(tenth):
        title = f"Take about {tenth.iloc[0]:.1g} as the highest learning rate"
    else:
        title = "The loss never falls: no rate can be suggested"
    title += (
        f"\nA tenth of {lowest:.2g}, at which the smoothed loss is lowest: beyond, training "
        "becomes unstable. One update a step, the rate rising from step to step."
    )
    with style.figure(out, title, 7.5, 4) as figure:
        axes = figure.add_subplot()
        axes.plot(table["lr"], table["loss"], color=style.PALE, label="loss of a step")
        axes.plot(table["lr"], table["smoothed"], color=style.BLUE, linewidth=2, label="smoothed")
        for rate in tenth:
            axes.axvline(rate, color=style.RED, linestyle=(0, (4, 2)), label="suggested")
        axes.set_xscale("log")
        axes.set_ylim(0, 1.5 * table["smoothed"].iloc[0])  # what comes after the minimum soars
        axes.set_xlabel("learning rate")
        axes.set_ylabel("training loss")
        axes.legend()
