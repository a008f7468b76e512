"""The blend of a bundle's networks as one module of torch: images in, probabilities out.

It does what prediction and blend do in the workflow, but for their rounding to u8 in between. All
that depends on sizes is laid down when it is built; only the number of images is free. Views and
windows of an image are one batch, so that a network stands once in what is exported.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from foldbelt.predict.predictor import VIEWS
from foldbelt.predict.windows import Windows
from foldbelt.search.means import LEAST_LABEL, Mean

MASKS, LABELS = "masks", "labels"
_LEAST = 0.5 / 255  # where logarithms of masks end, as in `search.means`


class Block(NamedTuple):
    """Labels that are averaged alike.

    Attributes
    ----------
    labels
        Their places among all.
    weights
        Of all members.
    mean
        What is averaged.
    exclusive
        Whether they exclude each other, so that they have to sum to 1.
    """

    labels: list[int]
    weights: list[float]
    mean: Mean
    exclusive: bool


class Member(nn.Module):
    """A member of the blend: the mean of its folds' networks, each the mean of its views.

    Parameters
    ----------
    networks
        One a fold.
    scale, offset
        Of its channels: a network sees x · scale + offset.
    views
        Names in `foldbelt.predict.predictor.VIEWS`.
    size
        (H, W) of its channels.
    sizes
        (H, W) at which images are predicted.
    windows
        Windows in which they are; None for whole images.
    crop
        Rows and columns of the network's input that are the image; None takes all.
    outputs
        Which of `MASKS` and `LABELS` are wanted of the networks.
    labels
        Places of the labels that they predict among all, in their order.
    channels
        What makes channels of images; None where these are given.
    """

    scale: Tensor
    offset: Tensor

    def __init__(
        self,
        networks: Sequence[nn.Module],
        scale: Sequence[float],
        offset: Sequence[float],
        *,
        views: Sequence[str],
        size: tuple[int, int],
        sizes: Sequence[tuple[int, int]],
        windows: Windows | None,
        crop: tuple[slice, slice] | None,
        outputs: Sequence[str],
        labels: Sequence[int],
        channels: nn.Module | None,
    ) -> None:
        super().__init__()
        self.networks, self.channels = nn.ModuleList(networks), channels
        self.views, self.size, self.sizes = list(views), size, list(sizes)
        self.windows, self.crop = windows, crop
        self.outputs, self.labels = list(outputs), list(labels)
        self.groups = list(getattr(getattr(networks[0], "label", None), "groups", ()))
        for name, values in (("scale", scale), ("offset", offset)):
            numbers = torch.tensor(list(values), dtype=torch.float32).reshape(1, -1, 1, 1)
            self.register_buffer(name, numbers)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Predict images, or channels where there is nothing that makes them, (N, H, W, C) u8.

        Gives probabilities of `MASKS` (N, K, h, w) and `LABELS` (N, L).
        """
        x = image if self.channels is None else self.channels(image)
        batch = x.permute(0, 3, 1, 2).to(torch.float32) * self.scale + self.offset
        given = [self._network(network, batch) for network in self.networks]
        means = {name: _mean([one[name] for one in given]) for name in self.outputs}
        if MASKS in means and self.crop is not None:
            means[MASKS] = means[MASKS][:, :, self.crop[0], self.crop[1]]
        return means

    def _network(self, network: nn.Module, batch: Tensor) -> dict[str, Tensor]:
        """Average what one network predicts of (N, C, H, W) at all sizes, in all views."""
        given: dict[str, list[Tensor]] = {name: [] for name in self.outputs}
        for size in self.sizes:
            turned = [VIEWS[view].do(_resized(batch, size)) for view in self.views]
            alike = len({tuple(view.shape[2:]) for view in turned}) == 1
            parts = (
                _divided(self._windows(network, torch.cat(turned)), len(turned))
                if alike
                else [self._windows(network, view) for view in turned]
            )
            for view, part in zip(self.views, parts, strict=True):
                if MASKS in part:
                    mask = VIEWS[view].undo(part[MASKS])
                    given[MASKS].append(_resized(mask, self.size))
                if LABELS in part:
                    given[LABELS].append(part[LABELS])
        return {name: _mean(parts) for name, parts in given.items()}

    def _windows(self, network: nn.Module, images: Tensor) -> dict[str, Tensor]:
        """Predict images (N, C, H, W) whole, or in windows."""
        if self.windows is None:
            return self._probabilities(network, images)
        height, width = int(images.shape[2]), int(images.shape[3])
        places = list(self.windows.of_image((height, width)))
        cut = torch.cat([images[:, :, rows, columns] for rows, columns, _ in places])
        parts = _divided(self._probabilities(network, cut), len(places))
        made = {}
        if MASKS in self.outputs:
            masks = []
            for (rows, columns, weight), part in zip(places, parts, strict=True):
                beside = (columns.start, width - columns.stop, rows.start, height - rows.stop)
                masks.append(functional.pad(part[MASKS] * torch.from_numpy(weight), beside))
            made[MASKS] = torch.stack(masks).sum(dim=0)
        if LABELS in self.outputs:
            largest = torch.stack([part[LABELS] for part in parts]).amax(dim=0)
            made[LABELS] = _shared(largest, self.groups)
        return made

    def _probabilities(self, network: nn.Module, images: Tensor) -> dict[str, Tensor]:
        logits = network(images)
        names = {MASKS: "mask", LABELS: "label"}
        return {name: torch.sigmoid(logits[names[name]].float()) for name in self.outputs}


