"""The chest submission: every row of the sample answered, ranks kept, and read back as written."""

import io
import itertools
import json
import re

import numpy as np
import pandas as pd
import pytest
from chest_tables import real_form

from foldbelt import provenance, store, submit
from foldbelt.boxes import Boxes
from foldbelt.competitions.chest import LABELS, SAMPLE, form, truth
from foldbelt.competitions.chest import submit as chest
from foldbelt.decide import joint_io, joint_mixing
from foldbelt.files import InputError

STOP = {"on_problem": "error"}
DROP = {"on_problem": "drop"}


class Case:
    """Two studies, one of two images, with predictions of all that there is."""

    def __init__(self, seed=0):
        self.ids = ["b", "a", "c"]
        self.table = pd.DataFrame(
            {"study": ["s2", "s1", "s2"], "height": [100, 50, 80], "width": [90, 60, 70]}
        )
        random = np.random.default_rng(seed)
        self.labels = random.random((3, 5), np.float32)
        self.labels[2, :4] = self.labels[0, :4]
        self.boxes = Boxes.join(
            [
                np.array([[0, 1.237, 2, 30, 44.5, 0.25], [0, 5, 6, 7, 8, 0.75]]),
                np.zeros((0, 6)),
                np.array([[0, -3.56, -1, 75, 81, 1e-7]]),
            ]
        )

    def write(self, root, settings=STOP, **changed):
        given = {name: getattr(self, name) for name in ("ids", "labels", "boxes", "table")}
        return chest.write_joint(**(given | changed), root=root, settings=settings)

    def check(self, text, root, settings=STOP):
        return chest.check_joint(
            text, self.ids, self.labels, self.boxes, self.table, root, settings
        )


def sample(root, rows, column="id"):
    lines = [f"{column},PredictionString", *(f"{row},negative 1 0 0 1 1" for row in rows)]
    (root / SAMPLE).write_text("\n".join(lines) + "\n")


def rows_of(text):
    return dict(line.split(",") for line in text.splitlines()[1:])


# What is written


@pytest.mark.parametrize("column", ["id", "Id"])
def test_header_rows_and_order_are_the_samples(tmp_path, column):
    rows = ["c_image", "s2_study", "a_image", "b_image", "s1_study"]
    sample(tmp_path, rows, column)
    text = Case().write(tmp_path)
    assert text.splitlines()[0] == f"{column},PredictionString"
    assert list(rows_of(text)) == rows


def test_every_class_is_answered_and_boxes_are_in_original_pixels_by_score(tmp_path):
    case = Case()
    rows = rows_of(case.write(tmp_path))
    assert list(rows) == ["s1_study", "s2_study", "a_image", "b_image", "c_image"]
    for study, number in (("s1", 1), ("s2", 0)):
        words = rows[f"{study}_study"].split()
        assert words[::6] == ["negative", "typical", "indeterminate", "atypical"]
        assert [np.float32(word) for word in words[1::6]] == case.labels[number, :4].tolist()
        assert all(words[k + 2 : k + 6] == ["0", "0", "1", "1"] for k in range(0, 24, 6))
    none = str(case.labels[0, 4])
    assert rows["b_image"] == (
        f"none {none} 0 0 1 1 opacity 0.75 5.00 6.00 7.00 8.00 opacity 0.25 1.24 2.00 30.00 44.50"
    )
    assert rows["a_image"] == f"none {case.labels[1, 4]!s} 0 0 1 1"
    assert rows["c_image"].endswith(" opacity 0.0000001 0.00 0.00 70.00 80.00")


