"""The config: what is refused, what is completed, what is documented."""

import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from foldbelt import config, registry
from foldbelt.config import outputs, reference, variants
from foldbelt.config.renamed import RENAMED
from foldbelt.files import InputError
from foldbelt.train import state

ROOT = Path(__file__).parents[2]
LAID_OVER = {
    "tgs": ["ablation", "ablation-cpu"],
    "folder": ["ablation-mine"],
    "steel-demo": ["steel-ablation"],
    "chest": ["chest-ablation"],
}
OVERLAYS = [ROOT / "config" / f"{name}.yaml" for names in LAID_OVER.values() for name in names]
RECIPES = sorted(set((ROOT / "config").glob("*.yaml")) - {*OVERLAYS})

SMALL: dict[str, Any] = {
    "run": "small",
    "data": {"path": "somewhere"},
    "stages": {"one": {"loss": {"bce": 1}, "epochs": 1}},
    "models": {"net": {"stages": ["one"], "architecture": {"name": "vanilla"}}},
}


def changed(path: str, value: Any) -> dict[str, Any]:
    """Copy SMALL with one value set."""
    result = copy.deepcopy(SMALL)
    place = result
    *parents, last = path.split("/")
    for key in parents:
        place = place.setdefault(key, {})
    place[last] = value
    return result


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_recipes_resolve_and_resolving_twice_changes_nothing(recipe: Path) -> None:
    once = config.resolve(yaml.safe_load(recipe.read_text()))
    assert config.resolve(once) == once


@pytest.mark.parametrize("below", LAID_OVER)
def test_overlays_make_recipes_of_recipes(below: str) -> None:
    recipe = yaml.safe_load((ROOT / "config" / f"{below}.yaml").read_text())
    for name in LAID_OVER[below]:
        overlay = ROOT / "config" / f"{name}.yaml"
        recipe = config.merge(recipe, yaml.safe_load(overlay.read_text()))
        made = variants.expand(config.resolve(recipe))
        assert len(made.variants) >= 9


def test_defaults_reach_every_part() -> None:
    full = config.resolve(SMALL)
    assert full["stages"]["one"]["optimizer"]["name"] == "adamw"
    assert full["channels"]["base"]["use"] == ["image"]
    assert full["folds"]["base"]["count"] == 5
    assert full["decision"]["space"]["min_area"][0] == 0
    assert full["models"]["net"]["folds"] == "base"
    assert "encoder" not in full["models"]["net"]["architecture"], "an option of another network"


def test_the_metric_is_the_competitions_own_unless_the_config_says_otherwise() -> None:
    assert config.resolve({**SMALL, "competition": "folder"})["decision"]["metric"] == "mean_dice"
    assert config.resolve(SMALL)["decision"]["metric"] == "salt_score"
    other = {**SMALL, "decision": {"metric": "mean_dice"}}
    assert config.resolve(other)["decision"]["metric"] == "mean_dice"


def test_nothing_given_is_changed() -> None:
    given = copy.deepcopy(SMALL)
    config.resolve(given)
    assert given == SMALL


