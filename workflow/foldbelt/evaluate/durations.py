"""How long the jobs of a run took."""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from foldbelt.files import InputError, PathLike


def seconds(benchmarks: Iterable[PathLike]) -> dict[str, float]:
    """Add up the wall time of the jobs of each rule.

    Parameters
    ----------
    benchmarks
        Snakemake's benchmark files (tab-separated, column ``s``), below ``benchmarks/<rule>/``.

    Returns
    -------
    dict
        Rule → seconds, in order of the names.
    """
    total: dict[str, float] = {}
    for path in sorted(map(Path, benchmarks)):
        _, _, place = path.as_posix().rpartition("/benchmarks/")
        rule = place.partition("/")[0]
        table = pd.read_csv(path, sep="\t")
        if "s" not in table:
            raise InputError(f"{path}: is no benchmark file, it has no column s. Delete it.")
        total[rule] = total.get(rule, 0.0) + float(pd.to_numeric(table["s"], "coerce").sum())
    return {rule: round(value, 3) for rule, value in sorted(total.items())}
