"""What an ablation makes: variants share all work that they have in common."""

import copy
from typing import Any

import pytest

from foldbelt import config
from foldbelt.config import sight, variants
from foldbelt.files import InputError

RECIPE: dict[str, Any] = {
    "run": "small",
    "data": {"path": "somewhere"},
    "stages": {"one": {"loss": {"bce": 1}, "epochs": 1}, "two": {"loss": {"dice": 1}, "epochs": 2}},
    "models": {
        "net": {"stages": ["one", "two"], "architecture": {"name": "vanilla", "width": 8}},
        "other": {"stages": ["one"], "architecture": {"name": "vanilla", "width": 4}},
    },
}


def plan(changes: dict[str, Any] | None = None, **ablation: Any) -> variants.Recipes:
    recipe = copy.deepcopy(RECIPE) | (changes or {})
    return variants.expand(config.resolve({**recipe, "ablation": ablation} if ablation else recipe))


def every(owner: str) -> dict[str, str]:
    return {"one": owner, "two": owner}


def test_without_an_ablation_the_models_are_the_configs() -> None:
    made = plan()
    assert list(made.models) == made.blend == ["net", "other"]
    assert not made.variants
    assert made.models["net"]["weights"] == {0: every("net")}


def test_a_variant_gets_names_for_what_it_changes_and_shares_the_rest() -> None:
    made = plan(variants={"wide": {"models": {"*": {"architecture": {"width": 16}}}}})
    model = made.models["wide--seed0"]
    assert model["architecture"]["width"] == 16
    assert (model["channels"], model["stages"]) == ("base", ["one", "two"])
    assert model["weights"] == {0: every("wide--seed0")}
    assert list(made.channels) == ["base"]
    assert list(made.stages) == ["one", "two"]


def test_the_base_of_an_ablation_is_the_recipes_own_model_where_seed_and_rounds_agree() -> None:
    made = plan(variants={"x": {"predict": {"tta": ["none"]}}}, seeds=[0, 1])
    assert made.models["base--seed0"]["weights"] == {0: every("net")}
    assert made.models["base--seed1"]["weights"] == {0: every("base--seed1")}


def test_variants_that_only_predict_otherwise_train_nothing() -> None:
    made = plan(variants={"plain": {"predict": {"tta": ["none"]}}})
    model = made.models["plain--seed0"]
    assert model["weights"] == {0: every("net")}
    assert model["predictions"] == {0: "plain--seed0"}


def test_variants_that_only_decide_otherwise_predict_nothing() -> None:
    made = plan(variants={"cut": {"decision": {"space": {"threshold": [0.5]}}}})
    assert made.models["cut--seed0"]["predictions"] == {0: "net"}
    assert made.variants["cut"].decision["space"]["threshold"] == [0.5]
    assert len(made.variants["base"].decision["space"]["threshold"]) > 1


def test_a_round_more_shares_the_first_training() -> None:
    made = plan(variants={"pseudo": {"pseudo": {"rounds": 1}}})
    model = made.models["pseudo--seed0"]
    assert model["weights"] == {0: every("net"), 1: every("pseudo--seed0")}
    assert made.variants["pseudo"].rounds == 1


def test_a_star_changes_every_stage_of_the_model_and_no_other() -> None:
    made = plan(variants={"fast": {"stages": {"*": {"optimizer": {"lr": 0.5}}}}})
    stages = made.models["fast--seed0"]["stages"]
    assert stages == ["one--fast", "two--fast"]
    assert [made.stages[s]["optimizer"]["lr"] for s in stages] == [0.5, 0.5]
    assert made.stages["one"]["optimizer"]["lr"] == 0.001


def test_two_variants_that_are_the_same_are_made_once() -> None:
    wide = {"models": {"*": {"architecture": {"width": 16}}}}
    made = plan(variants={"wide": wide, "again": wide})
    assert made.models["again--seed0"]["weights"] == {0: every("wide--seed0")}


def test_models_of_the_blend_with_equal_settings_are_still_two() -> None:
    twins = {"a": RECIPE["models"]["net"], "b": RECIPE["models"]["net"]}
    made = plan({"models": twins})
    assert made.models["b"]["weights"] == {0: every("b")}, "they differ in their random streams"


def test_variants_of_a_later_stage_share_the_earlier_ones() -> None:
    fast = {"stages": {"two": {"optimizer": {"lr": 0.5}}}}
    made = plan(variants={"fast": fast}, seeds=[0, 1])
    assert made.models["fast--seed0"]["weights"] == {0: {"one": "net", "two--fast": "fast--seed0"}}
    assert made.models["fast--seed1"]["weights"][0]["one"] == "base--seed1"
    assert made.streams == {"one": "one", "two": "two", "two--fast": "two"}


