"""What was tried in the selection of the decision's parts, and what each of them brought."""

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
    """Draw the differences that the candidates made, the first on top.

    Parameters
    ----------
    decision
        decision/round{r}.json.
    out
        An SVG.
    """
    decided = load(decision)
    candidates = [
        candidate for candidate in decided.selection if candidate["difference"] is not None
    ]
    if not candidates:
        style.message(out, "Nothing but the pixel threshold was searched")
        return
    kept = [_NAMES.get(r["step"], f"+ {r['step']}") for r in candidates if r["kept"]]
    title = (
        f"Kept for the submission: "
        f"{', '.join(name.removeprefix('+ ') for name in kept) or 'the threshold alone'}\n"
        f"Leave-one-fold-out differences; bars: {percent()} intervals over groups. They chose what "
        f"is kept, so they flatter: of {decided.selection[0]['score']:.4f} with the threshold "
        f"alone they make {max(r['score'] for r in decided.selection if r['kept']):.4f}. Chosen "
        f"anew without each fold, the decision scores {decided.score:.4f}."
    )
    with style.figure(out, title, 8.5, 1.3 + 0.42 * len(candidates)) as figure:
        axes = figure.add_subplot()
        axes.axvline(0, color=style.BLACK, linewidth=1)
        for place, candidate in enumerate(candidates):
            colour = style.BLUE if candidate["kept"] else style.GREY
            if candidate["interval"] is not None:
                axes.plot(candidate["interval"], [place] * 2, color=colour, linewidth=3, alpha=0.5)
            marker = "o" if candidate["kept"] else "X"
            axes.plot(candidate["difference"], place, marker, color=colour, markersize=8)
            text = style.signed(candidate["difference"], 4) + (
                "" if candidate["kept"] else ", left out"
            )
            axes.annotate(text, (1.01, place), xycoords=("axes fraction", "data"), va="center")
        names = [
            _NAMES.get(candidate["step"], f"+ {candidate['step']}") for candidate in candidates
        ]
        axes.set_yticks(range(len(candidates)), names)
        axes.set_ylim(len(candidates) - 0.5, -0.5)
        axes.set_xlabel("difference to the score before")
        axes.grid(visible=False, axis="y")
