"""Pictures of the validation in TensorBoard: what they show, and that no weight knows of them."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
import training
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from training import SIZE, Competition

from foldbelt.train import loop, pictures

LABELS = {"name": "classifier", "encoder": "test_resnet", "weights": None}


def events(folder):
    return EventAccumulator(str(folder), size_guidance={"images": 0}).Reload()


def train(competition, name, **changes):
    given = competition.arguments(name, **changes)
    training.run(**given)
    return Path(given["weights"]).read_bytes()


def test_every_validation_is_shown_and_changes_nothing(tmp_path):
    tiny, folder = Competition(tmp_path, classes=2, ignore=True), tmp_path / "events"
    model = {"name": "vanilla", "width": 4, "depth": 2, "mask_dropout": 0.5}
    given = {"model": model, "epochs": 5, "validate_every": 2, "ema": 0.9}
    assert train(tiny, "a", tensorboard=str(folder), **given) == train(tiny, "b", **given)
    found = events(folder).Images("validation")
    assert [each.step for each in found] == [2, 4, 5]
    pixels = np.asarray(Image.open(io.BytesIO(found[0].encoded_image_string)))
    assert pixels.shape == (pictures.COUNT * SIZE[0], 3 * SIZE[1], 3)
    assert pixels[:, : SIZE[1]].std() > 5


def test_models_of_labels_have_none(tmp_path):
    tiny, folder = Competition(tmp_path), tmp_path / "events"
    train(tiny, "a", tensorboard=str(folder), model=LABELS, epochs=1)
    tags = events(folder).Tags()
    assert tags["images"] == []
    assert "loss/valid" in tags["scalars"]


def test_masks_tint_their_pixels_and_no_others():
    image = torch.full((1, 3, 2, 2), 0.5)
    masks = torch.zeros(1, 2, 2, 2)
    masks[0, 0, 0, 0] = masks[0, 1, 1, 1] = 1
    masks[0, :, 0, 1] = 1
    found = pictures.tinted(image, masks)
    first, second = (torch.tensor(each) for each in pictures._PALETTE[:2])
    half = (1 - pictures._TINT) * 0.5
    torch.testing.assert_close(found[0, :, 0, 0], half + pictures._TINT * first)
    torch.testing.assert_close(found[0, :, 1, 1], half + pictures._TINT * second)
    both = half + pictures._TINT * (first + second) / 2
    torch.testing.assert_close(found[0, :, 0, 1], both)
    assert torch.equal(found[0, :, 1, 0], image[0, :, 1, 0])


@pytest.mark.parametrize("side", [8, 256])
def test_panels_are_image_truth_and_prediction(tmp_path, monkeypatch, side):
    monkeypatch.setattr(pictures, "_SIDE", side)
    tiny, drawn = Competition(tmp_path, ignore=True), []

    class Right(torch.nn.Module):
        def forward(self, x):
            assert len(x) == 1  # as much memory as the least that validation takes
            return {"mask": torch.full((len(x), 1, *x.shape[2:]), -100.0)}

    def keep(stepper, model):
        drawn.append((stepper, pictures.draw(stepper, Right())))

    monkeypatch.setattr(loop, "pictures", type("Kept", (), {"draw": staticmethod(keep)}))
    train(tiny, "a", tensorboard=str(tmp_path / "events"), epochs=1)
    ((stepper, found),) = drawn
    valid = stepper.task.valid
    rows = np.linspace(0, len(valid) - 1, pictures.COUNT).astype(int)
    height = found.shape[1] // pictures.COUNT
    assert height == min(side, SIZE[0])
    images, targets = valid.images(rows), valid.targets(rows)
    panels = found.reshape(3, pictures.COUNT, height, 3, -1)
    image, truth, predicted = panels.permute(3, 1, 0, 2, 4)
    torch.testing.assert_close(image, predicted)  # nothing is predicted
    if side == 256:
        grey = torch.from_numpy(images[..., 0]).float() / 255
        torch.testing.assert_close(image[:, 0], grey)
        differs = (truth - image).abs().amax(dim=1) > 1e-6
        marked = torch.from_numpy(targets.any(axis=3)) & (grey > 0)
        assert torch.equal(differs & (grey > 0), marked)
        assert marked.any()
