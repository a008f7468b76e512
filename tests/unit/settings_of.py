"""Settings as the config has them: what a test does not say is the schema's default."""

from typing import Any

from foldbelt.config.resolving import load_schema
from foldbelt.decide import DecisionSettings
from foldbelt.ensemble.settings import BlendSettings

SCHEMA = load_schema()["$defs"]


def complete(section: str, given: dict[str, Any]) -> dict[str, Any]:
    """Fill in the defaults of a section's own keys."""
    keys = SCHEMA[section]["properties"].items()
    return {name: key["default"] for name, key in keys if "default" in key} | given


def decision_settings(given: dict[str, Any]) -> DecisionSettings:
    """Read a part of the config's ``decision``."""
    return DecisionSettings.of(complete("decision", given))


def blend_settings(given: dict[str, Any]) -> BlendSettings:
    """Read a part of the config's ``blend``."""
    return BlendSettings.of(complete("blend", given))
