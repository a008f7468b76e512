"""Labels and boxes predicted elsewhere: members like any other, or a share of the test blend."""

import json

import h5py
import numpy as np
import pandas as pd
import pytest
from test_config import changed
from test_decide_joint import NAMES, Case

from foldbelt import config, store
from foldbelt.boxes import Boxes
from foldbelt.competitions import _loading
from foldbelt.config import complete
from foldbelt.config.plan import Plan
from foldbelt.decide import external, output_files
from foldbelt.evaluate import outputs as scored
from foldbelt.files import InputError

OUTPUTS = ("labels", "boxes")


@pytest.fixture
def case(tmp_path):
    made = Case(tmp_path)
    table = pd.DataFrame({"id": made.ids, "study": [f"s{n}" for n in made.study]})
    store.write(tmp_path / "test.h5", {}, table, {})  # test images like those of training
    return made


def write(case, path, output, ids=None, fold=False, **attrs):
    """Write what `a` and `finder` predict as somebody else would: in another order, with folds."""
    order = np.random.default_rng(1).permutation(len(case.ids))
    table = pd.DataFrame({"id": np.array(case.ids)[order]})
    if fold:
        table["fold"] = 10 - case.folds[order]  # numbered otherwise
    source = case.root / ("a.h5" if output == "labels" else "finder.h5")
    rows = store.read(source, output, table["id"].tolist())
    key = {"labels": "label_names", "boxes": "box_names"}[output]
    store.write(path, {output: rows}, table, {key: store.attrs(source)[key], **attrs})
    return path


def read(case, output, source, part="train", name="elsewhere.h5", competition="folder"):
    out = case.root / name
    external.run(
        output,
        source=source,
        part=part,
        data=case.root / f"{part}.h5",
        names=case.root / "train.h5",
        competition=competition,
        out=out,
    )
    return out


def decide(case, output, members, **more):
    settings = complete(output, more.pop("settings", {}))
    output_files.run(
        output,
        members=members,
        data=case.root / "train.h5",
        folds=case.root / "folds.csv",
        settings=settings,
        draws=20,
        seed=0,
        decision=case.root / "decision.json",
        blend=case.root / "blend.h5",
        **more,
    )
    return json.loads((case.root / "decision.json").read_text())


def apply(case, output, members, folds, **more):
    out = case.root / "applied.h5"
    output_files.apply(
        output,
        members=members,
        folds=folds,
        decision=case.root / "decision.json",
        data=case.root / "test.h5",
        out=out,
        **more,
    )
    rows = store.read(out, output, case.ids)
    return rows if output == "labels" else Boxes.from_bytes(rows)


@pytest.mark.parametrize("output", OUTPUTS)
def test_out_of_fold_predictions_from_elsewhere_are_the_member_itself(case, output):
    own, other = ("a", "b") if output == "labels" else ("finder", None)
    source = write(case, case.root / "their.h5", output, fold=True)
    files = {own: read(case, output, source)}
    members = {own: [case.root / f"{own}.h5"]} | ({other: [case.root / "b.h5"]} if other else {})
    plain, blend = decide(case, output, members), (case.root / "blend.h5").read_bytes()
    joined = decide(case, output, members | {own: [files[own]]})
    assert joined == plain
    assert (case.root / "blend.h5").read_bytes() == blend
    assert "notes" not in joined
    folds = {name: [0] for name in members}
    rest = {name: paths for name, paths in members.items() if name != own} or members
    expected = apply(case, output, members, folds)
    if other:
        made = apply(case, output, rest, {other: [0]}, elsewhere=files)
        np.testing.assert_array_equal(made, expected)


@pytest.mark.parametrize("output", OUTPUTS)
def test_folds_are_held_against_the_run_s_own(case, output):
    source = read(case, output, write(case, case.root / "their.h5", output))
    decision = decide(case, output, {"theirs": [source]})
    (note,) = decision["notes"]
    assert "theirs was made elsewhere and does not state its folds" in note
    described = scored.of_rounds([case.root / "decision.json"])
    assert note in described["notes"]
    before = case.folds.copy()
    case.folds[np.flatnonzero(case.study == 3)] = 1
    source = read(case, output, write(case, case.root / "their.h5", output, fold=True))
    case.folds = before
    with pytest.raises(InputError, match=r"was held out in fold 9, with images of other folds"):
        decide(case, output, {"theirs": [source]})


