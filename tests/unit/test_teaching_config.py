"""What a config may ask of labels in groups, of masks that only teach, and of chains of stages."""

import copy
from typing import Any

import pytest
import torch
import training
from training import CLASSIFIER, Objects

import foldbelt.train.job
from foldbelt import config, registry
from foldbelt.config import outputs, stages
from foldbelt.config.plan import Plan
from foldbelt.files import InputError
from foldbelt.store import weights

LABELS = {"table": "meta.csv", "columns": ["a", "b", "c"]}
SMALL: dict[str, Any] = {
    "run": "small",
    "competition": "folder",
    "data": {"path": "somewhere", "label": LABELS, "boxes": "boxes.csv", "masks": "from_boxes"},
    "outputs": ["labels"],
    "stages": {"one": {"loss": {"label": {"bce": 1}, "mask": {"bce": 4}}, "epochs": 1}},
    "models": {
        "cls": {"stages": ["one"], "architecture": {"name": "classifier", "mask_reduction": 16}},
        "net": {"stages": ["one"], "architecture": {"name": "unet", "label_head": True}},
    },
}


def recipe(**changes: Any) -> dict[str, Any]:
    """Give the small recipe with some values changed, by path."""
    made = copy.deepcopy(SMALL)
    for path, value in changes.items():
        *above, last = path.split("__")
        part = made
        for key in above:
            part = part[key]
        part[last] = value
    return made


def test_a_job_is_told_only_what_is_not_the_default() -> None:
    plan = Plan(config.resolve(recipe(models__cls__labels=["b"])))
    assert plan.recipes.architecture("cls")["labels"] == ["b"]
    assert plan.recipes.architecture("net")["auxiliary"] == ["mask"]
    assert plan.by_output == {"labels": ["cls", "net"]}
    assert plan.metric("net") is None
    plain = recipe(outputs=None, stages__one__loss={"bce": 1})
    plain["models"]["cls"]["architecture"] = {"name": "classifier"}
    plan = Plan(config.resolve(plain))
    new = {"mask_reduction", "mask_width", "checkpointing", "labels", "auxiliary"}
    assert not new & {key for name in plan.models for key in plan.recipes.architecture(name)}
    assert plan.metric("net") is not None
    plain["models"]["cls"]["architecture"]["checkpointing"] = True
    plan = Plan(config.resolve(plain))
    assert plan.recipes.architecture("cls")["checkpointing"] is True


def test_models_of_other_labels_share_no_weights() -> None:
    """Variants are trained once where they are alike, in all that training depends on."""
    made = config.resolve(recipe(models__cls__labels=["b"]))
    recipes = Plan(made).recipes
    model = made["models"]["cls"]
    recipes.add("same", model, made, "cls")
    recipes.add("other", {**model, "labels": ["c"]}, made, "cls")
    recipes.add("masks", model, {**made, "outputs": ["masks", "labels"]}, "cls")
    recipes.add("net1", made["models"]["net"], made, "net")
    recipes.add("net2", made["models"]["net"], {**made, "outputs": ["masks"]}, "net")
    owner = {name: each["weights"][0]["one"] for name, each in recipes.models.items()}
    assert owner["same"] == owner["masks"] == "cls"
    assert owner["other"] == "other"
    assert (owner["net1"], owner["net2"]) == ("net", "net2")


def test_the_main_output_follows_what_is_decided() -> None:
    for given, main in ((["labels"], "label"), (["masks", "labels"], "mask"), (None, "mask")):
        made = config.complete("model", SMALL["models"]["net"])
        whole = {"outputs": given, "competition": "folder"}
        network = outputs.network_of(made, whole)
        assert registry.main_output(network) == main
        assert stages.teaches_masks(network) == (main == "label")
        assert registry.predicts_labels(network)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"data__masks": False, "stages__one__loss": {"bce": 1}},
            r"cls\.architecture\.mask_reduction: 16: .*\(data\.masks: from_boxes\)",
        ),
        (
            {"models": {"cls": {"stages": ["one"], "architecture": {"name": "classifier"}}}},
            r"stages\.one\.loss\.mask: cls learn no masks; set models\.cls\.architecture\.mask_red",
        ),
        ({"models__cls__labels": ["b", "cc"]}, r"models\.cls\.labels: no label 'cc'; did you mean"),
        ({"data__label": None}, r"models\.cls\.labels: b: the data have no labels of their own"),
        (
            {"models__net": {"stages": ["one"], "architecture": {"name": "unet"}, "labels": ["a"]}},
            r"models\.net\.labels: a: 'unet' predicts no labels; add a label_head",
        ),
        (
            {"stages__one__loss": {"label": {"bce": 1}, "mask": {"lovasz_softmax": 1}}},
            r"lovasz_softmax: is a loss of exclusive classes; take another \(model 'cls'\)",
        ),
        (
            {"stages__one__loss": {"label": {"cross_entropy": 1}}},
            r"loss\.label\.cross_entropy: .*of one group \(models\.<name>\.labels\)",
        ),
        ({"models__cls__architecture__mask_reduction": 5}, r"mask_reduction"),
        (
            {"models__cls__architecture": {"name": "vanilla", "drop_path": 0.1}},
            r"architecture\.drop_path: 'vanilla' has no such option",
        ),
    ],
)
def test_what_could_not_be_learnt_is_refused_when_the_config_is_read(
    changes: dict[str, Any], words: str
) -> None:
    made = recipe(**changes)
    if "labels" in words and "data__label" in changes:
        made["models"]["cls"]["labels"] = ["b"]
    with pytest.raises(InputError, match=words):
        config.resolve(made)


