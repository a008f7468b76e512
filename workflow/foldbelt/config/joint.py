"""Whether a run decides labels and boxes together, and predictions of them made elsewhere.

Runs whenever the Snakefile is parsed, so nothing heavy is imported here.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from foldbelt import registry
from foldbelt.config import outputs
from foldbelt.files import Problem
from foldbelt.registry import suggest

Config = Mapping[str, Any]
_OUTPUTS = ("labels", "boxes")


def default(config: Config) -> dict[str, Any] | None:
    """Give what a competition says of ``joint``, where the config says nothing.

    Parameters
    ----------
    config
        With all its defaults but this.

    Returns
    -------
    dict or None
        The constant ``JOINT`` of its package; None if it has none, or no model predicts labels.
    """
    given = registry.constant(registry.competition(config["competition"]), "JOINT")
    return given if given is not None and "labels" in outputs.models_of(config) else None


def classes(config: Config) -> list[str] | None:
    """Name the classes whose mean a joint decision maximises; None: all that are predicted.

    A competition says so by the constant ``CLASSES`` of its package.
    """
    named = registry.constant(registry.competition(config["competition"]), "CLASSES")
    return None if named is None else list(named)


def problems(config: Config) -> Iterator[Problem]:
    """Yield what keeps labels and boxes from being decided together, or with what others predict.

    Parameters
    ----------
    config
        With all its defaults, its architectures known.

    Yields
    ------
    Problem
        The key, and what is wrong with it.
    """
    found, joint = outputs.models_of(config), config["joint"]
    if joint is not None and "labels" not in found:
        reason = "the run does not decide on labels, of which one says that nothing is there; "
        yield Problem("joint", f"{reason}set it to null")
    elif joint is not None:
        yield from _roles(joint, outputs.labels_of(config))
        yield from _box(joint["box"], outputs.boxes_of(config))
    for output in _OUTPUTS:
        yield from _external(output, config, found.get(output, []))


def _roles(joint: Config, names: list[str] | None) -> Iterator[Problem]:
    """Yield labels that are not there, where their names are known before the data are."""
    for key in ("none", "negative"):
        label = joint[key]
        if names is not None and label is not None and label not in names:
            yield Problem(f"joint.{key}", f"no label {label!r}{suggest(label, names)}")
    if joint["none"] == joint["negative"]:
        reason = f"{joint['none']}: joint.none is the same label; take null"
        yield Problem("joint.negative", reason)
    shares = joint["none_mix"]
    if min(shares["negative"]) + min(shares["absence"]) > 1:
        reason = "the least shares of negative and absence sum to more than 1; lower them"
        yield Problem("joint.none_mix", reason)


def _box(name: str | None, names: list[str] | None) -> Iterator[Problem]:
    """Yield a class of boxes that is not there, where the classes are known before the data are."""
    if name is not None and names is not None and name not in names:
        yield Problem("joint.box", f"no class of boxes {name!r}{suggest(name, names)}")


def _external(output: str, config: Config, models: list[str]) -> Iterator[Problem]:
    """Yield what is wrong with predictions of an output made elsewhere, and with weights."""
    section = config[output]
    external, weights = section["external"], section["weights"]
    if external and not models:
        reason = (
            f"no model of the run predicts {output}, so nothing is blended with it; leave it out"
        )
        for name in external:
            yield Problem(f"{output}.external.{name}", reason)
    scored = [name for name, files in external.items() if files["oof"] is not None]
    for name, files in external.items():
        where = f"{output}.external.{name}"
        if name in config["models"]:
            yield Problem(where, "a model has this name; take another")
        if name not in scored and files["weight"] is None:
            reason = (
                "without `oof` nobody can weigh it; give its share of the test blend (`weight`)"
            )
            yield Problem(where, reason)
        elif name in scored and files["weight"] is not None:
            reason = (
                f"with `oof` it is weighed like any member; leave it out, or see {output}.weights"
            )
            yield Problem(f"{where}.weight", reason)
    taken = sum(files["weight"] or 0 for name, files in external.items() if name not in scored)
    if taken >= 1:
        reason = (
            f"the weights of those without `oof` sum to {taken:g}, which leaves the others nothing"
        )
        yield Problem(f"{output}.external", f"{reason}; lower them")
    if isinstance(weights, Mapping):
        members = [*models, *scored]
        snapshots = [name for name in weights if name.partition(".s")[0] in models]
        for name in (n for n in weights if n not in members and n not in snapshots):
            yield Problem(f"{output}.weights.{name}", "no such member" + suggest(name, members))
        if members and not any(weights.get(name, 1) for name in members):
            yield Problem(f"{output}.weights", "all members weigh 0; raise one")
