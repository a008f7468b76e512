"""Names of transforms are known without albumentations being imported, and as it knows them."""

import inspect
import subprocess
import sys

import pytest

from foldbelt.config import augmentation

POSITIONED = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def test_names_and_arguments_are_albumentations_own():
    from foldbelt.augment import (
        _transforms as augment,  # imported through it, albumentations asks for no updates
    )

    kinds = {
        name: kind
        for name, kind in vars(augment.albumentations).items()
        if isinstance(kind, type) and hasattr(kind, "set_random_state")
    }
    tensors = {"ToTensorV2", "ToTensor3D"}  # their images are no arrays
    assert set(augmentation.transforms()) == set(kinds) - tensors
    for name in augmentation.transforms():
        given = list(inspect.signature(kinds[name].__init__).parameters.values())[1:]
        found = augmentation._arguments(name)
        own = [one for one in given if one.kind not in POSITIONED]
        assert sorted(found.known) == sorted(one.name for one in own), name
        needed = sorted(one.name for one in own if one.default is one.empty)
        assert sorted(found.needed) == needed, name


def test_every_mistake_is_named_with_its_place():
    spec = [
        {"HorizontlFlip": {"p": 0.5}},
        {"VerticalFlip": {"chance": 1}},
        {"RandomSizedCrop": {"size": [32, 32]}},
        {"OneOf": {"transforms": [{"RandomGamma": {"gama_limit": [80, 120]}}, {"Inner": {}}]}},
        {"OneOf": {"p": 1}},
    ]
    found = {p.file: p.reason for p in augmentation.check(spec, "stages.bce.augment")}
    start = "stages.bce.augment"
    assert set(found) == {
        f"{start}.0.HorizontlFlip",
        f"{start}.1.VerticalFlip.chance",
        f"{start}.2.RandomSizedCrop.min_max_height",
        f"{start}.3.OneOf.transforms.0.RandomGamma.gama_limit",
        f"{start}.3.OneOf.transforms.1.Inner",
        f"{start}.4.OneOf.transforms",
    }
    assert "did you mean 'HorizontalFlip'" in found[f"{start}.0.HorizontlFlip"]
    assert "'gamma_limit'" in found[f"{start}.3.OneOf.transforms.0.RandomGamma.gama_limit"]


@pytest.mark.parametrize("given", [None, {}, {"p": 0.5}])
def test_right_names_pass(given):
    assert augmentation.check([{"HorizontalFlip": given}, {"Transpose": given}]) == []
    assert augmentation.check([]) == []


def test_nothing_heavy_is_imported():
    code = (
        "import sys; from foldbelt.config import augmentation; "
        "assert augmentation.check([{'Rotat': {}}]); "
        "assert not {'albumentations', 'numpy', 'cv2', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_without_albumentations_nothing_is_judged(monkeypatch):
    for cached in (augmentation._classes, augmentation.transforms, augmentation._arguments):
        cached.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr("importlib.util.find_spec", lambda name: None)
        assert augmentation.check([{"Nothing": {}}]) == []
    augmentation._classes.cache_clear()
    augmentation.transforms.cache_clear()
    augmentation._arguments.cache_clear()
    assert augmentation.check([{"Nothing": {}}])
