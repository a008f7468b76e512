"""The file with all scores."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from settings_of import blend_settings, decision_settings
from test_decide import SPACE, store_run

from foldbelt import bootstrap, decide, metrics, rle, store
from foldbelt.ensemble import blend
from foldbelt.evaluate import class_scores, scores, summary
from foldbelt.files import InputError

SPEC = {"metric": "salt_score", "space": SPACE, "bootstrap": 100}


def finished(root):
    """Two models, two rounds (the second the same, so that its gain is nil), eight test images."""
    common, _, truth, _, _ = store_run(root, seed=6)
    rest = {key: common[key] for key in ("data", "folds")}
    weights = str(root / "weights.json")
    spec = {"search": True, "mean": "probability", "step": 0.5}
    blend.run_oof(
        **common,
        settings=blend_settings(spec),
        metric="salt_score",
        out=str(root / "o.h5"),
        weights=weights,
    )
    decisions = {number: str(root / f"round{number}.json") for number in (0, 1)}
    for path in decisions.values():
        decide.run(**common, weights=weights, settings=decision_settings(SPEC), seed=1, out=path)
    random = np.random.default_rng(0)
    names = [f"x{i}" for i in range(8)]
    hidden = random.random((8, 8, 9)) < 0.5
    hidden[:3] = False
    prob = np.clip(100 * hidden + random.integers(0, 120, hidden.shape), 0, 255).astype(np.uint8)
    table = pd.DataFrame({"id": names})
    store.write(root / "test.h5", {"image": prob}, table=table)
    label = random.random((8, 1)).astype(np.float32)
    store.write(root / "blend.h5", {"prob": prob[::-1], "label_prob": label}, table=table[::-1])
    runs = pd.DataFrame({"id": [*names, "more"], "rle_mask": [*map(rle.encode, hidden), "1 2"]})
    runs.sample(frac=1, random_state=0).to_csv(root / "truth.csv", index=False)
    for rule, name in (("train", "a/fold0.txt"), ("train", "b.txt"), ("fold", "all.txt")):
        path = root / "benchmarks" / rule / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("s\th:m:s\tmax_rss\n1.5\t0:00:01\t-\n")
    members = {f"{m}/round{r}": paths for r in (1, 0) for m, paths in common["members"].items()}
    arguments = {
        "members": members,
        "decisions": decisions,
        **rest,
        "settings": decision_settings(SPEC),
        "seed": 1,
        "truth": str(root / "truth.csv"),
        "test": str(root / "test.h5"),
        "blend_test": str(root / "blend.h5"),
        "select": {"m0": ["last"], "m1": ["last"]},
        "benchmarks": sorted((root / "benchmarks").rglob("*.txt")),
        "out": str(root / "scores.json"),
    }
    return arguments, truth, hidden, prob, label[::-1]


def test_every_score(tmp_path):
    arguments, truth, hidden, prob, label = finished(tmp_path)
    scores.run(**arguments)
    first = (tmp_path / "scores.json").read_bytes()
    found = json.loads(first)
    last = decide.load(arguments["decisions"][1])
    assert found["rounds"] == [last.score, last.score]
    assert found["score"] == last.score
    assert found["interval"] == last.interval
    assert found["optimistic"] == last.optimistic
    assert found["baseline"] == metrics.salt_score(truth, 0 * truth).mean()
    assert 0 < found["baseline"] < found["score"]
    assert sorted(found["members"]) == ["m0/round0", "m0/round1", "m1/round0", "m1/round1"]
    rest = (arguments["data"], arguments["folds"], decision_settings(SPEC), 1)
    one = decide.search_alone(arguments["members"]["m1/round0"], *rest)
    assert found["members"]["m1/round0"] == one.score
    assert found["member_intervals"]["m1/round0"] == one.interval
    masks = decide.apply(prob, last, label)
    assert found["hidden"] == pytest.approx(metrics.salt_score(hidden, masks).mean())
    assert found["select"] == {"m0": ["last"], "m1": ["last"]}
    assert found["seconds"] == {"fold": 1.5, "train": 3.0}
    assert found["images"] == 48
    by_pair = {(row["of"], row["over"]): row for row in found["differences"]}
    assert by_pair["blend, round 1", "blend, round 0"]["difference"] == 0
    best = max(("m0/round1", "m1/round1"), key=found["members"].get)
    member = decide.search_alone(arguments["members"][best], *rest)
    groups = last.images["group"]
    expected = bootstrap.paired(last.images["score"], member.images["score"], groups, 100, 1)
    row = by_pair["blend, round 1", best]
    assert (row["difference"], row["interval"]) == expected
    scores.run(**arguments)
    assert (tmp_path / "scores.json").read_bytes() == first


def test_it_is_said_where_the_product_is_no_better_than_before_or_than_nothing():
    rounds = [decide.Decision({}, score=score) for score in (0.5, 0.7, 0.6)]
    (note,) = scores._worse(rounds, np.array([0.2, 0.4]), {})
    assert "less than round 1 (0.6000, 0.7000)" in note
    assert "pseudo.rounds: 1" in note
    assert scores._worse(rounds[:2], np.array([0.2]), {}) == []
    assert scores._worse(rounds[:2] + rounds[1:2], np.array([0.2]), {}) == []
    (note,) = scores._worse(rounds[:2], np.array([0.7]), {})
    assert "empty" in note


def test_notes_tell_leaks_worse_rounds_and_ends_of_the_grid(tmp_path):
    arguments, *_ = finished(tmp_path)
    last = decide.load(arguments["decisions"][1])
    end = {"class": 0, "name": "threshold", "value": 0.7, "end": "largest", "gain": 0.1}
    changed = dataclasses.replace(last, score=last.score - 1e-3, ends=[end])
    decide.save(changed, arguments["decisions"][1])
    scores.run(**arguments, notes=["a leak"])
    leak, member, worse, grid, groups = json.loads((tmp_path / "scores.json").read_text())["notes"]
    assert leak == "a leak"
    assert "less than round 0" in worse
    assert member.startswith("the blend, which is submitted, scores less than m")
    assert "decision.space.threshold: the best value, 0.7" in grid
    assert groups.startswith("rough interval")


def test_a_run_is_described_in_lines(tmp_path):
    arguments, *_ = finished(tmp_path)
    known = pd.read_csv(arguments["folds"], dtype={"id": str})["id"]
    test = [f"x{i}" for i in range(8)]
    rows = pd.DataFrame({"id": [*known, *test], "part": ["train"] * len(known) + ["test"] * 8})
    rows["test_likeness"] = np.random.default_rng(0).uniform(0.2, 0.6, len(rows))
    rows.to_csv(tmp_path / "likeness.csv", index=False)
    scores.run(**arguments, notes=["a leak"], likeness=str(tmp_path / "likeness.csv"))
    found = json.loads((tmp_path / "scores.json").read_text())
    lines = summary.describe(tmp_path / "scores.json").splitlines()
    assert lines[0] == f"salt_score of the run {tmp_path.name}"
    for words, value in (
        ("leave-one-fold-out", found["score"]),
        ("optimistic, for comparison", found["optimistic"]),
        ("on the hidden truth of the test", found["hidden"]),
        ("as if drawn like the test images", found["like_test"]["score"]),
        ("m1/round0", found["members"]["m1/round0"]),
    ):
        assert [line.split(f"{value:.4f}")[0].strip() for line in lines].count(words) == 1
    assert lines[-len(found["notes"]) :] == [f"  note: {note}" for note in found["notes"]]


@pytest.mark.parametrize("arguments", [[], ["none/scores.json"]])
def test_asked_for_no_scores_it_says_how_to_ask(tmp_path, arguments):
    command = [sys.executable, "-m", "foldbelt.evaluate", *arguments]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1
    assert "Say python -m foldbelt.evaluate results/<run>/scores.json" in done.stderr
    assert "Traceback" not in done.stderr


def test_without_hidden_truth_or_benchmarks(tmp_path):
    arguments, *_ = finished(tmp_path)
    scores.run(**{**arguments, "truth": None, "benchmarks": []})
    found = json.loads((tmp_path / "scores.json").read_text())
    assert found["hidden"] is None
    assert found["seconds"] == {}


def test_baseline_leaves_ignored_pixels_out(tmp_path):
    mask = np.zeros((3, 4, 4), np.uint8)
    mask[1:, 0, 0] = 1
    ignore = np.zeros_like(mask)
    ignore[1, 0, 0] = 1
    table = pd.DataFrame({"id": ["a", "b", "c"]})
    store.write(tmp_path / "train.h5", {"mask": mask, "ignore": ignore}, table=table)
    areas = class_scores.true_areas(tmp_path / "train.h5", ["c", "b", "a"])
    assert class_scores.all_empty(areas, "salt_score").tolist() == [[0], [1], [1]]


def test_a_test_image_without_truth_is_named(tmp_path):
    arguments, *_ = finished(tmp_path)
    table = pd.read_csv(arguments["truth"], keep_default_na=False)
    table[~table["id"].isin(["x2", "x5"])].to_csv(arguments["truth"], index=False)
    with pytest.raises(InputError, match=r"(?s)x2.*x5"):
        scores.run(**arguments)


def test_the_hidden_score_is_that_of_the_submission(tmp_path):
    """Images that could not be read are submitted as empty, and count."""
    arguments, *_ = finished(tmp_path)
    scores.run(**arguments)
    before = json.loads((tmp_path / "scores.json").read_text())["hidden"]
    prob, table = store.read(arguments["test"], "image"), store.table(arguments["test"])
    store.write(arguments["test"], {"image": prob}, table, {"dropped": ["more"]})  # a pixel is on
    scores.run(**arguments)
    after = json.loads((tmp_path / "scores.json").read_text())["hidden"]
    assert after == pytest.approx(before * 8 / 9)


def test_a_tile_named_na_has_neighbours(tmp_path):
    mosaic = pd.DataFrame({"id": ["NA", "b"], "tile": [0, 1], "mosaic": [0, 0]})
    mosaic.assign(row=[0, 0], column=[0, 1]).to_csv(tmp_path / "mosaic.csv", index=False)
    arrays = {"image": np.zeros((2, 4, 4), np.uint8), "mask": np.ones((2, 4, 4), np.uint8)}
    store.write(tmp_path / "train.h5", arrays, table=pd.DataFrame({"id": ["NA", "b"]}))
    data = tmp_path / "train.h5"
    around = decide.Surroundings(data, data, tmp_path / "mosaic.csv")
    (found,) = around.of(["NA"], [(4, 4)], ["neighbours"])
    assert found["neighbours"]["right"].all()


def _boxes(**more: Any) -> dict[str, Any]:
    """Give the scores of boxes, as `foldbelt.evaluate.outputs.of_rounds` describes them."""
    scores = {
        "metric": "mean_average_precision",
        "score": 0.25,
        "interval": [0.2, 0.3],
        "optimistic": 0.26,
        "baseline": 0.0,
        "members": {"det": 0.21, "part": 0.22},
        "classes": {"disc": 0.25, "never": None},
        "coverage": {"det": 1.0, "part": 0.5},
        "images": 60,
        "groups": 20,
        "rounds": [0.23, 0.25],
        "notes": ["part predicted 50% of the images"],
    }
    return scores | more


def test_scores_without_masks_are_told_in_words(tmp_path: Path) -> None:
    labels = _boxes(metric="log_loss", classes={"view": 0.6}, members={"cls": 0.7}, interval=None)
    content = _boxes() | {"output": "labels", "outputs": {"boxes": _boxes(), "labels": labels}}
    path = tmp_path / "scores.json"
    path.write_text(json.dumps(content))
    lines = summary.describe(path).splitlines()
    first, second = (n for n, line in enumerate(lines) if " of the run " in line)
    assert lines[first].startswith("log_loss of the labels")
    assert lines[second].startswith("mean_average_precision of the boxes")
    told = {line.rpartition("  (")[0] or line: line for line in lines[second:]}
    assert "  leave-one-fold-out               0.2500" in told
    assert "0.2000 to 0.3000" in told["  leave-one-fold-out               0.2500"]
    assert "  class never                      unknown" in told
    assert "of 50% of the images" in told["  part                             0.2200"]
    assert "  round 1                          0.2500" in told
    assert lines[-1] == "  note: part predicted 50% of the images"
    assert sum("note:" in line for line in lines) == 1
    assert any(line.startswith("  label view ") for line in lines[first:second])
