"""Synthetic radiographs have the competition's form and quirks, and are not told by brightness."""

import ast
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pydicom
import pytest
from pydicom.pixels.processing import apply_voi_lut
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from foldbelt import registry, synthetic
from foldbelt.boxes.overlaps import overlaps
from foldbelt.files import InputError, digest
from foldbelt.synthetic import _dicom, _shadows, _studies
from foldbelt.synthetic._chest_tables import CLASSES, STUDY_COLUMNS
from foldbelt.synthetic._exposure import framed
from foldbelt.synthetic._studies import Study
from foldbelt.synthetic._thorax import Build, thorax

SMALL = (60, 24, 96, 3)


def contents(made: Path) -> dict[str, str]:
    files = [path for path in made.parent.rglob("*") if path.is_file()]
    return {str(path.relative_to(made.parent)): digest([path]) for path in files}


def strict(path: Path | str) -> pd.DataFrame:
    return pd.read_csv(path, dtype=str, keep_default_na=False)


def planned(images: int, side: int, seed: int) -> list[Study]:
    random = np.random.default_rng(seed)
    return _studies.plan(images, side, random, _studies.names(random), _dicom.codings(random))


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("small") / "chest"
    synthetic.chest(made, *SMALL)
    return made


@pytest.fixture(scope="module")
def headers(small: Path) -> pd.DataFrame:
    """Of every file: its place, ids and coding."""
    rows = []
    for path in sorted(small.rglob("*.dcm")):
        file = pydicom.dcmread(path, stop_before_pixels=True)
        part, study, series, _ = path.relative_to(small).parts
        window = "window" if "WindowCenter" in file else "none"
        rows.append(
            {
                "part": part,
                "study": study,
                "series": series,
                "image": path.stem,
                "patient": str(file.PatientID),
                "uids": (file.StudyInstanceUID, file.SeriesInstanceUID, file.SOPInstanceUID),
                "bits": file.BitsStored,
                "photometric": file.PhotometricInterpretation,
                "window": "table" if "VOILUTSequence" in file else window,
                "syntax": file.file_meta.TransferSyntaxUID.name,
                "shape": (file.Rows, file.Columns),
            }
        )
    return pd.DataFrame(rows).set_index("image", drop=False)


# --- form


def test_the_folder_and_its_neighbours_hold_what_they_should(
    small: Path, headers: pd.DataFrame
) -> None:
    tables = {"train_study_level.csv", "train_image_level.csv", "sample_submission.csv"}
    assert {path.name for path in small.iterdir()} == {"train", "test", *tables}
    beside = {path.name for path in small.parent.iterdir()} - {small.name}
    assert beside == {"chest-truth.csv", f"chest-{registry.synthetic_beside('chest')}.csv"}
    assert headers["part"].value_counts().to_dict() == {"train": 60, "test": 24}
    images = strict(small / "train_image_level.csv")
    studies = strict(small / "train_study_level.csv")
    assert list(images) == ["id", "boxes", "label", "StudyInstanceUID"]
    assert list(studies) == ["id", *STUDY_COLUMNS]
    train, test = (headers[headers["part"] == part] for part in ("train", "test"))
    where = dict(
        zip(images["id"].str.removesuffix("_image"), images["StudyInstanceUID"], strict=True)
    )
    assert where == dict(zip(train["image"], train["study"], strict=True))
    assert sorted(studies["id"]) == sorted({f"{study}_study" for study in train["study"]})
    assert (studies[list(STUDY_COLUMNS)].astype(int).sum(axis=1) == 1).all()
    sample = strict(small / "sample_submission.csv")
    assert list(sample) == ["id", "PredictionString"]
    asked = [f"{study}_study" for study in sorted(set(test["study"]))]
    assert sample["id"].tolist() == asked + [f"{image}_image" for image in sorted(test["image"])]
    assert sample["PredictionString"][0] == "negative 1 0 0 1 1"
    assert sample["PredictionString"].iloc[-1] == "none 1 0 0 1 1"


