"""The table of rules: each decides some keys of a recipe from what was found, and says why.

A rule is a function in a module of `foldbelt.init.rules`, with the decorator `rule`. It is given
the facts and the keys chosen before it, and yields choices. The order of the modules and of the
functions in them is that of the recipe. docs/init.md is made of what they say of themselves.
"""

import importlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from foldbelt.init.facts import Facts

MODULES = ("data", "sight", "splitting", "training", "network", "deciding")
"""Of `foldbelt.init.rules`, in the order of the recipe."""


class Choice(NamedTuple):
    """One line of a recipe.

    Parameters
    ----------
    key
        Its path, such as ``stages.base.crop``.
    value
        As in YAML; a list of `Item` is written one item a line.
    reason
        Why, with the figure that it came from. "" for a line that needs none.
    asks
        What cannot be told from the data: a question, or when to choose otherwise.
    """

    key: str
    value: Any
    reason: str = ""
    asks: str = ""


class Item(NamedTuple):
    """One item of a list that has a line of its own; with `off`, it is only a proposal."""

    value: Any
    reason: str
    off: bool = False


Chosen = Mapping[str, Any]
"""Key → value of all lines before."""
Decide = Callable[[Facts, Chosen], Iterable[Choice]]


class Rule(NamedTuple):
    """A rule.

    Parameters
    ----------
    name
        Of the function.
    keys
        What it decides, as docs/init.md says it.
    says
        The rule itself, in words.
    source
        Where it comes from.
    decide
        The function.
    """

    name: str
    keys: str
    says: str
    source: str
    decide: Decide


_RULES: dict[str, list[Rule]] = {}


def rule(keys: str, source: str) -> Callable[[Decide], Decide]:
    """Enter a function into the table; its docstring is what the rule says."""

    def enter(decide: Decide) -> Decide:
        says = " ".join((decide.__doc__ or "").split())
        made = Rule(decide.__name__, keys, says, source, decide)
        _RULES.setdefault(decide.__module__.rsplit(".", 1)[1], []).append(made)
        return decide

    return enter


def rules() -> list[Rule]:
    """Give all rules in their order."""
    for name in MODULES:
        importlib.import_module(f"foldbelt.init.rules.{name}")
    return [made for name in MODULES for made in _RULES[name]]


def decide(facts: Facts, first: Iterable[Choice] = ()) -> list[Choice]:
    """Apply all rules to what was found.

    Parameters
    ----------
    facts
        What was found.
    first
        Lines that stand before all others, such as the name of the run.

    Raises
    ------
    ValueError
        If two rules decide the same key.
    """
    made = list(first)
    chosen = {choice.key: choice.value for choice in made}
    for each in rules():
        for choice in each.decide(facts, chosen):
            if choice.key in chosen:
                raise ValueError(f"the rule {each.name} decides {choice.key}, which is decided")
            made.append(choice)
            chosen[choice.key] = choice.value
    return made


def plain(value: Any) -> Any:
    """Give a value without the lines that are only proposals."""
    if isinstance(value, list) and any(isinstance(item, Item) for item in value):
        return [item.value for item in value if not item.off]
    return value


def nested(choices: Iterable[Choice]) -> dict[str, Any]:
    """Give a recipe as a mapping of mappings."""
    whole: dict[str, Any] = {}
    for choice in choices:
        place = whole
        *path, last = choice.key.split(".")
        for part in path:
            place = place.setdefault(part, {})
        place[last] = plain(choice.value)
    return whole
