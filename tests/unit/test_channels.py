"""Channels: what they hold, that whitening whitens, and that train's numbers serve for test."""

import importlib
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import torchvision
from scipy import ndimage
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD

import foldbelt
from foldbelt import channels, provenance, registry, store
from foldbelt.channels._resizing import Resizer
from foldbelt.config import complete
from foldbelt.files import InputError

SIZE = (37, 41)
ALL = complete("channels", {"use": ["image", "cumsum", "depth"], "whiten": "none", "size": 64})


def layered(count: int, seed: int = 0, size: tuple[int, int] = SIZE) -> np.ndarray:
    """Smooth noise, as seismic images are, with a black and a constant tile among it."""
    noise = np.random.default_rng(seed).normal(size=(count, *size))
    smooth = ndimage.gaussian_filter(noise, (0, 1, 2))
    images = np.clip(smooth / smooth.std() * 40 + 120, 0, 255).astype(np.uint8)
    images[1:2], images[2:3] = 0, 90
    return images


def write(path, images: np.ndarray, depth: list[float] | None = None) -> None:
    table = pd.DataFrame({"id": [f"{path.stem}{row}" for row in range(len(images))]})
    if depth is None:
        depth = np.linspace(50, 959, len(images)).tolist()
    store.write(path, {"image": images}, table.assign(depth=depth))


@pytest.fixture
def data(tmp_path):
    write(tmp_path / "train.h5", layered(70))
    write(tmp_path / "test.h5", layered(30, 1))
    return tmp_path


def test_cumsum_is_the_kernels():
    image = layered(4)[3]
    inner = (slice(5, -5), slice(5, -5))
    expected = (image - image[inner].mean()).cumsum(axis=0)
    expected -= expected[inner].mean()
    expected /= expected[inner].std()
    assert channels.cumsum(image).dtype == np.float32
    np.testing.assert_allclose(channels.cumsum(image), expected, atol=1e-5)
    np.testing.assert_array_equal(channels.cumsum(np.stack([image] * 2))[1], channels.cumsum(image))


@pytest.mark.parametrize("value", [0, 7, 255])
def test_cumsum_of_a_constant_tile_is_zero(value):
    assert not channels.cumsum(np.full((20, 20), value, np.uint8)).any()
    assert not channels.cumsum(np.full((4, 4), value, np.uint8)).any()


def test_depth_is_a_plane():
    planes = channels.depth(np.array([50, 959]), (3, 4))
    assert planes.shape == (2, 3, 4)
    assert np.unique(planes).tolist() == [np.float32(0.05), np.float32(0.959)]
    with pytest.raises(InputError, match="within 0 and 1000, not 1001, nan"):
        channels.depth(np.array([1001, 5, np.nan]), (3, 4))


@pytest.mark.parametrize("colours", [None, 3])
def test_row_is_the_height_and_image_row_its_product_with_the_image(colours):
    images = layered(5) if colours is None else np.stack([layered(5, s) for s in range(3)], -1)
    table = pd.DataFrame(index=range(5))
    row, product = (importlib.import_module(f"foldbelt.channels.{n}") for n in ("row", "image_row"))
    y = row.planes(images, table)
    assert y.shape == (5, *SIZE, 1)
    assert (y == y[:1, :, :1]).all()
    np.testing.assert_allclose(y[0, :, 0, 0], np.arange(37) / 36, atol=1e-6)
    plain = importlib.import_module("foldbelt.channels.image").planes(images, table)
    np.testing.assert_allclose(product.planes(images, table), plain * y, atol=1e-6)
    assert len(product.names(colours or 1)) == product.planes(images, table).shape[3]
    assert {y.dtype, product.planes(images, table).dtype} == {np.dtype(np.float32)}
    assert row.planes(images[:, :1], table).max() == 0  # one row is the first


