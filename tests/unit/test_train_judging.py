"""Validation counts pixels where the logits are, and scores what the metric scores of the masks."""

import pkgutil

import numpy as np
import pytest
import torch
from training import SIZE, STORED, Competition

from foldbelt import metrics, store
from foldbelt.channels._resizing import Resizer, centre
from foldbelt.train import masks
from foldbelt.train.data import ImageSet
from foldbelt.train.data_source import Source

METRICS = sorted(module.name for module in pkgutil.iter_modules(metrics.masks.counts.__path__))
RESIZERS = {
    "padded": Resizer("pad-reflect", STORED, SIZE),
    "moved": Resizer("pad-edge", STORED, SIZE, offset="random"),
    "enlarged": Resizer("pad-edge", STORED, (32, 32), scale=2),
    "resized": Resizer("resize", STORED, SIZE),
    "as it is": Resizer("resize", STORED, STORED),
}


def images(root, resizer, classes, ignore, memory=True):
    """Some images of which a quarter are empty; of one, every pixel may be ignored."""
    competition = Competition(root, classes, ignore)
    if ignore:
        competition.ignore[3] = True
        competition.write()
    source = Source(competition.path["x_train.h5"], competition.path["train.h5"], ["t03", "t17"])
    source.ids[1:1] = competition.train_ids[5:11]
    pads = bool(resizer.padding().any())
    planes = classes + (ignore or pads)
    labels = np.zeros((len(source.ids), 0), np.float32)
    return ImageSet(source, resizer, planes, classes, labels, memory, padding=pads), source.ids


def judged(valid, name, logits):
    """Judge logits in two batches; give the score and that of empty masks."""
    judge = masks.MaskJudge(valid, name)
    for rows in (np.arange(5), np.arange(5, len(valid))):
        outputs = {"mask": logits[torch.from_numpy(rows)]}
        judge.add(rows, outputs, {"target": torch.from_numpy(valid.targets(rows))})
    return judge.score(), judge.constant()


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("kind", RESIZERS)
@pytest.mark.parametrize(("classes", "ignore"), [(1, False), (1, True), (3, True), (5, False)])
def test_the_score_is_the_metrics_own(tmp_path, kind, name, classes, ignore):
    resizer = RESIZERS[kind]
    valid, ids = images(tmp_path, resizer, classes, ignore)
    path = str(tmp_path / "train.h5")
    truth = store.read(path, "mask", ids).reshape(len(ids), *STORED, classes)
    ignored = store.read(path, "ignore", ids) if ignore else None
    shown = centre(resizer.masks(truth), resizer.size).copy()
    near = torch.from_numpy(shown).permute(0, 3, 1, 2) * 4.0 - 2
    logits = near + torch.randn(near.shape, generator=torch.Generator().manual_seed(classes))
    logits[1], logits[2, 0] = -3.0, 0.0  # nothing found; a probability of .5, which is not above it
    prob = resizer.undo(torch.sigmoid(logits).permute(0, 2, 3, 1).numpy())
    expected = metrics.score_images(name, truth, prob > 0.5, ignored).mean()
    empty = metrics.score_images(name, truth, np.zeros_like(truth), ignored).mean()
    assert 0 < expected < 1
    assert 0 < empty < 1
    assert judged(valid, name, logits) == (expected, empty)
    if kind == "padded":
        channels_last = logits.to(memory_format=torch.channels_last)
        assert judged(valid, name, channels_last) == (expected, empty)


def test_no_pixel_leaves_the_device_to_be_counted():
    found = torch.empty(2, 3, 4, 5, dtype=torch.bool, device="meta")  # of which no value is known
    counted = masks.count(found, found, found[:, :1])
    assert (counted.shape, counted.dtype, counted.device.type) == ((3, 2, 3), torch.int32, "meta")
    assert masks.false_positives(found.float()[:1], found[:1].permute(0, 2, 3, 1)).is_meta


def test_a_share_of_false_pixels_is_found_on_the_device():
    logits = torch.randn(1, 2, 5, 6, generator=torch.Generator().manual_seed(0))
    target = torch.zeros(1, 5, 6, 3, dtype=torch.uint8)
    target[0, 0, 0, 1] = target[0, 4, :, 2] = 1
    false = (logits[0, 0, :4] > 0).sum()  # the second class is there
    assert masks.false_positives(logits, target) == false.double() / (2 * 24)
