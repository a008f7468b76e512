"""What the config may ask of a blend: weights by name, and models without masks or labels."""

import copy
from typing import Any

import pytest
from test_variants import RECIPE

from foldbelt import config, registry
from foldbelt.config import variants
from foldbelt.files import InputError


@pytest.fixture
def classifier(monkeypatch: pytest.MonkeyPatch) -> str:
    """Name an architecture that predicts no masks."""
    predicts = registry.predicts_masks

    def without_vanilla(architecture: Any) -> bool:
        return architecture["name"] != "vanilla" and predicts(architecture)

    monkeypatch.setattr(registry, "predicts_masks", without_vanilla)
    return "vanilla"


def recipe(**changes: Any) -> dict[str, Any]:
    return copy.deepcopy(RECIPE) | changes


def models(**architectures: dict[str, Any]) -> dict[str, Any]:
    return {
        name: {"stages": ["one"], "architecture": given} for name, given in architectures.items()
    }


def refused(given: dict[str, Any], *words: str) -> None:
    with pytest.raises(InputError) as caught:
        config.resolve(given)
    for word in words:
        assert word in str(caught.value)


def test_labels_come_from_label_heads_and_from_models_without_masks(classifier) -> None:
    assert registry.predicts_labels({"name": classifier})
    assert not registry.predicts_labels({"name": "unet", "label_head": False})
    assert registry.predicts_labels({"name": "unet", "label_head": True})


def test_weights_name_models_and_predictions_made_elsewhere() -> None:
    external = {"kaggle": {"oof": "a.h5", "test": "b.h5"}}
    weights = {"net": 2, "kaggle": 0}
    full = config.resolve(recipe(blend={"external": external, "weights": weights}))
    assert full["blend"]["weights"] == weights
    assert config.resolve(recipe())["blend"]["weights"] == {}
    refused(recipe(blend={"weights": {"nett": 1}}), "blend.weights.nett", "did you mean 'net'")
    refused(recipe(blend={"weights": {"net": -1}}), "blend.weights.net", "-1")
    refused(recipe(blend={"weights": {"net": 0, "other": 0}}), "blend.weights", "masks weigh 0")


def test_weights_of_nothing_are_refused(classifier) -> None:
    own = models(net={"name": "unet"}, sure={"name": classifier})
    config.resolve(recipe(models=own, blend={"weights": {"net": 2}}))
    refused(recipe(models=own, blend={"weights": {"net": 0}}), "blend.weights", "masks weigh 0")
    refused(recipe(models=own, blend={"weights": {"sure": 0}}), "blend.weights", "labels weigh 0")
    own["net"]["architecture"]["label_head"] = True
    config.resolve(recipe(models=own, blend={"weights": {"sure": 0}}))


def test_classifiers_alone_are_refused(classifier) -> None:
    refused(recipe(), "models", "net, other predict labels, which say nothing")
    external = {"kaggle": {"oof": "a.h5", "test": "b.h5"}}
    stages = {name: {"loss": {"bce": 1}, "epochs": 1} for name in RECIPE["stages"]}
    config.resolve(recipe(blend={"external": external}, stages=stages))


def test_pseudo_labels_need_masks_of_the_models_themselves(classifier) -> None:
    external = {"kaggle": {"oof": "a.h5", "test": "b.h5"}}
    stages = {name: {"loss": {"bce": 1}, "epochs": 1} for name in RECIPE["stages"]}
    given = recipe(blend={"external": external}, stages=stages, pseudo={"rounds": 1})
    refused(given, "pseudo.rounds: 1", "masks")


def test_an_order_of_pseudo_labels_without_a_number_is_refused() -> None:
    refused(
        recipe(pseudo={"rounds": 1, "order": "test_likeness"}), "pseudo.order", "pseudo.max_images"
    )
    config.resolve(recipe(pseudo={"rounds": 1, "order": "test_likeness", "max_images": 5}))


def test_pseudo_labels_by_labels_need_a_model_that_predicts_them(classifier) -> None:
    pseudo = {"rounds": 1, "rule": "labels"}
    own = models(net={"name": "unet"})
    refused(recipe(models=own, pseudo=pseudo), "pseudo.rule", "none of net predicts labels")
    config.resolve(recipe(models=own, pseudo=pseudo | {"rounds": 0}))
    headed = models(net={"name": "unet", "label_head": True})
    config.resolve(recipe(models=headed, pseudo=pseudo))
    config.resolve(recipe(models=own | models(sure={"name": classifier}), pseudo=pseudo))


def test_an_ablation_varies_a_model_of_masks(classifier) -> None:
    own = models(net={"name": "unet"}, sure={"name": classifier})
    given = recipe(models=own, blend={"weights": {"sure": 2}})

    def plan(**ablation: Any) -> variants.Recipes:
        return variants.expand(config.resolve({**given, "ablation": ablation}))

    deeper = {"wide": {"stages": {"*": {"epochs": 3}}}}
    assert list(plan(variants=deeper).variants) == ["base", "wide"]  # weights are the blend's own
    with pytest.raises(InputError, match=r"ablation\.model: sure predicts none of masks"):
        plan(model="sure", variants=deeper)
    over = {"models": {"net": {"architecture": {"name": classifier}}}}
    with pytest.raises(InputError, match=r"ablation\.variants\.bad: net predicts no masks"):
        plan(variants={"bad": over})
