"""To network size and back: exact undoing, smooth borders, masks that follow their images."""

import re
from pathlib import Path

import numpy as np
import pytest
from skimage.restoration import inpaint_biharmonic

from foldbelt.channels import _resizing
from foldbelt.channels._padding import PADDINGS, Padding
from foldbelt.channels._resizing import MODES, Resizer, centre
from foldbelt.files import InputError
from foldbelt.store.geometry import resize_to

PADS = [mode for mode in MODES if mode != "resize"]
SHAPES = [((21, 33), (32, 64)), ((20, 20), (21, 20)), ((5, 4), (32, 32)), ((1, 3), (4, 4))]


def smooth(count: int, size: tuple[int, int], seed: int = 0) -> np.ndarray:
    rows, columns = np.meshgrid(*(np.linspace(0, 3, side) for side in size), indexing="ij")
    phases = np.random.default_rng(seed).random((3, count, 1, 1)) * 6
    waves = np.sin(rows + phases[0]) * np.cos(columns * 1.5 + phases[1]) + np.sin(rows * phases[2])
    return (127.5 + 60 * waves).astype(np.uint8)


@pytest.mark.parametrize("mode", PADS)
@pytest.mark.parametrize(("source", "size"), SHAPES)
def test_padding_is_undone_exactly(mode, source, size):
    rng = np.random.default_rng(0)
    resizer = Resizer(mode, source, size)
    for tail in ((), (3,), (6,)):
        images = rng.integers(0, 256, (4, *source, *tail), dtype=np.uint8)
        padded = resizer.images(images)
        assert padded.shape == (4, *size, *tail)
        assert padded.dtype == np.uint8
        assert np.array_equal(resizer.undo(padded), images)
        prob = rng.random((4, *size, *tail)).astype(np.float32)
        top, left = (np.subtract(size, source)) // 2
        crop = prob[:, top : top + source[0], left : left + source[1]]
        assert np.array_equal(resizer.undo(prob), crop)
        assert np.array_equal(resizer.images(np.asfortranarray(images)), padded)


@pytest.mark.parametrize("mode", PADS)
def test_padding_is_centred_and_masks_follow(mode):
    resizer = Resizer(mode, (101, 101), (128, 128))
    mask = np.zeros((1, 101, 101), dtype=bool)
    mask[:, :, 0] = mask[:, 100, 3] = True
    padded = resizer.masks(mask)
    assert padded.dtype == np.uint8
    width = [(0, 0), (13, 14), (13, 14)]  # an odd pixel comes after
    assert np.array_equal(padded, np.pad(mask, width, mode=PADDINGS[mode].repeated))
    if PADDINGS[mode].fill is None:  # else the image border is no copy
        assert np.array_equal(resizer.images(mask.astype(np.uint8) * 9), padded * 9)


def test_table_and_schema_know_the_same_modes():
    schema = Path(__file__).parents[2] / "workflow/schemas/config.schema.yaml"
    enums = re.findall(r"enum: \[(.*pad-.*)\]", schema.read_text())
    assert enums == [", ".join(MODES)]


def test_a_padding_is_one_entry_of_the_table(monkeypatch):
    monkeypatch.setitem(PADDINGS, "pad-symmetric", Padding("symmetric"))
    monkeypatch.setattr(_resizing, "MODES", (*PADDINGS, "resize"))
    images = np.random.default_rng(0).integers(0, 2, (2, 9, 11, 3), dtype=np.uint8)
    expected = np.pad(images, [(0, 0), (1, 2), (2, 3), (0, 0)], mode="symmetric")
    resizer = Resizer("pad-symmetric", (9, 11), (12, 16))
    assert np.array_equal(resizer.images(images), expected)
    assert np.array_equal(resizer.masks(images), expected)
    assert np.array_equal(resizer.undo(expected), images)


def test_reflection_and_edge_are_numpys():
    images = np.random.default_rng(0).integers(0, 256, (2, 9, 11, 3), dtype=np.uint8)
    width = [(0, 0), (1, 2), (2, 3), (0, 0)]
    for mode in ("reflect", "edge"):
        padded = Resizer(f"pad-{mode}", (9, 11), (12, 16)).images(images)
        assert np.array_equal(padded, np.pad(images, width, mode=mode))


def test_biharmonic_equals_scikit_image():
    # The equations are the same, stencils at the border included, so only rounding may differ.
    resizer = Resizer("pad-biharmonic", (23, 31), (32, 40))
    rough = np.random.default_rng(1).integers(0, 256, (2, 23, 31), dtype=np.uint8)
    images = np.concatenate([smooth(2, (23, 31)), rough])
    unknown = np.ones((32, 40), dtype=bool)
    unknown[4:27, 4:35] = False
    for image, padded in zip(images, resizer.images(images), strict=True):
        start = np.pad(image, [(4, 5), (4, 5)])
        expected = 255 * inpaint_biharmonic(start, unknown)
        assert np.abs(padded - expected).max() <= 0.5 + 1e-4