def test_rows_are_written_and_padded_as_images_are(data):
    recipe = {**ALL, "use": ["row", "image", "image_row"], "resize_mode": "pad-edge"}
    channels.build(data / "train.h5", data / "c.h5", recipe)
    x = store.read(data / "c.h5", "x")
    assert store.attrs(data / "c.h5")["names"] == recipe["use"]
    assert (x[..., 0] == x[:1, :, :1, 0]).all()
    assert (x[:, :14, :, 0].max(), x[:, 49:, :, 0].min()) == (0, 255)
    assert np.array_equal(x[:, 50:, :, 2], x[:, 50:, :, 1])
    assert (np.abs(x[..., 2] - x[..., 0] / 255 * x[..., 1]) < 1).all()


def test_functions_go_by_their_members_names_however_these_are_imported():
    code = (
        "import importlib, sys, numpy; from foldbelt import channels; "
        "assert not {'foldbelt.channels.cumsum', 'foldbelt.channels.depth'} & set(sys.modules); "
        "assert channels.cumsum(numpy.eye(4)).shape == (4, 4); "  # by its name first
        "assert importlib.import_module('foldbelt.channels.cumsum').names(1) == ['cumsum']; "
        "assert channels.cumsum(numpy.eye(4)).shape == (4, 4); "
        "assert importlib.import_module('foldbelt.channels.depth').names(1) == ['depth']; "
        "assert channels.depth(numpy.ones(2), (3, 4)).shape == (2, 3, 4)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
    with pytest.raises(AttributeError, match="gabor"):
        _ = channels.gabor


def test_the_code_of_a_channel_is_that_of_the_recipes_that_use_it_alone(tmp_path):
    root = tmp_path / "foldbelt"
    shutil.copytree(Path(foldbelt.__file__).parent, root)
    script = str(Path(foldbelt.__file__).parents[1] / "scripts" / "make_channels.py")

    def codes() -> dict[str, str]:
        return {
            name: provenance._fingerprint([script, *registry.channels({"use": [name]})], root)
            for name in registry.known("channels")
        }

    before = codes()
    assert len(set(before.values())) == len(before) >= 5
    for name in before:
        with (root / "channels" / f"{name}.py").open("a") as file:
            file.write("\n\ndef more():\n    return 1\n")
        after = codes()
        assert {other for other in after if after[other] != before[other]} == {name}
        before = after
    (root / "channels" / "gabor.py").write_text("RANGE = None\n")
    assert codes() == before
    with (root / "store" / "geometry.py").open("a") as file:  # what all go through
        file.write("\n\ndef more():\n    return 1\n")
    assert all(after != before[name] for name, after in codes().items())


@pytest.mark.parametrize("method", ["none", "standard", "imagenet", "zca", "spectral"])
@pytest.mark.parametrize("colours", [None, 3])
def test_fitted_numbers_serve_for_other_images(method, colours):
    train, test = layered(40), layered(20, 1)
    if colours:
        train, test = (np.stack([x, x[::-1], 255 - x], axis=-1) for x in (train, test))
    white, fitted = channels.whiten(train, method)
    assert white.shape == train.shape
    assert white.dtype == np.float32
    assert np.isfinite(white).all()
    assert fitted["method"] == method
    fitted = json.loads(json.dumps(fitted, allow_nan=False))
    again, same = channels.whiten(train[::-1], method, fitted)
    np.testing.assert_array_equal(again[::-1], white)
    assert same == fitted
    part, _ = channels.whiten(test[:5], method, fitted)
    whole, _ = channels.whiten(test, method, fitted)
    np.testing.assert_array_equal(part, whole[:5])


def test_standard_gives_mean_0_and_deviation_1():
    images = np.stack([layered(20), np.full((20, *SIZE), 8, np.uint8)], axis=-1)
    white, _ = channels.whiten(images, "standard")
    np.testing.assert_allclose(white.mean((0, 1, 2), dtype=float), 0, atol=1e-5)
    np.testing.assert_allclose(white.std((0, 1, 2), dtype=float), [1, 0], atol=1e-5)
    shifted, _ = channels.whiten(images.astype(float) * 3 + 5, "standard")
    np.testing.assert_allclose(shifted, white, atol=1e-5)


def test_zca_decorrelates_neighbours():
    images = layered(60, 3, (64, 64))[3:]
    images = images + np.random.default_rng(0).normal(0, 8, images.shape)
    white, fitted = channels.whiten(images, "zca")
    windows = np.lib.stride_tricks.sliding_window_view(white, (5, 5), axis=(1, 2))[:, 5:-5, 5:-5]
    covariance = np.cov(windows.reshape(-1, 25).T)
    # one filter serves all pixels of a patch, and epsilon holds back: hence not exactly identity
    np.testing.assert_allclose(covariance, np.eye(25), atol=0.15)
    np.testing.assert_allclose(white[:, 5:-5, 5:-5].std(), fitted["sd"][0], rtol=0.02)
    raw = np.lib.stride_tricks.sliding_window_view(images, (5, 5), axis=(1, 2))
    assert np.corrcoef(raw.reshape(-1, 25).T)[0, 1] > 0.6
    # zero-phase: the filter is the centre of a symmetric matrix, so the image stays in its place
    kernel = np.array(fitted["filters"])[0, 0]
    assert np.unravel_index(np.abs(kernel).argmax(), kernel.shape) == (3, 3)
    assert np.mean(white * (images - images.mean())) > 0


def test_zca_decorrelates_colours():
    rng = np.random.default_rng(0)
    grey = rng.normal(0, 30, (30, 32, 32, 1))
    images = 128 + grey + rng.normal(0, 15, (30, 32, 32, 3))
    white, _ = channels.whiten(images, "zca")
    assert np.corrcoef(images.reshape(-1, 3).T)[0, 1] > 0.7
    assert abs(np.corrcoef(white.reshape(-1, 3).T)[0, 1]) < 0.03


def test_imagenet_is_what_pretrained_weights_expect():
    colours = np.random.default_rng(0).random((2, 5, 6, 3), dtype=np.float32)
    expected = torchvision.transforms.functional.normalize(
        torch.from_numpy(colours).permute(0, 3, 1, 2), IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
    )
    white, fitted = channels.whiten(colours, "imagenet")
    np.testing.assert_allclose(white, expected.permute(0, 2, 3, 1).numpy(), atol=1e-5)
    grey, _ = channels.whiten(colours[..., 0], "imagenet", fitted)
    mean, sd = np.mean(IMAGENET_DEFAULT_MEAN), np.mean(IMAGENET_DEFAULT_STD)
    np.testing.assert_allclose(grey, (colours[..., 0] - mean) / sd, atol=1e-5)
    with pytest.raises(InputError, match="made for grey or RGB images, and these have 4 bands"):
        channels.whiten(np.zeros((2, 5, 6, 4)), "imagenet")


def test_spectral_flattens_amplitudes_and_keeps_phases():
    images = layered(40, 0, (64, 64))[3:]

    def spectrum(of: np.ndarray) -> np.ndarray:
        taper = np.hanning(64)[:, None] * np.hanning(64)
        return np.fft.fft2((of - of.mean((1, 2), keepdims=True)) * taper)

    def spread(of: np.ndarray) -> float:  # low over high frequencies along the columns
        amplitude = np.abs(spectrum(of)).mean(0)
        return amplitude[2:6, 2:6].mean() / amplitude[24:30, 2:6].mean()

    white, _ = channels.whiten(images, "spectral")
    assert spread(images) > 20
    assert spread(white) < 2.5  # the water level keeps the weakest frequencies down
    np.testing.assert_allclose(white.mean((1, 2)), 0, atol=1e-4)
    np.testing.assert_allclose(white.std((1, 2)), 1, atol=1e-4)
    turned = spectrum(images) * spectrum(white).conj()
    strong = np.abs(spectrum(images)) > 200
    assert np.cos(np.angle(turned[strong])).mean() > 0.95


def test_spectral_leaves_an_empty_tile_empty():
    white, _ = channels.whiten(layered(3), "spectral")
    assert not white[1:].any()


@pytest.mark.parametrize("whiten", ["none", "standard", "imagenet", "zca", "spectral"])
def test_bytes_times_scale_plus_offset_are_the_channels(data, whiten):
    recipe = {**ALL, "whiten": whiten}
    channels.build(data / "train.h5", data / "c.h5", recipe)
    channels.build(data / "test.h5", data / "d.h5", recipe, fitted_from=data / "c.h5")
    fitted = store.attrs(data / "c.h5")
    for source, out in (("train", "c"), ("test", "d")):
        images = store.read(data / f"{source}.h5", "image")
        depth = store.table(data / f"{source}.h5")["depth"].to_numpy()
        planes = [images / np.float32(255), channels.cumsum(images), channels.depth(depth, SIZE)]
        truth = np.stack(planes, axis=-1)
        which = slice(0, 3) if whiten == "standard" else slice(0, 1)
        truth[..., which], _ = channels.whiten(truth[..., which], whiten, fitted["whiten"])
        attrs = store.attrs(data / f"{out}.h5")
        assert attrs == fitted
        scale, offset = np.array(attrs["scale"]), np.array(attrs["offset"])
        x = Resizer("pad-reflect", SIZE, (64, 64)).undo(store.read(data / f"{out}.h5", "x"))
        assert x.dtype == np.uint8
        least = offset - 1e-4 * scale  # black and white themselves are rounded, too
        within = (truth >= least) & (truth <= least + 255.0002 * scale)
        assert within.mean() > 0.99
        assert np.abs(x * scale + offset - truth)[within].max() <= scale.max() * 0.5001
        assert (np.abs(x * scale + offset - truth) <= scale * 0.5001)[within].all()
        assert store.table(data / f"{out}.h5")["id"].tolist() == [
            f"{source}{row}" for row in range(len(images))
        ]
    assert attrs["names"] == ["image", "cumsum", "depth"]
    assert (attrs["size"], attrs["source"], attrs["resize_mode"]) == (
        [64, 64],
        list(SIZE),
        "pad-reflect",
    )
    used = np.ptp(store.read(data / "c.h5", "x"), axis=(0, 1, 2))
    assert (used > 150).all()


def test_images_lose_nothing(data):
    for whiten in ("none", "standard"):
        recipe = {**ALL, "use": ["image"], "whiten": whiten, "size": [40, 48]}
        channels.build(data / "train.h5", data / "c.h5", recipe)
        x = Resizer("pad-reflect", SIZE, (40, 48)).undo(store.read(data / "c.h5", "x"))
        assert np.array_equal(x[..., 0], store.read(data / "train.h5", "image"))


def test_enlarged_images_on_a_canvas(data):
    recipe = {**ALL, "size": [96, 96], "scale": 2, "offset": "random", "resize_mode": "pad-edge"}
    channels.build(data / "train.h5", data / "c.h5", recipe)
    channels.build(data / "test.h5", data / "d.h5", recipe, fitted_from=data / "c.h5")
    attrs = store.attrs(data / "d.h5")
    assert (attrs["enlarge"], attrs["canvas"]) == (2, [118, 110])
    assert attrs["size"] == [96, 96]
    fit = Resizer.of(attrs)
    assert fit == Resizer("pad-edge", SIZE, (96, 96), 2, "random")
    x = store.read(data / "d.h5", "x")
    assert np.array_equal(x[..., 0], fit.images(store.read(data / "test.h5", "image")))
    channels.build(data / "train.h5", data / "e.h5", ALL)
    assert not {"enlarge", "canvas"} & set(store.attrs(data / "e.h5"))


def test_test_images_change_nothing_that_train_fitted(data):
    recipe = {**ALL, "whiten": "zca"}
    channels.build(data / "train.h5", data / "c.h5", recipe)
    write(data / "other.h5", 255 - layered(30, 9) // 3)
    channels.build(data / "other.h5", data / "d.h5", recipe, fitted_from=data / "c.h5")
    assert store.attrs(data / "d.h5") == store.attrs(data / "c.h5")


def test_the_same_bytes_twice_and_in_blocks(data, monkeypatch):
    recipe = {**ALL, "whiten": "zca"}
    for name in "ab":
        channels.build(data / "train.h5", data / f"{name}.h5", recipe)
    assert (data / "a.h5").read_bytes() == (data / "b.h5").read_bytes()
    monkeypatch.setattr("foldbelt.channels._building._PIXELS", 7 * 37 * 41)
    channels.build(data / "train.h5", data / "b.h5", recipe)
    assert np.array_equal(store.read(data / "a.h5", "x"), store.read(data / "b.h5", "x"))


def test_colour_images(tmp_path):
    images = np.stack([layered(9, seed) for seed in range(3)], axis=-1)
    write(tmp_path / "train.h5", images)
    own = {"use": ["cumsum", "image"], "whiten": "zca", "size": [64, 48], "resize_mode": "resize"}
    recipe = complete("channels", own)
    channels.build(tmp_path / "train.h5", tmp_path / "c.h5", recipe)
    assert store.attrs(tmp_path / "c.h5")["names"] == ["cumsum", "image0", "image1", "image2"]
    assert store.read(tmp_path / "c.h5", "x").shape == (9, 64, 48, 4)


@pytest.mark.parametrize("whiten", ["standard", "imagenet", "zca", "spectral"])
@pytest.mark.parametrize("fit", ["pad-biharmonic", "pad-edge"])
def test_constant_images_and_no_test_images(tmp_path, whiten, fit):
    write(tmp_path / "train.h5", np.full((5, *SIZE), 9, np.uint8), [100] * 5)
    write(tmp_path / "test.h5", np.zeros((0, *SIZE), np.uint8), [])
    recipe = {**ALL, "whiten": whiten, "resize_mode": fit}
    channels.build(tmp_path / "train.h5", tmp_path / "c.h5", recipe)
    channels.build(tmp_path / "test.h5", tmp_path / "d.h5", recipe, fitted_from=tmp_path / "c.h5")
    assert all(
        np.isfinite(store.attrs(tmp_path / "c.h5")[name]).all() for name in ("scale", "offset")
    )
    assert store.read(tmp_path / "d.h5", "x").shape == (0, 64, 64, 3)
    with pytest.raises(InputError, match="holds no images"):
        channels.build(tmp_path / "test.h5", tmp_path / "d.h5", recipe)


def test_unfit_recipes_are_refused(data):
    def build(into: str = "c.h5", fitted_from=None, source: str = "train.h5", **change) -> None:
        channels.build(data / source, data / into, {**ALL, **change}, fitted_from)

    known = re.escape(str(registry.known("channels")))
    with pytest.raises(InputError, match=f"different channels out of {known}"):
        build(use=["image", "image"])
    with pytest.raises(InputError, match="unknown: whitening, gabor"):
        build(use=["whitening", "image", "gabor"])
    with pytest.raises(InputError, match="whiten: 'pca' is unknown"):
        build(whiten="pca")
    with pytest.raises(InputError, match="cannot be padded"):
        build(size=32)
    with pytest.raises(ValueError, match="fitted for 'zca'"):
        channels.whiten(layered(3), "standard", {"method": "zca"})
    build()
    with pytest.raises(InputError, match=r"test\.h5.*whiten is zca, there none.*c\.h5|c\.h5.*zca"):
        build("d.h5", data / "c.h5", "test.h5", whiten="zca")
    write(data / "large.h5", layered(5, 0, (50, 50)))
    with pytest.raises(InputError, match=r"source is \[50, 50\], there \[37, 41\]"):
        build("d.h5", data / "c.h5", "large.h5")
    assert not (data / "d.h5").exists()


def test_missing_depths_are_said(tmp_path):
    images = layered(6)
    store.write(tmp_path / "a.h5", {"image": images}, pd.DataFrame({"id": list("abcdef")}))
    with pytest.raises(
        InputError, match=r"a\.h5: the channel 'depth' needs a column 'depth'.*out of"
    ):
        channels.build(tmp_path / "a.h5", tmp_path / "c.h5", ALL)
    write(tmp_path / "b.h5", images, [1, np.nan, 3, 4, np.nan, 6])
    with pytest.raises(InputError, match=r"b\.h5.*missing for b1, b4"):
        channels.build(tmp_path / "b.h5", tmp_path / "c.h5", ALL)
