"""Numbers of an image mean what their names say."""

import cv2
import numpy as np
import pytest

from foldbelt.adversarial import features


def texture(height: int = 64, width: int = 96, seed: int = 0) -> np.ndarray:
    """Smooth patches between 60 and 180, with a little noise."""
    random = np.random.default_rng(seed)
    coarse = random.uniform(60, 180, (4, 6)).astype(np.float32)
    smooth = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.rint(smooth + random.normal(0, 2, smooth.shape)).clip(0, 255).astype(np.uint8)


def test_brightness_moves_levels_and_nothing_else() -> None:
    image = texture()
    one, other = features.describe(image), features.describe(image + 20)
    for name in ("mean", "q01", "q50", "q99"):
        assert other[name] == pytest.approx(one[name] + 20), name
    for name in ("sd", "entropy", "levels", "noise", "detail_down_2px", "wave_1_2", "blockiness"):
        assert other[name] == pytest.approx(one[name], abs=1e-3), name
    assert one["mean"] == pytest.approx(image.mean())
    assert one["sd"] == pytest.approx(image.std())


def test_turning_an_image_exchanges_across_and_down() -> None:
    image = texture(64, 64)
    image[:, ::2] //= 2  # stripes
    one = features.describe(image)
    other = features.describe(np.ascontiguousarray(image.T))
    assert one["detail_across_1px"] > 5 * one["detail_down_1px"]
    assert one["direction"] == pytest.approx(-other["direction"])
    assert one["direction"] > 2
    for scale in features.SCALES:
        down, across = other[f"detail_down_{scale}px"], one[f"detail_across_{scale}px"]
        assert across == pytest.approx(down, rel=1e-5)
    assert one["wave_1_2"] == pytest.approx(other["wave_2_1"], abs=1e-3)


def test_a_mirrored_image_is_lit_from_the_other_side() -> None:
    image = np.tile(np.linspace(50, 200, 96).astype(np.uint8), (64, 1))
    one, other = features.describe(image), features.describe(image[:, ::-1].copy())
    assert one["right_minus_left"] == pytest.approx(75, abs=2)
    assert other["right_minus_left"] == pytest.approx(-one["right_minus_left"], abs=0.1)
    assert one["bottom_minus_top"] == pytest.approx(0, abs=1e-3)
    assert features.describe(image.T.copy())["bottom_minus_top"] > 70


def test_fine_detail_is_found_at_its_own_scale() -> None:
    coarse = np.kron(np.random.default_rng(0).integers(0, 255, (8, 8)), np.ones((16, 16)))
    fine = np.random.default_rng(0).integers(0, 255, (128, 128))
    one, other = (features.describe(x.astype(np.uint8)) for x in (coarse, fine))
    assert one["detail_down_16px"] > 2 * one["detail_down_1px"]
    assert other["detail_down_1px"] > 5 * other["detail_down_16px"]


@pytest.mark.parametrize("sigma", [2, 6, 12])
def test_noise_is_measured_in_grey_levels(sigma: float) -> None:
    random = np.random.default_rng(1)
    slope = np.linspace(80, 170, 256)[None, :] + np.zeros((128, 1))
    noisy = np.rint(slope + random.normal(0, sigma, slope.shape)).clip(0, 255).astype(np.uint8)
    assert features.describe(noisy)["noise"] == pytest.approx(sigma, rel=0.1)


def test_jpeg_leaves_blocks() -> None:
    image = np.random.default_rng(3).normal(128, 25, (128, 256)).clip(0, 255).astype(np.uint8)
    image = cv2.GaussianBlur(image, (0, 0), 1.5)
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 15])
    packed = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
    assert features.describe(packed)["blockiness"] > features.describe(image)["blockiness"] + 0.2
    assert abs(features.describe(image)["blockiness"]) < 0.1


def test_black_and_white_are_shares() -> None:
    image = np.full((40, 40), 100, np.uint8)
    image[:10], image[30:, :20] = 3, 252
    found = features.describe(image)
    assert (found["black"], found["white"], found["levels"]) == (0.25, 0.125, 3)


@pytest.mark.parametrize("shape", [(1, 1), (2, 5), (13, 13), (64, 64), (256, 1600), (40, 30, 3)])
def test_every_image_has_finite_numbers_that_can_be_read(shape: tuple[int, ...]) -> None:
    for image in (np.zeros(shape, np.uint8), np.random.default_rng(0).bytes(np.prod(shape))):
        pixels = np.frombuffer(bytes(image), np.uint8).reshape(shape)
        found = features.describe(pixels)
        assert np.isfinite(list(found.values())).all()
        words = [features.meaning(name) for name in found]
        assert len(set(words)) == len(words)
        assert not [word for word in words if "_" in word]


def test_threads_do_not_matter() -> None:
    images = [texture(seed=seed) for seed in range(12)]
    assert features.of_images(images, 1) == features.of_images(images, 3)