def test_boxes_and_labels_say_the_same_as_opacities(small: Path, headers: pd.DataFrame) -> None:
    """One x is negative; a second image of a study is silent; some studies have no box."""
    drawn = strict(f"{small}-opacities.csv")
    assert set(drawn["image"]) == set(headers["image"])
    shown = {
        image: rows[["x1", "y1", "x2", "y2"]].to_numpy()
        for image, rows in drawn[drawn["x1"] != ""].groupby("image")
    }
    negative = silent = 0
    for row in strict(small / "train_image_level.csv").itertuples():
        image = str(row.id).removesuffix("_image")
        if row.boxes == "":
            assert row.label == "none 1 0 0 1 1"
            silent += image in shown
            continue
        dicts = ast.literal_eval(str(row.boxes))
        assert all(isinstance(value, float) for box in dicts for value in box.values())
        boxes = np.array([[box[k] for k in ("x", "y", "width", "height")] for box in dicts])
        boxes[:, 2:] += boxes[:, :2]
        said = np.array(str(row.label).split()).reshape(-1, 6)
        assert (said[:, :2] == ["opacity", "1"]).all()
        assert np.allclose(said[:, 2:].astype(float), boxes, atol=2e-5)
        before = boxes[:, 0] < 0
        negative += before.sum()
        assert np.allclose(boxes[~before], shown[image].astype(float)[~before], atol=2e-5)
        height, width = headers.loc[image, "shape"]
        assert (boxes[:, 2] <= width).all()
        assert (boxes[:, 3] <= height).all()
    assert negative == 1
    assert silent >= 1


def test_the_truth_has_the_rows_of_the_metric(small: Path, headers: pd.DataFrame) -> None:
    truth, drawn = strict(f"{small}-truth.csv"), strict(f"{small}-opacities.csv")
    assert list(truth) == ["id", "class", "x1", "y1", "x2", "y2"]
    assert set(truth["id"]) == set(strict(small / "sample_submission.csv")["id"])
    whole = truth[truth["class"] != "opacity"]
    assert (whole[["x1", "y1", "x2", "y2"]].astype(float) == [0, 0, 1, 1]).all(axis=None)
    assert not whole["id"].duplicated().any()
    test = drawn[drawn["image"].isin(headers["image"][headers["part"] == "test"])]
    kinds = {f"{row.study}_study": row[4] for row in test.itertuples()}
    of_studies = truth[truth["id"].str.endswith("_study")]
    assert dict(zip(of_studies["id"], of_studies["class"], strict=True)) == kinds
    nothing = set(truth["id"][truth["class"] == "none"])
    assert nothing == {f"{image}_image" for image in test["image"][test["x1"] == ""]}
    boxes = truth.loc[truth["class"] == "opacity", ["id", "x1", "y1", "x2", "y2"]]
    expected = test[test["x1"] != ""].assign(id=lambda t: t["image"] + "_image")
    assert sorted(map(tuple, boxes.to_numpy())) == sorted(
        map(tuple, expected[list(boxes)].to_numpy())
    )


def test_files_come_in_all_codings(headers: pd.DataFrame) -> None:
    assert set(headers["bits"]) == {10, 12, 14, 15, 16}
    assert set(headers["photometric"]) == {"MONOCHROME1", "MONOCHROME2"}
    assert set(headers["window"]) == {"none", "window", "table"}
    shares = headers["syntax"].value_counts(normalize=True)
    assert 0.15 < shares.filter(like="JPEG 2000").sum() < 0.25
    assert len({uid for uids in headers["uids"] for uid in uids}) > 2 * len(headers)
    assert headers["uids"].iloc[0][0] == f"2.25.{int(headers['study'].iloc[0], 16)}"
    assert headers["shape"].nunique() > 10, "sizes differ"


# --- what the files show


def test_files_decode_to_the_pixels_that_were_drawn() -> None:
    """So also if they are inverted, packed, or shown through a window or a table."""
    study = planned(24, 96, 0)[0]
    light = _studies.draw(study, study.pictures[0]).light
    names = _dicom.Names("a1", "b2", "c3", "d4")
    for bits in _dicom.BITS:
        for inverted in (False, True):
            for window in _dicom.WINDOWS if bits <= 12 else _dicom.WINDOWS[:2]:
                for packed in (False, True):
                    coding = _dicom.Coding(bits, inverted, window, packed, 0.05, 0.9)
                    data = _dicom.to_bytes(light, coding, names)
                    file = pydicom.dcmread(pydicom.filebase.DicomBytesIO(data))
                    values = file.pixel_array
                    assert np.array_equal(values, _dicom.stored(light, coding))
                    shown = apply_voi_lut(values, file).astype(np.float64)
                    shown = shown.max() - shown if inverted else shown
                    grey = (shown - shown.min()) / np.ptp(shown)
                    bare = (light - light.min()) / np.ptp(light)
                    # A window cuts off the extremes; a table bends what is between them.
                    assert np.abs(grey - bare).max() < (0.2 if window != "none" else 1e-3)
                    assert np.corrcoef(grey.ravel(), bare.ravel())[0, 1] > 0.98


