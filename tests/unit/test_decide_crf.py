"""The dense CRF, against one that looks at every pair of pixels in so many words."""

import math

import numpy as np
import pytest

from foldbelt.decide.masks import load_step
from foldbelt.decide.steps import Tile, crf
from foldbelt.decide.steps.crf import mean_field, unary
from foldbelt.files import InputError

SETTINGS = {"weight": 2.0, "smooth": 0.7, "spatial": 2.5, "intensity": 30.0}


def brute(field, image, iterations, weight, smooth, spatial, intensity):
    """Iterate over all pairs of pixels of one class; marginals of both labels, as in the paper."""
    height, width = field.shape
    places = [(y, x) for y in range(height) for x in range(width)]
    count = len(places)
    kernels = np.zeros((2, count, count))
    for i, (y, x) in enumerate(places):
        for j, (v, u) in enumerate(places):
            if i != j:
                far = (y - v) ** 2 + (x - u) ** 2
                unlike = float(((image[y, x].astype(float) - image[v, u]) ** 2).sum())
                kernels[0, i, j] = math.exp(-far / 2 / spatial**2 - unlike / 2 / intensity**2)
                kernels[1, i, j] = math.exp(-far / 2)
    mass = kernels.sum(axis=2)
    kernels /= np.sqrt(mass[:, :, None] * mass[:, None, :])
    coupling = weight * kernels[0] + smooth * kernels[1]
    energy = np.stack([np.zeros(count), -field.reshape(-1)], axis=1)  # of off and on

    def softmax(negative):
        q = np.exp(negative - negative.max(axis=1, keepdims=True))
        return q / q.sum(axis=1, keepdims=True)

    q = softmax(-energy)
    for _ in range(iterations):
        # Potts: a label pays for the neighbours' belief in the other one.
        q = softmax(-energy - coupling @ q[:, ::-1])
    return q[:, 1].reshape(height, width)


@pytest.mark.parametrize("shape", [(7, 9), (7, 9, 3)])
def test_mean_field_equals_brute_force(shape):
    random = np.random.default_rng(0)
    image = random.integers(0, 120, shape, dtype=np.uint8)
    field = random.normal(0, 1.5, (2, 7, 9))
    found = mean_field(field, image, iterations=4, radius=9, **SETTINGS)
    for k in range(2):
        expected = brute(field[k], image, 4, **SETTINGS)
        np.testing.assert_allclose(1 / (1 + np.exp(-found[k])), expected, atol=1e-5)


def test_three_standard_deviations_are_far_enough():
    random = np.random.default_rng(1)
    image = random.integers(0, 120, (24, 24), dtype=np.uint8)
    field = random.normal(0, 1.5, (1, 24, 24))
    whole = mean_field(field, image, radius=24, **SETTINGS)
    cut = mean_field(field, image, radius=8, **SETTINGS)
    far = mean_field(field, image, radius=2, **SETTINGS)
    assert np.abs(cut - whole).max() < 0.03
    assert np.abs(far - whole).max() > 0.2


def test_strips_change_nothing(monkeypatch):
    random = np.random.default_rng(2)
    image = random.integers(0, 120, (40, 9, 3), dtype=np.uint8)
    field = random.normal(0, 1.5, (2, 40, 9))
    whole = mean_field(field, image, radius=2, iterations=3, **SETTINGS)
    monkeypatch.setattr(crf, "_PIXELS", 70)
    strips = mean_field(field, image, radius=2, iterations=3, **SETTINGS)
    np.testing.assert_allclose(strips, whole, atol=1e-5)


def test_the_radius_is_that_of_a_square_window():
    start = np.zeros((1, 9, 9), np.float32)
    start[0, 4, 4] = 3
    found = mean_field(start, np.zeros((9, 9), np.uint8), radius=2, iterations=1, **SETTINGS)
    reached = np.zeros((9, 9), bool)
    reached[2:7, 2:7] = True
    np.testing.assert_array_equal(found[0] > 0, reached)


def scene():
    """A bright disc, and probabilities that are shifted and speckled."""
    rows, columns = np.mgrid[:32, :32]
    truth = (rows - 16) ** 2 + (columns - 16) ** 2 < 80
    image = np.where(truth, 180, 60).astype(np.uint8)
    random = np.random.default_rng(2)
    prob = 90 + 75 * np.roll(truth, 2, 1) + random.normal(0, 40, truth.shape)
    prob = np.clip(prob, 0, 255).astype(np.uint8)[..., None]
    return truth, Tile("a", prob, prob / 255 > 0.5, np.array([0.5]), image)


def test_masks_follow_the_image():
    truth, tile = scene()
    step = load_step("crf")

    def wrong(mask):
        return np.count_nonzero(mask[..., 0] != truth)

    before = wrong(tile.mask)
    after = [wrong(step(tile, params)) for params in step.candidates()]
    assert min(after) < before / 4
    assert len(after) == 4


def test_without_couplings_the_mask_is_left_as_it_is():
    _, tile = scene()
    params = {"weight": 0.0, "smooth": 0.0, "spatial": 3.0, "intensity": 10.0}
    step = load_step("crf")
    for threshold in (0.2, 0.5, 0.7):
        mask = tile.prob / 255 > threshold
        mask[:, :9] = False  # steps before went against the probabilities
        one = Tile("a", tile.prob, mask, np.array([threshold]), tile.image)
        assert (step(one, params) == mask).all()


def test_an_empty_class_stays_empty():
    _, tile = scene()
    both = np.concatenate([tile.prob, tile.prob], axis=2)
    mask = np.concatenate([np.zeros_like(tile.mask), tile.mask], axis=2)
    step = load_step("crf")
    params = step.candidates()[-1]
    found = step(Tile("a", both, mask, np.array([0.5, 0.5]), tile.image), params)
    assert not found[..., 0].any()
    assert (found[..., 1:] == step(tile, params)).all()


def test_certain_pixels_are_finite():
    prob = np.array([[[0], [255]]], np.uint8)
    assert np.isfinite(unary(prob, prob > 0, np.array([0.0]))).all()


def test_the_threshold_is_the_tipping_point():
    prob = np.arange(256, dtype=np.uint8)[:, None, None]
    for threshold in (0.2, 0.5, 0.7):
        p = np.clip(prob / 255, 0.01, 0.99)
        odds = np.log(p / (1 - p) / (threshold / (1 - threshold)))
        found = unary(prob, prob / 255 > threshold, np.array([threshold]))
        np.testing.assert_allclose(found[5:-5], odds[5:-5], atol=1e-5)


def test_weak_couplings_come_first():
    step = load_step("crf", {"weight": [3, 1], "intensity": [25, 10]})
    found = [(one["weight"], one["intensity"]) for one in step.candidates()]
    assert found == [(1, 10), (1, 25), (3, 10), (3, 25)]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("weight", 3),
        ("weight", "3"),
        ("smooth", ["1"]),
        ("smooth", [-1]),
        ("spatial", [0]),
        ("intensity", [math.nan]),
        ("intensity", [math.inf]),
        ("iterations", 2.5),
        ("iterations", "5"),
        ("radius", None),
        ("radius", True),
    ],
)
def test_a_bad_option_is_named(name, value):
    with pytest.raises(InputError, match=rf"crf: {name} takes"):
        load_step("crf", {name: value})


def test_all_bad_options_are_named():
    with pytest.raises(InputError, match=r"weight takes.*intensity takes.*radius takes"):
        load_step("crf", {"weight": [], "intensity": [0], "radius": 0})
