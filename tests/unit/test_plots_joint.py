"""Figures and page of a joint decision: studies counted once, areas of the metric, nothing cut."""

import json

import numpy as np
import pandas as pd
import pytest
from test_plots_crowded import check

from foldbelt import store
from foldbelt.boxes import Boxes
from foldbelt.config import complete
from foldbelt.decide import output_files
from foldbelt.metrics.boxes import mean_average_precision
from foldbelt.report import (
    decision_page,
    gains,
    joint_page,
    outputs,
    parts,
    precision_recall,
    ranking,
    style,
)

STUDY = ["negative", "typical", "indeterminate", "atypical"]
NAMES = [*STUDY, "none"]
DECISION = {
    "output": "joint",
    "metric": "mean_average_precision",
    "score": 0.4321,
    "interval": [0.4, 0.47],
    "optimistic": 0.44,
    "baseline": 0.2,
    "params": {"none_mix": {"negative": 0.25, "absence": 0.5}, "box_exponent": 0.92},
    "per_fold": [{"fold": f, "params": {"box_exponent": 0.84}, "score": 0.4} for f in range(2)],
    "members": {},
    "coverage": {},
    "groups": 60,
    "without": {
        "none_mix": {"score": 0.41, "difference": 0.0221, "interval": [0.011, 0.03]},
        "negative_mix": {"score": 0.433, "difference": -0.0009, "interval": [-0.004, 0.002]},
        "none_product": {"score": 0.43, "difference": 0.0021, "interval": None},
    },
}