def test_labels_of_the_test_images_alone_take_their_share_and_are_in_no_score(case):
    members = {name: [case.root / f"{name}.h5"] for name in ("a", "b")}
    settings = {"weights": {"a": 3, "b": 1}, "join": ["mean"]}
    plain = decide(case, "labels", members, settings=settings)
    source = write(case, case.root / "their.h5", "labels")
    theirs = read(case, "labels", source, "test")
    decision = decide(case, "labels", members, settings=settings, unscored={"theirs": 0.5})
    (note,) = decision.pop("notes")
    assert "theirs was made elsewhere and predicts the test images alone: it has 0.5" in note
    assert decision == plain
    folds = {name: [0] for name in members}
    made = apply(case, "labels", members, folds, unscored={"theirs": (theirs, 0.5)})
    a, b = (case.given[name].astype(float) for name in ("a", "b"))
    mean = 0.5 * (0.75 * a + 0.25 * b) + 0.5 * a
    mean[:, :2] = pd.DataFrame(mean[:, :2]).groupby(case.study).transform("mean")
    np.testing.assert_allclose(made, mean, atol=1e-6)


@pytest.mark.parametrize("output", OUTPUTS)
def test_images_without_a_fold_are_left_out(case, output):
    table = pd.read_csv(case.root / "folds.csv").iloc[5:]
    table.to_csv(case.root / "folds.csv", index=False)
    source, out = write(case, case.root / "their.h5", output), case.root / "read.h5"
    given = {"data": case.root / "train.h5", "names": case.root / "train.h5"}
    given |= {"part": "train", "competition": "folder", "folds": case.root / "folds.csv"}
    external.run(output, source=source, out=out, **given)
    assert sorted(store.read(out, "id").astype(str)) == case.ids[5:]
    own = case.root / ("a.h5" if output == "labels" else "finder.h5")
    for one, other in zip(
        store.read(out, output, case.ids[5:]), store.read(own, output, case.ids[5:]), strict=True
    ):
        np.testing.assert_array_equal(one, other)
    assert decide(case, output, {"theirs": [out]})["coverage"] == {"theirs": 1.0}


def test_labels_may_be_some_of_the_data_s_in_any_order(case):
    order = [2]
    table = pd.DataFrame({"id": case.ids})
    arrays = {"labels": case.given["a"][:, order]}
    store.write(case.root / "their.h5", arrays, table, {"label_names": ["none"]})
    out = read(case, "labels", case.root / "their.h5")
    rows = store.read(out, "labels", case.ids)
    np.testing.assert_array_equal(rows[:, 2], case.given["a"][:, 2])
    assert np.isnan(rows[:, :2]).all()
    assert store.attrs(out)["label_names"] == NAMES
    decision = decide(case, "labels", {"b": [case.root / "b.h5"], "theirs": [out]})
    assert set(decision["params"]["none"]["weights"]) == {"b", "theirs"}
    assert set(decision["params"]["negative, typical"]["weights"]) == {"b"}
    theirs = read(case, "labels", case.root / "their.h5", "test", "test-only.h5")
    decide(case, "labels", {"b": [case.root / "b.h5"]}, unscored={"theirs": 0.25})
    extra = {"theirs": (theirs, 0.25)}
    made = apply(case, "labels", {"b": [case.root / "b.h5"]}, {"b": [0]}, unscored=extra)
    both = 0.25 * case.given["a"][:, 2] + 0.75 * case.given["b"][:, 2]
    np.testing.assert_allclose(made[:, 2], both, atol=1e-6)