@pytest.mark.parametrize("seed", range(4))
def test_neither_order_nor_ties_change(tmp_path, seed):
    random = np.random.default_rng(seed)
    count = 40
    close = np.float32(0.5) + np.arange(20, dtype=np.float32) * np.spacing(np.float32(0.5))
    equal = np.repeat(np.float32(1 / 3), 10)
    scores = random.permutation(np.concatenate([close, equal, random.random(10, np.float32)]))
    labels = np.repeat(scores[:, None], 5, axis=1)
    table = pd.DataFrame({"study": [f"s{k}" for k in range(count)], "height": 9, "width": 9})
    ids = [f"i{k}" for k in range(count)]
    text = chest.write_joint(ids, labels, None, table, tmp_path, STOP)
    rows = rows_of(text)
    for key, place in itertools.product((f"s{k}_study" for k in range(count)), (1, 7, 13, 19)):
        number = int(re.sub(r"\D", "", key))
        assert np.float32(rows[key].split()[place]) == scores[number]
    assert [np.float32(rows[f"i{k}_image"].split()[1]) for k in range(count)] == scores.tolist()
    assert len({rows[f"i{k}_image"] for k in range(count)}) == len(set(scores.tolist()))


def test_boxes_stay_within_their_image_and_keep_an_inside(tmp_path):
    case = Case()
    odd = [[0, 89.9999, 3, 95, 99, 0.5], [0, -9, -9, -1, -1, 0.4], [0, 5.0051, 7, 5.0051, 8, 0.3]]
    case.boxes = Boxes.join([np.array(odd), np.zeros((0, 6)), np.zeros((0, 6))])
    text = case.write(tmp_path)
    assert not case.check(text, tmp_path)
    rows, _ = form.read(io.StringIO(text), "x")
    boxes = np.array(rows.answers["b_image"]["opacity"])
    assert len(boxes) == 3
    assert (boxes[:, 3:] > boxes[:, 1:3]).all()
    assert (boxes[:, 1:] >= 0).all()
    assert (boxes[:, 3:] <= [90, 100]).all()


def test_unpredicted_classes_are_written_all_the_same(tmp_path):
    case = Case()
    case.labels[:, [1, 4]] = np.nan
    rows = rows_of(case.write(tmp_path, boxes=None))
    assert rows["b_image"] == "none 0 0 0 1 1"
    assert " typical 0 0 0 1 1 " in rows["s1_study"]


def test_what_was_dropped_is_answered_low_and_only_then(tmp_path):
    rows = ["s1_study", "gone_study", "s2_study", "a_image", "b_image", "c_image", "lost_image"]
    sample(tmp_path, rows)
    case = Case()
    text = case.write(tmp_path, DROP)
    answered = rows_of(text)
    assert answered["lost_image"] == "none 0 0 0 1 1"
    assert answered["gone_study"].count(" 0 0 0 1 1") == 4
    assert not case.check(text, tmp_path, DROP)
    with pytest.raises(InputError, match=r"(?s)2 problems.*gone_study.*lost_image"):
        case.write(tmp_path)


def test_rows_that_the_sample_lacks_or_repeats_are_listed_at_once(tmp_path):
    sample(tmp_path, ["s1_study", "a_image", "b_image", "b_image"])
    with pytest.raises(InputError) as caught:
        Case().write(tmp_path)
    for part in ("c_image: is predicted", "s2_study: is predicted", "b_image: is in the sample m"):
        assert part in str(caught.value)


def test_a_study_has_one_answer(tmp_path):
    case = Case()
    case.labels[2, 1] += 0.1
    with pytest.raises(InputError, match="s2: its images differ"):
        case.write(tmp_path)


# What is read back


def test_a_faithful_text_has_no_findings_and_any_change_has(tmp_path):
    case = Case()
    sample(tmp_path, ["s1_study", "s2_study", "a_image", "b_image", "c_image"])
    text = case.write(tmp_path)
    assert not case.check(text, tmp_path)
    lines = text.splitlines(keepends=True)
    changes = {
        "column": text.replace("id,", "Id,", 1),
        "missing": "".join(lines[:-1]),
        "order": "".join([lines[0], *reversed(lines[1:])]),
        "again": text + lines[-1],
        "score": text.replace(str(case.labels[0, 1]), "0.5"),
        "box score": text.replace("opacity 0.25", "opacity 0.26"),
        "box place": text.replace("30.00 44.50", "30.02 44.50"),
        "box outside": text.replace("70.00 80.00", "70.01 80.00"),
        "box lost": text.replace(" opacity 0.75 5.00 6.00 7.00 8.00", ""),
        "class": text.replace("opacity", "opacities"),
        "none": text.replace("none ", "none 1", 1),
    }
    for what, changed in changes.items():
        assert changed != text, what
        assert case.check(changed, tmp_path), what


