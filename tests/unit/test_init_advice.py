"""What `foldbelt init` says of folders that it cannot read: commands, and they work."""

import subprocess

import cv2
import numpy as np
import pytest

from foldbelt.files import InputError
from foldbelt.init.layout import detect

NAMES = [f"im {number}" for number in range(4)]  # a blank, for the quotes


def put(folder, names=NAMES, suffix=".png", value=255):
    """Write images of one value, half of each black."""
    folder.mkdir(parents=True, exist_ok=True)
    image = np.zeros((12, 16), np.uint8)
    image[:6] = value
    for name in names:
        assert cv2.imwrite(str(folder / f"{name}{suffix}"), image)


def two_folders(images, masks):
    def make(root):
        put(root / images, suffix=".jpg")
        put(root / masks)

    return make


def two_folders_of_other_names(root):
    put(root / "photos", suffix=".jpg")
    put(root / "drawn", [f"{name}_mask" for name in NAMES])


def parts(images, masks):
    def make(root):
        for part in ("train", "val"):
            names = [f"{part} {number}" for number in range(2)]
            put(root / images / part, names, ".jpg")
            put(root / masks / part, names)

    return make


def beside(place):
    def make(root):
        put(root / place, suffix=".jpg")
        put(root / place, [f"{name}_mask" for name in NAMES])

    return make


def beside_with_two_endings(root):
    put(root, suffix=".png")
    put(root, [f"{name}_{'mask' if k else 'gt'}" for k, name in enumerate(NAMES)])


def splits(root):
    for part in ("train", "test"):
        names = NAMES if part == "train" else [f"{part}{k}" for k in range(3)]
        put(root / part / "images", names, ".jpg")
        put(root / part / "masks", names)


def classes(root):
    for name in ("cat", "dog"):
        put(root / name, suffix=".jpg")


def table_of_files(root):
    put(root / "images", suffix=".jpg")
    rows = "".join(f"{name}.jpg,{'ab'[k % 2]}\n" for k, name in enumerate(NAMES))
    (root / "labels.csv").write_text("filename,label\n" + rows)


@pytest.mark.parametrize(
    ("make", "kind", "images", "test"),
    [
        (two_folders("train", "labels"), "masks", 4, 0),
        (two_folders("image", "label"), "masks", 4, 0),
        (two_folders("imgs", "annotations"), "masks", 4, 0),
        (two_folders("Images", "Masks"), "masks", 4, 0),
        (two_folders("images", "ground truth"), "masks", 4, 0),
        (two_folders(".", "gt"), "masks", 4, 0),
        (two_folders("photos", "truth"), "masks", 4, 0),
        (two_folders("train/photos", "train/truth"), "masks", 4, 0),
        (two_folders_of_other_names, "masks", 4, 0),
        (parts("images", "annotations"), "masks", 4, 0),
        (parts("imgs", "labels"), "masks", 4, 0),
        (splits, "masks", 4, 3),
        (beside("."), "masks", 4, 0),
        (beside("images"), "masks", 4, 0),
        (beside_with_two_endings, "masks", 4, 0),
        (classes, "labels", 8, 0),
        (table_of_files, "labels", 4, 0),
    ],
)
def test_the_commands_that_are_said_make_a_folder_readable(tmp_path, make, kind, images, test):
    root = tmp_path / "my data"
    make(root)
    with pytest.raises(InputError, match="try again") as caught:
        detect(root)
    commands = [line for line in str(caught.value).split("\n") if line.startswith("  ")]
    subprocess.run("\n".join(["set -e", *commands]), shell=True, check=True, cwd="/")
    layout = detect(root)
    assert layout.kind == kind
    for folder, number in (("images", images), ("test/images", test)):
        assert len([path for path in (root / folder).glob("**/*.*")]) == number


def test_a_folder_above_the_data_and_boxes_of_another_form_are_told(tmp_path):
    put(tmp_path / "a/data/images")
    with pytest.raises(InputError, match=r"But .*a/data is one: foldbelt init .*a/data$"):
        detect(tmp_path / "a")
    put(tmp_path / "b/images")
    (tmp_path / "b/labels").mkdir()
    (tmp_path / "b/labels/im 0.txt").write_text("0 0.5 0.5 0.1 0.1")
    with pytest.raises(InputError, match=r"YOLO.*boxes\.csv"):
        detect(tmp_path / "b")
    put(tmp_path / "c/pictures")
    with pytest.raises(InputError, match=r"4 images in pictures/, and nothing that says"):
        detect(tmp_path / "c")


def test_folders_whose_names_do_not_fit_are_no_pair(tmp_path):
    put(tmp_path / "photos")
    put(tmp_path / "labels", [f"other{k}" for k in range(9)])
    with pytest.raises(InputError, match=r"There is labels/, photos/\. Looked for images/"):
        detect(tmp_path)


def test_a_folder_of_no_layout_is_named_with_what_is_looked_for(tmp_path):
    (tmp_path / "photos").mkdir()
    with pytest.raises(InputError, match=r"There is photos/\. Looked for images/"):
        detect(tmp_path)