def test_a_model_takes_anothers_settings_but_not_its_architectures_options() -> None:
    models = {
        "deep": {"stages": ["one"], "architecture": {"name": "unet", "encoder": "resnet18"}},
        "scse": {"from": "deep", "architecture": {"scse": True}},
        "plain": {"from": "scse", "architecture": {"name": "vanilla"}},
    }
    full = config.resolve({**SMALL, "models": models})["models"]
    assert full["scse"]["architecture"]["encoder"] == "resnet18"
    assert full["scse"]["architecture"]["scse"] is True
    assert full["deep"]["architecture"]["scse"] is False
    assert full["plain"]["architecture"]["name"] == "vanilla"
    assert full["plain"]["stages"] == ["one"]


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("sede", 1, ["sede", "did you mean 'seed'"]),
        ("stages/one/epochs", "many", ["stages.one.epochs", "'many'"]),
        ("stages/one/epochs", 0, ["stages.one.epochs", "0"]),
        ("stages/one/loss", {"bse": 1}, ["stages.one.loss", "bse", "bce"]),
        ("stages/one/loss", "{bce: 0.5}", ["stages.one.loss", "{bce: 0.5}"]),
        ("stages/one/optimizer", {"learning_rate": 1}, ["stages.one.optimizer.learning_rate"]),
        ("models/net/stages", ["two"], ["models.net.stages", "two"]),
        ("models/net/folds", "ten", ["models.net.folds", "ten"]),
        ("models/net/channels", "bse", ["models.net.channels", "did you mean 'base'"]),
        ("models/net/from", "other", ["models.net.from", "other"]),
        ("models/net/from", "net", ["models.net.from", "itself"]),
        ("models/net/architecture/encoder", "resnet18", ["models.net.architecture.encoder"]),
        ("competition", "sald", ["competition", "salt"]),
        ("channels/base/use", ["cumsun"], ["channels.base.use", "cumsum"]),
        ("data/path", None, ["data", "path", "synthetic"]),
        ("run", "../up", ["run", "../up"]),
        ("data/classes", {1: 85}, ["data.classes.1", "quotes"]),
        ("stages/one/loss", {"lovasz": {"weight": 1, "margn": "elu"}}, ["lovasz.margn", "margin"]),
        ("blend/step", 0.3, ["blend.step", "0.3"]),
        ("decision/space/threshold", [1.5], ["decision.space.threshold", "1.5"]),
        ("decision/steps", {"hols": None}, ["decision.steps", "did you mean 'holes'"]),
        ("decision/steps", {"crf": {"weight": 3}}, ["decision.steps.crf.weight", "3"]),
        ("decision/steps", {"crf": {"weights": [3]}}, ["decision.steps.crf.weights", "'weight'"]),
        ("stages/one/freeze_encoder", 1, ["stages.one.freeze_encoder", "no encoder"]),
        ("stages/one/optimizer", {"encoder_factor": 0.1}, ["encoder_factor", "no encoder"]),
        ("stages/one/optimizer", {"layer_decay": 0.8}, ["layer_decay", "no encoder"]),
        ("models/net/architecture/late_channels", 1, ["late_channels", "image"]),
        ("stages/one/augment", [{"HorizontlFlip": {}}], ["stages.one.augment.0", "HorizontalFlip"]),
        ("data/series", "coil(", ["data.series", "'coil('", "no regular expression"]),
        ("data/series", "coil", ["data.series", "'coil'", "has no group"]),
        ("data/synthetic", {"images": 8}, ["data.synthetic.images", "salt", "sections"]),
        ("stages/one/loss", {"bce": {"weight": 1, "pos_weight": [2, -2]}}, ["pos_weight.1", "-2"]),
        ("data/label", "view", ["data.label", "folder only"]),
        ("ablation/folds", [0], ["ablation.folds", "[0]", "give 2 or more"]),
        ("stages/one/schedule", {"snapshots": 1}, ["stages.one.schedule.snapshots", "cyclic"]),
    ],
)
def test_refuses_what_is_wrong_and_names_it(path: str, value: Any, words: list[str]) -> None:
    given = changed(path, value)
    if path == "competition":
        given["data"]["truth"] = "truth.csv"
    with pytest.raises(InputError) as caught:
        config.resolve(given)
    for word in words:
        assert word in str(caught.value)


def test_synthetic_data_take_the_keys_of_its_competition_and_no_others() -> None:
    salt = config.resolve({**SMALL, "data": {"synthetic": {"sections": 3}}})
    assert salt["data"]["synthetic"] == {"sections": 3, "seed": 0}
    given = {**SMALL, "competition": "steel", "data": {"synthetic": {"images": 8, "size": 32}}}
    steel = config.resolve(given)
    assert steel["data"]["synthetic"] == {"images": 8, "test_images": 120, "size": 32, "seed": 0}
    assert config.resolve(steel) == steel
    given["data"]["synthetic"] = {"sections": 3, "imges": 8}
    with pytest.raises(InputError, match=r"synthetic\.imges"):  # by the schema
        config.resolve(given)
    given["data"]["synthetic"] = {"sections": 3}
    with pytest.raises(
        InputError, match=r"data\.synthetic\.sections: .*'steel' have no such option"
    ):
        config.resolve(given)