def test_ranks_cannot_be_lost_to_rounding_unseen(tmp_path):
    case = Case()
    short = re.sub(r"(0\.\d{3})\d+", r"\1", case.write(tmp_path))
    assert len(case.check(short, tmp_path)) >= 5


# The table of the real competition, and the stage


def test_the_real_sample_is_answered_row_by_row(tmp_path):
    listed = real_form(tmp_path)
    test = listed[listed["split"] == "test"].reset_index(drop=True)
    random = np.random.default_rng(0)
    studies, number = np.unique(test["study"], return_inverse=True)
    labels = random.random((len(test), 5), np.float32)
    labels[:, :4] = random.random((len(studies), 4), np.float32)[number]
    sides = test[["width", "height"]].to_numpy()
    boxes = []
    for side in sides:
        corners = np.sort(random.random((random.integers(0, 9), 2, 2)), axis=1) * side
        score = random.random((len(corners), 1))
        boxes.append(np.hstack([0 * score, corners.reshape(-1, 4), score]))
    ids = test["image"].tolist()
    given = (ids, labels, Boxes.join(boxes), test, tmp_path, STOP)
    text = chest.write_joint(*given)
    assert not chest.check_joint(text, *given)
    written = pd.read_csv(tmp_path / SAMPLE, dtype=str)
    answer = dict(zip(written.iloc[:, 0], written.iloc[:, 1], strict=True))
    ours = rows_of(text)
    assert list(ours) == list(answer)
    assert sum(row.endswith("_study") for row in ours) == 1214
    assert sum(row.endswith("_image") for row in ours) == 1263
    (tmp_path / "ours.csv").write_text(text)
    again, boxed = chest.read_predictions(
        tmp_path / "ours.csv", ids, test, list(LABELS), ["opacity"]
    )
    assert np.array_equal(again, labels)
    assert boxed.start.tolist() == given[2].start.tolist()


def store_all(tmp_path, case, names=LABELS):
    table = case.table.assign(id=case.ids)
    store.write(tmp_path / "test.h5", {"image": np.zeros((3, 4, 4), np.uint8)}, table)
    arrays = {"labels": case.labels, "boxes": case.boxes.to_bytes()}
    attrs = {"label_names": list(names), "box_names": ["opacity"]}
    order = [1, 2, 0]  # a blend may hold the images in another order
    arrays["labels"] = case.labels[order]
    arrays["boxes"] = case.boxes.take(order).to_bytes()
    store.write(tmp_path / "blend.h5", arrays, table.iloc[order], attrs)
    return "chest", tmp_path, STOP, tmp_path / "test.h5", tmp_path / "blend.h5", tmp_path / "o.csv"


def test_the_stage_writes_what_the_files_hold(tmp_path):
    case = Case()
    submit.write_joint(*store_all(tmp_path, case))
    assert (tmp_path / "o.csv").read_text() == case.write(tmp_path)


def test_the_stage_refuses_other_labels_and_other_competitions(tmp_path):
    given = store_all(tmp_path, Case(), reversed(LABELS))
    with pytest.raises(InputError, match="the competition's classes are negative, typical"):
        submit.write_joint(*given)
    with pytest.raises(InputError, match="'steel' has no submission"):
        submit.write_joint("steel", *given[1:])


@pytest.mark.parametrize("output", ["labels", "boxes"])
def test_each_output_has_a_table_of_its_own_beside_it(tmp_path, output):
    *_, test, blend, out = store_all(tmp_path, Case())
    submit.write_table(output, "chest", test, blend, out)
    assert [line.split(",")[0] for line in out.read_text().splitlines()][1] == "a"


