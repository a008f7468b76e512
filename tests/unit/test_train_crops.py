"""Training on crops and blacked-out samples: what a window holds, says, and is drawn from."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import training
from training import SIZE, STORED, Competition

import foldbelt.runtime
from foldbelt.augment._transforms import Augment
from foldbelt.channels._resizing import Resizer
from foldbelt.files import InputError
from foldbelt.train import blackout, crops
from foldbelt.train.data import ImageSet, Samples, Source
from foldbelt.train.loading import Plan

WINDOW = (6, 10)
PARTS = (1, "m", 0, 0, "s")
FLIP = [{"HorizontalFlip": {"p": 0.5}}]


class Crop(crops.Crop):
    """What a stage's `crop` asks for."""

    def __init__(self, crop: dict, *rest: int, **more: int) -> None:
        super().__init__(training.settings(crop=crop).crop, *rest, **more)


def scene(classes=2, ignore=False, seed=0, size=(20, 50)):
    """Noise with one small square of class 0 and one of class 1, and perhaps ignored pixels."""
    random = np.random.default_rng(seed)
    target = np.zeros((*size, classes + ignore), np.uint8)
    target[3:5, 40:43, 0] = 1
    target[15:18, 5:7, -1 - ignore] = 1
    return random.integers(30, 255, (*size, 1)).astype(np.uint8), target


def windows(crop, image, target, count=200):
    return [crop.window(image, target, np.random.default_rng(seed)) for seed in range(count)]


def images_of(competition, memory=True, offset="centre"):
    rows = Source(
        competition.path["x_train.h5"], competition.path["train.h5"], competition.train_ids
    )
    fit = Resizer("pad-reflect", STORED, SIZE, offset=offset)
    labels = competition.mask.any(axis=(1, 2)).astype(np.float32)
    planes = competition.classes + (competition.ignore is not None)
    return ImageSet(rows, fit, planes, competition.classes, labels, memory)


def samples_of(competition, memory=True, spec=(), blackout=0.0, size=WINDOW, **crop):
    tiles = images_of(competition, memory)
    cut = Crop({"size": size, **crop}, competition.classes)
    augment = Augment(list(spec), size, 2, tiles.planes)
    return Samples([tiles], augment, PARTS, cut, blackout)


@pytest.fixture
def tiny(tmp_path):
    return Competition(tmp_path, classes=3)


def test_windows_lie_within_and_reach_every_border():
    crop = Crop({"size": WINDOW}, 2)
    found = np.array(windows(crop, *scene(), count=2000))
    assert found.min(axis=0).tolist() == [0, 0]
    assert found.max(axis=0).tolist() == [20 - 6, 50 - 10]
    counts = np.bincount(found[:, 0], minlength=15)
    assert counts.min() > 0.6 * 2000 / 15  # each as likely
    assert crop.window(*scene(), np.random.default_rng(3)) == tuple(found[3])


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_the_share_of_windows_with_a_mask_is_kept(share):
    image, target = scene()
    crop = Crop({"size": WINDOW, "positive": share}, 2)
    cut = [crop.cut(target, window) for window in windows(crop, image, target, 600)]
    assert all(part.shape == (*WINDOW, 2) for part in cut)
    chance = np.mean([part.any() for part in cut])
    plain = Crop({"size": WINDOW}, 2)
    base = np.mean([plain.cut(target, w).any() for w in windows(plain, image, target, 600)])
    assert chance == pytest.approx(share + (1 - share) * base, abs=0.06)
    if share == 1:  # classes come alike, though one has half as many windows that hold it
        shown = [part.any(axis=(0, 1)) for part in cut]
        assert np.mean([one[0] for one in shown]) == pytest.approx(0.5, abs=0.07)
        places = np.array(windows(crop, image, target, 600))
        assert len(np.unique(places, axis=0)) > 80  # not only those centred on it


