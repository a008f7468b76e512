"""A bundle gives labels and boxes, and what is decided of both together, as its run would."""

import hashlib
import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from bundles import changed
from chest_bundles import OUTPUTS, TinyChest, grey

from foldbelt import bundle, store, submit
from foldbelt.bundle import listing, predicting, products
from foldbelt.bundle.choosing import Choice
from foldbelt.bundle.reading import Bundle
from foldbelt.competitions.chest import CLASSES, LABEL_GROUPS, LABELS
from foldbelt.decide import rescoring
from foldbelt.files import InputError


@pytest.fixture(scope="module")
def chest(tmp_path_factory) -> TinyChest:
    made = TinyChest(tmp_path_factory.mktemp("chest"))
    made.change("joint", none_mix={"negative": 0.25, "absence": 0.25}, negative_mix=0.5,
                box_exponent=1.0, none_exponent=0.5)  # fmt: skip
    made.write()
    return made


def test_labels_and_boxes_together_get_the_bytes_of_the_run_s_submission(
    chest, tmp_path, monkeypatch
):
    expected = chest.submission()
    monkeypatch.setattr(listing, "_GROUP", 1)  # images of a study come in several groups
    done = bundle.predict(
        chest.bundle, chest.raw / "test", tmp_path / "out", device="cpu", sample=chest.raw
    )
    assert done.images == 8
    assert (tmp_path / "out" / "submission.csv").read_bytes() == expected
    studies = store.table(chest.root / "test.h5")["study"]
    assert studies.duplicated().any(), "else nothing is joined"
    assert expected.count(b"opacity") > 8, "else there are no boxes"


def test_a_loaded_bundle_gives_what_the_tables_say(chest, tmp_path):
    images = tmp_path / "images"
    images.mkdir()
    path = sorted((chest.raw / "test").rglob("*.dcm"))[3]
    shutil.copy(path, images)
    bundle.predict(chest.bundle, images, tmp_path / "out", device="cpu")
    model = bundle.load(chest.bundle, device="cpu")
    found = model(path)
    assert set(found) == {"label", "box"}
    labels = pd.read_csv(tmp_path / "out" / "labels.csv").drop(columns="id")
    assert list(labels) == model.labels
    assert np.allclose(found["label"], labels.iloc[0], atol=1e-6)
    boxes = pd.read_csv(tmp_path / "out" / "boxes.csv")
    assert set(boxes["class"]) == set(model.boxes) == {"opacity"}
    assert len(found["box"]) == len(boxes) > 1
    apart = abs(found["box"][:, None, 1:] - boxes.iloc[:, 2:].to_numpy()).max(axis=2)
    assert (apart.min(axis=0) < 0.02).all(), "every row of the table is among them"
    assert {"label", "box"} == set(model(grey(1, (50, 70))))


def test_without_a_joint_decision_tables_are_those_of_the_run(chest, tmp_path):
    chest.submission()
    decisions = {name: chest.decisions[name] for name in OUTPUTS}
    path = chest.write(tmp_path / "apart.zip", decisions=decisions)
    bundle.predict(path, chest.raw / "test", tmp_path / "out", device="cpu")
    for output in OUTPUTS:
        blend, expected = chest.root / f"test_{output}.h5", tmp_path / "expected.csv"
        submit.write_table(output, "chest", chest.root / "test.h5", blend, expected)
        assert (tmp_path / "out" / f"{output}.csv").read_bytes() == expected.read_bytes()
    with pytest.raises(InputError, match="no submission in the form of a sample"):
        bundle.predict(path, chest.raw / "test", tmp_path / "out", sample=chest.raw)


def test_images_of_a_study_that_come_later_change_the_labels_of_all(chest, tmp_path):
    images, out = tmp_path / "images", tmp_path / "out"
    shutil.copytree(chest.raw / "test", images)
    study = max(images.iterdir(), key=lambda folder: len(list(folder.rglob("*.dcm"))))
    late = sorted(study.rglob("*.dcm"))[-1]
    late.rename(tmp_path / late.name)
    bundle.predict(chest.bundle, images, out, device="cpu")
    before = pd.read_csv(out / "labels.csv", index_col="id")
    (tmp_path / late.name).rename(late)
    assert bundle.predict(chest.bundle, images, out, device="cpu") == predicting.Done(8, 1)
    after = pd.read_csv(out / "labels.csv", index_col="id")
    bundle.predict(chest.bundle, images, tmp_path / "whole", device="cpu")
    whole = pd.read_csv(tmp_path / "whole" / "labels.csv", index_col="id")
    assert np.allclose(after, whole, atol=1e-5)
    changed = (after.loc[before.index] - before).abs().max(axis=1) > 1e-5
    assert changed.sum() == 1, "the other image of the study"


def test_a_table_may_say_which_images_share_a_study(chest, tmp_path):
    images, given = tmp_path / "images", tmp_path / "table.csv"
    images.mkdir()
    names = []
    for path in sorted((chest.raw / "test").rglob("*.dcm"))[:2]:
        shutil.copy(path, images)
        names.append(path.stem)
    for studies, alike in ((["", ""], False), (["s", "s"], True)):
        pd.DataFrame({"id": names, "study": studies}).to_csv(given, index=False)
        bundle.predict(chest.bundle, images, tmp_path / "out", device="cpu", table=given)
        first = pd.read_csv(tmp_path / "out" / "labels.csv")["typical"]
        assert (first[0] == first[1]) == alike