def test_a_submission_that_differs_does_not_appear(tmp_path, monkeypatch):
    given = store_all(tmp_path, Case())
    real = chest.write_joint
    monkeypatch.setattr(chest, "write_joint", lambda *a: real(*a).replace("0.75", "0.7"))
    with pytest.raises(InputError, match="read back"):
        submit.write_joint(*given)
    assert not (tmp_path / "o.csv").exists()


# What others submitted


def read(tmp_path, text, ids=("b", "a", "c"), table=None, **how):
    path = tmp_path / "theirs.csv"
    path.write_text(text)
    table = Case().table if table is None else table
    return chest.read_predictions(
        path, list(ids), table, how.get("labels", list(LABELS)), how.get("boxes", ["opacity"])
    )


@pytest.mark.parametrize("column", ["id", "Id"])
def test_predictions_come_back_as_they_were_written(tmp_path, column):
    sample(tmp_path, ["s1_study", "s2_study", "a_image", "b_image", "c_image"], column)
    case = Case()
    labels, boxes = read(tmp_path, case.write(tmp_path))
    assert np.array_equal(labels, case.labels)
    assert boxes.image(0)[:, 5].tolist() == [0.75, 0.25]
    assert boxes.image(2)[0].tolist() == pytest.approx([0, 0, 0, 70, 80, 1e-7])
    named, _ = read(tmp_path, case.write(tmp_path), labels=["none", "atypical"])
    assert np.array_equal(named, case.labels[:, [4, 3]])


def test_a_file_that_says_a_part_leaves_the_rest_open(tmp_path):
    head = "id,PredictionString\n"
    study = "typical 0.5 0 0 1 1"
    labels, boxes = read(tmp_path, f"{head}s1_study,{study}\ns2_study,{study}\n")
    assert boxes is None
    assert np.isnan(labels).tolist() == [[True, False, True, True, True]] * 3
    only = "".join(f"{key}_image,opacity 0.1 1 1 2 2\n" for key in "abcz")
    labels, boxes = read(tmp_path, head + only)
    assert labels is None
    assert np.diff(boxes.start).tolist() == [1, 1, 1]


def test_all_that_is_wrong_in_a_file_is_listed(tmp_path):
    text = """id,PredictionString
s1_study,negative 0.5 0 0 1
s1_study,negative 0.5 0 0 1 1 negative 0.5 0 0 1 1
s2_study,opacity 0.5 0 0 1 1
b_image,none 1.5 0 0 1 1 opacity x 1 1 2 2 opacity 0.5 3 3 2 5 opacity nan 1 1 2 2
d,none 1 0 0 1 1
"""
    with pytest.raises(InputError) as caught:
        read(tmp_path, text)
    for part in (
        "has 5 words",
        "comes more than once",
        "class negative twice",
        "the class 'opacity'",
        "score 1.5 of none",
        "'opacity x 1 1 2 2'",
        "inside out: 3 3 2 5",
        "'opacity nan",
        "row d: ends neither",
        "row a_image: is missing",
        "row c_image: is missing",
    ):
        assert part in str(caught.value), part


@pytest.mark.parametrize("text", ["a,b\n1,2\n", "id,Id,PredictionString\n", ""])
def test_another_table_is_named(tmp_path, text):
    with pytest.raises(InputError, match=r"theirs\.csv"):
        read(tmp_path, text)


# The hidden truth


def scored(tmp_path, predicted, true):
    (tmp_path / "s.csv").write_text("id,PredictionString\n" + predicted)
    (tmp_path / "t.csv").write_text("id,class,x1,y1,x2,y2\n" + true)
    return truth.hidden_score(tmp_path / "s.csv", tmp_path / "t.csv")


