"""Image labels: where they come from, what they add to the loss, how they are judged."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from foldbelt import label_groups, registry, store
from foldbelt.config.stage_settings import Terms, weight_of
from foldbelt.files import InputError
from foldbelt.losses import build
from foldbelt.metrics.average_precision import average_precision as average_precision
from foldbelt.train.data import ImageSet
from foldbelt.train.data_source import Source

METRIC = "average_precision"
"""Name of the metric by which labels are judged where there are no masks."""


class LabelLoss(nn.Module):
    """The losses of image labels, over those that are known.

    To the modules of `foldbelt.losses`, a label is a mask of one pixel. Plain cross-entropy beside
    masks is left to torch's own kernel instead: the same value, but its gradient is rounded
    otherwise, and weights are to have the bytes that they always had.

    Parameters
    ----------
    terms
        Losses by name, as in the config. Beside masks, all of them may have the weight 0.
    main
        Whether the model predicts labels alone.
    """

    def __init__(self, terms: Terms, main: bool) -> None:
        super().__init__()
        weights = {name: weight_of(term) for name, term in terms.items()}
        plain = list(terms) == ["bce"] and _options(terms["bce"]) == set()
        self.weight = weights["bce"] if plain and not main else None
        self.taught = main or any(weights.values())
        self.terms = build(terms) if self.taught and self.weight is None else None
        # Labels that exclude each other are known together or not at all.
        modules = registry.modules("losses", terms, "loss")
        self.together = any(registry.constant(module, "EXCLUSIVE") for module in modules)

    def forward(self, logits: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        """Loss of logits (N,L) against labels (N,L), NaN where not known; a scalar."""
        logits = logits.float()
        if self.terms is None:
            return (self.weight or 0.0) * _cross_entropy(logits, label)
        unknown = torch.isnan(label)[..., None, None]
        # Whether any is unknown is not asked: the host would wait for the device.
        ignore = unknown.any(dim=1, keepdim=True) if self.together else unknown
        loss: torch.Tensor = self.terms(
            logits[..., None, None], label[..., None, None].nan_to_num(), ignore
        )
        return loss


def _options(term: object) -> set[str]:
    return set(term) - {"weight"} if isinstance(term, dict) else set()


def _cross_entropy(predicted: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
    """Cross-entropy, a mean over the labels that are known."""
    known = torch.isfinite(label).float()
    total = functional.binary_cross_entropy_with_logits(predicted, label.nan_to_num(), known)
    return total / known.mean().clamp(min=1e-6)


def width(source: Source) -> int:
    """How many labels the images of a source have; 0 where they have none."""
    if not store.has(source.masks, "labels"):
        return 0
    return int(store.read(source.masks, "labels", source.ids[:1]).shape[1])


def follow_from_masks(source: Source, classes: int, count: int) -> bool:
    """Tell whether labels say what masks show: which classes are there, or whether any is.

    What others say of an image need not be true of a part of it.
    """
    return count in (1, classes) and store.labels_are_classes(source.masks)


def described(source: Source, derived: bool, chosen: Sequence[str] | None = None) -> dict[str, Any]:
    """Say what a weights file must tell of labels that do not follow from masks; else nothing.

    Parameters
    ----------
    source
        The images.
    derived
        Whether the labels follow from masks.
    chosen
        Names of the labels that the model predicts; None: all.

    Returns
    -------
    dict
        `label_names`, of all the data's labels; which of them exclude each other, as
        `foldbelt.label_groups` tells it; and `labels`, those predicted, where these are not all.

    Raises
    ------
    InputError
        If labels are chosen that the data do not have.
    """
    content = store.attrs(source.masks)
    names = content.get("label_names", [])
    own = bool(width(source)) and not derived and names != content.get("class_names")
    _check_chosen(chosen or [], names if own else [], source)
    if not own:
        return {}
    groups = label_groups.told(names, label_groups.groups_of(content))
    predicted = {} if chosen is None or list(chosen) == names else {"labels": list(chosen)}
    return {"label_names": names, **groups, **predicted}


def _check_chosen(chosen: Sequence[str], names: Sequence[str], source: Source) -> None:
    unknown = [name for name in chosen if name not in names]
    if unknown:
        raise InputError(
            f"models.*.labels: {source.masks} has no label {', '.join(map(repr, unknown))} of its "
            f"own, beside masks; it has {', '.join(names) or 'none'}"
        )


def are_exclusive(content: Mapping[str, Any], model: Mapping[str, Any]) -> bool:
    """Tell whether the labels that a model predicts exclude each other, all of them.

    Parameters
    ----------
    content
        Attributes of the data file.
    model
        The architecture, with `labels`, those that it predicts, where these are not all.
    """
    chosen = model.get("labels") or content.get("label_names", [])
    return label_groups.are_one_group(chosen, label_groups.groups_of(content))


def predicted(values: np.ndarray, shape: Mapping[str, Any]) -> np.ndarray:
    """Take the labels that a model predicts, as it can learn them.

    A group of labels that exclude each other is known as a whole or not at all. Where some of its
    members are predicted, and not all, the model tells these apart: their shares sum to 1, and an
    image of which none of them holds says nothing of that, so they are unknown.

    Parameters
    ----------
    values
        (N,L) f32 of the data's labels, NaN where not known.
    shape
        What `described` says.

    Returns
    -------
    (N,L') f32 array
    """
    names = shape.get("label_names")
    groups = label_groups.groups_of(shape)
    if names is None or (not groups and "labels" not in shape):
        return values
    chosen = shape.get("labels", names)
    taken = values[:, [names.index(name) for name in chosen]]
    for group in groups:
        members = [place for place, name in enumerate(chosen) if name in group]
        if len(members) < 2:
            continue
        unknown = np.isnan(taken[:, members]).any(axis=1)
        if len(members) < len(group):
            total = taken[:, members].sum(axis=1)
            unknown |= total == 0
            taken[:, members] /= np.where(unknown, 1, total)[:, None]  # of soft labels
        taken[np.ix_(unknown, members)] = np.nan
    return taken


def given(source: Source, count: int) -> np.ndarray:
    """Labels that came with the images, (N,count) f32; count may be 0."""
    if not count:
        return np.zeros((len(source.ids), 0), np.float32)
    return store.read(source.masks, "labels", source.ids).astype(np.float32)


def of_pseudo_masks(source: Source, count: int, derived: bool) -> np.ndarray:
    """Labels (N,count) f32 of pseudo-labelled images, those that they have or follow from masks.

    Parameters
    ----------
    source
        The images and their pseudo-masks.
    count
        How many labels an image has.
    derived
        Whether they follow from masks; if not, or without masks, they are NaN, unknown.
    """
    if store.has(source.masks, "labels"):
        return given(source, count)
    labels = np.full((len(source.ids), count), np.nan, np.float32)
    if not derived or not store.has(source.masks, "mask"):
        return labels
    for rows, block in store.blocks(source.masks, "mask", source.ids):
        labels[rows] = of_masks(block, count)
    return labels


def of_masks(mask: np.ndarray, count: int) -> np.ndarray:
    """Derive image labels from masks that have none of their own.

    Parameters
    ----------
    mask
        (N,h,w) or (N,h,w,K).
    count
        1: is there anything; K: which classes are there; 0: no labels.

    Returns
    -------
    (N,count) f32 array
    """
    planes = mask if mask.ndim == 4 else mask[..., None]
    # Plane by plane, in a hundredth of the time that `any` over both axes takes.
    present = np.stack([planes[..., k].any(axis=(1, 2)) for k in range(planes.shape[3])], axis=1)
    if count == 1:
        present = np.any(present, axis=1, keepdims=True)
    return present[:, :count].astype(np.float32)


def wrongly_given(logits: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
    """Share of the labels (N,L) that are given and not there; a scalar f32 tensor."""
    false = (logits > 0) & (label.to(logits.device, non_blocking=True) < 0.5)
    return false.float().mean()


class LabelJudge:
    """Gather labels, and score how well they rank the images together, those that are known."""

    def __init__(self, valid: ImageSet, metric: str) -> None:
        self.truth: list[np.ndarray] = []
        self.given: list[torch.Tensor] = []

    def add(self, rows: np.ndarray, outputs: Mapping[str, Any], batch: Mapping[str, Any]) -> None:
        """Take the labels predicted for some rows of the validation images."""
        self.truth.append(batch["label"].numpy())
        self.given.append(outputs["label"].float())  # for which nobody waits

    def score(self) -> float:
        """Give the mean over the labels of their average precision."""
        given = torch.cat(self.given).cpu().numpy()
        return average_precision(np.concatenate(self.truth), given)

    def constant(self) -> float:
        """Score it as if every image were given the same."""
        truth = np.concatenate(self.truth)
        return average_precision(truth, np.zeros(truth.shape))
