"""Predictions made elsewhere: members like any other, given as one file of all images."""

import json

import h5py
import numpy as np
import pandas as pd
import pytest
from settings_of import blend_settings, decision_settings
from test_decide import SPEC as DECISION
from test_decide import store_run

from foldbelt import decide, store
from foldbelt.ensemble import blend
from foldbelt.evaluate.scores import _unstated
from foldbelt.files import InputError
from foldbelt.search.oof import OutOfFold

SPEC = {"search": True, "mean": "probability", "step": 0.25}


def join(paths, out, seed=0):
    """Write all folds' predictions to one file, images in any order."""
    names = [name for name in ("prob", "label_prob") if store.has(paths[0], name)]
    ids = np.concatenate([store.read(path, "id") for path in paths])
    order = np.random.default_rng(seed).permutation(len(ids))
    arrays = {n: np.concatenate([store.read(path, n) for path in paths])[order] for n in names}
    store.write(out, arrays, table=pd.DataFrame({"id": ids[order]}))
    return str(out)


@pytest.mark.parametrize("mean", ["probability", "logit"])
def test_a_file_of_all_folds_is_the_model_itself(tmp_path, mean):
    common, *_ = store_run(tmp_path, seed=1)
    whole = join(common["members"]["m0"], tmp_path / "elsewhere.h5")
    made = []
    for own in (common["members"]["m0"], [whole]):
        given = {**common, "members": {**common["members"], "m0": own}}
        out, weights = tmp_path / "oof.h5", tmp_path / "weights.json"
        spec = {**SPEC, "mean": mean}
        blend.run_oof(
            **given,
            settings=blend_settings(spec),
            metric="salt_score",
            out=str(out),
            weights=str(weights),
        )
        decision = tmp_path / "decision.json"
        decide.run(
            **given,
            weights=str(weights),
            settings=decision_settings(DECISION),
            seed=0,
            out=str(decision),
        )
        made.append([path.read_bytes() for path in (out, weights, decision)])
    assert made[0] == made[1]
    assert all(0 < weight < 1 for weight in json.loads(made[0][1])["all"])  # else it shows nothing


def test_a_file_of_all_images_may_hold_those_that_take_no_part(tmp_path):
    common, ids, *_ = store_run(tmp_path)
    whole = join(common["members"]["m0"], tmp_path / "elsewhere.h5")
    folds = pd.read_csv(common["folds"], dtype=str)
    left = folds[folds["id"] != ids[3]]
    left.to_csv(common["folds"], index=False)
    made = OutOfFold({"m0": [whole]}, common["data"], common["folds"])
    assert set(made.ids) == set(left["id"])


def external(tmp_path, change=None, **arrays):
    common, ids, *_ = store_run(tmp_path)
    path = join(common["members"]["m1"], tmp_path / "elsewhere.h5")
    own = store.read(path, "id")
    content = {"prob": store.read(path, "prob"), **arrays}
    if change is not None:
        own, content = change(own, content)
    store.write(path, content, table=pd.DataFrame({"id": own}))
    common["members"]["m1"] = [path]
    return common, ids, path


def refused(common, *lines):
    with pytest.raises(InputError) as error:
        OutOfFold(**common)
    for line in lines:
        assert line in str(error.value)
    assert "foldbelt.store.write" in str(error.value)


def test_strange_and_missing_images_are_listed(tmp_path):
    common, ids, path = external(
        tmp_path, lambda own, a: (["alien", *own[2:]], {"prob": a["prob"][1:]})
    )
    lost = sorted(set(ids) - set(store.read(path, "id")))
    assert len(lost) == 2
    refused(common, f"{path}: alien is in no fold", *(f"m1: {name} (fold" for name in lost))


def test_form_is_checked(tmp_path):
    def smaller(own, arrays):
        return own, {
            "prob": arrays["prob"][:, 1:].astype(np.float32),
            "label_prob": np.zeros(48, np.float32),
        }

    common, _, path = external(tmp_path, smaller)
    lines = ("`prob` is float32", "(48, 7, 9), not (48, 8, 9)", "`label_prob` is float32")
    refused(common, *(f"{path}: {line}" for line in lines[:1]), *lines[1:])


def test_repeated_images_are_listed(tmp_path):
    common, _, path = external(tmp_path)
    with h5py.File(path, "r+") as file:  # foldbelt itself would not write it
        file["id"][3] = file["id"][5]
    refused(common, f"{path}: {store.read(path, 'id')[5]} occurs more than once")


def test_a_file_without_ids_or_probabilities_is_refused(tmp_path):
    common, _, path = external(tmp_path)
    for name in ("prob", "id"):
        with h5py.File(path, "r+") as file:
            del file[name]
        refused(common, f"{path}: lacks", f"`{name}`")


def test_several_files_hold_a_fold_each(tmp_path):
    common, *_ = store_run(tmp_path)
    first, second, *rest = common["members"]["m1"]
    both = join([first, second], tmp_path / "both.h5")
    common["members"]["m1"] = [both, *rest]
    refused(common, f"{both}: holds images of several folds (0, 1)")


def stated(path, folds):
    """Give a file of all images a column of folds."""
    arrays = {name: store.read(path, name) for name in ("prob",)}
    table = store.table(path)[["id"]]
    table["fold"] = folds.loc[table["id"]].to_numpy()
    store.write(path, arrays, table=table)


def test_stated_folds_must_be_the_blends_under_whatever_numbers(tmp_path):
    common, ids, _, folds, _ = store_run(tmp_path, seed=1)
    whole = join(common["members"]["m0"], tmp_path / "elsewhere.h5")
    members = {"m1": common["members"]["m1"], "other": [whole]}
    known = pd.Series(folds, index=ids)
    stated(whole, 3 - known)
    OutOfFold(members, common["data"], common["folds"])
    stray = known.copy()
    stray.iloc[[2, 5]] = (stray.iloc[[2, 5]] + 1) % 4
    stated(whole, stray)
    first, second = sorted([ids[2], ids[5]])
    with pytest.raises(InputError, match=rf"(?s){first} was held out.*{second} was held out"):
        OutOfFold(members, common["data"], common["folds"])
    unstated = known.astype(float)
    unstated.iloc[3] = np.nan
    stated(whole, unstated)
    with pytest.raises(InputError, match=rf"{ids[3]} states no fold"):
        OutOfFold(members, common["data"], common["folds"])
    stated(whole, known * 0)
    with pytest.raises(InputError, match="with images of other folds"):
        OutOfFold(members, common["data"], common["folds"])


def test_a_member_that_states_no_folds_is_told_of(tmp_path):
    common, ids, _, folds, _ = store_run(tmp_path, seed=1)
    whole = join(common["members"]["m0"], tmp_path / "elsewhere.h5")
    members = {"m1/round0": common["members"]["m1"], "other/round0": [whole]}
    (note,) = _unstated(members)
    assert note.startswith("other was made elsewhere and does not state its folds")
    stated(whole, pd.Series(folds, index=ids))
    assert _unstated(members) == []