def test_a_competition_names_its_labels_and_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    said = {"LABELS": ("x", "y", "z"), "LABEL_GROUPS": (("x", "y"),)}
    real = registry.constant
    monkeypatch.setattr(
        registry,
        "constant",
        lambda module, name, default=None: (
            said[name]
            if module.endswith("competitions.folder") and name in said
            else real(module, name, default)
        ),
    )
    cross_entropy = {"label": {"cross_entropy": 1}, "mask": {"bce": 1}}
    chosen = {"models__net__labels": ["x", "y"]}
    both = recipe(stages__one__loss=cross_entropy, **chosen, models__cls__labels=["y", "x"])
    config.resolve(both)
    torn = r"models\.cls\.labels: predicts x of x, y, which exclude each other; let it predict all"
    refused = ((["y", "z", "x"], "of one group"), (None, "of one group"), (["w"], "no label"))
    for wrong, words in (*refused, (["x"], torn)):
        changed = recipe(stages__one__loss=cross_entropy, **chosen, models__cls__labels=wrong)
        with pytest.raises(InputError, match=words):
            config.resolve(changed)


def test_masks_may_be_taught_to_some_models_of_a_stage() -> None:
    """A stage is shared: that one of its models learns no masks is no mistake."""
    made = recipe()
    made["models"]["gate"] = {"stages": ["one"], "architecture": {"name": "classifier"}}
    config.resolve(made)


def test_a_chain_of_six_stages_goes_from_each_to_the_next() -> None:
    names = ["first", "fine1", "fine2", "fine3", "fine4", "fine5"]
    stage = {"loss": {"bce": 1}, "epochs": 1, "select": "best"}
    made = recipe(stages={name: stage for name in names})
    for model in made["models"].values():
        model["stages"] = names
    plan = Plan(config.resolve(made))
    files = [plan.weights("cls", 0, 1, name) for name in names]
    assert len(set(files)) == 6
    assert [plan.start("cls", 0, 1, name) for name in names] == [[], *files[:-1]]
    assert plan.final_weights("cls", 0, 1) == files[-1]


def test_a_stage_starts_from_the_best_weights_of_the_one_before(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    objects, started = Objects(tmp_path), []
    real = foldbelt.train.job.network

    def network(*given: Any) -> torch.nn.Module:
        module = real(*given)
        started.append({name: value.clone() for name, value in module.state_dict().items()})
        return module

    monkeypatch.setattr(foldbelt.train.job, "network", network)
    names, start = ["first", *(f"fine{number}" for number in range(1, 6))], None
    model = {**CLASSIFIER, "mask_reduction": 4, "mask_width": 8}
    bests = []
    for number, name in enumerate(names):
        given = objects.arguments(name, stage_name=name, model=model, start=start)
        rate = {"name": "sgd", "lr": 1.0 if number == 0 else 1e-4}
        loss = {"label": {"cross_entropy": 1}, "mask": {"bce": 4}}
        more = {"loss": loss, "epochs": 6 if number == 0 else 1, "optimizer": rate}
        given["stage"] = {**given["stage"], **more, "select": "best"}
        training.run(**given)
        start = given["weights"]
        bests.append(weights.load(start))
    assert bests[0][1]["best_epoch"] < 6  # so that the best are not the last
    for (before, _), begun in zip(bests, started[1:], strict=False):
        assert all(torch.equal(value, before[name]) for name, value in begun.items())


def test_folds_matter_among_models_that_predict_the_same_labels() -> None:
    """Labels are weighed and scored apart where other models predict them."""
    cls: dict[str, Any] = {"stages": ["one"], "architecture": {"name": "classifier"}}
    made = recipe(stages__one__loss={"bce": 1}, labels={"weights": "fitted"})
    made["models"] = {
        "ab": {**cls, "labels": ["a", "b"], "only_folds": [0, 1]},
        "c": {**cls, "labels": ["c"], "only_folds": [2, 3]},
    }
    config.resolve(made)
    made["models"]["c"]["only_folds"] = [2]
    with pytest.raises(InputError, match=r"models\.c\.only_folds: leaves the labels c a single"):
        config.resolve(made)
    made["models"]["c"] = {**cls, "only_folds": [2, 3]}
    with pytest.raises(InputError, match=r"no fold is common to all models of labels a, b,"):
        config.resolve(made)
