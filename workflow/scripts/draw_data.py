"""Draw the data and its folds."""

from foldbelt import store
from foldbelt.logs import job
from foldbelt.report import balance, data, pages

with job(snakemake.log[0]):
    source, drawn = snakemake.input, snakemake.output
    data.examples(source.train, drawn.examples)
    data.preprocessing(
        source.train,
        dict(zip(snakemake.params.recipes, source.channels, strict=True)),
        drawn.channels,
    )
    balance.balance(source.folds, source.train, drawn.balance, drawn.balance_table)
    checked = store.length(source.train) + store.length(source.test)
    pages.problems(source.problems, drawn.problems, checked)
