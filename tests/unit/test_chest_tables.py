"""The tables of the real competition's form have its counts and its quirks."""

import ast
from pathlib import Path

import chest_tables as form
import numpy as np
import pandas as pd
import pytest

from foldbelt.boxes.overlaps import overlaps


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, pd.DataFrame]:
    folder = tmp_path_factory.mktemp("real") / "chest"
    return folder, form.real_form(folder)


def test_images_studies_and_patients_are_as_many(made: tuple[Path, pd.DataFrame]) -> None:
    folder, listed = made
    studies = pd.read_csv(folder / "train_study_level.csv").set_index("id")
    assert studies.sum().tolist() == list(form.CLASS_COUNTS)
    assert (studies.sum(axis=1) == 1).all()
    train = listed[listed["split"] == "train"]
    names = ("image", "study", "patient")
    counts = (form.IMAGES, form.STUDIES, form.PATIENTS)
    assert tuple(train[name].nunique() for name in names) == counts
    kinds = train["study"].map(
        studies.idxmax(axis=1).rename(lambda key: key.removesuffix("_study"))
    )
    by_patient = train.assign(kind=kinds).groupby("patient")
    assert (by_patient["study"].nunique() > 1).sum() == form.SEVERAL_STUDIES
    assert (by_patient["kind"].nunique() > 1).sum() == form.OF_SEVERAL_CLASSES
    assert (train.groupby("study").size() > 1).sum() == sum(form.SEVERAL_IMAGES.values())
    sample = pd.read_csv(folder / "sample_submission.csv")
    ends = sample["id"].str.split("_").str[1].value_counts()
    assert ends.to_dict() == {"study": form.TEST_STUDIES, "image": form.TEST_IMAGES}
    assert sorted(sample["id"][form.TEST_STUDIES :]) == sorted(
        f"{image}_image" for image in listed["image"][listed["split"] == "test"]
    )


def test_boxes_are_as_many_and_lie_as_they_do(made: tuple[Path, pd.DataFrame]) -> None:
    folder, listed = made
    images = pd.read_csv(folder / "train_image_level.csv", keep_default_na=False)
    sizes = listed.set_index("image")[["height", "width"]]
    boxed = images[images["boxes"] != ""]
    assert (images["label"][images["boxes"] == ""] == "none 1 0 0 1 1").all()
    assert len(boxed) == form.BOXED_IMAGES
    total, negative, most = 0, 0, 0
    for row in boxed.itertuples():
        dicts = ast.literal_eval(str(row.boxes))
        x, y, wide, high = (
            np.array([d[key] for d in dicts]) for key in ("x", "y", "width", "height")
        )
        boxes = np.stack([x, y, x + wide, y + high], 1)
        height, width = sizes.loc[str(row.id).removesuffix("_image")]
        assert (boxes[:, 2] <= width).all()
        assert (boxes[:, 3] <= height).all()
        assert min(wide.min(), high.min()) > 10
        said = np.array(str(row.label).split()).reshape(-1, 6)
        assert np.allclose(said[:, 2:].astype(float), boxes, atol=1e-4)
        one, other = np.triu_indices(len(boxes), 1)
        assert overlaps(boxes[one], boxes[other]).max(initial=0) <= 0.3
        total, negative = total + len(boxes), negative + int((boxes[:, :2] < 0).sum())
        most = max(most, len(boxes))
    assert (total, negative, most) == (form.BOXES, 1, form.MOST_BOXES)
