"""Things that a stage names: the one place that looks a name up in a table."""

from collections.abc import Mapping
from typing import Any, TypeVar

from foldbelt.files import InputError

T = TypeVar("T")


def look_up(key: str, table: Mapping[str, T], spec: Mapping[str, Any]) -> tuple[T, dict[str, Any]]:
    """Find what a part of a stage's config names, and the settings that go with it.

    Parameters
    ----------
    key
        The part's key in the config, for the message.
    table
        What there is, by name.
    spec
        ``{name: …, setting: value, …}``; settings of null are left out.

    Returns
    -------
    entry, settings

    Raises
    ------
    InputError
        If the table has no such name.
    """
    if spec["name"] not in table:
        raise InputError(
            f"{key}: {spec['name']!r} is unknown. There are {', '.join(sorted(table))}."
        )
    settings = {name: value for name, value in spec.items() if name != "name" and value is not None}
    return table[spec["name"]], settings