def test_what_is_said_of_a_label_that_no_model_predicts_is_named(case, capsys):
    prob = case.given["b"].copy()
    prob[:, 2] = np.nan
    table = pd.DataFrame({"id": case.ids})
    store.write(case.root / "part.h5", {"labels": prob}, table, {"label_names": NAMES})
    members = {"part": [case.root / "part.h5"]}
    theirs = read(case, "labels", write(case, case.root / "their.h5", "labels"), "test")
    decide(case, "labels", members, unscored={"theirs": 0.5})
    made = apply(case, "labels", members, {"part": [0]}, unscored={"theirs": (theirs, 0.5)})
    assert np.isnan(made[:, 2]).all()
    assert (
        "theirs: what it says of none is left out: no model predicts it" in capsys.readouterr().out
    )


def test_boxes_of_the_test_images_alone_are_fused_with_their_share(case):
    case.found = [rows[:1] for rows in case.found]
    case.write()
    members = {"finder": [case.root / "finder.h5"]}
    settings = {"fusion": ["wbf"], "iou": [0.5]}
    decide(case, "boxes", members, settings=settings, unscored={"theirs": 0.25})
    theirs = read(case, "boxes", write(case, case.root / "their.h5", "boxes"), "test")
    alike = apply(case, "boxes", members, {"finder": [0]}, unscored={"theirs": (theirs, 0.25)})
    plain = apply(case, "boxes", members, {"finder": [0]})
    np.testing.assert_allclose(alike.scores, plain.scores, atol=1e-6)  # both found the same
    nothing = Boxes.empty(len(case.ids)).to_bytes()
    table = pd.DataFrame({"id": case.ids})
    store.write(case.root / "none.h5", {"boxes": nothing}, table, {"box_names": ["opacity"]})
    silent = read(case, "boxes", case.root / "none.h5", "test", "silent.h5")
    less = apply(case, "boxes", members, {"finder": [0]}, unscored={"theirs": (silent, 0.25)})
    assert len(less.scores) == len(plain.scores)
    np.testing.assert_allclose(less.scores, 0.75 * plain.scores, atol=1e-6)


def test_every_offence_is_named(case):
    ids, prob = list(case.ids), case.given["a"].copy()
    prob[3, 1], prob[5, 2], ids[0], ids[7] = np.nan, 1.5, "strange", ids[8]
    path = case.root / "their.h5"
    write_unchecked(path, ids, prob)
    with pytest.raises(InputError) as caught:
        read(case, "labels", path, "test")
    for text in (
        "strange is no test image",
        f"{ids[8]} occurs more than once",
        f"{case.ids[0]} is missing",
        f"{ids[3]}: typical is missing",
        f"{ids[5]}: none is 1.5, no probability",
    ):
        assert text in str(caught.value)
    write_unchecked(path, case.ids, prob[:, :2], ["typical", "normal"])
    with pytest.raises(InputError, match="'normal' is none of negative, typical, none"):
        read(case, "labels", path)
    with pytest.raises(InputError, match="lacks `id` or `boxes`"):
        read(case, "boxes", path)


def write_unchecked(path, ids, prob, names=NAMES):
    """Write a file as somebody might without the store's checks."""
    path.unlink(missing_ok=True)
    fine = pd.DataFrame({"id": [f"{n:04d}" for n in range(len(ids))]})
    store.write(path, {"labels": prob}, fine, {"label_names": names})
    with h5py.File(path, "r+") as file:
        del file["id"]
        file["id"] = np.array(ids, "S")


def test_tables_are_read_as_the_competition_says(case, monkeypatch):
    def read_predictions(path, ids, table, label_names, box_names):
        assert set(table) >= {"id", "study"}
        assert (list(label_names), list(box_names)) == (NAMES, ["opacity"])
        made = np.full((len(ids), len(label_names)), np.nan, np.float32)
        made[:, 2] = pd.read_csv(path).set_index("id").loc[ids, "none"]
        return made, None

    writer = type("Writer", (), {"read_predictions": staticmethod(read_predictions)})
    monkeypatch.setattr(_loading, "writer", lambda name: writer)
    path = case.root / "their.csv"
    pd.DataFrame({"id": case.ids[::-1], "none": case.given["a"][::-1, 2]}).to_csv(path)
    out = read(case, "labels", path)
    np.testing.assert_allclose(store.read(out, "labels", case.ids)[:, 2], case.given["a"][:, 2])
    with pytest.raises(InputError, match="says nothing of boxes"):
        read(case, "boxes", path)
    monkeypatch.setattr(_loading, "writer", lambda name: object())
    with pytest.raises(InputError, match="reads no predictions from tables; give an HDF5 file"):
        read(case, "labels", path)


