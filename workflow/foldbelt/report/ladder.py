"""The ladder of the decision: what each of its parts brought."""

from foldbelt.bootstrap import percent
from foldbelt.decide import load
from foldbelt.files import PathLike
from foldbelt.report import style

_NAMES = {
    "threshold": "pixel threshold",
    "min_area": "+ minimum area",
    "min_component": "+ minimum component",
    "gate": "+ gate",
    "one for all": "+ one set for all classes",
    "components": "+ small components removed",
    "holes": "+ holes filled",
    "crf": "+ dense CRF",
    "jigsaw": "+ jigsaw rules",
}


def draw(*, decision: PathLike, out: str) -> None:
    """Draw the differences that the rungs made, the first on top.

    Parameters
    ----------
    decision
        decision/round{r}.json.
    out
        An SVG.
    """
    found = load(decision)
    rungs = [rung for rung in found.ladder if rung["difference"] is not None]
    if not rungs:
        style.message(out, "Nothing but the pixel threshold was searched")
        return
    kept = [_NAMES.get(r["step"], f"+ {r['step']}") for r in rungs if r["kept"]]
    title = (
        f"From {found.ladder[0]['score']:.4f} with the threshold alone to {found.score:.4f}\n"
        f"Kept: {', '.join(name.removeprefix('+ ') for name in kept) or 'nothing else'}. "
        f"Leave-one-fold-out; bars: {percent()} intervals over groups. What is kept was "
        "chosen by these very scores, so an interval that reaches zero promises little."
    )
    with style.figure(out, title, 8.5, 1.3 + 0.42 * len(rungs)) as figure:
        axes = figure.add_subplot()
        axes.axvline(0, color=style.BLACK, linewidth=1)
        for place, rung in enumerate(rungs):
            colour = style.BLUE if rung["kept"] else style.GREY
            axes.plot(rung["interval"], [place] * 2, color=colour, linewidth=3, alpha=0.5)
            marker = "o" if rung["kept"] else "X"
            axes.plot(rung["difference"], place, marker, color=colour, markersize=8)
            text = style.signed(rung["difference"], 4) + ("" if rung["kept"] else ", left out")
            axes.annotate(text, (1.01, place), xycoords=("axes fraction", "data"), va="center")
        names = [_NAMES.get(rung["step"], f"+ {rung['step']}") for rung in rungs]
        axes.set_yticks(range(len(rungs)), names)
        axes.set_ylim(len(rungs) - 0.5, -0.5)
        axes.set_xlabel("difference to the score before")
        axes.grid(visible=False, axis="y")
