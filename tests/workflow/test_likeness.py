"""The test-likeness is made where the config names it, and reaches who asked."""

import json
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from running import TINY, Run

FIRST = {
    "base": {"count": 2, "stratify": ["empty"], "group": None, "first_fold_by": "test_likeness"}
}


@pytest.mark.parametrize(
    ("more", "asks"),
    [
        ({}, None),
        ({"adversarial": {"enabled": True}}, "Score"),
        ({"folds": FIRST}, "Split"),
        ({"pseudo": {**TINY["pseudo"], "order": "test_likeness", "max_images": 9}}, "Admit"),
    ],
)
def test_the_stage_is_planned_for_who_asks_alone(
    tmp_path: Path, more: dict[str, Any], asks: str | None
) -> None:
    """`asks`: the first word of the message of the rule that reads adversarial.csv."""
    output = Run(tmp_path, {**TINY, **more}).snakemake("--dry-run")
    reasons = re.findall(r"^Job \d+: (\w+) .*\nReason: (.*)$", output, re.M)
    found = {verb for verb, reason in reasons if "adversarial.csv" in reason}
    # Judged, drawn, and among what the whole run asks for.
    assert found == ({"Tell", "Draw", "Every", asks} if asks else set())
    report = [reason for verb, reason in reasons if verb == "Gather"]
    assert ["figures/adversarial.png" in reason for reason in report] == [asks is not None]


def test_fold_0_is_like_the_test_images(tmp_path: Path) -> None:
    run = Run(tmp_path, {**TINY, "folds": FIRST})
    run.snakemake("--", "adversarial", "folds")
    likeness = pd.read_csv(run.results / "adversarial.csv", dtype={"id": str})
    folds = pd.read_csv(run.results / "folds" / "base.csv", dtype={"id": str})
    joined = folds.merge(likeness[likeness["part"] == "train"], on="id", validate="1:1")
    assert len(joined) == len(folds)
    by_fold = joined.groupby("fold")["test_likeness"]
    assert by_fold.mean()[0] > by_fold.mean()[1] + 0.05
    found = json.loads((run.results / "adversarial.json").read_text())
    assert found["images"] == likeness["part"].value_counts().to_dict()
    assert found["interval"][0] < 0.5, "both parts are alike"
    assert (run.results / "figures" / "adversarial.png").stat().st_size > 20_000
