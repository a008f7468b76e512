"""Which image labels exclude each other: groups of which one label holds, and independent labels.

Data files, weights and predictions say it alike: ``exclusive_labels: true`` where all labels are
one group, ``label_groups``, lists of names, where some are. Only the standard library is imported,
since a config is checked by this, too.
"""

from collections.abc import Mapping, Sequence
from typing import Any

Groups = Sequence[Sequence[str]]


def groups_of(attrs: Mapping[str, Any]) -> list[list[str]]:
    """Give the groups that a file's attributes or metadata tell, by the labels' names.

    Examples
    --------
    >>> groups_of({"label_names": ["front", "back"], "exclusive_labels": True})
    [['front', 'back']]
    >>> groups_of({"label_names": ["a", "b", "c"], "label_groups": [["a", "b"]]})
    [['a', 'b']]
    >>> groups_of({"label_names": ["a", "b"]})
    []
    """
    if attrs.get("exclusive_labels", False):
        return [list(attrs["label_names"])]
    return [list(group) for group in attrs.get("label_groups", [])]


def told(names: Sequence[str], groups: Groups) -> dict[str, Any]:
    """Give the attributes that tell the groups of some labels; none where there are no groups.

    Examples
    --------
    >>> told(["a", "b"], [["a", "b"]]), told(["a", "b", "c"], [["a", "b"]]), told(["a"], [])
    ({'exclusive_labels': True}, {'label_groups': [['a', 'b']]}, {})
    """
    if [set(group) for group in groups] == [set(names)]:
        return {"exclusive_labels": True}
    return {"label_groups": [list(group) for group in groups]} if groups else {}


def places(chosen: Sequence[str], groups: Groups) -> list[list[int]]:
    """Give where the members of each group stand among some labels, groups of two or more only.

    A single member of a group is as independent as others: it holds or it does not.

    Examples
    --------
    >>> places(["none", "b", "a"], [["a", "b", "c"], ["none", "some"]])
    [[1, 2]]
    """
    found = [
        [place for place, name in enumerate(chosen) if name in group] for group in map(set, groups)
    ]
    return [group for group in found if len(group) > 1]


def are_one_group(chosen: Sequence[str], groups: Groups) -> bool:
    """Tell whether all of some labels are of one group.

    Examples
    --------
    >>> are_one_group(["a", "b"], [["a", "b", "c"]]), are_one_group(["a", "x"], [["a", "b", "c"]])
    (True, False)
    """
    return any(set(chosen) <= set(group) for group in groups)
