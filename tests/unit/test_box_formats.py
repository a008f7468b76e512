"""Boxes of three formats say the same, and what cannot be used is named all at once."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from foldbelt.formats import boxes
from foldbelt.shapes import boxes_of_mask, mask_of_boxes

SIZES = {"a": (40, 60), "b": (30, 30), "c": (24, 24)}
A = [[1, 2, 3, 9, 12, 1], [0, 0, 0, 60, 40, 1]]
"""The boxes of image a; b has none; of c nothing is said."""


def write_csv(root: Path, *rows: str, head: str = "id,class,x1,y1,x2,y2") -> str:
    (root / "boxes.csv").write_text("\n".join([head, *rows]) + "\n")
    return "boxes.csv"


def coco() -> dict[str, Any]:
    return {
        "images": [
            {"id": 7, "file_name": "train/a.jpg", "height": 40, "width": 60},
            {"id": 9, "file_name": "b.png"},
        ],
        "categories": [{"id": 3, "name": "ring"}, {"id": 1, "name": "disc"}],
        "annotations": [
            {"id": 1, "image_id": 7, "category_id": 3, "bbox": [2, 3, 7, 9], "iscrowd": 0},
            {"id": 2, "image_id": 7, "category_id": 1, "bbox": [0, 0, 60, 40]},
            {"id": 3, "image_id": 9, "category_id": 1, "bbox": [0, 0, 5, 5], "iscrowd": 1},
        ],
    }


def write_coco(root: Path, content: Any) -> str:
    (root / "annotations.json").write_text(json.dumps(content))
    return "annotations.json"


def voc(*objects: tuple[str, float, float, float, float], size: str = "") -> str:
    texts = [
        f"<object><name>{name}</name><bndbox><xmin>{x1}</xmin><ymin>{y1}</ymin>"
        f"<xmax>{x2}</xmax><ymax>{y2}</ymax></bndbox></object>"
        for name, x1, y1, x2, y2 in objects
    ]
    return f"<annotation><filename>x.jpg</filename>{size}{''.join(texts)}</annotation>"


def write_voc(root: Path, **files: str) -> str:
    (root / "annotations").mkdir()
    for name, text in files.items():
        (root / f"annotations/{name}.xml").write_text(text)
    return "annotations"


def checked(root: Path, name: str, **spec: Any) -> boxes.Checked:
    return boxes.check(boxes.read(root, name), SIZES, **spec)


def reasons(found: boxes.Checked) -> list[str]:
    return [f"{finding.file}: {finding.reason}" for finding in found.findings]


@pytest.mark.parametrize("form", ["csv", "coco", "voc"])
def test_three_formats_say_the_same(tmp_path: Path, form: str) -> None:
    if form == "csv":
        rows = ("a,ring,2,3,9,12", "a, disc ,0,0,60.0,40", "b,,,,,")
        name = write_csv(tmp_path, *rows)
    elif form == "coco":
        name = write_coco(tmp_path, coco())
    else:
        size = "<size><width>60</width><height>40</height><depth>3</depth></size>"
        a = voc(("ring", 3, 4, 9, 12), ("disc", 1, 1, 60, 40), size=size)
        name = write_voc(tmp_path, a=a, b=voc())
    found = checked(tmp_path, name)
    assert reasons(found) == []
    assert found.names == ["disc", "ring"]
    assert sorted(found.boxes) == ["a", "b"], "of c nothing is known"
    assert found.boxes["a"].tolist() == A
    assert found.boxes["a"].dtype == np.float32
    assert found.boxes["b"].shape == (0, 6)
    assert found.notes == (["1 annotations of crowds (iscrowd) are left out"] * (form == "coco"))
    given = checked(tmp_path, name, names=["ring", "disc", "other"])
    assert given.boxes["a"][:, 0].tolist() == [0, 1]


def test_a_pixel_of_voc_is_one_wide(tmp_path: Path) -> None:
    found = checked(tmp_path, write_voc(tmp_path, a=voc(("x", 1, 1, 1, 1), ("x", 60, 40, 60, 40))))
    assert found.boxes["a"][:, 1:5].tolist() == [[0, 0, 1, 1], [59, 39, 60, 40]]


def test_the_content_tells_the_format(tmp_path: Path) -> None:
    (tmp_path / "truth.txt").write_text("\ufeff \n" + json.dumps(coco()))
    assert checked(tmp_path, "truth.txt").boxes["a"].tolist() == A
    (tmp_path / "truth.json").write_text("id,x1,y1,x2,y2\na,2,3,9,12\n")
    found = checked(tmp_path, "truth.json")
    assert found.names == ["object"]
    assert found.boxes["a"].tolist() == [[0, *A[0][1:]]]


def test_boxes_that_stick_out_a_little_are_cut_and_counted(tmp_path: Path) -> None:
    rows = ("a,x,-1,-0.5,60.9,41", "a,x,0,0,60,40")
    found = checked(tmp_path, write_csv(tmp_path, *rows))
    assert reasons(found) == []
    assert found.boxes["a"][:, 1:5].tolist() == [[0, 0, 60, 40]] * 2
    assert found.notes == ["1 boxes stuck out of their image by at most 1 pixel and are cut"]


def test_other_images_are_left_out_with_a_word(tmp_path: Path) -> None:
    name = write_csv(tmp_path, "a,ring,2,3,9,12", "t,star,2,3,9,12")
    found = checked(tmp_path, name, others={"t"})
    assert (found.names, sorted(found.boxes), reasons(found)) == (["ring"], ["a"], [])
    assert found.notes == ["1 boxes of test images, or of unreadable ones, are left out"]


WRONG_ROWS = {
    "a,x,9,3,2,12": r"line 2 \(id a, x\) \(9, 3, 2, 12\) is inside out",
    "a,x,2,12,9,3": r"line 2 .* is inside out",
    "a,x,2,3,2,12": r"line 2 .* is empty: x2, y2 are where a box ends",
    "a,x,nan,3,9,12": r"line 2 .* is not finite",
    "a,x,2,3,inf,12": r"line 2 .* is not finite",
    "a,x,60,3,61,12": r"line 2 .* lies outside the image \(60 wide, 40 high\)",
    "a,x,-5,3,0,12": r"line 2 .* lies outside",
    "a,x,2,3,9,41.5": r"line 2 .* sticks out of the image .* by 1.5 pixels; cut it",
    "a,x,2,,9,12": r"line 2 \(id a\): y1 is '', no number; for an image without boxes leave",
    "a,x,2,three,9,12": r"line 2 \(id a\): y1 is 'three', no number$",
    "a,,2,3,9,12": r"line 2 \(id a\): has no class; name it",
    "z,x,2,3,9,12": r"id z is unknown: no image of that name in images/",
    "z,,,,,": r"id z is unknown: no image of that name in images/$",
    "a.png,x,2,3,9,12": r"id a\.png is unknown: .*; ids have no suffix, so write a$",
    "../a,x,2,3,9,12": r"line 2: id '../a' is not a plain file name",
}


@pytest.mark.parametrize("row", WRONG_ROWS)
def test_a_wrong_row_is_named_with_its_image(tmp_path: Path, row: str) -> None:
    found = checked(tmp_path, write_csv(tmp_path, row, "b,x,1,1,5,5"))
    (finding,) = found.findings
    assert finding.file == "boxes.csv"
    assert re.search(WRONG_ROWS[row], finding.reason), finding.reason
    assert finding.id == row.split(",")[0], "such an image can be dropped"
    assert found.boxes["b"].tolist() == [[0, 1, 1, 5, 5, 1]]


def test_all_wrong_rows_come_at_once(tmp_path: Path) -> None:
    found = checked(tmp_path, write_csv(tmp_path, *WRONG_ROWS))
    # The two rows of z are one unknown image, which has a box and says it has none.
    assert len(found.findings) == len(WRONG_ROWS)
    assert sum("says that z has no box" in text for text in reasons(found)) == 1


def test_classes_that_are_not_asked_for_are_named(tmp_path: Path) -> None:
    name = write_csv(tmp_path, "a,rign,2,3,9,12", "b,ring,2,3,9,12")
    (finding,) = checked(tmp_path, name, names=["ring", "disc"]).findings
    assert "class that data.box_classes does not name; did you mean 'ring'?" in finding.reason


def test_a_row_without_boxes_contradicts_a_box(tmp_path: Path) -> None:
    (finding,) = checked(tmp_path, write_csv(tmp_path, "a,,,,,", "a,x,2,3,9,12")).findings
    assert finding.reason.startswith("line 2 says that a has no box, and line 3 has one")


def changed(part: str, place: int | None, **keys: Any) -> dict[str, Any]:
    content = coco()
    if place is None:
        content[part] = keys["value"]
    else:
        content[part][place] |= keys
    return content


@pytest.mark.parametrize(
    ("content", "reason", "image"),
    [
        ([1], "lacks a list of images, annotations, categories", None),
        (changed("categories", None, value="x"), "lacks a list of categories", None),
        (changed("annotations", None, value=[3]), "lacks a list of annotations", None),
        (changed("images", 1, file_name=None), "image 9: its file_name is None", None),
        (changed("images", 1, file_name="z.png"), "id z is unknown", "z"),
        (changed("images", 0, height=41), r"says that a is 41×60 .* image is 40×60", "a"),
        (changed("categories", 1, name="ring"), r"category 1 \(ring\) is listed twice", None),
        (changed("categories", 1, name=""), "category 1 has the name ''", None),
        (changed("annotations", 0, image_id=8), "annotation 1: image_id 8 is none of", None),
        (changed("annotations", 0, image_id=[8]), r"annotation 1: image_id \[8\] is none", None),
        (changed("annotations", 0, category_id=8), r"1 \(a\): category_id 8 is none of", "a"),
        (changed("annotations", 0, bbox=[1, 2, 3]), r"1 \(a\): bbox is \[1, 2, 3\], not", "a"),
        (changed("annotations", 0, bbox=[1, 2, 3, True]), r"1 \(a\): bbox is", "a"),
        (changed("annotations", 0, bbox=[1, 2, 0, 5]), r"annotation 1 .* is empty", "a"),
        (changed("annotations", 0, bbox=[1, 2, -3, 5]), r"annotation 1 .* is inside out", "a"),
        (changed("annotations", 0, bbox=[1, 2, 1e999, 5]), r"1 .* is not finite", "a"),
        (changed("annotations", 0, bbox=[1, 2, 10**400, 5]), r"1 \(a\): bbox is", "a"),
    ],
)
def test_a_wrong_coco_file_is_named(tmp_path: Path, content: Any, reason: str, image: Any) -> None:
    findings = checked(tmp_path, write_coco(tmp_path, content)).findings
    fits = [one for one in findings if re.search(reason, one.reason)]
    assert len(fits) == 1, findings
    assert (fits[0].file, fits[0].id) == ("annotations.json", image)


def test_two_images_of_one_stem_are_one_too_many(tmp_path: Path) -> None:
    content = changed("images", 1, file_name="a.png")
    findings = checked(tmp_path, write_coco(tmp_path, content)).findings
    assert [one.id for one in findings if "is listed twice" in one.reason] == ["a"]


BOMB = """<?xml version="1.0"?>
<!DOCTYPE annotation [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>
<annotation><object><name>&b;</name></object></annotation>"""
OUTSIDE = """<!DOCTYPE annotation [<!ENTITY a SYSTEM "file:///etc/hostname">]>
<annotation><object><name>&a;</name></object></annotation>"""


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (BOMB, "declares an XML entity"),
        (OUTSIDE, "declares an XML entity"),
        ("<annotation><object>", "cannot be read as XML"),
        ("", "cannot be read as XML"),
        ("<html></html>", "has the root <html>, not <annotation>"),
        (voc(("", 1, 1, 5, 5)), "object 1 has no name"),
        (voc(("x", 5, 1, 3, 5)), r"object 1 \(id a, x\) .* is inside out"),
        (voc(("x", 5, 1, "", 5)), r"object 1 \(x\): bndbox/xmax is '', no number"),
        (voc(size="<size><width>9</width><height>9</height></size>"), "says that a is 9×9"),
    ],
)
def test_a_wrong_voc_file_is_named(tmp_path: Path, text: str, reason: str) -> None:
    (finding,) = checked(tmp_path, write_voc(tmp_path, a=text)).findings
    assert (finding.file, finding.id) == ("annotations/a.xml", "a")
    assert re.search(reason, finding.reason)


def test_what_is_missing_or_strange_is_named(tmp_path: Path) -> None:
    assert (
        "boxes.csv: is missing; data.boxes names it" in reasons(checked(tmp_path, "boxes.csv"))[0]
    )
    write_csv(tmp_path, "a,1,2,3", head="id,x1,y1,x2")
    (misspelt,) = reasons(checked(tmp_path, "boxs.csv"))
    assert misspelt.endswith("; did you mean 'boxes.csv'?")
    assert "lacks the column y2" in reasons(checked(tmp_path, "boxes.csv"))[0]
    name = write_voc(tmp_path)
    assert reasons(checked(tmp_path, name)) == ["annotations: holds no XML file"]
    (tmp_path / name / "a.txt").write_text("x")
    assert "annotations/a.txt: is an extra file" in reasons(checked(tmp_path, name))[0]
    (tmp_path / "cut.json").write_text('{"images": [')
    assert "cannot be read as JSON" in reasons(checked(tmp_path, "cut.json"))[0]


# --- boxes and masks


def test_boxes_of_a_mask_enclose_its_parts_exactly() -> None:
    random = np.random.default_rng(0)
    for _ in range(30):
        mask = (random.random((20, 25, 2)) < 0.15).astype(np.uint8)
        found = boxes_of_mask(mask)
        assert found.dtype == np.float32
        filled = mask_of_boxes(found, (20, 25), 2)
        assert not (mask & ~filled).any(), "every pixel lies in a box"
        for kind, x1, y1, x2, y2, score in found.astype(int).tolist():
            part = mask[y1:y2, x1:x2, kind]
            edges = (part[0], part[-1], part[:, 0], part[:, -1])
            assert all(edge.any() for edge in edges), "no box is larger than it must be"
            assert score == 1


def test_small_parts_have_no_box_and_corners_touch() -> None:
    mask = np.zeros((9, 9), bool)
    mask[1, 1] = mask[2, 2] = mask[6:8, 6:8] = True
    assert boxes_of_mask(mask)[:, 1:5].tolist() == [[1, 1, 3, 3], [6, 6, 8, 8]]
    assert boxes_of_mask(mask, 3)[:, 1:5].tolist() == [[6, 6, 8, 8]]
    assert boxes_of_mask(np.zeros((5, 5, 3), np.uint8)).shape == (0, 6)


def test_boxes_fill_the_pixels_whose_centres_they_hold() -> None:
    boxes_ = np.array(
        [[0, 0.6, 1, 2.4, 2], [0, 2.5, 1, 3.5, 2], [1, 3.1, 3.1, 3.2, 3.2], [1, -5, -5, 1, 1]]
    )
    mask = mask_of_boxes(boxes_, (4, 5), 2)
    assert np.argwhere(mask[..., 0]).tolist() == [[1, 1], [1, 2]]
    assert np.argwhere(mask[..., 1]).tolist() == [[0, 0], [3, 3]]
    assert mask_of_boxes(np.zeros((0, 6)), (4, 5), 2).shape == (4, 5, 2)
