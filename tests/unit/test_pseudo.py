"""Which test images become training images, and with which masks."""

import numpy as np
import pandas as pd
import pytest

from foldbelt import pseudo, store
from foldbelt.config import complete
from foldbelt.files import InputError

SPEC = complete("pseudo", {"min_confident_share": 0.5, "threshold": 0.4})
SHAPE = (10, 10)


def predictions(root, shape=SHAPE, n=300, models=2, seed=0):
    random = np.random.default_rng(seed)
    ids = np.array([f"x{i}" for i in range(n)], dtype=object)
    paths, probs = [], []
    sure = random.random((n, *[1] * len(shape))) * 0.8
    shared = np.where(
        random.random((n, *shape)) < sure, 255 * random.integers(0, 2, (n, *shape)), 127
    )
    for m in range(models):
        prob = np.clip(shared + random.integers(-60, 60, shared.shape), 0, 255).astype(np.uint8)
        order = random.permutation(n)
        paths.append(str(root / f"{m}.h5"))
        store.write(paths[-1], {"prob": prob[order]}, table=pd.DataFrame({"id": ids[order]}))
        probs.append(prob)
    return paths, ids, np.rint(np.float32(np.sum(probs, axis=0, dtype=int)) / np.float32(models))


def run(root, paths, **changes):
    out = root / "pseudo.h5"
    place = {"fold": 0, "round": 0}
    place |= {key: changes.pop(key) for key in list(changes) if key in place}
    pseudo.run(predictions=paths, settings={**SPEC, **changes}, out=str(out), **place)
    return out


@pytest.mark.parametrize("models", [1, 2, 3])
def test_admits_by_the_share_of_confident_pixels(tmp_path, models):
    paths, ids, mean = predictions(tmp_path, models=models)
    out = run(tmp_path, paths)
    fraction = mean / 255
    confidence = ((fraction < 0.2) | (fraction > 0.8)).mean(axis=(1, 2))
    expected = set(ids[confidence >= 0.5])
    assert 0 < len(expected) < len(ids)
    found = store.read(out, "id").tolist()
    assert sorted(found) == sorted(expected)
    at = [int(name[1:]) for name in found]
    np.testing.assert_array_equal(store.read(out, "mask"), fraction[at] > 0.4)
    np.testing.assert_array_equal(store.read(out, "confidence"), confidence[at].astype(np.float32))
    attrs = store.attrs(out)
    assert (attrs["tiles"], attrs["admitted"]) == (len(ids), len(expected))
    asked = ("rule", "threshold", "low", "high", "min_confident_share")
    assert attrs["rule"] == {key: SPEC[key] for key in asked}


def test_the_share_itself_is_enough_and_the_levels_are_strict():
    prob = np.array([[[51, 204, 50, 205]]], np.uint8)  # 51/255 = .2, 204/255 = .8
    assert pseudo.share_confident(prob, 0.2, 0.8).tolist() == [0.5]


def test_everything_and_nothing(tmp_path):
    paths, ids, _ = predictions(tmp_path)
    out = run(tmp_path, paths, rule="everything")
    assert sorted(store.read(out, "id")) == sorted(ids)
    assert store.attrs(out)["rule"] == {"rule": "everything", "threshold": 0.4}
    out = run(tmp_path, paths, low=0, high=1)
    assert store.read(out, "mask").shape == (0, *SHAPE)
    assert store.read(out, "confidence").shape == (0,)
    with pytest.raises(InputError, match="some"):
        run(tmp_path, paths, rule="some")


def test_halves_share_the_images_out(tmp_path):
    paths, ids, mean = predictions(tmp_path)
    half = {}
    for fold in range(3):
        for number in range(3):
            out = run(tmp_path, paths, rule="halves", fold=fold, round=number)
            found = store.read(out, "id").tolist()
            assert len(set(found)) == len(found)
            at = [int(name[1:]) for name in found]
            np.testing.assert_array_equal(store.read(out, "mask"), mean[at] / 255 > 0.4)
            half.setdefault((fold + number) % 2, set()).add(tuple(sorted(found)))
    assert [len(lists) for lists in half.values()] == [1, 1]  # of fold + round alone
    one, other = (set(*lists) for lists in half.values())
    assert not one & other
    assert one | other == set(ids)
    assert 0.4 < len(one) / len(ids) < 0.6
    # The same names fall into the same halves whatever else there is.
    few, *_ = predictions(tmp_path / "few", n=50)
    found = store.read(run(tmp_path, few, rule="halves"), "id").tolist()
    # Fold 0 is trained in round 1 on half (0 + 1) % 2, labelled in round 0.
    assert set(found) == {name for name in ids[:50] if pseudo.half_of(name) == 1}


def test_the_file_names_a_source_that_knows_the_truth(tmp_path):
    paths, *_ = predictions(tmp_path, models=3)
    own = run(tmp_path, paths).read_bytes()
    assert run(tmp_path, paths, source="fold").read_bytes() == own
    leaky = run(tmp_path, paths, source="all")
    assert store.attrs(leaky)["source"] == "all"
    recorded = store.attrs(leaky)["rule"]
    assert recorded["rule"] == SPEC["rule"]
    assert recorded.items() <= SPEC.items()
    with pytest.raises(InputError, match=r"pseudo\.source is 'some'"):
        run(tmp_path, paths, source="some")


def test_without_test_images(tmp_path):
    paths, *_ = predictions(tmp_path, n=0)
    for rule in ("confidence", "everything", "halves"):
        assert store.length(run(tmp_path, paths, rule=rule)) == 0


def test_every_class_must_be_sure(tmp_path):
    paths, ids, mean = predictions(tmp_path, shape=(6, 6, 3))
    out = run(tmp_path, paths)
    fraction = mean / 255
    confidence = ((fraction < 0.2) | (fraction > 0.8)).mean(axis=(1, 2)).min(axis=1)
    assert set(store.read(out, "id")) == set(ids[confidence >= 0.5])
    found = store.read(out, "id").tolist()
    masks = store.read(out, "mask")
    np.testing.assert_array_equal(masks, fraction[[int(name[1:]) for name in found]] > 0.4)


def test_models_must_have_predicted_the_same_images(tmp_path):
    paths, *_ = predictions(tmp_path)
    other, *_ = predictions(tmp_path / "other", n=299, models=1)
    with pytest.raises(InputError, match="x299"):
        run(tmp_path, [*paths, other[0]])
