"""What a folder's tables of labels and boxes say is read as it was written, or refused by name."""

import numpy as np
import pandas as pd
import pytest

from foldbelt.boxes import Boxes
from foldbelt.competitions.folder import submit
from foldbelt.files import InputError

IDS = ["b", "a", "c"]


def read(tmp_path, text, labels=("x", "y"), boxes=("p", "q")):
    path = tmp_path / "theirs.csv"
    path.write_text(text)
    return submit.read_predictions(path, IDS, pd.DataFrame(index=range(3)), labels, boxes)


def test_labels_come_back_in_the_datas_order(tmp_path):
    prob = np.array([[0.125, 0.5], [0.25, 1], [0, 0.75]], np.float32)
    text = submit.write_labels(IDS, prob, ["x", "y"])
    labels, boxes = read(tmp_path, text, labels=("y", "z", "x"))
    assert boxes is None
    assert np.array_equal(labels[:, [2, 0]], prob)
    assert np.isnan(labels[:, 1]).all()


def test_boxes_come_back_and_images_without_any_have_none(tmp_path):
    given = Boxes.join(
        [
            np.array([[1, 0.5, 1, 2, 3, 0.25], [0, 1, 2, 3, 4, 0.5]]),
            np.zeros((0, 6)),
            np.array([[0, 5, 6, 7, 8, 1]]),
        ]
    )
    labels, boxes = read(tmp_path, submit.write_boxes(IDS, given, ["p", "q"]))
    assert labels is None
    assert boxes.start.tolist() == [0, 2, 2, 3]
    assert np.array_equal(boxes.image(0), given.image(0)[::-1])
    assert np.array_equal(boxes.image(2), given.image(2))


def test_gaps_are_unknown_and_other_images_are_passed_over(tmp_path):
    labels, _ = read(tmp_path, "id,x\na,\nb,0.5\nc,1\nz,7\n")
    assert np.isnan(labels).tolist() == [[False, True], [True, True], [False, True]]


def test_all_that_is_wrong_is_listed(tmp_path):
    with pytest.raises(InputError) as caught:
        read(tmp_path, "id,x\na,2\na,0\nb,one\n")
    for part in ("id a: comes 2 times", "id a: has '2'", "id b: has 'one'", "id c: is missing"):
        assert part in str(caught.value)
    rows = "a,r,0,0,1,1,1\nb,p,2,0,1,1,1\nb,p,0,0,1,1,1.5\nb,p,0,0,x,1,1\n"
    with pytest.raises(InputError) as caught:
        read(tmp_path, "id,class,x1,y1,x2,y2,score\n" + rows)
    for part in ("class 'r'", "has 2,0,1,1,1", "0,0,1,1,1.5", "0,0,x,1,1", "id c: is missing"):
        assert part in str(caught.value)


def test_another_table_is_named(tmp_path):
    with pytest.raises(InputError, match="has the columns id, w; a table of labels"):
        read(tmp_path, "id,w\na,1\n")
