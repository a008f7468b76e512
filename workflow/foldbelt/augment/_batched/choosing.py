"""Which transforms of a pipeline a sample gets: ``p``, ``OneOf``, ``SomeOf``, ``Sequential``."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from foldbelt.augment._batched.drawing import Stream

CHOICES = ("OneOf", "Sequential", "SomeOf")
"""What may hold other transforms."""


@dataclass(frozen=True)
class Node:
    """A transform, or one of `CHOICES`.

    Attributes
    ----------
    name
        As in the config.
    p
        Probability that it is applied.
    transform
        Albumentations' own, with its arguments checked.
    members
        What a choice chooses from.
    """

    name: str
    p: float
    transform: Any
    members: Sequence["Node"] = ()

    @property
    def chooses(self) -> bool:
        """Whether it is one of `CHOICES`; one that may choose a member twice is none."""
        return self.name in CHOICES and not getattr(self.transform, "replace", False)


def tree(transforms: Sequence[Any], first: Mapping[str, Any]) -> list[Node]:
    """Read what albumentations has built.

    Parameters
    ----------
    transforms
        Albumentations' transforms.
    first
        Names of transforms that go before others among the members of a ``OneOf``, of which a
        sample gets one only: so that fewer passes are needed.
    """
    nodes = []
    for transform in transforms:
        members = tree(getattr(transform, "transforms", ()), first)
        name = type(transform).__name__
        if name == "OneOf":
            members.sort(key=lambda node: node.name not in first)
        nodes.append(Node(name, float(transform.p), transform, members))
    return nodes


def leaves(nodes: Sequence[Node]) -> Iterator[Node]:
    """Give the transforms of a pipeline in order, without the choices."""
    for node in nodes:
        if node.chooses:
            yield from leaves(node.members)
        else:
            yield node


def chosen(nodes: Sequence[Node], stream: Stream) -> list[np.ndarray]:
    """Draw which transforms each sample gets.

    Parameters
    ----------
    nodes
        From `tree`.
    stream
        Decides.

    Returns
    -------
    list of (N,) bool arrays
        One for each of `leaves`, in their order.
    """
    return list(_chosen(nodes, stream, np.ones(stream.samples, bool)))


def _chosen(
    nodes: Sequence[Node], stream: Stream, given: np.ndarray, forced: bool = False
) -> Iterator[np.ndarray]:
    for node in nodes:
        drawn = stream.take(1)[:, 0] < node.p
        on = given if forced else given & drawn
        if not node.chooses:
            yield on
        elif node.name == "OneOf" and node.members:
            # Members' `p` are their shares, and the one that is chosen is applied for certain.
            shares = np.cumsum([member.p for member in node.members])
            places = np.searchsorted(shares / shares[-1], stream.take(1)[:, 0], side="right")
            for place, member in enumerate(node.members):
                yield from _chosen([member], stream, on & (places == place), forced=True)
        elif node.name == "SomeOf":
            ranks = stream.take(len(node.members)).argsort(axis=1).argsort(axis=1)
            for place, member in enumerate(node.members):
                yield from _chosen([member], stream, on & (ranks[:, place] < node.transform.n))
        else:
            yield from _chosen(node.members, stream, on)
