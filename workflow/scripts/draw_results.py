"""Draw scores, thresholds, and the best and worst images."""

from _checkout import job

from foldbelt.report import (
    best_worst,
    classes,
    score_by,
    scores,
    scores_page,
    selection,
    threshold,
)

with job(snakemake.log[0]):
    source, drawn = snakemake.input, snakemake.output
    scores.draw(source.scores, drawn.scores)
    scores_page.write(source.scores, drawn.table)
    selection.draw(decision=source.decisions[-1], out=drawn.selection)
    decisions = dict(zip(snakemake.params.rounds, source.decisions, strict=True))
    names = classes.mask_names(source.data, classes.count(source.data))
    threshold.draw(decisions, drawn.threshold, names)
    last = source.decisions[-1]
    for which in ("worst", "best"):
        best_worst.draw(
            source.oof,
            source.data,
            last,
            source.folds,
            which=which,
            out=drawn[which],
            mosaic=source.get("mosaic") or None,
        )
    draws = snakemake.params.draws
    score_by.draw(source.oof, source.data, last, source.folds, drawn.score_by, draws)