def test_boxes_enclose_opacities() -> None:
    """Nearly all that an opacity adds to the lungs is within its box, which reaches no farther."""
    close: list[float] = []
    random = np.random.default_rng(0)
    for _ in range(20):
        frame = framed((160, 144), random)
        lungs = thorax((160, 144), frame, Build.drawn(random)).lungs
        for shadow in _shadows.shadows(_shadows.TYPICAL, random):
            density = np.zeros((160, 144), np.float32)
            x1, y1, x2, y2 = _shadows.add(density, lungs, frame, shadow).astype(int)
            if shadow.kind == _shadows.OPACITY:
                inside = density[y1:y2, x1:x2]
                assert (inside * lungs[y1:y2, x1:x2]).sum() > 0.95 * (density * lungs).sum()
                assert min(inside.shape) >= 8
                shown = density > 0.1 * density.max()
                ys, xs = np.flatnonzero(shown.any(1)), np.flatnonzero(shown.any(0))
                seen = np.array([[xs[0], ys[0], xs[-1] + 1, ys[-1] + 1]], float)
                close.append(overlaps(seen, np.array([[x1, y1, x2, y2]], float))[0])
    assert np.mean(close) > 0.8


@pytest.mark.parametrize("kind", range(4))
def test_the_class_follows_from_which_shadows_are_opacities(kind: int) -> None:
    for seed in range(200):
        found = _shadows.shadows(kind, np.random.default_rng(seed))
        others = _shadows.layout(np.random.default_rng(seed))
        assert [shadow.stream for shadow in found] == [shadow.stream for shadow in others]
        opaque = [shadow for shadow in found if shadow.kind == _shadows.OPACITY]
        assert kind == class_of(opaque)


def class_of(opaque: list[_shadows.Shadow]) -> int:
    """Tell the class as the documentation of `chest` does."""
    low = {shadow.side for shadow in opaque if shadow.slot.startswith("lower")}
    if not opaque:
        return _shadows.NEGATIVE
    if low == {-1, 1}:
        return _shadows.TYPICAL
    if [shadow.slot for shadow in opaque] == ["upper"]:
        return _shadows.ATYPICAL
    assert len({shadow.side for shadow in opaque}) == 1
    assert "upper" not in {shadow.slot for shadow in opaque}
    return _shadows.INDETERMINATE


# --- studies and patients


def test_shares_are_the_originals() -> None:
    studies = planned(2000, 160, 0)
    shares = np.bincount([study.kind for study in studies]) / len(studies)
    assert np.allclose(shares, _studies.SHARES, atol=0.005)
    of_two = [study for study in studies if len(study.pictures) > 1]
    assert 0.03 < len(of_two) / len(studies) < 0.045
    assert 0.1 < np.mean([study.kind == _shadows.NEGATIVE for study in of_two]) < 0.4
    atypical = [study for study in studies if study.kind == _shadows.ATYPICAL]
    boxless = [study for study in studies if study.boxless]
    assert 0.1 < len(boxless) / len(atypical) < 0.25
    assert all(study.kind == _shadows.ATYPICAL for study in boxless)


def test_patients_have_several_studies_of_different_classes() -> None:
    studies = planned(2000, 160, 0)
    kinds = pd.Series([study.kind for study in studies])
    by_patient = kinds.groupby([study.patient for study in studies])
    several = by_patient.size() > 1
    assert 0.3 < several.mean() < 0.45
    assert 0.5 < (by_patient.nunique() > 1)[several].mean() < 0.9
    assert len({study.build for study in studies}) == len(several), "one chest each"


def test_a_small_set_has_all_that_there_is(small: Path, headers: pd.DataFrame) -> None:
    for images in (24, 60):
        studies = planned(images, 96, 1)
        assert sum(len(study.pictures) for study in studies) == images
        assert np.bincount([study.kind for study in studies]).min() >= 3
        two = {study.kind == _shadows.NEGATIVE for study in studies if len(study.pictures) == 2}
        assert two == {False, True}
        assert any(study.boxless for study in studies)
    train = headers[headers["part"] == "train"]
    assert not set(train["patient"]) & set(headers["patient"][headers["part"] == "test"])
    assert (headers.groupby("study")["patient"].nunique() == 1).all()
    tables = "".join(path.read_text() for path in small.glob("*.csv"))
    assert not any(patient in tables for patient in headers["patient"]), "in the header only"


def test_a_second_image_shows_the_same_opacities_otherwise() -> None:
    study = next(
        study
        for study in planned(60, 128, 2)
        if len(study.pictures) == 2 and study.kind != _shadows.NEGATIVE
    )
    assert [picture.listed for picture in study.pictures] == [True, False]
    first, second = (_studies.draw(study, picture) for picture in study.pictures)
    assert len(first.boxes) == len(second.boxes) > 0
    sizes = [(r.boxes[:, 2] - r.boxes[:, 0]) / r.light.shape[1] for r in (first, second)]
    assert np.allclose(*sizes, rtol=0.35)
    assert not np.array_equal(first.light, second.light)


# --- what tells an opacity


