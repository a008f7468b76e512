"""Whether the tiny recipes, together, use every value that the schema allows."""

import json
from typing import Any

from switches import IMPOSSIBLE, RECIPES, SET, allowed, default, recipe, used

from foldbelt import config
from foldbelt.config import variants

NAMES = [name for name in RECIPES if name != "base"]


def _missing() -> list[tuple[str, Any]]:
    given = [recipe(name) for name in NAMES]
    whole = given + [config.resolve(each) for each in given]
    missing = []
    for key, value in allowed():
        found = [one for each in whole for one in used(each, key)]
        if value is SET:
            done = any(one != default(key) for one in found)
        else:
            done = any(type(one) is type(value) and one == value for one in found)
            if key.endswith("architecture.name"):
                done = done or any(str(one).startswith(f"{value}/") for one in found)
        if not done and (key, value) not in IMPOSSIBLE:
            missing.append((key, value))
    return missing


def test_every_value_that_the_schema_allows_is_used_by_a_recipe() -> None:
    missing = _missing()
    assert not missing, "\n".join(f"{key}: {value}" for key, value in missing)


def test_there_are_at_most_twelve_of_them_and_each_is_valid() -> None:
    assert len(NAMES) <= 12
    for name in NAMES:
        variants.expand(config.resolve(recipe(name)))


def test_the_enumeration_knows_enums_booleans_nulls_numbers_and_members() -> None:
    found = {(key, json.dumps(value)) for key, value in allowed()}
    assert ("stages.*.select", '"best"') in found
    assert ("models.*.architecture.scse", "true") in found
    assert ("stages.*.ema", "null") in found
    assert ("stages.*.epochs", json.dumps(SET)) in found
    assert ("stages.*.loss.lovasz.margin", json.dumps(SET)) in found
    assert ("data.synthetic.sections", json.dumps(SET)) in found
    assert ("blend.external.*.oof", json.dumps(SET)) in found
    assert ("predict.tta", '"vflip"') in found