def test_biharmonic_does_not_depend_on_the_batch():
    images = smooth(70, (30, 30))
    resizer = Resizer("pad-biharmonic", (30, 30), (32, 64))
    together = resizer.images(images)
    alone = np.concatenate([resizer.images(image[None]) for image in images])
    assert np.array_equal(together, alone)
    colour = resizer.images(np.stack([images[:7], images[7:14]], axis=-1))
    assert np.array_equal(colour[..., 1], together[7:14])


@pytest.mark.parametrize("mode", MODES)
def test_constant_planes_stay_constant(mode):
    images = np.broadcast_to(np.array([0, 77, 255], np.uint8)[:, None, None], (3, 21, 33))
    fitted = Resizer(mode, (21, 33), (32, 64)).images(images)
    assert [np.unique(image).tolist() for image in fitted] == [[0], [77], [255]]


@pytest.mark.parametrize("mode", MODES)
def test_the_same_size_is_the_identity(mode):
    images = smooth(3, (16, 24))
    resizer = Resizer(mode, (16, 24), (16, 24))
    assert np.array_equal(resizer.images(images), images)
    assert np.array_equal(resizer.masks(images > 128), images > 128)
    assert np.array_equal(resizer.undo(images), images)
    assert resizer.undo(images) is not images


@pytest.mark.parametrize("size", [(64, 80), (20, 30), (64, 20)])
def test_resizing_keeps_smooth_images_and_shapes(size):
    images = smooth(3, (40, 48))
    resizer = Resizer("resize", (40, 48), size)
    there = resizer.images(images)
    assert there.shape == (3, *size)
    assert np.abs(resizer.undo(there).astype(int) - images)[:, 3:-3, 3:-3].max() < 12
    masks = resizer.masks(np.stack([images > 140, images > 200], axis=-1))
    assert masks.shape == (3, *size, 2)
    assert np.array_equal(np.unique(masks), [0, 1])
    assert abs(masks[..., 0].mean() - (images > 140).mean()) < 0.05  # exact halves are off


def test_more_channels_than_opencv_likes():
    images = np.repeat(smooth(2, (20, 20))[..., None], 7, axis=3)
    fitted = Resizer("resize", (20, 20), (32, 48)).images(images)
    assert (fitted == fitted[..., :1]).all()


def test_downsizing_a_mask_takes_the_majority():
    mask = np.array([[1, 1, 0, 0, 1, 0], [1, 0, 0, 1, 0, 1]])[None]
    assert Resizer("resize", (2, 6), (1, 3)).masks(mask).tolist() == [
        [[1, 0, 0]]
    ]  # half is not more


@pytest.mark.parametrize("scale", range(2, 9))
@pytest.mark.parametrize("mode", PADS)
def test_enlarging_is_undone_at_the_same_size_and_keeps_every_mask(mode, scale):
    source, size = (9, 12), (9 * scale + 3, 12 * scale + 8)
    resizer = Resizer(mode, source, size, scale)
    rng = np.random.default_rng(scale)
    masks = rng.random((20, *source, 2)) < 0.5
    large = resizer.masks(masks)
    assert large.shape == (20, *size, 2)
    assert np.array_equal(resizer.undo(large.astype(np.float32)) > 0.5, masks)
    ramp = (np.mgrid[:9, :12] * np.array([14, 8])[:, None, None]).sum(0).astype(np.uint8)[None]
    there = resizer.images(ramp)
    assert there.shape == (1, *size)
    inner = there[:, 1 : 1 + 9 * scale, 4 : 4 + 12 * scale].astype(int)
    assert 0 < np.diff(inner, axis=1).max() <= 14 / scale + 1  # a ramp, not steps
    assert np.abs(resizer.undo(there).astype(int) - ramp)[:, 1:-1, 1:-1].max() <= 1
    prob = np.repeat(rng.random((1, *source)).astype(np.float32), scale, 1).repeat(scale, 2)
    framed = np.pad(prob, [(0, 0), (1, 2), (4, 4)])
    np.testing.assert_allclose(resizer.undo(framed), prob[:, ::scale, ::scale], atol=1e-6)


