"""Pseudo-labels that label probabilities admit, and which of many come first."""

import numpy as np
import pandas as pd
import pytest
from test_pseudo import SPEC, predictions

from foldbelt import pseudo, store
from foldbelt.files import InputError

LABELS = {**SPEC, "rule": "labels", "label_low": 0.05, "label_high": 0.95}


def labelled(root, shape=(6, 6, 3), n=300, files=2, seed=0):
    """Write masks of two models, and label probabilities of two classifiers; give the means.

    Both are drawn so that they agree often, and not always.
    """
    random = np.random.default_rng(seed)
    root.mkdir(exist_ok=True)
    ids = np.array([f"x{i}" for i in range(n)], dtype=object)
    classes = shape[2] if len(shape) == 3 else 1
    there = random.random((n, classes)) < 0.4
    sure = random.random((n, classes)) < 0.9
    label = np.where(sure, there, 0.5) + random.normal(0, 0.02, there.shape)
    seen = there ^ (random.random(there.shape) < 0.1)
    spots = random.integers(0, 2, (n, *shape[:2], classes)) * seen[:, None, None, :]
    spots[:, 0, 0] = seen  # at least one pixel
    paths, probs, labels = [], [], []
    for number in range(files):
        noise = random.integers(0, 60, spots.shape)
        probs.append((190 * spots + noise).astype(np.uint8).reshape(n, *shape))
        labels.append(np.clip(label + random.normal(0, 0.01, label.shape), 0, 1).astype(np.float32))
        order = random.permutation(n)
        table = pd.DataFrame({"id": ids[order]})
        for name, array in (("prob", probs[-1]), ("label_prob", labels[-1])):
            paths.append(str(root / f"{name}{number}.h5"))
            store.write(paths[-1], {name: array[order]}, table=table)
    prob = np.rint(np.sum(probs, axis=0, dtype=np.float32) / np.float32(files))
    return paths, ids, prob, np.mean(labels, axis=0, dtype=np.float64).astype(np.float32)


def run(root, paths, spec=LABELS, **changes):
    out = root / "pseudo.h5"
    likeness = changes.pop("likeness", None)
    given = {"settings": {**spec, **changes}, "fold": 0, "round": 0, "likeness": likeness}
    pseudo.run(predictions=paths, out=str(out), **given)
    return out


@pytest.mark.parametrize("shape", [(6, 6), (6, 6, 3)])
def test_labels_must_be_sure_and_the_mask_agree(tmp_path, shape):
    paths, ids, prob, label = labelled(tmp_path, shape)
    out = run(tmp_path, paths)
    masks = (prob / 255 > 0.4).reshape(len(ids), 6, 6, -1)
    expected, why = [], {"unsure": 0, "missed": 0, "invented": 0}
    for row, name in enumerate(ids):
        verdicts = []
        for k in range(masks.shape[3]):
            yes, no = label[row, k] > 0.95, label[row, k] < 0.05
            some = masks[row, ..., k].any()
            why["unsure"] += not (yes or no)
            why["missed"] += yes and not some
            why["invented"] += no and some
            verdicts.append(yes if some else no)
        if all(verdicts):
            expected.append(name)
    assert min(why.values()) > 0  # each reason to refuse an image occurs
    assert 10 < len(expected) < len(ids)
    found = store.read(out, "id").tolist()
    assert sorted(found) == sorted(expected)
    at = [int(name[1:]) for name in found]
    made = store.read(out, "mask").reshape(len(at), 6, 6, -1)
    np.testing.assert_array_equal(made, masks[at])
    # So the labels that training derives from the masks are those that the models are sure of.
    np.testing.assert_array_equal(made.any(axis=(1, 2)), label[at] > 0.5)
    assert made.any()
    assert store.attrs(out)["rule"] == {
        "rule": "labels", "threshold": 0.4, "label_low": 0.05, "label_high": 0.95
    }  # fmt: skip


def test_levels_of_labels_are_strict(tmp_path):
    prob = np.zeros((3, 4, 4), np.uint8)
    prob[0] = prob[1] = 255
    label = np.array([[0.75], [0.76], [0.25]], np.float32)
    table = pd.DataFrame({"id": ["a", "b", "c"]})
    store.write(tmp_path / "p.h5", {"prob": prob, "label_prob": label}, table=table)
    out = run(tmp_path, [str(tmp_path / "p.h5")], label_low=0.25, label_high=0.75)
    assert store.read(out, "id").tolist() == ["b"]


def test_labels_that_are_not_those_of_the_classes_are_refused(tmp_path):
    paths, *_ = predictions(tmp_path)
    with pytest.raises(InputError, match=r"each of the 1 classes.*predict no image labels"):
        run(tmp_path, paths)
    paths, ids, *_ = labelled(tmp_path / "three")
    table = pd.DataFrame({"id": ids})
    one = str(tmp_path / "one.h5")
    store.write(one, {"label_prob": np.zeros((len(ids), 1), np.float32)}, table=table)
    with pytest.raises(InputError, match=r"each of the 3 classes.*predict 1 image labels"):
        run(tmp_path, [paths[0], one])
    with pytest.raises(InputError, match="none of the models predicts masks"):
        run(tmp_path, [one])


