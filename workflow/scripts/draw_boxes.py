"""Draw how well boxes are predicted, and write their page of scores."""

from _checkout import job

from foldbelt.report import (
    box_examples,
    calibration,
    confusion,
    decision_page,
    outputs,
    precision_recall,
    ranking,
    reliability,
)

with job(snakemake.log[0]):
    source, drawn = snakemake.input, snakemake.output
    boxed = outputs.read_boxes(source.oof, source.data, source.folds)
    five = boxed.truth, boxed.pred, boxed.names, boxed.labelled, boxed.groups
    curves = ranking.of_boxes(*five, snakemake.params.get("draws", 1000))
    curves = ranking.as_decided(curves, source.decision)
    cuts = [curve.cut for curve in curves.each]
    precision_recall.draw(curves, "box", drawn.precision_recall)
    reliability.draw(calibration.of_boxes(*five), "box", drawn.reliability)
    confusion.draw(boxed, drawn.confusion, cuts)
    for which in ("worst", "best"):
        box_examples.draw(boxed, cuts, source.data, which=which, out=drawn[which])
    decision_page.write(source.decision, drawn.scores)