def test_a_competition_without_synthetic_data_makes_none(monkeypatch: pytest.MonkeyPatch) -> None:
    plain, made = registry.synthetic, ("salt", "steel")
    monkeypatch.setattr(registry, "synthetic", lambda name: plain(name) if name in made else None)
    given = {**SMALL, "competition": "folder", "data": {"synthetic": {}}}
    with pytest.raises(InputError, match=r"data\.synthetic: .* competitions salt, steel only"):
        config.resolve(given)


def test_a_competition_that_reads_no_truth_is_given_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "reads_truth", lambda name: name != "folder")
    given = {**SMALL, "competition": "folder", "data": {"path": "x", "truth": "y.csv"}}
    with pytest.raises(InputError, match=r"data\.truth: the competition 'folder' does not say how"):
        config.resolve(given)


def test_resized_images_have_no_neighbours_for_a_step() -> None:
    given = changed("decision/steps", {"jigsaw": None, "holes": None})
    config.resolve(given)
    given["data"]["size"] = 64
    given["folds"] = {"base": {"group": None}}
    with pytest.raises(InputError, match=r"decision\.steps\.jigsaw: .*resized"):
        config.resolve(given)


def test_all_offenders_come_at_once() -> None:
    wrong = changed("sede", 1)
    wrong["stages"]["one"]["epochs"] = -1
    wrong["models"]["net"]["chanels"] = "base"
    with pytest.raises(InputError, match="3 problems") as caught:
        config.resolve(wrong)
    for key in ("sede", "stages.one.epochs", "models.net.chanels"):
        assert key in str(caught.value)


def test_members_of_a_blend_must_share_their_folds() -> None:
    two = changed("folds", {"base": {}, "ten": {"count": 10}})
    two["models"]["other"] = {**two["models"]["net"], "folds": "ten"}
    with pytest.raises(InputError, match="share one fold scheme"):
        config.resolve(two)


def test_the_reference_page_is_in_sync_with_the_schema() -> None:
    page = (ROOT / "config" / "README.md").read_text()
    assert page == reference.document(), "run `make docs`"


def test_every_key_is_described() -> None:
    def walk(part: Any, path: str) -> list[str]:
        found = []
        if isinstance(part, dict):
            for key, value in part.get("properties", {}).items():
                if isinstance(value, dict) and "description" not in value:
                    found.append(f"{path}.{key}")
                found += walk(value, f"{path}.{key}")
            for option in part.get("oneOf", []):
                found += walk(option, path)
        return found

    schema = config.load_schema()
    missing = walk(schema, "")
    for name, part in schema["$defs"].items():
        missing += walk(part, name)
    assert [key for key in missing if key != "lossTerm.weight"] == []


def test_early_stopping_reaches_the_trainer_as_text() -> None:
    """YAML reads some words as numbers or truth values; a key of the schema must not be one."""
    given = yaml.safe_load("{patience: 3, watch: loss}")
    full = config.resolve(changed("stages/one/early_stopping", given))
    assert full["stages"]["one"]["early_stopping"] == {"patience": 3, "watch": "loss"}
    default = config.resolve(changed("stages/one/early_stopping", {"patience": 3}))
    assert default["stages"]["one"]["early_stopping"]["watch"] == "metric"
    assert state.key_of({"stage": default["stages"]["one"]})


def recipe_with(stage: dict[str, Any], **channels: Any) -> dict[str, Any]:
    """Give SMALL with another stage and other channels."""
    result = changed("stages/one", {**SMALL["stages"]["one"], **stage})
    result["channels"] = {"base": {"size": [64, 416], **channels}}
    return result