TRUTH = """s1_study,negative,0,0,1,1
s2_study,typical,0,0,1,1
s3_study,typical,0,0,1,1
a_image,none,0,0,1,1
b_image,opacity,0,0,10,10
c_image,opacity,0,0,10,10
"""


def test_the_hidden_score_is_as_by_hand(tmp_path):
    study = "negative {} 0 0 1 1 typical {} 0 0 1 1"
    text = "".join(
        [
            f"s1_study,{study.format(0.2, 0.8)}\n",  # negative is last of three: 1/3
            f"s2_study,{study.format(0.3, 0.9)}\n",  # typical 1st and 3rd: (1 + 2/3) / 2
            f"s3_study,{study.format(0.4, 0.1)}\n",
            "a_image,none 0.9 0 0 1 1\n",
            "b_image,none 0.1 0 0 1 1 opacity 0.9 0 0 10 6\n",  # IoU .6: right
            "c_image,none 0.2 0 0 1 1 opacity 0.8 0 0 10 5\n",  # IoU .5: wrong
        ]
    )
    score = scored(tmp_path, text, TRUTH)
    by_hand = {"negative": 1 / 3, "typical": 5 / 6, "none": 1.0, "opacity": 0.5}
    absent = {"indeterminate": None, "atypical": None}
    assert score["classes"] == pytest.approx(by_hand | absent)
    assert score["score"] == pytest.approx(sum(by_hand.values()) / 4)


def test_a_class_that_is_not_predicted_counts_nothing(tmp_path):
    score = scored(tmp_path, "a_image,none 0.9 0 0 1 1\n", TRUTH)
    assert score["score"] == 0.25
    assert score["classes"]["opacity"] == 0


def test_a_table_of_other_truth_is_named(tmp_path):
    with pytest.raises(InputError, match="classes cat; known are"):
        scored(tmp_path, "", "a_image,cat,0,0,1,1\n")
    (tmp_path / "t.csv").write_text("id,class\n")
    with pytest.raises(InputError, match="lacks the columns"):
        truth.hidden_score(tmp_path / "s.csv", tmp_path / "t.csv")


def test_how_a_submission_is_written_is_upstream_of_no_image():
    upstream = provenance.upstream("foldbelt.competitions.chest.read")
    assert "foldbelt.competitions.chest.tables" in upstream
    assert not [name for name in upstream if name.endswith((".form", ".submit", ".predicted"))]


def test_without_test_images_there_is_a_header(tmp_path):
    """A part without images has no columns, which ended such runs after all trainings."""
    nothing = pd.DataFrame({"id": pd.Series([], dtype=object)})
    empty, none = np.zeros((0, 4, 4), np.uint8), np.zeros((0, len(LABELS)), np.float32)
    store.write(tmp_path / "test.h5", {"image": empty}, nothing)
    for name, array, attrs in (
        ("labels", none, {"label_names": list(LABELS)}),
        ("boxes", Boxes.join([]).to_bytes(), {"box_names": ["opacity"]}),
    ):
        store.write(tmp_path / f"{name}.h5", {name: array}, nothing, attrs)
    params = joint_mixing.NEUTRAL | {"negative_mix": 0.5, "none_exponent": 0.5}
    roles = {"none": "none", "negative": "negative", "box": "opacity"}
    decided = {"level": "study", "roles": roles, "params": params}
    (tmp_path / "decision.json").write_text(json.dumps(decided))
    given = {name: tmp_path / f"{name}.h5" for name in ("labels", "boxes")}
    out, data = tmp_path / "joint.h5", tmp_path / "test.h5"
    joint_io.apply_test(**given, data=data, decision=tmp_path / "decision.json", out=out)
    submit.write_joint("chest", tmp_path, STOP, data, out, tmp_path / "s.csv")
    assert (tmp_path / "s.csv").read_text() == "id,PredictionString\n"
    (tmp_path / "truth.csv").write_text(",".join(truth.COLUMNS) + "\n")
    assert truth.hidden_score(tmp_path / "s.csv", tmp_path / "truth.csv")["score"] is None
