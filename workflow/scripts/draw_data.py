"""Draw the data and its folds."""

from _checkout import job

from foldbelt.report import balance, channels, examples, problems
from foldbelt.store import length

with job(snakemake.log[0]):
    source, drawn = snakemake.input, snakemake.output
    examples.draw(source.train, drawn.examples)
    channels.draw(
        source.train,
        dict(zip(snakemake.params.recipes, source.channels, strict=True)),
        drawn.channels,
    )
    balance.draw(source.folds, source.train, drawn.balance, drawn.balance_table)
    checked = length(source.train) + length(source.test)
    problems.write(source.problems, drawn.problems, checked, source.numbers)