@pytest.mark.parametrize(
    ("stage", "channels", "message"),
    [
        ({"crop": {"size": [64, 417]}}, {}, "crop.size: windows of 64×417 .* images of 64×416"),
        ({"crop": {"size": 65}}, {}, "crop.size: windows of 65×65"),
        ({"crop": {"size": 64, "dark": 0.9}}, {"use": ["cumsum"]}, "crop.dark: none of the chann"),
        ({"blackout": 0.1}, {"use": ["cumsum"]}, "blackout: none of the channels cumsum"),
        ({"blackout": 0.1}, {"whiten": "zca"}, "blackout: after whiten: zca"),
    ],
)
def test_what_images_cannot_give_a_stage_is_refused(
    stage: dict[str, Any], channels: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=rf"1 problem\n  stages\.one\.{message}.*model 'net'"):
        config.resolve(recipe_with(stage, **channels))
    full = {"crop": {"size": [64, 416], "dark": 0.9, "positive": 0.5}, "blackout": 0.1}
    made = config.resolve(recipe_with(full, use=["cumsum", "image"]))
    assert made["stages"]["one"]["crop"]["size"] == [64, 416]


@pytest.mark.parametrize("old", RENAMED)
def test_a_key_that_was_renamed_is_refused_with_its_new_name(old: str) -> None:
    new = RENAMED[old]
    says = re.escape(new if " " in new else f"named {new.rpartition('.')[2]} now")
    places = {"channels": "base", "folds": "base", "models": "net", "stages": "one"}
    section = old.partition(".")[0]
    path = old.replace("*", places.get(section, "*"))
    with pytest.raises(InputError, match=rf"{re.escape(path)}\b.*{says}"):
        config.resolve(changed(path.replace(".", "/"), 1))
    full = config.resolve(SMALL)
    overlay = changed(path.replace(".", "/"), 1)[section]
    if section not in ("blend", "data"):  # which variants cannot change
        with pytest.raises(InputError, match=says):
            variants.overlaid(full, {section: overlay}, "net")


def test_the_reference_holds_every_key_of_the_schema_and_every_option_of_a_plug_in() -> None:
    sections = re.split(r"^## ", reference.document(), flags=re.MULTILINE)
    schema = config.load_schema()

    def names(part: Any) -> set[str]:
        """Every name of a property, wherever in the schema it stands."""
        if isinstance(part, list):
            return set().union(*map(names, part))
        if not isinstance(part, dict):
            return set()
        own = part.get("properties", {})
        own = own if all(isinstance(value, dict) for value in own.values()) else {}
        return set(own) | set().union(*map(names, part.values()))

    rows = {row.rpartition(".")[2] for row in re.findall(r"^\| `([^`]+)`", "".join(sections), re.M)}
    assert names(schema) <= rows
    paths = [key.path for key in reference.every_key()]
    assert {"adversarial.enabled", "adversarial.folds", "blend.external.<name>.oof"} <= set(paths)
    for room, (_, title, _) in reference._PLUG_INS.items():
        table = next(text for text in sections if text.startswith(title))
        for name in registry.known(room):
            row = "".join(line for line in table.splitlines() if line.startswith(f"| `{name}` |"))
            for option in reference.options(f"foldbelt.{room.replace('/', '.')}.{name}"):
                assert f"`{option.name}`" in row, (name, option)
                if room != "models":
                    assert option.meaning, f"{name}: say in a docstring what {option.name} is"


@pytest.mark.parametrize(
    ("room", "path"),
    [
        ("competitions", "competition"),
        ("channels", "channels.<name>.use"),
        ("losses", "stages.<name>.loss"),
        ("models", "models.<name>.architecture.name"),
        ("models/encoders", "models.<name>.architecture.encoder"),
        ("decide/steps", "decision.steps"),
    ],
)
def test_the_key_that_takes_plug_ins_names_each_of_them(room: str, path: str) -> None:
    (text,) = (key.schema["description"] for key in reference.every_key() if key.path == path)
    missing = [name for name in registry.known(room) if not re.search(rf"`{name}(`|/)", text)]
    assert not missing, f"config.schema.yaml, description of {path}: name {', '.join(missing)}"