def of_labels(**section):
    given = changed("data/label", "view") | {"competition": "folder", "labels": section}
    given["models"]["net"]["architecture"]["label_head"] = True
    return given


def test_the_plan_names_what_was_made_elsewhere():
    theirs = {"oof": "o.csv", "test": "t.csv"}
    given = of_labels(external={"theirs": theirs, "late": {"test": "l.h5", "weight": 0.2}})
    plan = Plan(config.resolve(given))
    assert plan.elsewhere("labels") == ["theirs"]
    assert plan.unscored("labels") == {"late": 0.2}
    assert plan.elsewhere_files("labels", "train") == ["<results>/external/labels/theirs/train.h5"]
    assert plan.elsewhere_files("labels", "test", scored=False) == [
        "<results>/external/labels/late/test.h5"
    ]
    assert plan.elsewhere_source("labels", "theirs", "train") == "o.csv"
    assert plan.elsewhere_source("labels", "late", "test") == "l.h5"
    assert plan.elsewhere_files("boxes", "train") == []


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ({"external": {"net": {"test": "t.h5", "weight": 0.1}}}, "a model has this name"),
        ({"external": {"x": {"test": "t.h5"}}}, "give its share of the test blend"),
        ({"external": {"x": {"test": "t", "oof": "o", "weight": 0.1}}}, "it is weighed like any"),
        (
            {"external": {n: {"test": "t", "weight": 0.5} for n in "xy"}},
            "sum to 1, which leaves the others nothing",
        ),
        ({"weights": {"nett": 1}}, "no such member; did you mean 'net'"),
        ({"weights": {"net": 0}}, "all members weigh 0"),
    ],
)
def test_contradictions_are_named(section, words):
    with pytest.raises(InputError, match=words):
        config.resolve(of_labels(**section))


def test_a_joint_decision_needs_labels_that_are_there():
    given = of_labels()
    given["data"]["label"] = {"columns": ["none", "negative"]}
    given["joint"] = {}
    whole = config.resolve(given)
    assert whole["joint"] == complete("joint", {})
    assert Plan(whole).scored == ["joint", "labels"]
    assert config.resolve(whole) == whole
    for joint, words in [
        ({"none": "nonne"}, "joint.none: no label 'nonne'; did you mean 'none'"),
        ({"negative": "negativ"}, "did you mean 'negative'.*; take null if no label of a unit"),
        ({"negative": "none"}, "joint.none is the same label"),
        ({"none_mix": {"negative": [0.6], "absence": [0.5]}}, "sum to more than 1"),
    ]:
        with pytest.raises(InputError, match=words):
            config.resolve(given | {"joint": joint})
    with pytest.raises(InputError, match="the run does not decide on labels"):
        config.resolve(changed("joint", {}))


def test_a_competition_may_decide_jointly_by_itself():
    given = changed("competition", "chest")
    given["models"]["net"] = {
        "labels": ["none"],
        "stages": ["one"],
        "architecture": {"name": "classifier"},
    }
    whole = config.resolve(given)
    assert whole["joint"]["box"] == "opacity"
    assert config.resolve(whole) == whole
    assert Plan(whole).scored[0] == "joint"
    assert len(Plan(whole).joint_classes) == 6
    with pytest.raises(InputError, match=r"joint\.box: no class of boxes 'opacty'; did you mean"):
        config.resolve(given | {"joint": {"box": "opacty"}})
    assert config.resolve(given | {"joint": None})["joint"] is None
    assert config.resolve(changed("seed", 1))["joint"] is None
