"""Training data: windows on a canvas, depths, and what is in the images."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from training import CLASSIFIER, Competition, settings

from foldbelt import channels, store
from foldbelt.augment._transforms import Augment
from foldbelt.channels._resizing import Resizer
from foldbelt.config import complete
from foldbelt.files import InputError
from foldbelt.train import Job, data, image_statistics, room
from foldbelt.train.data import ImageSet, Samples, Source
from foldbelt.train.task import load

STORED, SIZE, COUNT = (11, 13), (24, 20), 9
IDS = [f"t{number}" for number in range(COUNT)]
PARTS = (1, "m", 0, 0, "s")


def write(
    root: Path, recipe: dict, classes: int = 1, ignore: bool = False, depth: bool = True
) -> Source:
    """Images that show their mask (of the first class), and their channels."""
    random = np.random.default_rng(0)
    mask = (random.random((COUNT, *STORED, classes)) < 0.4).astype(np.uint8)
    mask[:3] = 0
    arrays = {"image": 255 * mask[..., 0], "mask": mask if classes > 1 else mask[..., 0]}
    if ignore:
        arrays["ignore"] = (random.random((COUNT, *STORED)) < 0.2).astype(np.uint8)
    table = pd.DataFrame({"id": IDS})
    if depth:
        table["depth"] = np.arange(100.0, 1000, 100)
    store.write(root / "train.h5", arrays, table, {}, classes)
    recipe = {"use": ["image"], "whiten": "none", "size": list(SIZE), **recipe}
    channels.build(root / "train.h5", root / "x.h5", complete("channels", recipe))
    return Source(str(root / "x.h5"), str(root / "train.h5"), IDS[::-1])


def images_of(source: Source, memory: bool = True, **more) -> ImageSet:
    fit = Resizer.of(store.attrs(source.channels))
    classes = source.classes()
    planes = classes + source.has_ignore()
    return ImageSet(source, fit, planes, classes, np.zeros((COUNT, 1), np.float32), memory, **more)


def batch_of(samples: Samples, epoch: int = 0) -> dict[str, np.ndarray]:
    items = [(epoch, row) for row in range(len(samples))]
    return {name: value.numpy() for name, value in samples.__getitems__(items).items()}


@pytest.mark.parametrize("memory", [True, False])
@pytest.mark.parametrize("method", ["pad-reflect", "pad-edge"])
def test_masks_and_ignored_pixels_move_with_their_image_over_the_canvas(tmp_path, memory, method):
    source = write(tmp_path, {"resize_mode": method, "offset": "random"}, ignore=True)
    augment = Augment([], SIZE, 1, 2)
    samples = Samples([images_of(source, memory)], augment, PARTS)
    plain = batch_of(Samples([images_of(source, memory)], None, ()))
    centred = Resizer(method, STORED, SIZE)
    image = store.read(source.masks, "image", source.ids)
    assert np.array_equal(plain["x"][..., 0], centred.images(image))
    seen = set()
    for epoch in range(4):
        batch = batch_of(samples, epoch)
        assert batch["x"].shape == (COUNT, *SIZE, 1)
        assert np.array_equal(batch["x"][..., 0] > 0, batch["target"][..., 0] > 0)
        for x, target, row in zip(batch["x"], batch["target"], batch["row"], strict=True):
            tile = store.read(source.masks, "image", [source.ids[row]])[0]
            ignore = store.read(source.masks, "ignore", [source.ids[row]])[0]
            found = [
                (top, left)
                for top in range(SIZE[0] - STORED[0] + 1)
                for left in range(SIZE[1] - STORED[1] + 1)
                if np.array_equal(x[top : top + 11, left : left + 13, 0], tile)
                and np.array_equal(target[top : top + 11, left : left + 13, 1], ignore)
            ]
            assert found  # the whole of it
            seen.add(found[0] if tile.any() else (0, 0))
    assert len(seen) > 15


def test_the_window_is_that_of_the_image_and_the_epoch(tmp_path):
    source = write(tmp_path, {"resize_mode": "pad-edge", "offset": "random"})
    augment = Augment([], SIZE, 1, 1)
    samples = Samples([images_of(source)], augment, PARTS)
    whole = batch_of(samples)
    for row in range(COUNT):  # alone as among others, whatever came before
        one = samples.__getitems__([(0, row)])
        assert np.array_equal(one["x"][0].numpy(), whole["x"][row])
    both = Samples([images_of(source), images_of(source, False)], augment, PARTS)
    twice = batch_of(both)
    assert np.array_equal(twice["x"], np.concatenate([whole["x"], whole["x"]]))
    assert np.array_equal(twice["target"][COUNT:], whole["target"])
    assert not np.array_equal(batch_of(samples, 1)["x"], whole["x"])
    other = batch_of(Samples([images_of(source)], augment, (2, *PARTS[1:])))
    assert not np.array_equal(other["x"], whole["x"])


def test_a_canvas_takes_its_memory(tmp_path):
    (tmp_path / "a").mkdir()
    plain = write(tmp_path / "a", {"resize_mode": "pad-edge"})
    large = write(tmp_path, {"resize_mode": "pad-edge", "offset": "random"})
    for source, pixels in ((plain, 24 * 20), (large, (2 * 24 - 11) * (2 * 20 - 13))):
        resizer = Resizer.of(store.attrs(source.channels))
        need = 9 * (pixels + -(-2 * pixels // 8))
        assert room.data_bytes([source], resizer, 2, 1) == need
        assert room.data_bytes([source, source], resizer, 2, 1) == 2 * need
        held = images_of(source)
        assert held.x.array.nbytes + held.target.packed.nbytes == 9 * (pixels + -(-pixels // 8))


RECIPES = [
    {"resize_mode": "pad-reflect"},
    {"resize_mode": "pad-edge", "offset": "random"},
    {"resize_mode": "resize"},
    {"resize_mode": "resize", "size": list(STORED)},
    {"resize_mode": "pad-edge", "scale": 2, "size": [40, 40]},
]


@pytest.mark.parametrize("classes", [1, 3, 9])
@pytest.mark.parametrize("recipe", RECIPES)
def test_what_is_held_in_bits_is_what_is_streamed(tmp_path, classes, recipe, monkeypatch):
    monkeypatch.setattr(data, "PLANES_BYTES", 20_000)  # a few images at a time
    source = write(tmp_path, recipe, classes, ignore=True)
    rows = np.array([4, 0, 8, 4])
    streamed = images_of(source, memory=False)
    for judged in (False, True):
        held = images_of(source, judged=judged)
        for name in ("images", "targets", "truth"):
            given, expected = getattr(held, name)(rows), getattr(streamed, name)(rows)
            assert np.array_equal(given[0], expected[0])
            assert np.array_equal(given[1], expected[1])
        assert held.truth(rows)[0].shape == (4, *STORED, classes)
        fits = held.resizer.tile == STORED
        assert (held.stored is not None) == (judged and not fits)
    mask = store.read(source.masks, "mask", [source.ids[row] for row in rows])
    assert np.array_equal(held.truth(rows)[0], mask.reshape(4, *STORED, classes))
    monkeypatch.delattr(held, "mask")
    assert np.array_equal(held.truth(rows)[0], mask.reshape(4, *STORED, classes))  # from memory


def test_images_whose_masks_nobody_asks_for_are_held_alone(tmp_path):
    source = write(tmp_path, {"resize_mode": "pad-edge"})
    fit, labels = Resizer.of(store.attrs(source.channels)), np.zeros((COUNT, 1), np.float32)
    rows = np.arange(3)
    for memory in (True, False):
        bare = ImageSet(source, fit, 0, 0, labels, memory, judged=True)
        assert bare.targets(rows).shape == (3, *SIZE, 0)
        assert bare.truth(rows)[0].shape == (3, *STORED, 0)
        assert np.array_equal(bare.images(rows), images_of(source).images(rows))


@pytest.mark.parametrize("mode", ["pad-reflect", "resize"])
def test_what_is_told_of_the_memory_is_what_is_held(tmp_path, mode):
    source = write(tmp_path, {"resize_mode": mode}, classes=3, ignore=True)
    job, cpu, lines = Job("m", 0, 0, "s", 1), torch.device("cpu"), []
    given = ([source, source], job, settings(augment=[]), {"name": "vanilla"}, "mean_dice")
    task, _ = load(*given, 1.0, cpu, lines.append)
    sets = [task.valid, *task.samples.sets]
    arrays = [part.packed for one in sets for part in (one.target, one.stored) if part is not None]
    total = sum(array.nbytes for array in [*arrays, *(one.x.array for one in sets)])
    assert total == room.data_bytes([source, source], task.valid.resizer, 4, 3)
    load(*given, total / 2**31, cpu, lines.append)
    assert [line.split("; ")[0].split(", ")[1] for line in lines] == [
        "held",
        f"streamed (memory_gib: {total / 2**31:g})",
    ]


@pytest.mark.parametrize("mode", ["pad-reflect", "resize"])
def test_models_of_labels_are_told_of_no_masks_that_they_do_not_take(tmp_path, monkeypatch, mode):
    monkeypatch.setattr(Competition, "resize_mode", mode)
    made = Competition(tmp_path, classes=3, ignore=True)
    source = Source(made.path["x_train.h5"], made.path["train.h5"], made.train_ids)
    job, cpu, lines = Job("m", 0, 0, "s", 1), torch.device("cpu"), []
    stage = settings(augment=[], loss={"label": {"bce": 1}})
    given = ([source, source], job, stage, CLASSIFIER, "")
    task, _ = load(*given, 1.0, cpu, lines.append)
    held = [part for one in (task.valid, *task.samples.sets) for part in (one.target, one.stored)]
    total = sum(part.packed.nbytes for part in held if part is not None)
    total += task.valid.x.array.nbytes + task.samples.sets[0].x.array.nbytes
    assert total == room.data_bytes([source, source], task.valid.resizer, 4, 3, judged=False)
    assert "of a batch" not in lines[0]
    monkeypatch.setattr(room, "_memory", lambda device: 2 * total)  # no batch of masks would fit
    load(*given, 1.0, cpu)


def test_images_that_no_memory_holds_are_refused_with_the_key(monkeypatch):
    monkeypatch.setattr(room, "_memory", lambda _: 8 * 2**30)
    cpu, gpu = torch.device("cpu"), torch.device("cuda")
    gib = 2**30
    room.check_data("main", 9 * gib, 8.5, 0, cpu)  # streamed
    room.check_data("main", 7 * gib, 64, gib, cpu)
    room.check_data("main", 8 * gib, 64, gib, gpu)  # batches lie elsewhere
    with pytest.raises(InputError, match=r"Stage main: memory_gib is 64, .* 7\.5 GiB .* has 8\.0"):
        room.check_data("main", 15 * gib // 2, 64, gib, cpu)


def test_the_least_limit_above_a_job_counts(tmp_path):
    own = tmp_path / "own"
    own.write_text("1:cpu:/x\n0::/slurm/job7/step\n")
    folder = tmp_path / "cgroup/slurm/job7/step"
    folder.mkdir(parents=True)
    (folder / "memory.max").write_text("max\n")
    (folder.parent / "memory.max").write_text("4096\n")
    (tmp_path / "memory.max").write_text("7\n")  # lies outside
    assert room._cgroup_limits(tmp_path / "cgroup", own) == [4096]
    assert room._cgroup_limits(tmp_path, tmp_path / "none") == []


def test_enlarged_images_and_masks_are_trained_on_alike(tmp_path):
    recipe = {"resize_mode": "pad-edge", "scale": 3, "size": [40, 40], "offset": "random"}
    samples = Samples([images_of(write(tmp_path, recipe))], Augment([], (40, 40), 1, 1), PARTS)
    batch = batch_of(samples)
    assert np.array_equal(batch["x"][..., 0] > 127, batch["target"][..., 0] > 0)


def test_depths_are_standardised_by_the_training_images(tmp_path):
    source = write(tmp_path, {"resize_mode": "pad-edge"})
    train = Source(source.channels, source.masks, IDS[:6])
    valid = Source(source.channels, source.masks, IDS[6:])
    store.write(
        tmp_path / "pseudo.h5",
        {"mask": np.zeros((2, *STORED), np.uint8)},
        pd.DataFrame({"id": IDS[:2]}),
    )
    pseudo = Source(source.channels, str(tmp_path / "pseudo.h5"), IDS[:2])
    first, second, third = image_statistics.depths([train, valid, pseudo])
    assert first.dtype == np.float32
    assert first.shape == (6, 1)
    np.testing.assert_allclose([first.mean(), first.std()], [0, 1], atol=1e-6)
    np.testing.assert_allclose(
        np.diff(np.concatenate([first, second])[:, 0]), np.ptp(first) / 5, 1e-5
    )
    assert np.isnan(third).all()
    alone, others = image_statistics.depths([Source(source.channels, source.masks, IDS[:1]), valid])
    assert alone.tolist() == [[0]]
    assert np.isfinite(others).all()


def test_batches_carry_depths_where_they_are_given(tmp_path):
    source = write(tmp_path, {"resize_mode": "pad-edge"})
    (depth,) = image_statistics.depths([source])
    tiles = [images_of(source, depth=depth), images_of(source, depth=-depth)]
    batch = Samples(tiles, None, PARTS).__getitems__([(0, 11), (0, 2), (0, 0)])
    assert batch["depth"].numpy().tolist() == [(-depth[2]).tolist(), *depth[[2, 0]].tolist()]
    assert "depth" not in batch_of(Samples([images_of(source)], None, PARTS))
    (tmp_path / "a").mkdir()
    assert (
        image_statistics.depths([write(tmp_path / "a", {"resize_mode": "pad-edge"}, depth=False)])
        is None
    )


def test_a_job_draws_from_the_images_and_channels_that_the_stage_asks_for(tmp_path):
    recipe = {"resize_mode": "pad-edge", "offset": "random"}
    source = write(tmp_path, recipe)
    stage = settings(images={"empty": False}, batch_size=2, depth_weight=0.1)
    job, device = Job("m", 0, 0, "s", 1), torch.device("cpu")
    task, _ = load([source, source], job, stage, {"name": "unet"}, "salt_score", 1.0, device)
    rows = np.concatenate([batch for step in task.steps(0, None) for batch in step])
    some = store.read(source.masks, "mask", source.ids).any(axis=(1, 2))
    assert sorted(rows) == np.flatnonzero(some).tolist()
    batch = task.samples.__getitems__([(0, 0), (1, 0)])
    assert not torch.equal(batch["x"][0], batch["x"][1])
    assert torch.isfinite(batch["depth"]).all()


@pytest.mark.parametrize("classes", [1, 3])
def test_contents_are_what_is_in_images_and_masks(tmp_path, classes, monkeypatch):
    mask = np.zeros((7, *STORED, classes), np.uint8)
    mask[1] = 1
    mask[2, :, 4:6, 0] = 1
    mask[3, :, :, classes - 1], mask[3, 5, 5] = 1, 0
    mask[4, 2:4, 3, classes - 1] = 1
    mask[5, :, 4:6, classes - 1] = mask[5, :, 9, 0] = 1
    mask[6, :, :3, 0], mask[6, 4, 7] = 1, 1
    image = np.random.default_rng(0).integers(0, 255, (7, *STORED)).astype(np.uint8)
    image[0], image[4] = 0, 88
    ignore = np.zeros((7, *STORED), np.uint8)
    ignore[4, 2, :] = 1
    if classes == 3:
        image = np.repeat(image[..., None], 3, axis=3)
        image[4, ..., 1] = 3  # one colour, though not grey
    arrays = {"image": image, "mask": mask if classes > 1 else mask[..., 0], "ignore": ignore}
    ids = list("abcdefg")
    store.write(tmp_path / "t.h5", arrays, pd.DataFrame({"id": ids}), {}, classes)
    found = image_statistics.contents(Source("", str(tmp_path / "t.h5"), ids[::-1])).loc[ids]
    assert found.index.tolist() == ids
    assert found["area"].tolist() == [0, 143, 22, 142, 1, 33, 34]
    expected = (mask * (1 - ignore[..., None])).sum(axis=(1, 2))
    own = found[[f"area{number}" for number in range(classes)]]
    assert np.array_equal(own, expected)
    assert own.shape[1] == len(found.columns) - 3
    assert found["black"].tolist() == [True, False, False, False, True, False, False]
    assert found["vertical"].tolist() == [False, False, True, False, False, True, False]
    monkeypatch.setattr(image_statistics, "_BLOCK", 2)
    again = image_statistics.contents(Source("", str(tmp_path / "t.h5"), ids))
    pd.testing.assert_frame_equal(again, found)
    none = image_statistics.contents(Source("", str(tmp_path / "t.h5"), []))
    assert (none.dtypes == found.dtypes).all()


def test_images_without_masks_have_a_colour_and_nothing_else(tmp_path: Path) -> None:
    image = np.full((4, 6, 5, 3), [3, 3, 9], np.uint8)
    image[2, -1, -1, 2] = 8
    ids = ["a", "b", "c", "d"]
    store.write(tmp_path / "t.h5", {"image": image}, pd.DataFrame({"id": ids}))
    source = Source("", str(tmp_path / "t.h5"), ["c", "a"])
    found = image_statistics.contents(source)
    assert found.index.tolist() == ["c", "a"]
    assert found["black"].tolist() == [False, True]
    assert not found["area"].any()
    assert not found["vertical"].any()


def padded(tmp_path: Path, **recipe) -> tuple[Source, Resizer]:
    source = write(tmp_path, {"resize_mode": "pad-reflect", **recipe})
    return source, Resizer.of(store.attrs(source.channels))


@pytest.mark.parametrize("recipe", [{}, {"scale": 1, "offset": "random"}])
def test_padding_is_all_that_is_no_pixel_of_the_image(tmp_path, recipe):
    _, resizer = padded(tmp_path, **recipe)
    marked = np.zeros((1, *STORED), np.uint8)
    inside = 1 - resizer.padding()
    assert inside.sum() == np.prod(STORED)
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    marked[0, 2, 3] = 1
    places = np.argwhere(resizer.masks(marked)[0] * inside)
    assert places.tolist() == [[rows[0] + 2, columns[0] + 3]]


def test_padding_counts_in_validation_never_and_in_training_on_demand(tmp_path):
    source, resizer = padded(tmp_path)
    job = Job(model="m", round=0, fold=0, stage="s", seed=1)
    sources = [source, Source(source.channels, source.masks, IDS[:2])]
    for asked in (False, True):
        stage = settings(loss_on_padding=asked, augment=[])
        model = {"name": "vanilla"}
        task, _ = load(sources, job, stage, model, "salt_score", 1.0, torch.device("cpu"))
        for image_set, counts in ((task.valid, False), (task.samples.sets[0], asked)):
            ignored = image_set.targets(np.arange(2))[..., -1]
            assert np.array_equal(ignored, np.stack([resizer.padding() & (not counts)] * 2))


def test_images_that_fill_the_network_have_no_further_plane(tmp_path):
    source = write(tmp_path, {"resize_mode": "resize"})
    job = Job(model="m", round=0, fold=0, stage="s", seed=1)
    sources = [source, source]
    model = {"name": "vanilla"}
    task, _ = load(sources, job, settings(), model, "salt_score", 1.0, torch.device("cpu"))
    assert task.valid.planes == 1


@pytest.mark.parametrize("classes", [1, 2])
def test_a_label_goes_with_the_mask_that_augmentation_moves_out(tmp_path, classes):
    source = write(tmp_path, {"resize_mode": "resize"}, classes=classes, ignore=True)
    given = images_of(source)
    given.labels = np.ones((COUNT, classes), np.float32)
    crop = [{"RandomResizedCrop": {"size": list(SIZE), "scale": [0.02, 0.03]}}]
    planes = given.planes
    changed = 0
    for derived in (True, False):
        augment = Augment(crop, SIZE, 1, planes, ["image"])
        samples = Samples([given], augment, PARTS, derived=derived)
        plain = batch_of(Samples([given], None, PARTS))
        for epoch in range(6):
            made = batch_of(samples, epoch)
            shows, before = (
                ((part["target"][..., :classes] > 0) & (part["target"][..., -1:] == 0)).any((1, 2))
                for part in (made, plain)
            )
            expected = np.where(before & ~shows, 0, 1) if derived else np.ones_like(shows)
            assert np.array_equal(made["label"], expected)
            changed += int((made["label"] == 0).sum())
    assert changed > 0
