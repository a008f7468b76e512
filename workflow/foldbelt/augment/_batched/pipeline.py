"""A pipeline of transforms in batched form."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from foldbelt.augment import _transforms
from foldbelt.augment._batched import blurs, boxes, choosing, grey, holes
from foldbelt.augment._batched.distortions import MOVES
from foldbelt.augment._batched.drawing import Stream, uniforms
from foldbelt.augment._batched.moves import Move, Turn
from foldbelt.augment._batched.turning import Turning
from foldbelt.augment._batched.warping import Warping
from foldbelt.files import InputError

TOUCHES = grey.TOUCHES | blurs.TOUCHES | holes.TOUCHES
NAMES = tuple(sorted([*MOVES, *TOUCHES, *choosing.CHOICES]))
"""All that has a batched form."""

_Pass = Warping | Turning | grey.Touch


class BatchedAugment:
    """A pipeline for batches of images, their mask planes and boxes.

    Transforms come in the order of the config. Neighbours that move pixels share one resampling.

    Parameters
    ----------
    spec, size, names, visible
        As for :class:`foldbelt.augment.Augment`, which also finds what is wrong with arguments.

    Raises
    ------
    InputError
        Listing all transforms and arguments that have no batched form.
    """

    def __init__(
        self,
        spec: Sequence[Mapping[str, Any]],
        size: tuple[int, int],
        names: Sequence[str],
        visible: float | None = None,
    ) -> None:
        self.size, self.visible = size, visible
        self.images = _transforms.images_of(names)
        self.others = [c for c in range(len(names)) if c not in self.images]
        self.nodes = choosing.tree(_transforms.build(spec), MOVES)
        self.members = list(choosing.leaves(self.nodes))
        self.passes = self._passes()
        self.columns: list[slice] = []
        stream = Stream()
        self._drawn(stream)
        self.count = stream.taken

    def draw(self, seeds: Sequence[int]) -> np.ndarray:
        """Draw the parameters of samples.

        Parameters
        ----------
        seeds
            Of each sample; equal ones are augmented alike.

        Returns
        -------
        (N,D) float64 array
            To be given to a call.
        """
        return self._drawn(Stream(uniforms(seeds, self.count)))

    def __call__(
        self,
        drawn: torch.Tensor,
        x: torch.Tensor,
        target: torch.Tensor,
        box: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
        """Augment a batch on the device where it is.

        Parameters
        ----------
        drawn
            (N,D) from `draw`, on the host.
        x
            (N,H,W,C) u8.
        target
            (N,H,W,P) u8 of 0/1.
        box
            (N,M,5) f32: class, x1, y1, x2, y2; classes below 0 are none.

        Returns
        -------
        x, target, box
            As they came in, shapes and types included. A box of which too little is left has the
            class -1.
        """
        table = drawn.to(x.device, torch.float32, non_blocking=True)
        planes, masks = (each.permute(0, 3, 1, 2) for each in (x, target))
        # No transform may change what was given, and few work on channels that come last.
        out, masks = (each.clone(memory_format=torch.contiguous_format) for each in (planes, masks))
        for step, columns in zip(self.passes, self.columns, strict=True):
            given = (table[:, columns], drawn[:, columns])
            if not isinstance(step, Turning):
                out = out.to(torch.float32)
            out, masks = step.apply(out, masks, *given)
            if box is not None and isinstance(step, Turning):
                box = step.boxes(box, given[0])
            elif box is not None and isinstance(step, Warping):
                assert self.visible is not None
                box = boxes.moved(box, step, *given, self.visible)
        changed = out.round_().to(torch.uint8) if out.is_floating_point() else out
        for channel in self.others:
            plane = planes[:, channel]
            same = (plane == plane[:, :1, :1]).flatten(1).all(dim=1)[:, None, None]
            changed[:, channel] = torch.where(same, plane, changed[:, channel])
        return changed.permute(0, 2, 3, 1), masks.permute(0, 2, 3, 1), box

    def _passes(self) -> list[_Pass]:
        """Build the transforms; neighbours that move pixels make one pass."""
        problems: list[str] = []
        built: list[Move | grey.Touch] = []
        for node in self.members:
            why = self._refusal(node)
            if not why:
                built.append(self._built(node))
                why = built[-1].unusable()
            if why:
                problems.append(f"  {node.name}: {why}")
        if problems:
            title = "augment: what has no batched form takes augment_on: host, or must be left out:"
            known = f"These have one: {', '.join(NAMES)}."
            raise InputError("\n".join([title, *problems, known]))
        passes: list[_Pass] = []
        for kind, group in itertools.groupby(built, _kind):
            if kind == "touch":
                passes += [each for each in group if isinstance(each, grey.Touch)]
            else:
                moves = [each for each in group if isinstance(each, Move)]
                alone = all(isinstance(move, Turn) for move in moves)
                passes.append((Turning if alone else Warping)(moves, self.size))
        return passes

    def _built(self, node: choosing.Node) -> Move | grey.Touch:
        if node.name in MOVES:
            return MOVES[node.name](node.transform, self.size)
        return TOUCHES[node.name](node.transform, self.size, self.images)

    def _refusal(self, node: choosing.Node) -> str:
        """Say what keeps a transform from having a batched form here; empty if nothing does."""
        given = node.transform
        if node.name == "SomeOf":
            return "replace: true has none"
        if node.name not in NAMES:
            return "has none"
        if self.visible is None:
            return ""
        if node.name in holes.TOUCHES:
            return "has none for boxes, which holes cut"
        if getattr(given, "border_mode", 0) in (2, 4):
            return f"border_mode: {given.border_mode} has none for boxes, which it mirrors"
        if getattr(given, "rotate_method", "largest_box") != "largest_box":
            return f"rotate_method: {given.rotate_method} has none for boxes"
        return ""

    def _drawn(self, stream: Stream) -> np.ndarray:
        active = choosing.chosen(self.nodes, stream)
        parts, self.columns = [], []
        for step in self.passes:
            if isinstance(step, Warping | Turning):
                mine, active = active[: len(step.moves)], active[len(step.moves) :]
                parts.append(step.draw(stream, mine))
            else:
                parts.append(step.draw(stream, active.pop(0)))
            start = self.columns[-1].stop if self.columns else 0
            self.columns.append(slice(start, start + parts[-1].shape[1]))
        return np.concatenate(parts, axis=1) if parts else np.zeros((stream.samples, 0))


def _kind(built: Move | grey.Touch) -> str:
    """Say which transforms may share a pass with one."""
    if isinstance(built, grey.Touch):
        return "touch"
    return "nearest" if built.nearest else "linear"