def test_labels_of_their_own_are_an_output_and_gate_nothing() -> None:
    given = changed("data/label", "view") | {"competition": "folder"}
    assert outputs.models_of(config.resolve(given)) == {"masks": ["net"]}
    given["models"]["net"]["architecture"]["label_head"] = True
    assert outputs.models_of(config.resolve(given)) == {"masks": ["net"], "labels": ["net"]}
    given["data"]["label"] = None  # then they say what the masks hold
    assert outputs.models_of(config.resolve(given)) == {"masks": ["net"]}


def test_a_model_of_what_the_data_do_not_have_is_named() -> None:
    given = changed("models/net/architecture", {"name": "detector"}) | {"competition": "folder"}
    with pytest.raises(
        InputError, match=r"net\.architecture: .*boxes, and the data have none.*data"
    ):
        config.resolve(given)
    given["data"]["boxes"] = "boxes.csv"
    with pytest.raises(InputError, match=r"loss: \w+.*\{box: 1\}"):
        config.resolve(given)
    for stage in given["stages"].values():
        stage["loss"] = {"box": 1}
    assert outputs.models_of(config.resolve(given)) == {"boxes": ["net"]}


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"label": {"table": "labels.csv"}}, r"data\.label: give either `column`.* or `columns`"),
        ({"label": {"column": "a", "columns": ["b"]}}, r"data\.label: give either"),
        ({"label": {"column": "a", "table": "../l.csv"}}, r"data\.label\.table: '\.\./l\.csv'"),
        ({"label": {"colum": "a"}}, r"data\.label\.colum: .*column"),
        ({"label": {"columns": []}}, r"data\.label\.columns"),
        ({"boxes": "/boxes.csv"}, r"data\.boxes: '/boxes\.csv' must be a path below"),
        ({"boxes": "a/../../b"}, r"data\.boxes: .* must be a path below"),
        ({"box_classes": ["a"]}, r"data\.box_classes: there are no boxes"),
        ({"boxes": "from_masks", "box_classes": ["a"]}, r"data\.box_classes: boxes from masks"),
        ({"boxes": "from_masks", "masks": False}, r"data\.boxes: from_masks: there are no masks"),
        ({"masks": False}, r"data\.masks: false leaves nothing to learn"),
        ({"masks": False, "label": "a", "ignore": 3}, r"data\.ignore: there are no masks"),
        ({"masks": False, "boxes": "b", "classes": {"a": 1}}, r"data\.classes: there are no masks"),
    ],
)
def test_masks_labels_and_boxes_agree(data: dict[str, Any], words: str) -> None:
    folder = {**SMALL, "competition": "folder"}
    with pytest.raises(InputError, match=words):
        config.resolve({**folder, "data": {"path": "x", **data}})


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("boxes/iou", 0.5, r"boxes\.iou: 0\.5 must be a list, such as \[0\.5\]"),
        ("data/box_classes", "a", r"data\.box_classes: 'a' must be null or a list, such as \[a\]"),
        ("seed", "one", r"seed: 'one' must be a whole number$"),
        ("stages/one/loss/box", {"giou": 1}, r"loss\.box: \{'giou': 1\} must be a number$"),
        ("stages/one/loss", {"boxes": 1}, r"loss: boxes: outputs are called mask, label, box"),
        ("stages/one/loss", {"labels": {"bce": 1}}, r"loss\.labels: .*outputs are called mask"),
    ],
)
def test_what_is_refused_is_told_in_the_words_of_the_config(
    path: str, value: Any, words: str
) -> None:
    with pytest.raises(InputError) as caught:
        config.resolve(changed(path, value))
    assert re.search(words, str(caught.value), re.MULTILINE), caught.value


def test_labels_that_do_not_exclude_each_other_are_told_from_those_that_do() -> None:
    given = changed("models/net/architecture", {"name": "classifier"})
    given["competition"] = "folder"
    given["data"]["label"] = {"columns": ["a", "b"]}
    given["stages"]["one"]["loss"] = {"label": {"cross_entropy": 1}}
    with pytest.raises(
        InputError, match=r"cross_entropy: .* exclude each other.*take bce or focal"
    ):
        config.resolve(given)
    given["data"]["label"]["exclusive"] = True
    config.resolve(given)


