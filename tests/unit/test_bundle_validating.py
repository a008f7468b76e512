"""Labelled images that the run has never seen: what a bundle is worth there."""

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from bundles import SIZES, Tiny, changed
from chest_bundles import TinyChest
from click.testing import CliRunner

from foldbelt import bundle, competitions, metrics, raw_files, rle, store
from foldbelt.bootstrap import interval
from foldbelt.boxes import Boxes
from foldbelt.bundle.pipeline import Pipeline
from foldbelt.bundle.validating import describe
from foldbelt.cli.main import main
from foldbelt.files import InputError
from foldbelt.metrics import labels


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Tiny:
    made = Tiny(tmp_path_factory.mktemp("run"))
    made.write()
    return made


@pytest.fixture
def labelled(tiny, tmp_path) -> Path:
    """Images and masks of six sizes, without test images."""
    for part in ("images", "masks"):
        shutil.copytree(tiny.raw / part, tmp_path / "labelled" / part)
    return tmp_path / "labelled"


def test_masks_are_scored_as_the_run_scores_them_at_their_own_size(tiny, labelled, tmp_path):
    scores = bundle.validate(tiny.bundle, labelled, tmp_path / "out", device="cpu")
    bundle.predict(tiny.bundle, labelled / "images", tmp_path / "predicted", device="cpu")
    expected = []
    table = pd.read_csv(tmp_path / "predicted" / "masks.csv", keep_default_na=False)
    for row in table.itertuples():
        true = cv2.imread(str(labelled / "masks" / f"{row.id}.png"), cv2.IMREAD_UNCHANGED) > 0
        pred = rle.decode(row.rle, SIZES[row.id])
        pair = true[None, ..., None], pred[None, ..., None]
        expected.append(metrics.score_images(tiny.recipe["decision"]["metric"], *pair)[0])
    said = scores["outputs"]["masks"]
    assert 0 < np.mean(expected) < 1, "else this shows nothing"
    assert said["score"] == pytest.approx(np.mean(expected))
    assert said["interval"] == interval(expected)
    assert scores["images"] == scores["groups"] == len(SIZES)
    assert json.loads((tmp_path / "out" / "scores.json").read_text()) == scores
    each = pd.read_csv(tmp_path / "out" / "scores.csv")
    assert each["id"].tolist() == sorted(SIZES)
    assert each["object"].tolist() == pytest.approx(expected, abs=1e-6)
    empty = [not cv2.imread(str(path)).any() for path in (labelled / "masks").iterdir()]
    assert said["baseline"] == pytest.approx(np.mean(empty))


def test_it_goes_on_where_it_was_and_says_so_in_few_lines(tiny, labelled, tmp_path, monkeypatch):
    out = tmp_path / "out"
    first = bundle.validate(tiny.bundle, labelled, out, device="cpu")
    monkeypatch.setattr(Pipeline, "_predict", None)
    words = ["validate", *map(str, (tiny.bundle, labelled, out)), "--overlays"]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, done.output
    assert (
        f"on these images                  {first['outputs']['masks']['score']:.4f}" in done.output
    )
    assert "rough interval: 6 groups only" in done.output
    assert "the scores flatter" not in done.output
    assert len(list((out / "overlays").iterdir())) == len(list((out / "masks").iterdir())) == 6


def test_groups_are_those_of_the_run_s_folds(tiny, labelled, tmp_path):
    tiny.recipe["folds"]["base"]["group"] = "place"
    grouped = tiny.write(tmp_path / "grouped.zip")
    tiny.recipe["folds"]["base"]["group"] = None
    table = pd.DataFrame({"id": list(SIZES), "place": [*"xxyy", "", ""]})
    table.to_csv(labelled / "meta.csv", index=False)
    scores = bundle.validate(grouped, labelled, tmp_path / "out", device="cpu")
    assert (scores["images"], scores["groups"]) == (6, 4)
    assert scores["outputs"]["masks"]["interval"] is None
    assert "no interval: 4 groups, and it takes 5" in scores["notes"]