class Blend(nn.Module):
    """The weighted mean of members, of masks and of labels.

    Parameters
    ----------
    members
        The members.
    weights
        Of the members in the masks; None where there are none.
    mean
        What of the masks is averaged.
    blocks
        How labels are averaged; none where there are none.
    """

    def __init__(
        self,
        members: Sequence[Member],
        weights: Sequence[float] | None,
        mean: Mean,
        blocks: Sequence[Block] = (),
    ) -> None:
        super().__init__()
        self.members, self.mean = nn.ModuleList(members), mean
        masked = [place for place, member in enumerate(members) if MASKS in member.outputs]
        self.shares = _counted(masked, weights) if weights is not None else {}
        self.columns = [member.labels if LABELS in member.outputs else [] for member in members]
        self.blocks = [
            (block, shares)
            for block in blocks
            if (shares := _counted([k for k, own in enumerate(self.columns)
                                    if set(block.labels) <= set(own)], block.weights))
        ]  # fmt: skip

    @property
    def outputs(self) -> list[str]:
        """Name what comes out."""
        return [MASKS] * bool(self.shares) + [LABELS] * bool(self.blocks)

    @property
    def labels(self) -> list[int]:
        """Places of the labels that come out, rising."""
        return sorted(label for block, _ in self.blocks for label in block.labels)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Predict images: probabilities of masks (N, h, w, K), then of labels (N, L), if any."""
        given = [member(image) for member in self.members]
        blended = self.blended(given)
        if MASKS in blended:
            blended[MASKS] = blended[MASKS].permute(0, 2, 3, 1)
        return tuple(blended.values())

    def blended(self, given: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
        """Average what members give."""
        made = {}
        if self.shares:
            masks = [given[place][MASKS] for place in self.shares]
            made[MASKS] = mixed(masks, list(self.shares.values()), self.mean, _LEAST)
        columns: dict[int, Tensor] = {}
        for block, shares in self.blocks:
            parts = [
                given[place][LABELS][:, [self.columns[place].index(k) for k in block.labels]]
                for place in shares
            ]
            mean = mixed(parts, list(shares.values()), block.mean, LEAST_LABEL)
            if block.exclusive and block.mean.mean != "probability":
                mean = mean / mean.sum(dim=1, keepdim=True)
            columns |= dict(zip(block.labels, mean.unbind(dim=1), strict=True))
        if columns:
            made[LABELS] = torch.stack([columns[label] for label in self.labels], dim=1)
        return made


def mixed(probs: Sequence[Tensor], weights: Sequence[float], mean: Mean, least: float) -> Tensor:
    """Average probabilities, as `foldbelt.search.means` does.

    Parameters
    ----------
    probs
        Of every member, of one shape.
    weights
        Above 0, with a sum of 1.
    mean
        What is averaged.
    least
        How near to 0 (and 1) probabilities count where logarithms are taken.
    """
    if len(probs) == 1:
        return probs[0]
    name, power = mean
    if name == "power":
        probs = [prob**power for prob in probs]
    elif name == "geometric":
        probs = [prob.clamp(min=least).log() for prob in probs]
    elif name == "logit":
        inside = [prob.clamp(least, 1 - least) for prob in probs]
        probs = [prob.log() - (1 - prob).log() for prob in inside]
    total = probs[0] * weights[0]
    for prob, weight in zip(probs[1:], weights[1:], strict=True):
        total = total + prob * weight
    if name == "power":
        return total ** (1 / power)
    if name == "geometric":
        return total.exp()
    return total.sigmoid() if name == "logit" else total


def _counted(places: Sequence[int], weights: Sequence[float]) -> dict[int, float]:
    """Give members, by place, shares of 1 after their weights; without any they count equally."""
    total = sum(weights[place] for place in places)
    if total <= 0:
        return {place: 1 / len(places) for place in places}
    return {place: weights[place] / total for place in places if weights[place] > 0}


def _mean(parts: Sequence[Tensor]) -> Tensor:
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total / len(parts) if len(parts) > 1 else total


def _divided(given: dict[str, Tensor], count: int) -> list[dict[str, Tensor]]:
    """Divide a batch into so many equal ones."""
    apart = {name: part.reshape(count, -1, *part.shape[1:]) for name, part in given.items()}
    return [{name: part[place] for name, part in apart.items()} for place in range(count)]


def _shared(labels: Tensor, groups: Sequence[Sequence[int]]) -> Tensor:
    """Make labels (N, L) that exclude each other shares of one again."""
    if not groups:
        return labels
    columns = list(labels.unbind(dim=1))
    for group in groups:
        total = torch.stack([columns[place] for place in group]).sum(dim=0)
        for place in group:
            columns[place] = labels[:, place] / total
    return torch.stack(columns, dim=1)


def _resized(batch: Tensor, size: tuple[int, int]) -> Tensor:
    """Bring (N, C, H, W) to a size, as prediction does."""
    if tuple(batch.shape[2:]) == tuple(size):
        return batch
    return functional.interpolate(batch, size, mode="bilinear", antialias=True)
