"""Many classes take no more memory than few: blocks shrink, and what cannot fit is refused."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from foldbelt import store
from foldbelt.files import InputError
from foldbelt.ingest.streaming import pixels_of
from foldbelt.search import oof
from foldbelt.train import room

SIDE, IMAGES = 16, 24


@pytest.mark.parametrize("classes", [1, 2, 8, 9, 33])
def test_blocks_are_bounded_and_hold_every_image_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, classes: int
) -> None:
    monkeypatch.setattr(oof, "BLOCK_BYTES", 6 * SIDE**2)  # six images of one class
    rng = np.random.default_rng(0)
    ids = [f"{k:02}" for k in range(IMAGES)]
    tail = (classes,) if classes > 1 else ()
    prob = rng.integers(0, 256, (IMAGES, SIDE, SIDE, *tail), np.uint8)
    fold = np.arange(IMAGES) % 2
    masks = {
        "mask": (prob > 99).astype(np.uint8),
        "image": prob.reshape(IMAGES, SIDE, SIDE, -1)[..., 0],
    }
    sizes = pd.DataFrame({"id": ids, "height": SIDE, "width": SIDE})
    store.write(tmp_path / "train.h5", masks, sizes, {"size": (SIDE, SIDE)}, classes)
    pd.DataFrame({"id": ids, "fold": fold}).to_csv(tmp_path / "folds.csv", index=False)
    paths = [tmp_path / f"oof{f}.h5" for f in (0, 1)]
    for f, path in enumerate(paths):
        mine = [key for key, its in zip(ids, fold, strict=True) if its == f]
        store.write(path, {"prob": prob[fold == f]}, pd.DataFrame({"id": mine}))
    found = oof.OutOfFold({"m": paths}, tmp_path / "train.h5", tmp_path / "folds.csv")
    seen = np.zeros(IMAGES, int)
    for block in found.blocks():
        assert block.probs[0].nbytes <= 8 * oof.BLOCK_BYTES
        assert np.array_equal(block.probs[0], prob[block.rows])
        seen[block.rows] += 1
        if classes <= 8:
            assert len(block.rows) == 6  # as it was before classes counted
    assert (seen == 1).all()


def test_a_batch_that_cannot_fit_is_refused_with_the_figures(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(room, "_memory", lambda _: 8 * 2**30)
    cpu = torch.device("cpu")
    room.check("main", 8, 33, (512, 512), cpu)
    room.check("main", 64, 0, (4096, 4096), cpu)
    with pytest.raises(InputError, match=r"Stage main: .* 32 masks of 33 classes, 512×512, takes "
                                         r"at least 8\.2 GiB, and there are 8\.0 GiB"):  # fmt: skip
        room.check("main", 32, 33, (512, 512), cpu)


@pytest.mark.parametrize("classes", [1, 2, 4, 5, 9])
def test_pixels_of_every_class_are_counted_whatever_their_number(classes):
    mask = np.random.default_rng(0).integers(0, 2, (7, 11, classes), np.uint8)
    expected = mask.sum(axis=(0, 1), dtype=np.int64)
    np.testing.assert_array_equal(pixels_of(mask), expected)
    np.testing.assert_array_equal(pixels_of(np.asfortranarray(mask)), expected)