def test_labels_of_their_own_admit_no_pseudo_masks() -> None:
    given = changed("models/net/architecture", {"name": "vanilla", "label_head": True})
    given["competition"] = "folder"
    given["pseudo"] = {"rounds": 1, "rule": "labels"}
    config.resolve(given)
    given["data"]["label"] = "view"
    with pytest.raises(InputError, match=r"pseudo\.rule: labels: .*data\.label"):
        config.resolve(given)


def test_a_detector_without_boxes_is_not_said_to_predict_labels() -> None:
    given = changed("models/net/architecture", {"name": "detector"})
    given["stages"]["one"]["loss"] = {"box": 1}
    with pytest.raises(InputError, match="net \\(detector\\) predicts boxes") as caught:
        config.resolve(given)
    assert "predict labels" not in str(caught.value)


def test_a_mapping_of_labels_is_completed() -> None:
    data = {"path": "x", "label": {"columns": ["a", "b"]}}
    whole = config.resolve({**SMALL, "competition": "folder", "data": data})
    label = {"table": "meta.csv", "column": None, "columns": ["a", "b"], "exclusive": False}
    assert whole["data"]["label"] == label
    assert config.resolve(whole) == whole


def boxed(**changes: Any) -> dict[str, Any]:
    """Give a recipe of boxes, with labels in a column of meta.csv, and without masks."""
    stage = {"loss": {"box": 1}, "epochs": 1}
    return {
        "run": "boxed",
        "competition": "folder",
        "data": {"path": "x", "masks": False, "boxes": "boxes.csv", "label": "view"},
        "stages": {"box": stage | changes.pop("stage", {})},
        "models": {"net": {"stages": ["box"], "architecture": {"name": "detector"}}},
        **changes,
    }


@pytest.mark.parametrize(
    ("data", "columns"),
    [
        ({}, ["boxes", "view"]),
        ({"label": None}, ["boxes"]),
        ({"label": {"column": "view"}}, ["boxes", "view"]),
        ({"label": {"column": "view", "table": "views.csv"}}, ["boxes"]),
        ({"label": {"columns": ["a", "b"]}}, ["boxes"]),
        ({"masks": True}, ["coverage"]),
    ],
)
def test_folds_without_masks_are_balanced_by_what_there_is(
    data: dict[str, Any], columns: list[str]
) -> None:
    given = boxed(folds={"base": {"count": 3}})
    given["data"] |= data
    whole = config.resolve(given)
    assert whole["folds"]["base"]["stratify"] == columns
    assert config.resolve(whole) == whole
    del given["folds"]
    assert config.resolve(given)["folds"]["base"]["stratify"] == columns
    given["folds"] = {"base": {"stratify": ["place"]}}
    assert config.resolve(given)["folds"]["base"]["stratify"] == ["place"]


@pytest.mark.parametrize(
    ("key", "changes"),
    [
        ("folds.base.stratify", {"folds": {"base": {"stratify": ["boxes", "coverage"]}}}),
        ("folds.base.stratify", {"folds": {"base": {"stratify": ["empty"]}}}),
        ("folds.base.first_fold_by", {"folds": {"base": {"first_fold_by": "coverage"}}}),
        ("folds.base.group", {"folds": {"base": {"group": "empty"}}}),
        ("stages.box.images.empty", {"stage": {"images": {"empty": False}}}),
        ("stages.box.images.min_area", {"stage": {"images": {"min_area": 3}}}),
        ("stages.box.images.vertical", {"stage": {"images": {"vertical": 0}}}),
        ("stages.box.crop.positive", {"stage": {"crop": {"size": 32, "positive": 0.5}}}),
        ("stages.box.blackout", {"stage": {"blackout": 0.1}}),
        ("stages.box.sampler.name", {"stage": {"sampler": {"name": "balanced"}}}),
        ("decision.steps.holes", {"decision": {"steps": {"holes": None}}}),
        ("decision.space.min_area", {"decision": {"space": {"min_area": [0, 5]}}}),
        ("blend.weights", {"blend": {"weights": {"net": 2}}}),
        ("blend.search", {"blend": {"search": False}}),
        ("blend.mean", {"blend": {"mean": "logit"}}),
        ("blend.external.other", {"blend": {"external": {"other": {"oof": "a", "test": "b"}}}}),
        ("pseudo.rule", {"pseudo": {"rounds": 1, "rule": "labels"}}),
        ("pseudo.rule", {"pseudo": {"rounds": 1, "rule": "halves"}}),
        ("adversarial.enabled", {"adversarial": {"enabled": True}}),
    ],
)
def test_what_asks_for_masks_is_refused_where_there_are_none(
    key: str, changes: dict[str, Any]
) -> None:
    with pytest.raises(InputError, match=rf"{re.escape(key)}: .*there are no masks.*;"):
        config.resolve(boxed(**changes))


