"""Means of probabilities: their order, symmetries and limits, as bytes and as label numbers."""

import itertools

import numpy as np
import pytest

from foldbelt.files import InputError
from foldbelt.search.means import MEANS, Mean, mean_of, mix, mix_labels

EVERY = [*((mean, 0.5) for mean in MEANS), ("power", 0.25), ("power", 2.0), ("power", 7.0)]


def members(number=3, shape=(40, 9, 11), seed=0):
    random = np.random.default_rng(seed)
    probs = [random.integers(0, 256, shape, np.uint8) for _ in range(number)]
    for prob in probs:  # certainty is what logarithms stumble over
        prob[random.random(shape) < 0.1] = 0
        prob[random.random(shape) < 0.1] = 255
    parts = random.integers(1, 6, number)
    return probs, tuple((parts / parts.sum()).tolist())


def by_definition(probs, weights, mean, power):
    p = np.stack(probs).astype(np.float64) / 255
    low, high = 0.5 / 255, 254.5 / 255
    if mean == "probability":
        value = np.average(p, axis=0, weights=weights)
    elif mean == "power":
        value = np.average(p**power, axis=0, weights=weights) ** (1 / power)
    elif mean == "geometric":
        value = np.prod([np.maximum(q, low) ** w for q, w in zip(p, weights, strict=True)], axis=0)
    else:
        odds = [q / (1 - q) for q in np.clip(p, low, high)]
        odds = np.prod([o**w for o, w in zip(odds, weights, strict=True)], axis=0)
        value = odds / (1 + odds)
    return value * 255


@pytest.mark.parametrize(("mean", "power"), EVERY)
def test_means_equal_their_definitions(mean, power):
    for seed in range(3):
        probs, weights = members(seed=seed)
        expected = by_definition(probs, weights, mean, power)
        found = mix(probs, weights, mean, power)
        assert found.dtype == np.uint8
        assert np.abs(found - expected).max() <= 0.5 + 1e-4
        floats = [prob.astype(np.float32) for prob in probs]
        np.testing.assert_array_equal(mix(floats, weights, mean, power), found)


@pytest.mark.parametrize(("mean", "power"), EVERY)
def test_equal_members_are_their_own_mean(mean, power):
    every = np.arange(256, dtype=np.uint8).reshape(16, 16)
    for weights in ((0.5, 0.5), (0.1, 0.2, 0.7), (1 / 3,) * 3):
        np.testing.assert_array_equal(mix([every] * len(weights), weights, mean, power), every)
    label = np.linspace(0, 1, 101, dtype=np.float32)[:, None]
    np.testing.assert_allclose(mix_labels([label] * 2, (0.3, 0.7), mean, power), label, atol=2e-6)


def test_means_lie_in_order():
    """Power means rise with their exponent; the geometric is their limit at 0 (Hardy et al.)."""
    for seed in range(3):
        probs, weights = members(seed=seed)
        for prob in probs:
            np.maximum(prob, 1, out=prob)  # at 0 the half step that saves the logarithm shows
        order = [("geometric", 0.5), *(("power", k) for k in (0.25, 0.5, 1.0, 2.0, 7.0))]
        rising = [mix(probs, weights, *mean).astype(int) for mean in order]
        for lower, higher in itertools.pairwise(rising):
            assert (lower <= higher).all()
            assert (lower < higher).any()
        assert (rising[0] >= np.min(probs, axis=0)).all()
        assert (rising[-1] <= np.max(probs, axis=0)).all()
    assert mix([np.zeros(1, np.uint8), np.ones(1, np.uint8)], (0.5, 0.5), "geometric")[0] <= 1


def test_power_one_is_the_mean_of_probabilities():
    probs, weights = members()
    plain = mix(probs, weights)
    np.testing.assert_array_equal(mix(probs, weights, "power", 1), plain)
    assert not np.array_equal(mix(probs, weights, "power", 0.5), plain)
    labels = [np.float32([[0.1], [0.7]]), np.float32([[0.4], [0.2]])]
    np.testing.assert_array_equal(
        mix_labels(labels, (0.3, 0.7), "power", 1), mix_labels(labels, (0.3, 0.7))
    )


def test_the_logit_mean_of_complements_is_the_complement():
    probs, weights = members()
    found = mix(probs, weights, "logit").astype(int)
    turned = mix([255 - prob for prob in probs], weights, "logit").astype(int)
    middle = (found == 128) & (turned == 128)  # 127.5 has no complement among the levels
    np.testing.assert_array_equal(turned[~middle], 255 - found[~middle])
    assert middle.mean() < 0.01
    unsure = np.uint8([60, 195])
    assert mix([unsure, 255 - unsure], (0.5, 0.5), "logit").tolist() == [128, 128]
    labels = [np.float32([[0.1], [1]]), np.float32([[0.4], [0.5]])]
    one = mix_labels(labels, (0.3, 0.7), "logit")
    other = mix_labels([1 - label for label in labels], (0.3, 0.7), "logit")
    np.testing.assert_allclose(one + other, 1, atol=1e-6)


@pytest.mark.parametrize(("mean", "power"), EVERY)
def test_order_of_members_and_members_without_weight_do_not_matter(mean, power):
    probs, weights = members()
    found = mix(probs, weights, mean, power)
    other = mix(probs[::-1], weights[::-1], mean, power)
    assert np.abs(found.astype(int) - other).max() <= (mean == "probability")
    more = [*probs, np.zeros_like(probs[0])]
    np.testing.assert_array_equal(mix(more, (*weights, 0.0), mean, power), found)
    np.testing.assert_array_equal(mix(probs, (0, 1, 0), mean, power), probs[1])


@pytest.mark.parametrize(("mean", "power"), EVERY)
def test_pieces_do_not_show(mean, power, monkeypatch):
    probs, weights = members()
    whole = mix(probs, weights, mean, power)
    monkeypatch.setattr("foldbelt.search.means._PIECE", 150)
    np.testing.assert_array_equal(mix(probs, weights, mean, power), whole)
    assert mix([prob[:0] for prob in probs], weights, mean, power).shape == (0, 9, 11)


@pytest.mark.parametrize(("mean", "power"), EVERY)
def test_labels_follow_the_same_mean(mean, power):
    random = np.random.default_rng(0)
    labels = [random.random((50, 2)).astype(np.float32) for _ in range(2)]
    found = mix_labels([labels[0], None, labels[1]], (0.2, 0.5, 0.3), mean, power)
    expected = by_definition([label * 255 for label in labels], (0.4, 0.6), mean, power) / 255
    inside = np.all([(label > 0.01) & (label < 0.99) for label in labels], axis=0)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found[inside], expected[inside], rtol=1e-5)
    sure = mix_labels([np.float32([[0], [1]])] * 2, (0.5, 0.5), mean, power)
    assert np.isfinite(sure).all()


def test_unknown_means_are_refused():
    with pytest.raises(InputError, match=r"harmonic.*probability, logit, geometric, power"):
        mean_of({"mean": "harmonic"})
    with pytest.raises(InputError, match=r"blend\.power is 0"):
        mean_of({"mean": "power", "power": 0})
    assert mean_of({"all": [1]}) == Mean("probability")
    for mean in (Mean("power", 2.0), Mean("logit", 0.5)):
        assert mean_of(mean.to_dict()) == mean