def write_run(root, images=80, boxes=True, seed=0):
    """Write the files of a run: studies of one to three images, some without a known none."""
    random = np.random.default_rng(seed)
    ids = [f"image{n:03d}" for n in range(images)]
    study = np.sort(random.integers(0, images * 2 // 3, images))
    kinds = random.integers(0, 4, images)[study]
    truth = np.hstack([np.eye(4)[kinds], (random.random((images, 1)) < 0.4)]).astype(np.float32)
    truth[random.random(images) < 0.2, 4] = np.nan
    prob = np.clip(0.25 + 0.4 * np.nan_to_num(truth) + random.normal(0, 0.2, truth.shape), 0, 1)
    prob[:, :4] = prob[np.unique(study, return_index=True)[1]][
        np.unique(study, return_inverse=True)[1], :4
    ]
    sets: list = [[], []]
    for _ in range(images):
        corner = random.integers(0, 50, (random.integers(0, 3), 2))
        box = np.hstack([0 * corner[:, :1], corner, corner + 20, 1 + 0 * corner[:, :1]])
        found = np.repeat(box, 2, axis=0) * 1.0
        found[:, 1:5] += random.integers(-6, 7, (len(found), 4))
        found[:, 5] = random.random(len(found))
        sets[0].append(box)
        sets[1].append(found)
    known = random.random(images) < 0.9
    table = pd.DataFrame({"id": ids, "study": [f"s{n}" for n in study]})
    table["boxes"] = np.where(known, [len(box) for box in sets[0]], -1)
    attrs = {"label_names": NAMES, "label_levels": {"study": STUDY}, "box_names": ["opacity"]}
    arrays = {"labels": truth, "image": np.zeros((images, 8, 8), np.uint8)}
    oof = {"labels": prob.astype(np.float32)}
    if boxes:
        arrays["boxes"], oof["boxes"] = (Boxes.join(each).to_bytes() for each in sets)
    store.write(root / "train.h5", arrays, table, attrs)
    store.write(root / "oof.h5", oof, table[["id", "study"]], attrs)
    scheme = pd.DataFrame({"id": ids, "fold": study % 2, "group": [f"p{n // 2}" for n in study]})
    scheme.to_csv(root / "folds.csv", index=False)
    (root / "decision.json").write_text(json.dumps(DECISION))
    return [str(root / name) for name in ("decision.json", "oof.h5", "train.h5", "folds.csv")]


def curves_of(files, draws=8):
    labels, boxed = outputs.read_joint(*files)
    boxes = boxed and (boxed.truth, boxed.pred, boxed.names, boxed.labelled)
    return ranking.of_both((labels.truth, labels.prob, labels.names), boxes, labels.groups, draws)


def rows_of(files):
    """Give truth and predictions as the competition's metric takes them."""
    _, oof, data, _ = files
    table, prob = store.table(data), store.read(oof, "labels")
    truth, lines, found = store.read(data, "labels"), [], []
    for n, (key, study) in enumerate(zip(table["id"], table["study"], strict=True)):
        for k, name in enumerate(NAMES):
            place = study if name in STUDY else key
            if np.isfinite(truth[n, k]):
                found.append((place, name, 0, 0, 1, 1, prob[n, k]))
                lines += [(place, name, 0, 0, 1, 1, 1)] * bool(truth[n, k])
    columns = ["image", "class", "x1", "y1", "x2", "y2", "score"]
    true = pd.DataFrame(lines, columns=columns).drop_duplicates()
    pred = pd.DataFrame(found, columns=columns).drop_duplicates()
    if store.has(oof, "boxes"):
        known = table["boxes"] >= 0
        for path, frames in ((data, (0,)), (oof, (1,))):
            boxes = Boxes.from_bytes(store.read(path, "boxes")).take(np.flatnonzero(known))
            made = boxes.frame(table["id"][known].tolist(), ["opacity"])
            true = pd.concat([true, made]) if frames == (0,) else true
            pred = pd.concat([pred, made]) if frames == (1,) else pred
    return true, pred


@pytest.mark.parametrize("seed", range(4))
def test_areas_are_those_of_the_metric_with_studies_counted_once(seed, tmp_path):
    files = write_run(tmp_path, seed=seed)
    made = curves_of(files)
    true, pred = rows_of(files)
    assert [curve.name for curve in made.each] == [*NAMES, "opacity"]
    for curve in made.each:
        mine, given = true[true["class"] == curve.name], pred[pred["class"] == curve.name]
        assert curve.area == pytest.approx(mean_average_precision(mine, given), abs=1e-12)
        assert curve.true == len(mine)
    assert made.mean == pytest.approx(np.mean([curve.area for curve in made.each]))


def test_labels_of_a_study_stand_beside_one_of_its_images(tmp_path):
    files = write_run(tmp_path)
    labels, boxed = outputs.read_joint(*files)
    table = store.table(files[2])
    assert np.isfinite(labels.truth[:, :4]).all(axis=1).sum() == table["study"].nunique()
    assert (
        np.isfinite(labels.truth[:, 4]).sum()
        == np.isfinite(store.read(files[2], "labels")[:, 4]).sum()
    )
    assert boxed.labelled.tolist() == (table["boxes"] >= 0).tolist()


def test_the_page_has_every_class_part_and_hidden_score(tmp_path):
    files = write_run(tmp_path)
    curves = curves_of(files)
    content = DECISION | {"classes": {c.name: c.area for c in reversed(curves.each)}}
    content["classes"]["atypical"] = None
    (tmp_path / "decision.json").write_text(json.dumps(content))
    scores, out = tmp_path / "scores.json", tmp_path / "page.html"
    pages = {}
    for name, known in {
        "none": {"hidden": None, "output": "joint"},
        "number": {"hidden": 0.41, "output": "joint"},
        "classes": {"hidden": 0.3, "hidden_classes": {"none": 0.7654}, "output": "joint"},
        "masks": {"hidden": 0.9, "output": "masks"},
    }.items():
        scores.write_text(json.dumps(known))
        joint_page.write(files[0], str(scores), curves, str(out))
        pages[name] = out.read_text()
    for text in pages.values():
        for part in (*NAMES, "opacity", "0.4321", "0.4000 – 0.4700", "0.4400", "without fold 1"):
            assert part in text
        places = [text.index(f"<td>{name}</td>") for name in [*NAMES, "opacity"]]
        assert places == sorted(places), "in the order of the data"
        assert "+0.0221" in text
        assert "−0.0009" in text
        assert "no: the interval holds zero" in text
        assert "not known: too few groups" in text
    assert "hidden" not in pages["none"] + pages["masks"]
    assert "<b>0.4100</b>, within" in pages["number"]
    assert "outside" in pages["classes"]
    assert "0.7654" in pages["classes"]


@pytest.mark.parametrize("boxes", [True, False])
def test_no_text_is_cut_or_runs_into_another(tmp_path, monkeypatch, boxes):
    files = write_run(tmp_path, boxes=boxes)
    titles = []
    monkeypatch.setattr(style, "save", lambda made, out: titles.append(made) or check(made))
    precision_recall.draw(curves_of(files), "class", "a.svg")
    parts.draw(files[0], "b.svg")
    texts = [made.texts[0].get_text() for made in titles]
    assert texts[0].startswith("Mean average precision 0.")
    assert texts[1] == "Most is added by mixing negative and boxes into none: +0.0221"


def test_a_decision_without_parts_or_gains_says_so(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(style, "save", lambda made, out: seen.append(made.texts[0].get_text()))
    path = tmp_path / "decision.json"
    loss = {"score": 0.5, "difference": -0.1, "interval": [-0.2, -0.05]}
    for without in ({}, {"another_part": loss}):
        path.write_text(json.dumps(DECISION | {"without": without}))
        parts.draw(str(path), "a.svg")
    assert seen[0].startswith("The decision has no part")
    assert seen[1].startswith("No part of the joint decision adds")


def test_same_files_give_the_same_bytes(tmp_path):
    files = write_run(tmp_path)
    drawn = []
    for part in "ab":
        out = [str(tmp_path / f"{part}{n}.svg") for n in range(2)]
        precision_recall.draw(curves_of(files), "class", out[0])
        parts.draw(files[0], out[1])
        drawn.append([open(path, "rb").read() for path in out])  # noqa: SIM115
    assert drawn[0] == drawn[1]


# What models add to each other


def members_of(root, files, skills, columns=None):
    """Write out-of-fold predictions of models that know so much, in two folds."""
    _, _, data, folds = files
    scheme = pd.read_csv(folds)
    truth = np.nan_to_num(store.read(data, "labels"), nan=0.5)
    boxes = Boxes.from_bytes(store.read(data, "boxes"))
    made = {}
    for number, (name, skill) in enumerate(skills.items()):
        random = np.random.default_rng(number)
        prob = np.clip(0.3 + skill * truth + random.normal(0, 0.3, truth.shape), 0.01, 0.99)
        known = (columns or {}).get(name, range(5))
        prob[:, [k for k in range(5) if k not in known]] = np.nan
        for fold in range(2):
            rows = np.flatnonzero(scheme["fold"] == fold)
            path = root / f"{name}{fold}.h5"
            arrays = {"labels": prob[rows].astype(np.float32)}
            arrays["boxes"] = boxes.take(rows).to_bytes()
            attrs = {"label_names": NAMES, "box_names": ["opacity"]}
            store.write(path, arrays, pd.DataFrame({"id": scheme["id"][rows].tolist()}), attrs)
            made.setdefault(name, []).append(str(path))
    return made


def compare(root, files, members, **changes):
    settings = {k: v for k, v in complete("labels", changes).items() if k != "external"}
    blend = root / "blend.h5"
    output_files.run(
        "labels",
        members=members,
        data=files[2],
        folds=files[3],
        settings=settings,
        draws=5,
        seed=0,
        decision=root / "d.json",
        blend=blend,
    )
    made = gains.of_members("labels", members, blend, files[2], files[3], settings, draws=8)
    return made, json.loads((root / "d.json").read_text())


def test_the_blend_is_compared_with_its_best_member_and_that_with_the_others(tmp_path):
    files = write_run(tmp_path)
    members = members_of(tmp_path, files, {"poor": 0.05, "good": 0.6, "fair": 0.3})
    made, decision = compare(tmp_path, files, members)
    assert [(gain.of, gain.over) for gain in made] == [
        ("blend", "good"),
        ("good", "poor"),
        ("good", "fair"),
    ]
    alone = decision["members"]
    assert made[0].score == pytest.approx(decision["score"])
    assert made[0].adds == pytest.approx(decision["score"] - alone["good"])
    for gain in made[1:]:
        assert gain.adds == pytest.approx(alone["good"] - alone[gain.over])
        assert gain.interval[0] <= gain.adds <= gain.interval[1]
    assert made[1].interval[0] > 0
    scores, out = tmp_path / "scores.json", tmp_path / "page.html"
    scores.write_text("{}")
    joint_page.write(files[0], str(scores), curves_of(files), str(out), made)
    assert f'<td>good</td><td>poor</td><td class="n">{made[1].score:.4f}' in out.read_text()


def test_only_models_that_predict_the_same_are_compared(tmp_path):
    files = write_run(tmp_path)
    columns = {"a": range(4), "b": range(4), "none": [4]}
    members = members_of(tmp_path, files, {"a": 0.2, "none": 0.5, "b": 0.5}, columns)
    made, decision = compare(tmp_path, files, members)
    assert [(gain.of, gain.over) for gain in made] == [("blend", "b"), ("b", "a")]
    block = next(part for part in decision["blocks"] if len(part["labels"]) == 4)
    assert made[0].score == pytest.approx(block["score"])
    loss, decision = compare(tmp_path, files, members, metric="log_loss")
    assert loss[1].adds > 0, "less is better"
    assert loss[1].interval[0] <= loss[1].adds <= loss[1].interval[1]
    assert not gains.of_members("labels", {"a": []}, "", "", "", {"metric": "auc"})


def test_members_that_predict_other_labels_are_told_apart(tmp_path):
    out = tmp_path / "page.html"
    blocks = [
        {"labels": STUDY, "members": {"a": 0.5, "b": 0.4}},
        {"labels": ["none"], "members": {"b": 0.7}},
    ]
    content = DECISION | {"members": {"a": 0.5, "b": 0.6}, "blocks": blocks}
    path = tmp_path / "labels.json"
    for some in (blocks, blocks[:1]):
        path.write_text(json.dumps(content | {"blocks": some}))
        decision_page.write(str(path), str(out))
        several = len(some) > 1
        assert ("<td>negative, typical, indeterminate, atypical, none</td>" in out.read_text()) == (
            several
        )
        assert ("that predict the same alone" in out.read_text()) == several


def test_a_mean_has_the_interval_of_its_decision_and_no_other(tmp_path):
    files = write_run(tmp_path)
    curves = curves_of(files)
    for score, interval in ((curves.mean, [0.1, 0.9]), (curves.mean + 0.01, curves.interval)):
        path = tmp_path / "decided.json"
        path.write_text(json.dumps({**DECISION, "score": score, "interval": [0.1, 0.9]}))
        assert ranking.as_decided(curves, str(path)).interval == interval
