"""Draw how good labels and boxes are that were decided together, and write their page of scores."""

from _checkout import job

from foldbelt.report import joint_page, outputs, parts, precision_recall, ranking

with job(snakemake.log[0]):
    source, drawn = snakemake.input, snakemake.output
    labels, boxed = outputs.read_joint(source.decision, source.oof, source.data, source.folds)
    boxes = (boxed.truth, boxed.pred, boxed.names, boxed.labelled) if boxed else None
    three = labels.truth, labels.prob, labels.names
    curves = ranking.of_both(three, boxes, labels.groups, snakemake.params.draws)
    precision_recall.draw(curves, "class", drawn.precision_recall)
    parts.draw(source.decision, drawn.parts)
    joint_page.write(source.decision, source.scores, curves, drawn.scores)
