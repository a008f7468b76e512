"""Channels that need more than pixels: a table says it, of every image, or what lacks is named."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from bundles import SIZES, Tiny, array

from foldbelt import bundle
from foldbelt.bundle import listing
from foldbelt.files import InputError

DEPTHS = {f"test_{name}": 100 + 50 * place for place, name in enumerate(SIZES)}


@pytest.fixture(scope="module")
def deep(tmp_path_factory) -> Tiny:
    made = Tiny(tmp_path_factory.mktemp("deep"), depth=True)
    made.write()
    return made


@pytest.fixture
def images(deep, tmp_path) -> Path:
    return Path(shutil.copytree(deep.raw / "test", tmp_path / "images"))


def table(path: Path, **columns) -> Path:
    pd.DataFrame(columns).to_csv(path, index=False)
    return path


@pytest.mark.parametrize("column", ["depth", "z"])
def test_a_table_gives_what_the_run_had_of_its_test_images(deep, images, tmp_path, column):
    expected = deep.submission()
    given = table(tmp_path / "t.csv", id=[f"{name}.png" for name in DEPTHS], other=1,
                  **{column: list(DEPTHS.values())})  # fmt: skip
    out = tmp_path / "out"
    bundle.predict(deep.bundle, images, out, device="cpu", table=given)
    assert (out / "masks.csv").read_bytes() == expected
    deeper = table(tmp_path / "t.csv", id=list(DEPTHS), depth=[*list(DEPTHS.values())[:-1], 900])
    assert bundle.predict(deep.bundle, images, out, device="cpu", table=deeper).new == 1


def test_every_image_of_which_something_lacks_is_named_at_once(deep, images, tmp_path, monkeypatch):
    given = table(tmp_path / "t.csv", id=["test_b", "test_c", "test_d", "test_d", "test_e"],
                  depth=["", "deep", 1, 2, "inf"])  # fmt: skip
    with pytest.raises(InputError, match=r"(?s)6 problems") as told:
        bundle.predict(deep.bundle, images, tmp_path / "out", table=given)
    lines = ["test_a: has no row", "test_b: depth is ''", "test_c: depth is 'deep'"]
    lines += ["test_d: has several rows", "test_e: depth is 'inf'", "test_f: has no row"]
    assert all(line in str(told.value) for line in lines)
    with pytest.raises(InputError, match=r"need of every image a depth.*--table"):
        bundle.predict(deep.bundle, images, tmp_path / "out")
    with pytest.raises(InputError, match="lacks the column depth"):
        bundle.predict(deep.bundle, images, tmp_path / "out",
                       table=table(tmp_path / "t.csv", id=list(DEPTHS)))  # fmt: skip
    monkeypatch.setattr(listing, "_GROUP", 1)  # the last group has the wrong one
    far = table(tmp_path / "t.csv", id=list(DEPTHS), depth=[1] * 5 + [5000])
    with pytest.raises(InputError, match=r"t\.csv .*\n  test_f: .* within 0 and 1000, not 5000"):
        bundle.predict(deep.bundle, images, tmp_path / "out", table=far)
    assert not (tmp_path / "out" / "masks").exists()


def test_of_one_image_it_is_said_by_name(deep):
    model = bundle.load(deep.bundle, device="cpu")
    image = array(3, (24, 32))
    shallow, deepest = (model(image, {"depth": z})["mask"] for z in (0, 1000))
    assert shallow.shape == (24, 32, 1)
    assert not np.array_equal(shallow, deepest), "else the channel is not used"
    assert np.array_equal(model(image, {"depth": "1000"})["mask"], deepest)
    with pytest.raises(InputError, match="need of the image: depth"):
        model(image)
    for wrong in (np.nan, None, "deep"):
        with pytest.raises(InputError, match="need numbers of the image: depth is"):
            model(image, {"depth": wrong})