def test_what_is_decided_of_labels_stands_in_the_last_column(chest, tmp_path, monkeypatch):
    decision = json.loads(chest.decisions["labels"].read_text()) | {"metric": "accuracy"}
    blocks = {tuple(block["labels"]): block["name"] for block in decision["blocks"]}
    decision["params"][blocks["none",]]["threshold"] = [0.0]  # always exceeded
    changed = tmp_path / "labels.json"
    changed.write_text(json.dumps(decision))
    path = chest.write(tmp_path / "decided.zip", decisions={**chest.decisions, "labels": changed})
    images = tmp_path / "images"
    shutil.copytree(sorted((chest.raw / "test").iterdir())[0], images)
    with monkeypatch.context() as patch:
        patch.setattr(products, "_add_column", stopped)
        with pytest.raises(KeyboardInterrupt):
            bundle.predict(path, images, tmp_path / "out", device="cpu")
    assert not (tmp_path / "out" / "labels.csv").exists(), "it is not there without that column"
    bundle.predict(path, images, tmp_path / "out", device="cpu")
    table = pd.read_csv(tmp_path / "out" / "labels.csv")
    assert list(table) == ["id", *LABELS, "decision"]
    likeliest = table[list(LABEL_GROUPS[0])].idxmax(axis=1)
    assert table["decision"].tolist() == [f"{name};none" for name in likeliest]


def stopped(*_: object) -> None:
    raise KeyboardInterrupt


def manifest_of(path: Path) -> dict[str, Any]:
    with zipfile.ZipFile(path) as archive:
        content: dict[str, Any] = json.loads(archive.read("manifest.json"))
    return content


def choice_of(chest: TinyChest, left: list[str], outputs: dict[str, list[str]]) -> dict[str, Any]:
    """What `write` is given where members stay behind."""
    oof = {o: {n: chest.predicted(n, "train") for n in names} for o, names in outputs.items()}
    joint = chest.recipe["joint"]
    return {
        "outputs": outputs,
        "members": {n: one for n, one in chest.members().items() if n not in left},
        "choice": Choice(left, [], oof, chest.folds, joint, list(CLASSES)),
    }


def test_a_decision_scored_anew_has_its_own_score(chest):
    oof = {o: {n: chest.predicted(n, "train") for n in names} for o, names in OUTPUTS.items()}
    about = {"data": chest.root / "train.h5", "folds": chest.folds}
    for output, members in oof.items():
        expected = json.loads(chest.decisions[output].read_text())["score"]
        made = rescoring.of_output(output, members, chest.decisions[output], **about)
        assert made == pytest.approx(expected, abs=1e-9)
    expected = json.loads(chest.decisions["joint"].read_text())["score"]
    decisions = {output: chest.decisions[output] for output in OUTPUTS}
    joint = chest.decisions["joint"], chest.recipe["joint"], list(CLASSES)
    made = rescoring.of_joint(oof, decisions, *joint, **about)
    assert made == pytest.approx(expected, abs=1e-9)


def test_members_that_stay_behind_leave_their_weight_to_the_others(chest, tmp_path):
    kept = {"labels": ["study"], "boxes": ["also"]}
    path = chest.write(tmp_path / "less.zip", **choice_of(chest, ["all", "find"], kept))
    manifest = manifest_of(path)
    assert manifest["left_out"] == {"members": ["all", "find"], "steps": []}
    assert manifest["outputs"] == kept
    labels = manifest["scores"]["labels"]
    assert labels["score"] != labels["run"]
    assert labels["run"] == json.loads(chest.decisions["labels"].read_text())["score"]
    with zipfile.ZipFile(path) as archive:
        decision = json.loads(archive.read("decision/labels.json"))
        assert json.loads(archive.read("decision/boxes.json"))["params"]["weights"] == {"also": 1}
        assert not [name for name in archive.namelist() if "/find/" in name or "/all/" in name]
    assert [block["labels"] for block in decision["blocks"]] == [list(LABEL_GROUPS[0])]
    found = bundle.load(path, device="cpu")(grey(2, (60, 64)))
    assert np.isnan(found["label"]).tolist() == [False] * 4 + [True], "nobody says none any more"
    assert found["label"][:4].sum() == pytest.approx(1, abs=1e-5)
    assert len(found["box"])


@pytest.mark.parametrize(
    ("entry", "change", "message"),
    [
        ("decision/boxes.json", lambda c: c["params"]["weights"].update(x=1), "names 'x'"),
        ("decision/boxes.json", lambda c: c["params"].pop("weights"), "is damaged"),
        ("decision/labels.json", lambda c: c["blocks"][0]["labels"].append("y"), "names 'y'"),
        ("decision/labels.json", lambda c: c["blocks"][0].pop("name"), "is damaged"),
        ("decision/labels.json", lambda c: c["params"]["none"].update(join=5), "join has to be"),
        ("decision/boxes.json", lambda c: c["params"].update(iou=2), "iou has to be a number"),
        ("decision/joint.json", lambda c: c["params"].update(absence="x"), "absence has to be"),
        ("data.json", lambda c: c.pop("box_names"), "lacks box_names"),
        ("data.json", lambda c: c["box_names"].clear(), "other box_names than weights/find/fold1"),
    ],
)
def test_a_forged_decision_is_refused_by_name(chest, tmp_path, entry, change, message):
    def forge(entries: dict[str, bytes]) -> None:
        content, manifest = json.loads(entries[entry]), json.loads(entries["manifest.json"])
        change(content)
        entries[entry] = json.dumps(content).encode()
        told = {"sha256": hashlib.sha256(entries[entry]).hexdigest(), "bytes": len(entries[entry])}
        manifest["entries"][entry] = told
        entries["manifest.json"] = json.dumps(manifest).encode()

    path = changed(chest.bundle, tmp_path / "forged.zip", forge)
    with pytest.raises(InputError, match=rf"{entry}: .*{message}"):
        Bundle(path)