def test_a_window_for_a_mask_holds_a_pixel_that_is_not_ignored():
    image, target = scene(ignore=True)
    target[15:17, 5:7, 2] = 1  # two of three rows of the second square
    target[3:5, 40:43, 2] = 1  # all of the first
    crop = Crop({"size": (2, 3), "positive": 1}, 2)
    for window in windows(crop, image, target):
        assert crops.seen(crop.cut(target, window), 2)[..., 1].any()
    target[..., 2] = 1
    plain = Crop({"size": (2, 3)}, 2)
    found = windows(crop, image, target, 50)
    assert len(set(found)) > 25  # nothing to hold: drawn anywhere
    assert len(set(windows(plain, image, target, 50))) > 25


def test_dark_windows_are_drawn_again_ten_times():
    image, target = scene()
    image[:, :35] = crops.BLACK
    dark = []
    for most in (0.3, 1.0):
        crop = Crop({"size": WINDOW, "dark": most}, 2)
        shares = [
            (crop.cut(image, window) <= crops.BLACK).mean()
            for window in windows(crop, image, target)
        ]
        dark.append(np.mean(np.array(shares) > 0.3))
    assert dark[1] > 0.6
    assert dark[0] == pytest.approx(dark[1] ** 11, abs=0.06)
    image[:] = 0
    drawn = []

    class Noting(Crop):
        def _draw(self, *given):
            drawn.append(super()._draw(*given))
            return drawn[-1]

    last = Noting({"size": WINDOW, "dark": 0.9}, 2).window(image, target, np.random.default_rng(0))
    assert len(drawn) == 11
    assert last == drawn[-1]


def test_darkness_is_that_of_the_image_not_of_another_channel():
    image, target = scene()
    both = np.concatenate([np.zeros_like(image), image], axis=2)
    dark = Crop({"size": WINDOW, "dark": 0.1}, 2, grey=1)
    plain = Crop({"size": WINDOW}, 2)
    assert windows(dark, both, target) == windows(plain, both, target)


@pytest.mark.parametrize("memory", [True, False])
def test_image_mask_and_labels_are_of_one_window(tmp_path, memory):
    tiny = Competition(tmp_path, classes=3, ignore=True)
    height, width = 4, 5
    samples = samples_of(tiny, memory, size=(height, width), positive=0.2)
    tiles = samples.sets[0]
    every = np.arange(18)
    images, targets = tiles.images(every), tiles.targets(every)
    batch = samples.__getitems__([(4, row) for row in range(18)])
    assert batch["x"].shape == (18, height, width, 2)
    flipped = 0
    for row in range(18):
        x, target = batch["x"][row].numpy(), batch["target"][row].numpy()
        places = [
            (top, left)
            for top in range(SIZE[0] - height + 1)
            for left in range(SIZE[1] - width + 1)
            if np.array_equal(images[row, top : top + height, left : left + width], x)
        ]
        assert len(places) == 1
        top, left = places[0]
        assert np.array_equal(targets[row, top : top + height, left : left + width], target)
        shown = (target[..., :3] & (1 - target[..., 3:])).any(axis=(0, 1))
        assert batch["label"][row].tolist() == shown.tolist()
        flipped += not np.array_equal(shown, tiles.labels[row] > 0)
    assert flipped  # else the labels might be the images'


def test_one_label_says_whether_there_is_any(tiny):
    samples = samples_of(tiny)
    samples.sets[0].labels = samples.sets[0].labels.max(axis=1, keepdims=True)
    batch = samples.__getitems__([(0, row) for row in range(18)])
    shown = batch["target"].flatten(1).any(dim=1).float()
    assert batch["label"][:, 0].tolist() == shown.tolist()
    samples.derived = False
    batch = samples.__getitems__([(0, row) for row in range(18)])
    assert np.array_equal(batch["label"], samples.sets[0].labels)


