"""Draw how good labels and boxes are that were decided together, and write their page of scores."""

from _checkout import job

from foldbelt.files import in_turn
from foldbelt.report import gains, joint_page, outputs, parts, precision_recall, ranking

with job(snakemake.log[0]):
    source, drawn, given = snakemake.input, snakemake.output, snakemake.params
    labels, boxed = outputs.read_joint(source.decision, source.oof, source.data, source.folds)
    boxes = (boxed.truth, boxed.pred, boxed.names, boxed.labelled) if boxed else None
    three = labels.truth, labels.prob, labels.names
    curves = ranking.of_both(three, boxes, labels.groups, given.draws)
    curves = ranking.as_decided(curves, source.decision)
    precision_recall.draw(curves, "class", drawn.precision_recall)
    parts.draw(source.decision, drawn.parts)
    added = []
    for output, blend in zip(given.outputs, source.blends, strict=True):
        numbers = {name: len(folds) for name, folds in given.members[output].items()}
        members = in_turn(source[output], numbers)
        about = blend, source.data, source.folds, given.settings[output], given.draws
        added += gains.of_members(output, members, *about)
    joint_page.write(source.decision, source.scores, curves, drawn.scores, added)