def test_what_works_without_masks_is_let_through() -> None:
    stage = {"images": {"black": False}, "crop": {"size": 32, "dark": 0.5}}
    whole = config.resolve(boxed(stage=stage, pseudo={"rounds": 1, "rule": "everything"}))
    assert outputs.models_of(whole) == {"boxes": ["net"]}


@pytest.mark.parametrize(
    "data", [{"boxes": "boxes.csv"}, {"boxes": "from_masks"}, {"masks": False, "label": "view"}]
)
@pytest.mark.parametrize("competition", ["salt", "steel"])
def test_boxes_are_for_folders_alone(competition: str, data: dict[str, Any]) -> None:
    given = {**SMALL, "competition": competition, "data": {"path": "x", **data}}
    key, value = next(iter(data.items()))
    words = f"data.{key}: {json.dumps(value)} is for the layout of folder only; leave it out"
    with pytest.raises(InputError, match=re.escape(words)):
        config.resolve(given)


def test_sections_of_a_valid_config_are_checked_again_only_where_they_changed() -> None:
    base = config.resolve(SMALL)
    assert config.resolve(base, valid=base) == base
    wrong = copy.deepcopy(base)
    wrong["decision"]["bootstrap"] = "many"
    wrong["folds"]["base"]["count"] = 1
    with pytest.raises(InputError, match=r"(?s)decision.bootstrap.*folds.base.count"):
        config.resolve(wrong, valid=base)
    wrong = {**copy.deepcopy(base), "unknown": 1}
    with pytest.raises(InputError, match="unknown"):
        config.resolve(wrong, valid=base)


def test_a_run_decides_on_what_it_names() -> None:
    given = changed("data/boxes", "boxes.csv")
    given |= {"competition": "folder", "outputs": ["boxes"]}
    given["data"]["label"] = "view"
    given["stages"]["box"] = {"loss": {"box": 1}, "epochs": 1}
    given["models"]["net"]["architecture"]["label_head"] = True
    given["channels"] = {"base": {"resize_mode": "resize"}}
    given["models"]["finder"] = {"stages": ["box"], "architecture": {"name": "detector"}}
    with pytest.raises(InputError, match=r"net.*predicts none of boxes, on which the run decides"):
        config.resolve(given)
    given["outputs"] = ["labels", "boxes"]
    expected = {"labels": ["net"], "boxes": ["finder"]}
    assert outputs.models_of(config.resolve(given)) == expected
    given["outputs"] = None
    assert outputs.models_of(config.resolve(given)) == {"masks": ["net"], **expected}
    given["outputs"], given["data"]["boxes"] = ["labels", "boxes"], None
    del given["models"]["finder"], given["stages"]["box"]
    with pytest.raises(InputError, match="outputs: boxes: no model predicts them"):
        config.resolve(given)


@pytest.mark.parametrize("named", [["masks"], ["masks", "labels", "boxes"]])
def test_what_a_competition_has_no_form_for_is_not_decided_on(named: list[str]) -> None:
    """The submission of such masks would fail, when all is trained."""
    given = changed("data/masks", "from_boxes")
    given |= {"competition": "chest", "outputs": named}
    given["models"]["net"]["architecture"]["label_head"] = True
    with pytest.raises(InputError, match="outputs: masks: the competition asks for labels and"):
        config.resolve(given)