def test_brightness_tells_neither_class_nor_opacity() -> None:
    """A logistic regression on the statistics of the picture and of 4 by 4 parts is near chance."""
    parts, kinds, opaque, patients = [], [], [], []
    for study in planned(400, 160, 0):
        for picture in study.pictures:
            drawn = _studies.draw(study, picture)
            low = drawn.light.min()
            image = np.uint8(255 * (drawn.light - low) / np.ptp(drawn.light))
            parts.append(statistics(image))
            kinds.append(study.kind)
            opaque.append(len(drawn.boxes) > 0)
            patients.append(study.patient)
    features, kind, opacity = np.array(parts), np.array(kinds), np.array(opaque)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=1000))
    split = StratifiedGroupKFold(5, shuffle=True, random_state=0)

    def predicted(truth: np.ndarray) -> np.ndarray:
        found = cross_val_predict(
            model, features, truth, groups=patients, cv=split, method="predict_proba"
        )
        return np.asarray(found)

    assert roc_auc_score(opacity, predicted(opacity)[:, 1]) < 0.6
    scores = predicted(kind)
    areas = [roc_auc_score(kind == k, scores[:, k]) for k in range(len(CLASSES))]
    assert np.mean(areas) < 0.57


def statistics(image: np.ndarray) -> list[float]:
    found: list[float] = []
    for count in (1, 4):
        for rows in np.array_split(image.astype(np.float32), count):
            for part in np.array_split(rows, count, axis=1):
                found += [float(part.mean()), float(part.std())]
                found += np.percentile(part, [5, 25, 50, 75, 95]).tolist()
    return found


def test_the_pattern_tells_opacities() -> None:
    """In an opacity brightness changes slowly, in streaks fast and mostly in one direction."""
    random = np.random.default_rng(1)
    fine: list[float] = []
    directed: list[float] = []
    opaque: list[bool] = []
    for _ in range(60):
        frame = framed((160, 144), random)
        for shadow in _shadows.shadows(_shadows.TYPICAL, random):
            density, lungs = np.zeros((160, 144), np.float32), np.ones((160, 144), np.float32)
            x1, y1, x2, y2 = _shadows.add(density, lungs, frame, shadow).astype(int)
            inside = density[y1:y2, x1:x2]
            tensor = np.cov(np.stack([part.ravel() for part in np.gradient(inside)]))
            low, high = np.linalg.eigvalsh(tensor)
            fine.append(float(low + high) / float(inside.var()))
            directed.append(float((high - low) / (high + low)))
            opaque.append(shadow.kind == _shadows.OPACITY)
    for values in (fine, directed):
        assert roc_auc_score(opaque, -np.array(values)) > 0.9


# --- the same again, and what is refused


def test_the_same_seed_gives_the_same_bytes_in_other_processes(small: Path, tmp_path: Path) -> None:
    again = tmp_path / "chest"
    code = f"from foldbelt.synthetic import chest; chest({str(again)!r}, *{SMALL}, workers=2)"
    environment = {"PYTHONHASHSEED": "5", "OMP_NUM_THREADS": "1"}
    path = str(Path(synthetic.__file__).parents[2])
    subprocess.run([sys.executable, "-c", code], check=True, env=environment, cwd=path)
    assert contents(again) == contents(small)


def test_another_seed_gives_other_images(small: Path, tmp_path: Path) -> None:
    synthetic.chest(tmp_path / "chest", *SMALL[:3], 4)
    ours, others = ({path.stem for path in made.rglob("*.dcm")} for made in (small, tmp_path))
    assert not ours & others


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"images": 23}, "images is 23"),
        ({"test_images": -1}, "test_images is -1"),
        ({"side": 63}, "side is 63"),
    ],
)
def test_what_cannot_be_drawn_is_refused(tmp_path: Path, change: dict, words: str) -> None:
    arguments = {"images": 24, "test_images": 0, "side": 64, "seed": 0, **change}
    with pytest.raises(InputError, match=words):
        synthetic.chest(tmp_path / "chest", **arguments)
    assert not list(tmp_path.iterdir())


def test_files_that_are_there_stay(tmp_path: Path) -> None:
    (tmp_path / "chest").mkdir()
    (tmp_path / "chest/mine.txt").touch()
    with pytest.raises(InputError, match="delete it"):
        synthetic.chest(tmp_path / "chest", *SMALL)
    assert [path.name for path in tmp_path.rglob("*")] == ["chest", "mine.txt"]


def test_a_set_without_test_images_is_written(tmp_path: Path) -> None:
    synthetic.chest(tmp_path / "chest", 24, 0, 64, 0)
    assert strict(tmp_path / "chest/sample_submission.csv").empty
    assert strict(f"{tmp_path / 'chest'}-truth.csv").empty