def test_stages_that_become_alike_are_still_two() -> None:
    like = {"stages": {"two": RECIPE["stages"]["one"]}}
    made = plan(variants={"like": like})
    assert made.models["like--seed0"]["stages"] == ["one", "two--like"]
    assert made.streams["two--like"] == "two"


@pytest.mark.parametrize(
    ("variants_", "more", "message"),
    [
        ({"x": {"decision": {"metric": "mean_dice"}}}, {}, "share decision.metric"),
        ({"x": {"folds": {"base": {"seed": 7}}}}, {"folds": [0, 1]}, "scores other images"),
        ({"x": {"folds": {"base": {"sample": 20}}}}, {}, "scores other images"),
    ],
)
def test_scores_that_cannot_be_compared_are_refused(variants_, more, message) -> None:
    with pytest.raises(InputError, match=message):
        plan(variants=variants_, **more)
    assert plan(variants={"x": {"folds": {"base": {"seed": 7}}}}).variants["x"].folds == "base--x"


def test_names_of_an_ablation_s_own_are_refused() -> None:
    stages = {**RECIPE["stages"], "one--x": RECIPE["stages"]["one"]}
    with pytest.raises(InputError, match=r"stages\.one--x"):
        plan({"stages": stages}, variants={"x": {"predict": {"tta": ["none"]}}})


def test_what_a_variant_saw_is_named() -> None:
    stages = {
        "best": {"select": "best"},
        "mean": {"select": "best", "average_best": 2},
        "early": {"early_stopping": {"patience": 2}},
        "plateau": {"schedule": {"name": "plateau"}},
    }
    over = {name: {"stages": {"*": stage}} for name, stage in stages.items()}
    over["started"] = {"models": {"*": {"start": {"file": "w.pt"}}}}
    made = plan(variants=over | {"leaky": {"pseudo": {"rounds": 1, "source": "all"}}})
    assert {name: variant.seen for name, variant in made.variants.items()} == {
        "base": [],
        "best": ["select: best"],
        "mean": ["average_best"],
        "early": ["early_stopping"],
        "plateau": ["plateau"],
        "started": ["start"],
        "leaky": ["pseudo.source: all"],
    }
    started = made.models["started--seed0"]["weights"][0]
    assert set(started.values()) == {"started--seed0"}, "another start makes other weights"
    assert all(sight.sentences(variant.seen) for variant in made.variants.values() if variant.seen)


def test_variants_share_their_bases_random_streams() -> None:
    made = plan(variants={"wide": {"models": {"*": {"architecture": {"width": 16}}}}}, seeds=[3])
    assert {made.models[f"{name}--seed3"]["stream"] for name in ("base", "wide")} == {"net"}


def test_snapshots_are_members() -> None:
    cyclic = {"epochs": 3, "schedule": {"name": "cyclic", "cycles": 3, "snapshots": 2}}
    made = plan({"stages": {**RECIPE["stages"], "two": {**RECIPE["stages"]["two"], **cyclic}}})
    assert made.members("net") == ["net.s1", "net.s2"]
    assert made.members("other") == ["other"]


MISSPELT = {"models": {"net": {"architectur": {}}}}
EPOCH = {"stages": {"*": {"epoch": 3}}}


@pytest.mark.parametrize(
    ("ablation", "words"),
    [
        ({"variants": {"x": MISSPELT}}, ["variants.x", "architectur"]),
        ({"variants": {"x": EPOCH, "y": {"data": {}}}}, ["variants.x", "epochs", "variants.y"]),
        ({"variants": {"x": {}}, "folds": [0, 7]}, ["ablation.folds", "7", "5 folds"]),
        ({"variants": {"x": {}}, "model": "ne"}, ["ablation.model", "'ne'", "net"]),
        ({"variants": {"base": {}}}, ["ablation.variants.base"]),
        ({"variants": {"x": {"models": {"other": {"seed": 1}}}}}, ["variants.x", "other"]),
    ],
)
def test_refuses_no_variant_and_names_it(ablation: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        plan(**ablation)
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_a_variant_that_cannot_label_for_itself_is_refused() -> None:
    recipe = copy.deepcopy(RECIPE)
    recipe["models"]["other"]["architecture"] |= {"label_head": True}
    recipe |= {"pseudo": {"rounds": 1, "rule": "labels"}, "ablation": {"variants": {"x": {}}}}
    with pytest.raises(InputError, match=r"ablation\.model.*'net' predicts no labels"):
        variants.expand(config.resolve(recipe))