@pytest.mark.parametrize("scale", [1, 2])
@pytest.mark.parametrize("mode", PADS)
@pytest.mark.parametrize("size", [(48, 57), (47, 56), (48, 44)])
def test_every_window_of_the_canvas_holds_the_image(mode, scale, size):
    source = (21, 22)
    plain, resizer = (
        Resizer(mode, source, size, scale),
        Resizer(mode, source, size, scale, "random"),
    )
    images = np.random.default_rng(0).integers(0, 256, (2, *source, 2), dtype=np.uint8)
    canvas, masks = resizer.images(images), resizer.masks(images > 128)
    (top, left), (height, width) = np.subtract(size, plain.tile), plain.tile
    assert canvas.shape == (2, *resizer.canvas, 2) == (2, size[0] + top, size[1] + left, 2)
    random = np.random.default_rng(1)
    starts = np.array([resizer.window(random) for _ in range(500)])
    assert set(starts[:, 0]) == set(range(top + 1))
    assert set(starts[:, 1]) == set(range(left + 1))
    tile = canvas[:, top : top + height, left : left + width]  # seen from every window
    assert np.array_equal(tile, Resizer(mode, source, plain.tile, scale).images(images))
    # in the central one the image lies where it does without a canvas, so one crop undoes both
    middle = centre(canvas, size)
    assert middle.shape == (2, *size, 2)
    assert np.array_equal(resizer.undo(middle), plain.undo(plain.images(images)))
    assert np.array_equal(centre(masks, size), plain.masks(images > 128))
    if PADDINGS[mode].fill is None:  # else the border depends on where it ends
        assert np.array_equal(middle, plain.images(images))
    assert centre(middle, size) is not canvas
    assert np.array_equal(centre(middle, size), middle)


@pytest.mark.parametrize("scale", [1, 2])
@pytest.mark.parametrize("offset", ["centre", "random"])
def test_attributes_tell_the_fit(scale, offset):
    resizer = Resizer("pad-edge", (10, 12), (32, 33), scale, offset)
    attrs = resizer.attrs()
    assert Resizer.of({"names": ["image"], "scale": [0.1], "offset": [3], **attrs}) == resizer
    assert ("canvas" in attrs, "enlarge" in attrs) == (offset == "random", scale > 1)
    assert attrs.get("canvas", attrs["size"]) == list(resizer.canvas)


@pytest.mark.parametrize("mode", MODES)
def test_no_images(mode):
    resizer = Resizer(mode, (16, 24), (32, 32))
    assert resizer.images(np.zeros((0, 16, 24, 2), np.uint8)).shape == (0, 32, 32, 2)
    assert resizer.masks(np.zeros((0, 16, 24), bool)).shape == (0, 32, 32)
    assert resizer.undo(np.zeros((0, 32, 32), np.float32)).shape == (0, 16, 24)


def test_resize_to_the_original_size():
    prob = smooth(1, (32, 32))[0]
    many = np.stack([prob] * 6, axis=-1)
    large = resize_to(many, (50, 70))
    assert large.shape == (50, 70, 6)
    assert large.dtype == np.uint8
    assert (large == large[..., :1]).all()
    assert np.array_equal(resize_to(prob, (50, 70)), large[..., 0])
    assert np.array_equal(resize_to(prob, (32, 32)), prob)
    assert prob.min() <= large.min() <= large.max() <= prob.max()


def test_what_cannot_be_is_refused():
    with pytest.raises(InputError, match="101×101 pixels cannot be padded to 128×96; raise"):
        Resizer("pad-edge", (101, 101), (128, 96))
    with pytest.raises(InputError, match="'pad' is unknown; choose one of pad-reflect"):
        Resizer("pad", (101, 101), (128, 128))
    with pytest.raises(InputError, match="101×101 pixels, enlarged to 202×202, cannot be padded"):
        Resizer("pad-edge", (101, 101), (128, 256), 2)
    with pytest.raises(InputError, match="those of 202×202 fill it; raise the network size or set"):
        Resizer("pad-edge", (101, 101), (202, 202), 2, "random")
    with pytest.raises(
        InputError, match=r"fills the whole input, so scale: 2 and offset: random have no"
    ):
        Resizer("resize", (101, 101), (128, 128), 2, "random")
    with pytest.raises(InputError, match="offset one of centre, random, not 1 and 'left'"):
        Resizer("pad-edge", (101, 101), (128, 128), 1, "left")
    with pytest.raises(InputError, match="scale is a whole number from 1"):
        Resizer("pad-edge", (101, 101), (128, 128), 0)
    resizer = Resizer("pad-edge", (10, 10), (16, 16))
    with pytest.raises(ValueError, match="expected an array"):
        resizer.images(np.zeros((1, 16, 16), np.uint8))
    with pytest.raises(ValueError, match="uint8"):
        resizer.images(np.zeros((1, 10, 10)))