def test_a_competition_may_say_what_is_decided(monkeypatch: pytest.MonkeyPatch) -> None:
    constant = registry.constant
    asked = {"OUTPUTS": ("boxes", "labels")}
    monkeypatch.setattr(
        registry,
        "constant",
        lambda module, name, *default: asked.get(name, constant(module, name, *default)),
    )
    assert outputs.decided({"outputs": None, "competition": "folder"}) == ["labels", "boxes"]
    assert outputs.decided({"outputs": ["masks"], "competition": "folder"}) == ["masks"]


CHEST: dict[str, Any] = {
    "run": "chest",
    "competition": "chest",
    "data": {"path": "somewhere"},
    "channels": {"base": {"resize_mode": "resize"}},
    "stages": {"one": {"loss": {"bce": 1}, "epochs": 1}, "box": {"loss": {"box": 1}, "epochs": 1}},
    "models": {
        "net": {"stages": ["one"], "architecture": {"name": "classifier"}},
        "finder": {"stages": ["box"], "architecture": {"name": "detector"}},
    },
}


def of_chest(**data: Any) -> dict[str, Any]:
    return {**copy.deepcopy(CHEST), "data": {"path": "somewhere", **data}}


def test_a_competition_whose_tables_hold_labels_and_boxes_has_defaults_of_its_own() -> None:
    whole = config.resolve(of_chest())
    assert config.resolve(whole) == whole
    assert whole["data"]["masks"] is False
    assert whole["folds"]["base"]["group"] == "patient"
    assert whole["folds"]["base"]["stratify"] == ["class", "boxes"]
    assert outputs.models_of(whole) == {"labels": ["net"], "boxes": ["finder"]}
    given = of_chest(masks="from_boxes", box_masks="bright", truth="truth.csv")
    given["folds"] = {"base": {"group": None, "stratify": ["boxes"]}}
    whole = config.resolve(given)
    assert whole["data"]["masks"] == "from_boxes"
    assert (whole["folds"]["base"]["group"], whole["folds"]["base"]["stratify"]) == (
        None,
        ["boxes"],
    )
    assert outputs.models_of(whole) == {"labels": ["net"], "boxes": ["finder"]}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("label", "view"),
        ("boxes", "boxes.csv"),
        ("box_classes", ["opacity"]),
        ("classes", {"lung": 255}),
        ("ignore", 3),
        ("boxes_missing", "unknown"),
        ("masks", True),
    ],
)
def test_what_the_tables_of_a_competition_say_is_not_asked(key: str, value: Any) -> None:
    with pytest.raises(InputError, match=rf"data\.{key}: .*'chest'"):
        config.resolve(of_chest(**{key: value}))


@pytest.mark.parametrize(("key", "value"), [("siblings", "drop"), ("sizes", "sizes.csv")])
def test_keys_of_studies_are_refused_where_there_are_none(key: str, value: str) -> None:
    with pytest.raises(InputError, match=rf"data\.{key}: it is for competitions with studies"):
        config.resolve(changed(f"data/{key}", value))
    assert config.resolve(of_chest(**{key: value}))["data"][key] == value


def test_how_boxes_become_masks_is_asked_only_where_they_do() -> None:
    with pytest.raises(InputError, match=r"data\.box_masks: bright: .*see data\.masks"):
        config.resolve(of_chest(box_masks="bright"))


def test_masks_that_only_teach_have_no_decision() -> None:
    given = changed("data/label", "view") | {"competition": "folder", "outputs": ["labels"]}
    given["models"]["net"]["architecture"]["label_head"] = True
    config.resolve(given)
    given["decision"] = {"steps": {"holes": {}}}
    given["blend"] = {"mean": "logit", "external": {"x": {"oof": "o.h5", "test": "t.h5"}}}
    with pytest.raises(InputError) as caught:
        config.resolve(given)
    for key in ("decision.steps.holes", "blend.external.x", "blend.mean"):
        assert f"{key}: the run does not decide on masks (outputs)" in str(caught.value)