def test_images_that_show_nothing_are_scored_and_a_lost_group_is_told(tiny, labelled, tmp_path):
    for path in (labelled / "masks").iterdir():
        cv2.imwrite(str(path), np.zeros(SIZES[path.stem], np.uint8))
    tiny.recipe["folds"]["base"]["group"] = "place"
    grouped = tiny.write(tmp_path / "grouped.zip")
    tiny.recipe["folds"]["base"]["group"] = None
    scores = bundle.validate(grouped, labelled, tmp_path / "out", device="cpu")
    assert scores["outputs"]["masks"]["baseline"] == 1
    assert any(
        "grouped by place, of which these images have no column" in n for n in scores["notes"]
    )


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda root: (root / "masks/a.png").unlink(), r"(?s)images/a\.png: has no mask.*or take"),
        (lambda root: (root / "images/b.png").write_bytes(b"x"), r"images/b\.png"),
        (lambda root: shutil.rmtree(root), "there is no such folder of images"),
    ],
)
def test_what_cannot_be_read_stops_it_by_name(tiny, labelled, tmp_path, spoil, told):
    spoil(labelled)
    with pytest.raises(InputError, match=told):
        bundle.validate(tiny.bundle, labelled, tmp_path / "out", device="cpu")
    assert not (tmp_path / "out" / "scores.json").exists()


def test_the_images_of_the_run_itself_are_noticed(tiny, labelled, tmp_path):
    files = competitions.files("folder")(labelled, competitions.settings(tiny.recipe["data"]))
    digests = raw_files.digests(files, labelled, tmp_path)

    def trained_on(entries: dict[str, bytes]) -> None:
        manifest = json.loads(entries["manifest.json"]) | {"raw": {"train": digests["train"]}}
        entries["manifest.json"] = json.dumps(manifest).encode()

    known = changed(tiny.bundle, tmp_path / "known.zip", trained_on)
    scores = bundle.validate(known, labelled, tmp_path / "out", device="cpu")
    assert any("the scores flatter" in note for note in scores["notes"])


def test_labels_and_boxes_are_scored_as_the_run_scores_them(tmp_path, monkeypatch):
    chest = TinyChest(tmp_path / "run")
    chest.write()
    scores = bundle.validate(chest.bundle, chest.raw, tmp_path / "out", device="cpu")
    assert set(scores["outputs"]) == {"labels", "boxes"}
    table = store.table(chest.root / "train.h5")
    assert scores["groups"] == table["patient"].nunique() < scores["images"] == len(table)
    counts = table["boxes"] >= 0
    ids = table["id"][counts].tolist()
    truth = Boxes.from_bytes(store.read(chest.root / "train.h5", "boxes", ids))
    bundle.predict(chest.bundle, chest.raw / "train", tmp_path / "made", device="cpu")
    made = pd.read_csv(tmp_path / "made" / "boxes.csv").rename(columns={"id": "image"})
    made = made[made["image"].isin(ids) & made["class"].notna()]
    rows = [
        (name, "opacity", *box[1:5])
        for number, name in enumerate(ids)
        for box in truth.image(number).tolist()
    ]
    true = pd.DataFrame(rows, columns=["image", "class", "x1", "y1", "x2", "y2"])
    expected = metrics.mean_average_precision(true, made)
    assert scores["outputs"]["boxes"]["score"] == pytest.approx(expected, abs=1e-6)
    assert 0 < scores["outputs"]["labels"]["score"] <= 1
    monkeypatch.setattr(labels, "by_label", lambda *given: np.full(given[1].shape[1], np.nan))
    again = bundle.validate(chest.bundle, chest.raw, tmp_path / "out", device="cpu")
    assert again["outputs"]["labels"]["score"] is None, "all labels alike: nothing to rank"
    assert again["outputs"]["boxes"] == scores["outputs"]["boxes"]
    assert "on these images                  unknown" in describe(again)