def test_a_crop_depends_on_seed_epoch_id_and_how_often_it_came(tiny):
    samples = samples_of(tiny, spec=FLIP, positive=0.3, blackout=0.5)
    alone = samples.__getitems__([(2, 7, 1)])
    among = samples.__getitems__([(2, 3, 0), (1, 7, 1), (2, 7, 0), (2, 7, 1)])
    for name in ("x", "target", "label"):
        assert torch.equal(alone[name][0], among[name][3])
    assert len({among["x"][place].numpy().tobytes() for place in (1, 2, 3)}) == 3
    streamed = samples_of(tiny, False, FLIP, positive=0.3, blackout=0.5)
    again = streamed.__getitems__([(2, 3, 0), (1, 7, 1), (2, 7, 0), (2, 7, 1)])
    assert all(torch.equal(again[name], among[name]) for name in among)
    whole = Samples([images_of(tiny)], Augment(FLIP, SIZE, 2, 3), PARTS)
    first, second = (whole.__getitems__([(2, row, n) for row in range(18)])["x"] for n in (0, 1))
    assert torch.equal(first, second)  # whole images come as they always did


def test_streaming_reads_the_rows_of_a_batch_and_no_more(tiny, monkeypatch):
    samples = samples_of(tiny, memory=False)
    tiles, asked = samples.sets[0], []
    for column in (tiles.x, tiles.mask):
        assert column.array is None
        monkeypatch.setattr(
            column, "take", lambda rows, real=column.take: asked.append(list(rows)) or real(rows)
        )
    samples.__getitems__([(0, 5), (0, 11)])
    assert sorted(asked) == [[5], [5], [11], [11]]  # never two whole images at once


def test_a_plan_numbers_draws_over_the_whole_epoch():
    plan = Plan()
    batches = [np.array([3, 1, 3]), np.array([1, 3])]
    plan.set(batches, 2)
    assert list(plan) == [[(2, 3, 0), (2, 1, 0), (2, 3, 1)], [(2, 1, 1), (2, 3, 2)]]
    plan.set(batches, 2, done=1)
    assert list(plan) == [[(2, 1, 1), (2, 3, 2)]]


def test_the_whole_images_are_those_of_the_first_release(tmp_path):
    # Which of these tiles are mirrored follows from the seed alone: another stream would change
    # every model.
    samples = Samples([images_of(Competition(tmp_path))], Augment(FLIP, SIZE, 2, 1), PARTS)
    whole = samples.sets[0].images(np.arange(18))
    batch = samples.__getitems__([(3, row) for row in range(18)])["x"].numpy()
    mirrored = [not np.array_equal(batch[row], whole[row]) for row in range(18)]
    assert "".join("01"[one] for one in mirrored) == MIRRORED


MIRRORED = "000010010000110011"


def train(competition, name="w", **changes):
    arguments = competition.arguments(name)
    arguments["stage"] = {**arguments["stage"], **changes}
    training.run(**arguments, log=lambda text: None)
    return Path(arguments["weights"]).read_bytes()


def test_keys_at_their_defaults_change_nothing(tiny):
    defaults = {"crop": None, "blackout": 0, "target_batch": None, "average_best": 1}
    sampler = {"name": "random", "share": 0.5, "classes": False, "strength": 1}
    assert train(tiny, "b", epochs=1, **defaults, sampler=sampler) == train(tiny, "a", epochs=1)


def test_a_stage_of_crops_then_one_of_whole_images(tiny, monkeypatch):
    sizes = []
    real = foldbelt.runtime.Normaliser.__call__

    def note(self, x):
        sizes.append(tuple(x.shape[1:3]))
        return real(self, x)

    monkeypatch.setattr(foldbelt.runtime.Normaliser, "__call__", note)
    crop = {"size": WINDOW, "positive": 0.5, "dark": 0.9}
    first = train(tiny, "a", epochs=1, crop=crop)
    assert set(sizes) == {WINDOW, SIZE}  # trained on the one, validated on the other
    assert train(tiny, "b", epochs=1, crop=crop, sampler={"name": "random"}) == first
    assert train(tiny, "c", epochs=1, crop={**crop, "positive": 0.9}) != first
    sizes.clear()
    arguments = tiny.arguments("d", start=str(tiny.root / "a.safetensors"), epochs=1)
    training.run(**arguments, log=lambda text: None)
    assert set(sizes) == {SIZE}


