"""Settings of a stage: read once, whole; losses by output or in short."""

import dataclasses
import subprocess
import sys
from typing import Any

import pytest
import torch
import training
from torch.nn import functional

from foldbelt import config, registry
from foldbelt.config.stage_settings import StageSettings
from foldbelt.files import InputError
from foldbelt.train.objective import Objective


def leaves(settings: Any) -> set[str]:
    """Names of all fields, the nested ones in their place."""
    names = set()
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        merged = field.name in ("averaging", "mixing", "pseudo")
        names |= leaves(value) if merged else {field.name}
    return names


def test_every_key_of_the_schema_is_a_setting_and_none_else() -> None:
    keys = set(config.load_schema()["$defs"]["stage"]["properties"])
    assert leaves(training.settings()) == keys
    whole = config.complete("stage", {"loss": {"bce": 1}, "epochs": 3})
    for key in keys - {"pseudo_ratio", "train_on"}:
        with pytest.raises((KeyError, TypeError), match=key):
            StageSettings.of({name: value for name, value in whole.items() if name != key})
    with pytest.raises(TypeError, match="epoch_count"):
        StageSettings.of({**whole, "epoch_count": 3})


def test_a_round_without_pseudo_labels_has_no_settings_of_them() -> None:
    whole = config.complete("stage", {"loss": {"bce": 1}, "epochs": 3})
    assert StageSettings.of(whole).pseudo is not None
    later = ("pseudo_ratio", "train_on")
    assert StageSettings.of({k: v for k, v in whole.items() if k not in later}).pseudo is None


def test_reading_them_imports_nothing_heavy() -> None:
    code = (
        "import sys; import foldbelt.config.stage_settings; "
        "print([name for name in ('torch', 'numpy', 'pandas') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_no_loss_has_the_name_of_an_output() -> None:
    assert not set(registry.known("losses")) & set(registry.OUTPUTS)
    assert set(config.load_schema()["$defs"]["loss"]["properties"]) <= set(registry.OUTPUTS)


def recipe(loss: dict[str, Any], name: str = "vanilla") -> dict[str, Any]:
    return {
        "run": "small",
        "data": {"path": "somewhere"},
        "stages": {"one": {"loss": loss, "epochs": 1}},
        "models": {
            "net": {"stages": ["one"], "architecture": {"name": name}},
            "other": {"stages": ["one"], "architecture": {"name": "vanilla"}},
        },
    }


@pytest.mark.parametrize(
    ("loss", "name", "message"),
    [
        ({"mask": {"dice": 1}, "bce": 1}, "vanilla", r"loss: bce beside mask: give the losses"),
        ({"label": {"bce": 1}}, "vanilla", r"loss\.mask: gives none of the masks"),
        ({"mask": {"bce": 1}}, "classifier", r"loss\.label: gives none of the labels"),
        ({"mask": {"bce": 1}, "label": {"dice": 1}}, "vanilla", r"loss\.label\.dice: is a loss of"),
        ({"mask": {"cross_entropy": 1}}, "vanilla", r"loss\.mask\.cross_entropy: .*exclusive"),
        ({"mask": {"bse": 1}}, "vanilla", r"loss: unknown loss 'bse' \(did you mean 'bce'"),
        ({"mask": {"bce": {"weight": 1, "pos": 2}}}, "vanilla", r"loss\.mask\.bce\.pos: unknown"),
        ({"mask": {"bce": -1}}, "vanilla", r"loss\.mask\.bce: "),
        ({"mask": {}}, "vanilla", r"loss\.mask"),
    ],
)
def test_losses_that_mean_nothing_to_an_output_are_named(
    loss: dict[str, Any], name: str, message: str
) -> None:
    with pytest.raises(InputError, match=rf"stages\.one\.{message}"):
        config.resolve(recipe(loss, name))


@pytest.mark.parametrize(
    ("loss", "name"),
    [
        ({"mask": {"bce": 1}, "label": {"focal": 0.2}}, "vanilla"),
        ({"mask": {"lovasz": 1}, "label": {"bce": {"weight": 1, "pos_weight": 2}}}, "classifier"),
        ({"bce": 1}, "classifier"),
    ],
)
def test_one_stage_serves_models_of_masks_and_of_labels(loss: dict[str, Any], name: str) -> None:
    assert config.resolve(recipe(loss, name))["stages"]["one"]["loss"] == loss


def outputs() -> tuple[dict[str, torch.Tensor], torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    logits = torch.randn(7, 3, requires_grad=True)
    label = (torch.rand(7, 3) < 0.5).float()
    label[2] = float("nan")
    return {"mask": torch.zeros(7, 1, 4, 4), "label": logits}, torch.zeros(7, 1, 4, 4), label


def test_labels_beside_masks_have_a_tenth_of_cross_entropy_unless_told() -> None:
    given, target, label = outputs()
    losses = [
        Objective(training.settings(loss=loss), 1)(given, target, label)
        for loss in (
            {"bce": 1},
            {"mask": {"bce": 1}},
            {"mask": {"bce": 1}, "label": {"bce": {"weight": 0.1}}},
        )
    ]
    assert losses[0].item() == losses[1].item() == losses[2].item()
    without = training.settings(loss={"mask": {"bce": 1}, "label": {"bce": 0}})
    plain = Objective(without, 1)(given, target, label)
    known = torch.isfinite(label).float()
    bce = functional.binary_cross_entropy_with_logits(given["label"], label.nan_to_num(), known)
    assert losses[0].item() == (plain + 0.1 * (bce / known.mean())).item()  # to the last bit


def test_labels_beside_masks_may_have_any_loss_of_labels() -> None:
    given, target, label = outputs()
    spec = {"bce": {"weight": 0.5, "pos_weight": [1, 2, 4]}}
    loss = Objective(training.settings(loss={"mask": {"bce": 1}, "label": spec}), 1)
    plain = Objective(training.settings(loss={"mask": {"bce": 1}, "label": {"bce": 0}}), 1)
    known = [row for row in range(7) if row != 2]
    expected = 0.5 * functional.binary_cross_entropy_with_logits(
        given["label"][known], label[known], pos_weight=torch.tensor([1.0, 2.0, 4.0])
    )
    both = loss(given, target, label) - plain(given, target, label)
    assert both.item() == pytest.approx(expected.item(), rel=1e-5)
