"""Draw the data and its folds."""

from foldbelt import store
from foldbelt.logs import job
from foldbelt.report import balance, channels, examples, problems

with job(snakemake.log[0]):
    source, drawn = snakemake.input, snakemake.output
    examples.draw(source.train, drawn.examples)
    channels.draw(
        source.train,
        dict(zip(snakemake.params.recipes, source.channels, strict=True)),
        drawn.channels,
    )
    balance.draw(source.folds, source.train, drawn.balance, drawn.balance_table)
    checked = store.length(source.train) + store.length(source.test)
    problems.write(source.problems, drawn.problems, checked)
