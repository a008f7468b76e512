"""What the config allows, a bundle of it may hold: none is refused for what its run was told."""

import pytest
import yaml
from switches import RECIPES, recipe

from foldbelt import config, provenance
from foldbelt.bundle import checking

CONFIGS = sorted((provenance.package().parents[1] / "config").glob("*.yaml"))
GIVEN = {name: recipe(name) for name in RECIPES if name != "base"}
GIVEN |= {
    path.stem: read
    for path in CONFIGS
    if {"models", "data"} <= (read := yaml.safe_load(path.read_text(encoding="utf-8"))).keys()
}


@pytest.mark.parametrize("name", GIVEN)
def test_recipes_fit(name: str) -> None:
    resolved = config.resolve(GIVEN[name])
    assert not list(checking.problems("recipe.json", resolved, checking.RECIPE))
    for model in resolved["models"].values():
        how = {**resolved["predict"], **(model.get("predict") or {})}
        assert not list(checking.of_predict("manifest.json", how))
    rules = {key: rule for key, rule in checking.CHANNELS.items() if key.startswith("recipe.")}
    for channels in resolved["channels"].values():
        assert not list(checking.problems("channels", {"recipe": channels}, rules))