def test_windows_larger_than_the_images_are_refused(tiny):
    with pytest.raises(InputError, match=r"stages\.bce\.crop\.size: windows of 8×17.*16×16"):
        train(tiny, crop={"size": [8, 17]})


def test_blackout_hides_all_of_one_class_and_nothing_else():
    random = np.random.default_rng(0)
    hit = set()
    for seed in range(20):
        image, target = scene(classes=3, seed=seed)
        image = np.concatenate([image, image, image], axis=2)
        target[3:5, 43:45, 1] = 1  # beside class 0
        target[10, 10, 2] = target[17, 5, 0] = 1  # class 0 lies on class 2 in one pixel
        before, truth = image.copy(), target.copy()
        assert blackout.blacken(image, target, 3, random, [0, 2])
        (gone,) = np.flatnonzero(truth.any(axis=(0, 1)) & ~target.any(axis=(0, 1)))
        hit.add(int(gone))
        own = truth[..., gone] > 0
        assert not target[own].any()
        others = np.delete(np.arange(3), gone)
        assert np.array_equal(target[~own][:, others], truth[~own][:, others])
        assert (image[own][:, [0, 2]] == 0).all()
        near = cv2.dilate(own.astype(np.uint8), np.ones((7, 7), np.uint8)) > 0
        changed = (image != before).any(axis=2)
        assert not changed[~near].any()
        assert changed[near & ~own].any()
        assert not changed[truth.any(axis=2) & ~own].any()  # what else is shown stays seen
        assert np.array_equal(image[..., 1], before[..., 1])  # no image channel
    assert hit == {0, 1, 2}
    empty = np.zeros((8, 8, 1), np.uint8)
    assert not blackout.blacken(empty, empty.copy(), 1, random)


@pytest.mark.parametrize("window", [None, WINDOW])
def test_a_label_flips_exactly_where_all_of_its_class_is_gone(tmp_path, window):
    tiny = Competition(tmp_path, classes=3, ignore=True)
    tiny.mask[::2, 2:9, 4:6, 0] = 1  # a second class in some
    tiny.write()
    tiles = images_of(tiny)
    cut = None if window is None else Crop({"size": window}, 3)
    augment = Augment([], window or SIZE, 2, 4)
    items = [(epoch, row) for epoch in range(3) for row in range(18)]
    plain = Samples([tiles], augment, PARTS, cut).__getitems__(items)
    black = Samples([tiles], augment, PARTS, cut, blackout=0.6).__getitems__(items)
    shown = [
        np.stack([crops.seen(one, 3).any(axis=(0, 1)) for one in batch["target"].numpy()])
        for batch in (plain, black)
    ]
    assert np.array_equal(black["label"].numpy() > 0, shown[1])
    lost = shown[0].sum(axis=1) - shown[1].sum(axis=1)
    assert set(lost.tolist()) <= {0, 1, 2}
    same = (plain["x"] == black["x"]).flatten(1).all(dim=1).numpy()
    assert np.array_equal(same, lost == 0)
    some = shown[0].any(axis=1)
    assert np.mean(lost[some] > 0) == pytest.approx(0.6, abs=0.2)


def test_blackout_is_for_training_alone(tiny, monkeypatch):
    calls = []
    monkeypatch.setattr("foldbelt.train.data.blacken", lambda *given: calls.append(given))
    train(tiny, epochs=2, blackout=1.0)
    assert len(calls) == 2 * 12
