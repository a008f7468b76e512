"""The metrics of image labels, against scikit-learn and by hand."""

import numpy as np
import pytest
from sklearn import metrics as theirs

from foldbelt.files import InputError
from foldbelt.metrics import labels


def sample(seed, exclusive=False, images=80, count=4):
    """Make labels, probabilities (rounded, so that some tie) and how often images count."""
    random = np.random.default_rng(seed)
    if exclusive:
        truth = np.eye(count)[random.integers(0, count - 1, images)]  # the last never occurs
    else:
        truth = (random.random((images, count)) < 0.3).astype(np.float64)
    prob = np.round(0.3 * truth + random.random((images, count)) * 0.7, 1).clip(0.01, 0.99)
    if exclusive:
        prob = prob + 0.001 * np.arange(count)  # argmax without ties
    return truth, prob, random.integers(0, 4, images)


def over_labels(function, truth, prob, weights):
    return np.mean(
        [function(t, p, sample_weight=weights) for t, p in zip(truth.T, prob.T, strict=True)]
    )


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("weighted", [False, True])
def test_independent_labels_score_as_in_scikit_learn(seed, weighted):
    truth, prob, weights = sample(seed)
    weights = weights if weighted else None
    limits = np.array([0.2, 0.35, 0.5, 0.65])
    given = (prob > limits).astype(int)
    pairs = {
        "accuracy": over_labels(theirs.accuracy_score, truth, given, weights),
        "balanced_accuracy": over_labels(theirs.balanced_accuracy_score, truth, given, weights),
        "auc": over_labels(theirs.roc_auc_score, truth, prob, weights),
        "log_loss": over_labels(theirs.log_loss, truth, prob, weights),
        "mean_average_precision": over_labels(theirs.average_precision_score, truth, prob, weights),
    }
    assert set(pairs) == set(labels.METRICS)
    for metric, expected in pairs.items():
        made = labels.score(metric, truth, prob, weights=weights, threshold=limits)
        assert made == pytest.approx(expected, abs=1e-12), metric


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("weighted", [False, True])
def test_exclusive_labels_score_as_in_scikit_learn(seed, weighted):
    truth, prob, weights = sample(seed, exclusive=True)
    weights = weights if weighted else None
    true, given = truth.argmax(axis=1), prob.argmax(axis=1)
    some = {"sample_weight": weights}
    assert labels.accuracy(truth, prob, True, weights) == pytest.approx(
        theirs.accuracy_score(true, given, **some)
    )
    recalls = theirs.recall_score(true, given, labels=range(3), average=None, **some)
    assert labels.balanced_accuracy(truth, prob, True, weights) == pytest.approx(recalls.mean())
    made = labels.by_label("accuracy", truth, prob, True, weights)
    assert made[:3] == pytest.approx(recalls)
    assert np.isnan(made[3])
    share = prob / prob.sum(axis=1, keepdims=True)
    expected = theirs.log_loss(true, share, labels=range(4), **some)
    assert labels.log_loss(truth, prob, True, weights) == pytest.approx(expected)


@pytest.mark.parametrize("exclusive", [False, True])
@pytest.mark.parametrize("metric", labels.METRICS)
def test_weights_are_copies_and_unknown_labels_do_not_count(metric, exclusive):
    truth, prob, weights = sample(3, exclusive)
    copies = np.repeat(np.arange(len(truth)), weights)
    expected = labels.score(metric, truth[copies], prob[copies], exclusive)
    made = labels.score(metric, truth, prob, exclusive, weights)
    assert made == pytest.approx(expected, abs=1e-12)
    random = np.random.default_rng(0)
    unknown, spoilt = truth.copy(), prob.copy()
    rows = random.random(len(truth)) < 0.3
    unknown[rows, 0 if exclusive else slice(None)] = np.nan
    spoilt[rows] = np.nan  # what is not scored need not be predicted
    left = labels.score(metric, truth[~rows], prob[~rows], exclusive)
    assert labels.score(metric, unknown, prob, exclusive) == pytest.approx(left, abs=1e-12)
    assert labels.score(metric, unknown, spoilt, exclusive) == pytest.approx(left, abs=1e-12)
    spoilt[rows, 1:] = prob[rows, 1:]
    assert labels.score(metric, truth, spoilt, exclusive, ~rows) == pytest.approx(
        labels.score(metric, truth, prob, exclusive, ~rows), abs=1e-12
    )
    assert left != expected


def test_one_unknown_label_leaves_the_others_of_the_image():
    truth, prob, _ = sample(4)
    truth[:40, 0] = np.nan
    for metric in labels.METRICS:
        whole = labels.by_label(metric, truth, prob)
        assert whole[0] == labels.by_label(metric, truth[40:], prob[40:])[0]
        assert whole[1] == labels.by_label(metric, np.nan_to_num(truth), prob)[1]


def test_what_cannot_be_scored_is_nan():
    truth, prob = np.zeros((4, 2)), np.full((4, 2), 0.3)
    for metric in ("auc", "balanced_accuracy", "mean_average_precision"):
        assert np.isnan(labels.score(metric, truth, prob))
    for metric in labels.METRICS:
        assert np.isnan(labels.score(metric, truth * np.nan, prob))
        assert np.isnan(labels.score(metric, truth * np.nan, prob, exclusive=True))
    assert labels.score("log_loss", truth, prob * 0) == pytest.approx(1e-6, rel=1e-3)


def test_soft_labels_have_their_least_loss_at_themselves():
    truth = np.array([[0.7, 0.2, 0.1]])
    for exclusive in (False, True):
        least = labels.log_loss(truth, truth, exclusive)
        for other in ([0.6, 0.3, 0.1], [0.7, 0.1, 0.2]):
            assert labels.log_loss(truth, np.array([other]), exclusive) > least


def test_what_does_not_fit_is_refused():
    truth, prob, _ = sample(0)
    with pytest.raises(InputError, match="choose one of accuracy, balanced_accuracy"):
        labels.score("dice", truth, prob)
    with pytest.raises(InputError, match="truth is"):
        labels.accuracy(truth, prob[:, :2])
    prob[7, 2] = np.nan
    with pytest.raises(InputError, match="images 7"):
        labels.auc(truth, prob)