def test_classifiers_move_no_mask(tmp_path):
    paths, *_ = labelled(tmp_path)
    both = store.read(run(tmp_path, paths, rule="everything"), "mask")
    alone = [path for path in paths if store.has(path, "prob")]
    assert 0 < len(alone) < len(paths)
    np.testing.assert_array_equal(store.read(run(tmp_path, alone, rule="everything"), "mask"), both)


def test_it_tells_how_many_it_admits(tmp_path, capsys):
    paths, *_ = labelled(tmp_path)
    number = len(store.read(run(tmp_path, paths, rule="everything"), "id"))
    assert f"{number} of {number} test images admitted" in capsys.readouterr().out
    run(tmp_path, paths, label_low=0.0, label_high=1.0)
    told = capsys.readouterr().out
    assert f"0 of {number} test images" in told
    assert "trains on the truth only" in told


def test_without_test_images_labels_admit_none(tmp_path):
    paths, *_ = labelled(tmp_path, n=0)
    assert store.length(run(tmp_path, paths)) == 0
    assert store.length(run(tmp_path, paths, max_images=3, order="confidence")) == 0


@pytest.mark.parametrize("rule", ["confidence", "everything", "halves"])
def test_the_most_confident_come_first_and_of_equals_the_first_name(tmp_path, rule):
    paths, *_ = predictions(tmp_path, shape=(4, 4))
    every = run(tmp_path, paths, SPEC, rule=rule)
    ids, sure = store.read(every, "id").tolist(), store.read(every, "confidence")
    masks = store.read(every, "mask")
    first = sorted(zip(-sure, ids, strict=True))
    assert len(set(sure)) < len(sure)
    for most in (1, 10, len(ids) // 2, len(ids) + 5):
        out = run(tmp_path, paths, SPEC, rule=rule, max_images=most, order="confidence")
        chosen = {name for _, name in first[:most]}
        found = store.read(out, "id").tolist()
        assert set(found) == chosen
        assert found == [name for name in ids if name in chosen]  # in the order of the files
        at = [ids.index(name) for name in found]
        np.testing.assert_array_equal(store.read(out, "mask"), masks[at])
        attrs = store.attrs(out)
        assert (attrs["rule"]["max_images"], attrs["rule"]["order"]) == (most, "confidence")
        assert (attrs["tiles"], attrs["admitted"]) == (300, min(most, len(ids)))


def test_by_labels_the_most_confident_are_those_of_the_surest_least_sure_class(tmp_path):
    paths, _, _, label = labelled(tmp_path)
    every = store.read(run(tmp_path, paths), "id").tolist()
    sure = {name: np.abs(label[int(name[1:])] - 0.5).min() for name in every}
    first = sorted(every, key=lambda name: (-sure[name], name))[:20]
    out = run(tmp_path, paths, max_images=20, order="confidence")
    assert set(store.read(out, "id")) == set(first)


def test_the_most_test_like_come_first(tmp_path):
    paths, ids, _ = predictions(tmp_path)
    random = np.random.default_rng(1)
    rows = pd.DataFrame({"id": ids, "part": "test", "test_likeness": random.random(len(ids))})
    rows.loc[rows.index[:40], "test_likeness"] = 0.5
    other = rows.assign(part="train", test_likeness=1 - rows["test_likeness"])
    path = tmp_path / "adversarial.csv"
    pd.concat([other, rows]).sample(frac=1, random_state=0).to_csv(path, index=False)
    every = set(store.read(run(tmp_path, paths, SPEC), "id"))
    ordered = rows[rows["id"].isin(every)].sort_values(
        ["test_likeness", "id"], ascending=[False, True]
    )
    given = {"max_images": len(every) // 2, "order": "test_likeness"}
    out = run(tmp_path, paths, SPEC, **given, likeness=path)
    assert set(store.read(out, "id")) == set(ordered["id"][: len(every) // 2])
    without_most = run(tmp_path, paths, SPEC, order="test_likeness")
    assert set(store.read(without_most, "id")) == every
    with pytest.raises(InputError, match="csv of the adversarial stage"):
        run(tmp_path, paths, SPEC, **given)
    with pytest.raises(InputError, match=r"pseudo\.order is 'size'"):
        run(tmp_path, paths, SPEC, max_images=3, order="size")
    rows[2:].to_csv(path, index=False)
    with pytest.raises(InputError, match=r"(?s)x0 has no test_likeness.*x1 has no"):
        run(tmp_path, paths, SPEC, **given, likeness=path)


def test_decided_labels_that_exclude_each_other_are_the_likeliest(tmp_path):
    table = pd.DataFrame({"id": ["a", "b"]})
    prob = np.array([[0.45, 0.3, 0.25], [0.1, 0.2, 0.7]], np.float32)
    for exclusive, expected in ((True, [[1, 0, 0], [0, 0, 1]]), (False, [[0, 0, 0], [0, 0, 1]])):
        path, out = str(tmp_path / "p.h5"), tmp_path / "out.h5"
        store.write(path, {"labels": prob}, table, {"exclusive_labels": True} if exclusive else {})
        given = {**SPEC, "rule": "everything", "soft": False, "box_score": 0.4}
        pseudo.run(predictions=[path], settings=given, fold=0, round=0, out=str(out))
        assert store.read(out, "labels").tolist() == expected
