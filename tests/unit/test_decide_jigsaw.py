"""What a neighbour's mask says of a tile."""

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from foldbelt import rle
from foldbelt.decide.masks import load_step
from foldbelt.decide.steps import Tile
from foldbelt.decide.steps.jigsaw import RULES, continued, precision
from foldbelt.files import InputError
from foldbelt.folds import mosaic
from foldbelt.synthetic.seismic import seismic

COLUMNS = np.array([0, 1, 1, 0, 0, 1], bool)


def mask(*rows):
    return np.array(rows, bool)


FULL = mask([0] * 6, [0, 1, 1, 1, 0, 0], [1] * 6, [1] * 6)
VERTICAL = mask(*[COLUMNS] * 4)
HALF = mask([0] * 6, [1] * 6, COLUMNS, COLUMNS)
LESS = mask([0] * 6, [1] * 6, ~COLUMNS, COLUMNS)


@pytest.mark.parametrize(
    ("above", "rule", "row"),
    [
        (FULL, "below-full", np.zeros(6, bool)),
        (VERTICAL, "vertical", COLUMNS),
        (HALF, "half", COLUMNS),
    ],
)
def test_each_rule_applies_to_its_own_case_alone(above, rule, row):
    assert (continued(above, [rule]) == row).all()
    assert continued(above, [other for other in RULES if other != rule]) is None


@pytest.mark.parametrize("above", [LESS, np.zeros((4, 6), bool), FULL[::-1]])
def test_no_rule_applies_to_anything_else(above):
    assert continued(above, RULES) is None


def test_only_what_lies_above_counts():
    before = np.random.default_rng(0).random((4, 6, 2)) < 0.5
    prob = np.zeros(before.shape, np.uint8)
    step = load_step("jigsaw")
    above = np.stack([VERTICAL, LESS], axis=2)
    everything = {"rules": list(RULES)}

    def mended(**beside):
        return step(Tile("a", prob, before, np.array([0.5, 0.5]), None, beside), everything)

    for side in ("below", "left", "right"):
        assert (mended(**{side: above}) == before).all()
    given = before.copy()
    found = mended(above=above)
    assert (before == given).all()
    assert (found[..., 0] == COLUMNS).all()
    assert (found[..., 1] == before[..., 1]).all()
    assert [one["rules"] for one in step.candidates()] == [list(RULES[:n]) for n in (1, 2, 3)]


@pytest.mark.parametrize("rules", [["guess"], "vertical", [], None, 3])
def test_rules_are_a_list_of_known_names(rules):
    with pytest.raises(InputError, match=r"rules: .*below-full, vertical, half"):
        load_step("jigsaw", {"rules": rules})


def test_what_makes_a_tile_empty_is_tried_first():
    assert RULES == ("below-full", "vertical", "half")


def test_neighbours_share_a_side_and_a_mosaic():
    cells = [("a", 0, 0, 0), ("b", 0, 0, 1), ("c", 0, 1, 1), ("d", 1, 1, 0), ("e", -1, -1, -1)]
    cells += [("f", -1, -1, -1)]
    table = pd.DataFrame(cells, columns=["id", "mosaic", "row", "column"])
    found = mosaic.neighbours(table.sample(frac=1, random_state=0))
    assert found == {
        "a": {"right": "b"},
        "b": {"left": "a", "below": "c"},
        "c": {"above": "b"},
    }


def test_rules_are_right_below_their_cases():
    beside = {"x": {"above": "a"}, "y": {"above": "b"}, "z": {"above": "c"}, "w": {"above": "gone"}}
    masks = {"a": VERTICAL, "b": VERTICAL, "c": FULL}
    masks |= {"x": VERTICAL, "y": ~VERTICAL, "z": np.zeros((4, 6), bool), "w": FULL}
    assert precision(masks, beside) == {"below-full": (1, 1), "vertical": (1, 2), "half": (0, 0)}


@pytest.mark.parametrize(("missing", "right"), [(1, 1), (2, 0), (3, 0)])
def test_right_is_an_overlap_above_nine_tenths(missing, right):
    above = np.tile(COLUMNS, (20, 1))
    truth = above.copy()
    truth[:missing] = False  # 19, 18 and 17 of 20 rows agree; just .9 is not enough
    found = precision({"a": above, "x": truth}, {"x": {"above": "a"}})
    assert found["vertical"] == (right, 1)


def pairs(neighbours):
    return {(name, side, other) for name, of in neighbours.items() for side, other in of.items()}


def test_neighbours_and_rules_are_right_on_synthetic_data(tmp_path: Path):
    seismic(tmp_path / "salt", 24, 4)
    read = {"dtype": str, "keep_default_na": False}
    labels = [tmp_path / "salt" / "train.csv", tmp_path / "salt-truth.csv"]
    known = pd.concat(pd.read_csv(path, **read) for path in labels).set_index("id")["rle_mask"]
    masks = {name: rle.decode(text, (101, 101)).astype(bool) for name, text in known.items()}
    images = {path.stem: cv2.imread(str(path), 0) for path in tmp_path.glob("salt/*/images/*.png")}
    places = pd.read_csv(tmp_path / "salt-sections.csv", dtype={"id": str})
    true = mosaic.neighbours(places.rename(columns={"section": "mosaic"}))
    table = mosaic.assemble(np.stack(list(images.values()))).assign(id=list(images))
    found = mosaic.neighbours(table)
    both = pairs(found) & pairs(true)
    assert len(both) >= 0.98 * len(pairs(found))
    assert len(both) >= 0.9 * len(pairs(true))
    counted = precision(masks, found).values()
    right, cases = (sum(part) for part in zip(*counted, strict=True))
    assert cases >= 5
    assert right >= 0.98 * cases
