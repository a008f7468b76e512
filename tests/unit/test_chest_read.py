"""What is stored of the chest competition is what its files say, quirks and all."""

import shutil
from pathlib import Path
from typing import Any

import chest_tables
import numpy as np
import pandas as pd
import pytest
from dicom_files import save_dicom
from raw_folders import ingest_both, save

from foldbelt import folds, store
from foldbelt import ingest as ingesting
from foldbelt.boxes import Boxes
from foldbelt.competitions.chest import LABELS
from foldbelt.competitions.chest import files as lister
from foldbelt.competitions.chest.tables import CLASS_COLUMNS
from foldbelt.config import complete
from foldbelt.files import InputError
from foldbelt.folds import splitting
from foldbelt.formats import dicom

SIZE = (48, 40)  # of the images in DICOM files
KIND = {"s1": "typical", "s2": "negative", "s3": "atypical", "s4": "indeterminate"}
STUDY = {"a": "s1", "b": "s1", "c": "s2", "d": "s3", "e": "s4", "f": "s4"}
PATIENT = {"s1": "p1", "s2": "p1", "s3": "p2", "s4": "p3", "t1": "p8", "t2": "p9"}
BOXES = {"a": [(10.5, 4.25, 30.0, 20.5), (-3.56, 20.0, 12.0, 40.0)], "d": [(2.0, 3.0, 9.0, 11.0)]}
TEST = {"x": "t1", "y": "t1", "z": "t2"}


def literal(boxes: list[tuple[float, ...]]) -> str:
    dicts = [{"x": x, "y": y, "width": u - x, "height": v - y} for x, y, u, v in boxes]
    return str(dicts) if dicts else ""


def label(boxes: list[tuple[float, ...]]) -> str:
    texts = [f"opacity 1 {x} {y} {u} {v}" for x, y, u, v in boxes]
    return " ".join(texts) or "none 1 0 0 1 1"


def write_tables(root: Path) -> None:
    root.mkdir(parents=True, exist_ok=True)
    rows = [
        (f"{study}_study", *[int(kind == name) for name in CLASS_COLUMNS])
        for study, kind in KIND.items()
    ]
    columns = ["id", *CLASS_COLUMNS.values()]
    pd.DataFrame(rows, columns=columns).to_csv(root / lister.STUDY_TABLE, index=False)
    images = [
        (f"{image}_image", literal(BOXES.get(image, [])), label(BOXES.get(image, [])), study)
        for image, study in STUDY.items()
    ]
    columns = ["id", "boxes", "label", "StudyInstanceUID"]
    pd.DataFrame(images, columns=columns).to_csv(root / lister.IMAGE_TABLE, index=False)
    keys = [f"{study}_study" for study in sorted(set(TEST.values()))]
    keys += [f"{image}_image" for image in TEST]
    sample = {"Id": keys, "PredictionString": ["none 1 0 0 1 1"] * len(keys)}
    pd.DataFrame(sample).to_csv(root / "sample_submission.csv", index=False)


def values(seed: int) -> np.ndarray:
    """Draw stored values (h, w) of 12 bits."""
    return np.random.default_rng(seed).integers(0, 4096, SIZE).astype(np.uint16)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A data set in the form of the competition: a's sibling is b; e and f have no boxes."""
    root = tmp_path / "raw"
    write_tables(root)
    for part, images in (("train", STUDY), ("test", TEST)):
        for seed, (image, study) in enumerate(images.items()):
            path = root / part / study / f"series{seed}" / f"{image}.dcm"
            save_dicom(path, values(seed), 12, PatientID=PATIENT[study], StudyInstanceUID=study)
    return root


