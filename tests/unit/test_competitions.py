"""Competitions are found by name; their tables and truths are read strictly."""

import ast
import importlib
from pathlib import Path

import numpy as np
import pytest
from raw_folders import SIDE, TRAIN, add_row, make_salt, salt_masks, save_table

from foldbelt import competitions, metrics, registry, rle, synthetic
from foldbelt.competitions.salt import read as salt
from foldbelt.config import complete
from foldbelt.files import InputError
from foldbelt.init import command
from foldbelt.init.layout import told


def test_every_member_offers_the_whole_protocol():
    names = registry.known("competitions")
    assert {"salt", "folder", "steel"} <= set(names)
    for name in names:
        reader, writer = competitions.reader(name), competitions.writer(name)
        assert callable(reader.scan), name
        assert callable(reader.read), name
        kind = "submission" if hasattr(writer, "write_submission") else "joint"
        assert callable(getattr(writer, f"write_{kind}")), name
        assert callable(getattr(writer, f"check_{kind}")), name
        package = importlib.import_module(registry.competition(name))
        assert callable(getattr(metrics, package.METRIC)), name
        drawn = getattr(package, "SYNTHETIC", None)
        assert registry.synthetic(name) == drawn
        assert drawn is None or callable(getattr(synthetic, drawn)), name
        assert drawn is None or registry.synthetic_options(drawn)[-1] == "seed"


def test_no_rule_of_init_names_a_competition_but_asks_its_package():
    room = Path(command.__file__).parent
    named = [
        (path.name, node.value)
        for path in room.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and node.value in set(registry.known("competitions"))
    ]
    assert set(named) == {("layout.py", "folder")}  # what is none of the others
    marks = {name: told(name, "MARKS") for name in registry.known("competitions")}
    assert [name for name, files in marks.items() if not files] == ["folder"]
    assert len(set(marks.values())) == len(marks)


@pytest.mark.parametrize("name", ["slat", "_images", "os", "../salt", ""])
def test_an_unknown_competition_is_named_with_those_there_are(name):
    with pytest.raises(InputError, match=r"unknown competition .*folder.*salt"):
        competitions.reader(name)


def test_settings_leave_out_where_the_files_lie():
    spec = {"path": "/somewhere", "truth": "x.csv", "synthetic": None, "size": 64}
    settings = competitions.settings(complete("data", spec))
    assert settings["size"] == [64, 64]
    assert settings["on_problem"] == "error"
    assert not {"path", "truth", "synthetic"} & settings.keys()


def write_truth(path, names=TRAIN):
    masks = salt_masks()
    save_table(path, {"id": names, "rle_mask": [rle.encode(masks[name]) for name in names]})
    return path


def test_truth_comes_in_the_order_asked_for(tmp_path):
    path = write_truth(tmp_path / "truth.csv")
    order = ["c3", "a1", "b2"]
    read = list(salt.read_truth(path, order, (SIDE, SIDE)))
    assert np.array_equal(read, [salt_masks()[name] for name in order])
    assert list(salt.read_truth(path, [], (SIDE, SIDE))) == []


def test_truth_names_all_its_faults(tmp_path):
    path = write_truth(tmp_path / "truth.csv")
    add_row(path, "c3", "")
    add_row(path, "e5", "4 3 2")
    with pytest.raises(InputError) as caught:
        salt.read_truth(path, [*TRAIN, "e5", "q0"], (SIDE, SIDE))
    for part in ("id c3 is duplicate", "no row for id q0", "id e5: RLE holds an odd count"):
        assert part in str(caught.value)
    with pytest.raises(InputError, match=r"gone\.csv: is missing"):
        salt.read_truth(tmp_path / "gone.csv", TRAIN, (SIDE, SIDE))


def test_scan_decodes_nothing(tmp_path, monkeypatch):
    root = make_salt(tmp_path / "raw")
    monkeypatch.setattr(salt.image_files, "decode", lambda path: pytest.fail(f"decoded {path}"))
    listing = salt.scan(root, competitions.settings(complete("data", {})))
    assert [item.id for item in listing.train] == TRAIN
    assert listing.size == (SIDE, SIDE)
    assert listing.findings == []
