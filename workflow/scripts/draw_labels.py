"""Draw how well labels are predicted, and write their page of scores."""

from _checkout import job

from foldbelt.report import (
    calibration,
    confusion,
    decision_page,
    label_examples,
    outputs,
    precision_recall,
    ranking,
    reliability,
)

with job(snakemake.log[0]):
    source, drawn = snakemake.input, snakemake.output
    labels = outputs.read_labels(source.decision, source.oof, source.data, source.folds)
    three = labels.truth, labels.prob, labels.names
    curves = ranking.of_labels(*three, labels.groups, snakemake.params.get("draws", 1000))
    curves = ranking.as_decided(curves, source.decision)
    precision_recall.draw(curves, "label", drawn.precision_recall)
    reliability.draw(calibration.of_labels(*three, labels.groups), "label", drawn.reliability)
    confusion.draw(labels, drawn.confusion)
    for which in ("worst", "best"):
        label_examples.draw(labels, source.data, which=which, out=drawn[which])
    decision_page.write(source.decision, drawn.scores)