@pytest.fixture
def converted(tmp_path: Path) -> Path:
    """The same as PNG files of half the size, in one folder a part, with a table of sizes."""
    root = tmp_path / "raw"
    write_tables(root)
    rows = []
    for part, images in (("train", STUDY), ("test", TEST)):
        (root / part).mkdir()
        for seed, (image, study) in enumerate(images.items()):
            save(root / part / f"{image}.png", (values(seed)[::2, ::2] // 16).astype(np.uint8))
            rows.append((image, *SIZE, part, study, PATIENT[study]))
    columns = ["image_id", "dim0", "dim1", "split", "study", "patient"]
    pd.DataFrame(rows, columns=columns).to_csv(root / "meta.csv", index=False)
    return root


def ingest(root: Path, **settings: Any) -> Path:
    """Ingest both parts, and give the folder of what was made."""
    out = root.parent / "out"
    ingest_both("chest", root, complete("data", {"masks": False, **settings}), out)
    return out


def refused(root: Path, **settings: Any) -> str:
    with pytest.raises(InputError) as caught:
        ingest(root, **settings)
    return str(caught.value)


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text, text
    path.write_text(text.replace(old, new, 1))


def boxes_of(data: Path, image: str) -> list[list[float]]:
    rows = store.read(data, "boxes", [image])
    return Boxes.from_bytes(rows).image(0).tolist()


# --- sound data


def test_the_files_of_the_competition_are_stored_as_they_say(root: Path) -> None:
    out = ingest(root)
    train, test = out / "train.h5", out / "test.h5"
    table = store.table(train).set_index("id")
    assert table.index.tolist() == list("abcdef")
    assert table["study"].to_dict() == STUDY
    assert table["patient"].tolist() == [PATIENT[study] for study in STUDY.values()]
    assert table["boxes"].tolist() == [2, -1, 0, 1, 0, 0]
    assert table["images"].tolist() == [2, 2, 1, 1, 2, 2]
    assert table["class"].tolist() == [KIND[study] for study in STUDY.values()]
    assert table[["height", "width"]].drop_duplicates().to_numpy().tolist() == [list(SIZE)]
    (image,) = store.read(train, "image", ["d"])
    assert np.array_equal(image, dicom.decode(root / "train/s3/series3/d.dcm"))
    attrs = store.attrs(train)
    assert attrs["label_names"] == list(LABELS)
    assert attrs["label_groups"] == [list(LABELS[:4])]
    assert attrs["label_levels"] == {"study": list(LABELS[:4])}
    assert attrs["box_names"] == ["opacity"]
    assert "exclusive_labels" not in attrs
    tested = store.table(test).set_index("id")
    assert tested["study"].to_dict() == TEST
    assert "class" not in tested
    assert {"label_groups", "label_levels"} <= set(store.attrs(test))


def test_labels_are_of_the_study_and_none_of_the_image(root: Path) -> None:
    labels = store.read(ingest(root) / "train.h5", "labels")
    nan = np.nan
    wanted = [
        [0, 1, 0, 0, 0],
        [0, 1, 0, 0, nan],  # a's sibling
        [1, 0, 0, 0, 1],
        [0, 0, 0, 1, 0],
        [0, 0, 1, 0, 1],  # a study of several images and no box: as the table says
        [0, 0, 1, 0, 1],
    ]
    assert np.array_equal(labels, np.array(wanted, np.float32), equal_nan=True)


def test_boxes_are_floats_and_a_negative_side_is_cut(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train = ingest(root) / "train.h5"
    wanted = [[0, 10.5, 4.25, 30, 20.5, 1], [0, 0, 20, 12, 40, 1]]
    assert boxes_of(train, "a") == wanted
    assert boxes_of(train, "c") == []
    printed = capsys.readouterr().out
    assert "1 boxes stick out of their image a little" in printed
    assert "typical (2)" in printed
    assert "Boxes: opacity (3), known of 5" in printed


@pytest.mark.parametrize("table", [lister.STUDY_TABLE, lister.IMAGE_TABLE])
def test_the_column_of_ids_may_have_a_capital(root: Path, table: str) -> None:
    edit(root / table, "id,", "Id,")
    assert store.table(ingest(root) / "train.h5")["id"].tolist() == list("abcdef")


def test_siblings_teach_what_the_key_says(root: Path) -> None:
    kept = store.read(ingest(root, siblings="keep") / "train.h5", "labels", ["b"])
    assert np.isnan(kept).all()
    table = store.table(root.parent / "out/train.h5").set_index("id")
    assert table.loc["b", ["study", "boxes"]].tolist() == ["s1", -1]
    dropped = store.table(ingest(root, siblings="drop") / "train.h5")
    assert dropped["id"].tolist() == list("acdef")
    assert dropped["images"].tolist() == [2, 1, 1, 2, 2]


def test_defaults_state_nothing_new(root: Path) -> None:
    config = store.attrs(ingest(root) / "train.h5")["config"]
    assert not {"siblings", "sizes", "box_masks"} & set(config)
    config = store.attrs(ingest(root, siblings="keep") / "train.h5")["config"]
    assert config["siblings"] == "keep"


def test_converted_images_keep_boxes_in_pixels_of_the_original(converted: Path) -> None:
    out = ingest(converted)
    table = store.table(out / "train.h5").set_index("id")
    assert store.shape(out / "train.h5", "image") == (6, 24, 20)
    assert table[["height", "width"]].drop_duplicates().to_numpy().tolist() == [list(SIZE)]
    assert table["patient"].tolist() == [PATIENT[study] for study in STUDY.values()]
    assert boxes_of(out / "train.h5", "d") == [[0, 2, 3, 9, 11, 1]]
    assert store.original_sizes(out / "test.h5").tolist() == [list(SIZE)] * 3
    assert store.table(out / "test.h5")["study"].tolist() == list(TEST.values())


def test_a_table_of_sizes_may_have_another_name_and_no_studies(converted: Path) -> None:
    table = pd.read_csv(converted / "meta.csv").drop(columns=["study", "patient"])
    table.to_csv(converted / "sizes.csv", index=False)
    (converted / "meta.csv").unlink()
    assert "meta.csv: is missing" in refused(converted)
    message = refused(converted, sizes="sizes.csv")
    assert "sizes.csv: has no column `study`" in message
    assert "add it" in message
    for image, study in TEST.items():
        (converted / "test" / study).mkdir(exist_ok=True)
        shutil.move(converted / f"test/{image}.png", converted / f"test/{study}/{image}.png")
    out = ingest(converted, sizes="sizes.csv")
    assert store.table(out / "test.h5")["study"].tolist() == list(TEST.values())
    # nobody names patients: a study is one
    assert store.table(out / "train.h5")["patient"].tolist() == list(STUDY.values())


@pytest.mark.parametrize("how", ["filled", "bright"])
def test_masks_are_made_of_boxes_at_the_size_of_the_file(converted: Path, how: str) -> None:
    train = ingest(converted, masks="from_boxes", box_masks=how) / "train.h5"
    masks = dict(zip("abcdef", store.read(train, "mask"), strict=True))
    ignored = dict(zip("abcdef", store.read(train, "ignore"), strict=True))
    inside = np.zeros((24, 20), bool)
    inside[1:5, 1:4] = True  # pixels whose centres lie in y 1.5 to 5.5 and x 1 to 4.5
    if how == "filled":
        assert np.array_equal(masks["d"] > 0, inside)
    else:
        image = store.read(train, "image", ["d"])[0]
        bright = masks["d"] > 0
        assert 0 < bright.sum() < inside.sum()
        assert not (bright & ~inside).any()
        assert image[bright].min() > image[inside & ~bright].max()
    assert not masks["c"].any()
    assert not ignored["c"].any()
    assert ignored["b"].all()  # nobody has said what a sibling shows
    assert store.attrs(train)["class_names"] == ["opacity"]


def test_listed_files_are_those_that_are_read(root: Path) -> None:
    listed = lister.files(root, complete("data", {}))
    assert len([path for path in listed["train"] if path.suffix == ".dcm"]) == len(STUDY)
    assert {path.name for path in listed["train"]} >= {lister.STUDY_TABLE, lister.IMAGE_TABLE}
    assert [path.name for path in listed["sample"]] == ["sample_submission.csv"]
    (root / "meta.csv").write_text("image_id,dim0,dim1\n")
    listed = lister.files(root, complete("data", {}))
    assert root / "meta.csv" in listed["train"]
    assert root / "meta.csv" in listed["test"]


def test_folds_keep_patients_and_copies_together(root: Path, tmp_path: Path) -> None:
    for seed in range(40):
        study = f"s{10 + seed}"
        path = root / "train" / study / "s" / f"m{seed}.dcm"
        image = values(100 + min(seed, 38))  # the last two are copies
        save_dicom(path, image, 12, PatientID=f"q{seed // 2}" if seed < 38 else f"q{seed}")
        with (root / lister.STUDY_TABLE).open("a") as file:
            file.write(f"{study}_study,1,0,0,0\n")
        with (root / lister.IMAGE_TABLE).open("a") as file:
            file.write(f"m{seed}_image,,none 1 0 0 1 1,{study}\n")
    train = ingest(root) / "train.h5"
    given = {"count": 2, "group": "patient", "stratify": ["class"], "duplicate_distance": 4}
    scheme = complete("folds", given)
    folds.run(train, None, scheme, tmp_path / "folds.csv")
    table = pd.read_csv(tmp_path / "folds.csv").merge(store.table(train), on="id")
    assert (table.groupby("patient")["fold"].nunique() == 1).all()
    assert (table.groupby("study")["fold"].nunique() == 1).all()
    copies = table[table["id"].isin(["m38", "m39"])]
    assert copies["fold"].nunique() == 1
    assert copies["group"].nunique() == 1
    assert copies["patient"].nunique() == 2


# --- spoilt data

STUDIES, IMAGES, SAMPLE = lister.STUDY_TABLE, lister.IMAGE_TABLE, "sample_submission.csv"
SPOILT = {
    "boxes and label disagree": (IMAGES, "9.0 11.0", "9.0 12.0"),
    "no Python literal": (IMAGES, "[{'x': 2.0,", "[{'x': two,"),
    "must have x, y, width, height": (IMAGES, "{'x': 2.0,", "{'left': 2.0,"),
    "sides must be numbers": (IMAGES, "{'x': 2.0,", f"{{'x': 1{'0' * 400},"),
    "box 1 is": (IMAGES, "{'x': 2.0,", "{'x': True,"),
    "must be above 0": (IMAGES, "'width': 7.0", "'width': 0.0"),
    "four corners": (IMAGES, "opacity 1 2.0 3.0", "opacity 1 2.0 three"),
    "names the class 'blob'": (IMAGES, "opacity 1 2.0", "blob 1 2.0"),
    "ends not in _image": (IMAGES, "c_image", "c"),
    "no row for image c": (IMAGES, "c_image", "q_image"),
    "StudyInstanceUID is empty": (IMAGES, "none 1 0 0 1 1,s2", "none 1 0 0 1 1,"),
    "is of different studies: s2 by train_image_level.csv": (IMAGES, "11.0,s3", "11.0,s2"),
    "no row for study s3": (STUDIES, "s3_study", "s9_study"),
    "one of the four columns must be 1": (STUDIES, "s3_study,0,0,0", "s3_study,1,0,0"),
    "lacks the column Typical Appearance": (STUDIES, "Typical Appearance", "Typ"),
    "id q_image is unknown": (SAMPLE, "x_image", "q_image"),
    "has no row x_image": (SAMPLE, "x_image", "q_image"),
    "lacks the column id or Id": (SAMPLE, "Id,", "key,"),
}


@pytest.mark.parametrize("reason", SPOILT)
def test_spoilt_tables_are_refused_by_name(root: Path, reason: str) -> None:
    table, old, new = SPOILT[reason]
    edit(root / table, old, new)
    message = refused(root)
    assert reason in message, message
    assert table in message


def test_images_with_a_wrong_row_can_be_dropped(root: Path) -> None:
    edit(root / lister.IMAGE_TABLE, "9.0 11.0", "9.0 12.0")
    out = ingest(root, on_problem="drop")
    assert store.table(out / "train.h5")["id"].tolist() == list("abcef")


def test_boxes_of_another_size_are_refused(converted: Path) -> None:
    table = pd.read_csv(converted / "meta.csv")
    table[["dim0", "dim1"]] //= 2
    table.to_csv(converted / "meta.csv", index=False)
    assert "must be in pixels of the original image" in refused(converted)


def test_an_image_without_a_size_is_refused(converted: Path) -> None:
    table = pd.read_csv(converted / "meta.csv")
    table[table["image_id"] != "d"].to_csv(converted / "meta.csv", index=False)
    assert "meta.csv: has no row for image_id d" in refused(converted)


def test_files_that_contradict_their_place_are_refused(root: Path) -> None:
    shutil.move(root / "train/s3", root / "train/s9")
    message = refused(root)
    assert "is of different studies: s3 by train_image_level.csv, s9 by its folder" in message
    save_dicom(root / "train/s1/series1/b.dcm", values(1), 12, PatientID="other")
    assert "is of patient other, and another image of study s1 of p1" in refused(root)


def test_unreadable_files_are_named_and_dropped(root: Path) -> None:
    path = root / "train/s3/series3/d.dcm"
    path.write_bytes(path.read_bytes()[:-500])
    (root / "test/t2/series2/z.dcm").write_bytes(b"")
    message = refused(root)
    assert "train/s3/series3/d.dcm: its pixels cannot be decoded" in message
    assert "test/t2/series2/z.dcm: is empty" in message
    out = ingest(root, on_problem="drop")
    assert store.table(out / "train.h5")["id"].tolist() == list("abcef")
    assert store.attrs(out / "test.h5")["dropped"] == ["z"]


@pytest.mark.parametrize("setting", [{"masks": True}, {"label": "view"}, {"boxes": "boxes.csv"}])
def test_settings_that_the_tables_answer_are_refused(root: Path, setting: dict) -> None:
    assert f"data.{next(iter(setting))}: not for the chest competition" in refused(root, **setting)


# --- as many as in the real competition


def test_tables_of_the_real_size_are_read_and_folded_by_patient(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "raw"
    listed = chest_tables.real_form(root).rename(columns={"image": "image_id"})
    pixels = np.arange(64, dtype=np.uint8).reshape(8, 8)
    save(tmp_path / "one.png", pixels)
    for row in listed.itertuples():
        folder = root / str(row.split)
        folder.mkdir(exist_ok=True)
        (folder / f"{row.image_id}.png").hardlink_to(tmp_path / "one.png")
    listed = listed.rename(columns={"height": "dim0", "width": "dim1"})
    listed.to_csv(root / "meta.csv", index=False)
    train = tmp_path / "train.h5"  # the test images are listed and held against the sample, too
    settings = complete("data", {"masks": False})
    ingesting.run("chest", root, settings, train, tmp_path / "problems.csv")
    table = store.table(train)
    known = table[table["boxes"] >= 0]
    assert (len(table), table["study"].nunique(), table["patient"].nunique()) == (
        chest_tables.IMAGES, chest_tables.STUDIES, chest_tables.PATIENTS,
    )  # fmt: skip
    assert known["boxes"].sum() == chest_tables.BOXES
    assert (table["boxes"] > 0).sum() == chest_tables.BOXED_IMAGES
    assert (table["boxes"] < 0).sum() == chest_tables.SIBLINGS
    labels = store.read(train, "labels")
    studies = table.assign(row=range(len(table))).drop_duplicates("study")["row"]
    assert labels[studies, :4].sum(axis=0).tolist() == list(chest_tables.CLASS_COUNTS)
    assert np.isnan(labels[:, 4]).sum() == chest_tables.SIBLINGS
    negative = (labels[:, 0] == 1) & (table["images"] == 1)
    assert (labels[negative, 4] == 1).all()
    monkeypatch.setattr(splitting, "_copies", lambda *_: {})  # all images are copies here
    scheme = complete("folds", {"group": "patient", "stratify": ["class", "boxes"]})
    folds.run(train, None, scheme, tmp_path / "folds.csv")
    split = pd.read_csv(tmp_path / "folds.csv").merge(table, on="id")
    assert (split.groupby("patient")["fold"].nunique() == 1).all()
    shares = pd.crosstab(split["fold"], split["class"], normalize="index")
    assert np.ptp(shares.to_numpy(), axis=0).max() < 0.02


def test_only_files_of_unknown_names_are_opened_to_tell_whose_problem_it_is(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of thousands of images each was opened again for it, by the job of the other part, too."""
    opened: list[Path] = []
    real = dicom.has_mark
    monkeypatch.setattr(dicom, "has_mark", lambda path: opened.append(path) or real(path))
    ingest(root)
    assert not [path for path in opened if path.suffix == dicom.SUFFIX]
