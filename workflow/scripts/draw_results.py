"""Draw scores, thresholds, and the best and worst images."""

from foldbelt.logs import job
from foldbelt.report import classes, ladder, pages, results

with job(snakemake.log[0]):
    source, drawn = snakemake.input, snakemake.output
    results.scores(source.scores, drawn.scores)
    pages.scores(source.scores, drawn.table)
    ladder.run(decision=source.decisions[-1], out=drawn.ladder)
    decisions = dict(zip(snakemake.params.rounds, source.decisions, strict=True))
    names = classes.mask_names(source.data, classes.count(source.data))
    results.threshold_curve(decisions, drawn.threshold, names)
    last = source.decisions[-1]
    for which in ("worst", "best"):
        results.tiles(
            source.oof,
            source.data,
            last,
            source.folds,
            which=which,
            out=drawn[which],
            mosaic=source.get("mosaic") or None,
        )
    results.score_by(source.oof, source.data, last, source.folds, drawn.score_by)
