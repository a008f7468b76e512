"""What one job trains on: tiles and settings from their files, and the network."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch

from foldbelt import models, runtime, store
from foldbelt.augment._transforms import Augment, images_of
from foldbelt.channels._resizing import Resizer
from foldbelt.config import stages
from foldbelt.files import InputError, Problem, raise_all, seed_for
from foldbelt.models._saved import fill
from foldbelt.runtime import Normaliser
from foldbelt.store import weights as weights_files
from foldbelt.train import samplers, tables
from foldbelt.train.crops import Crop
from foldbelt.train.data import Samples, Source, Tiles, fits, labels_of
from foldbelt.train.samplers import Parts


@dataclass
class Task:
    """What one job trains on and what it is called.

    Attributes
    ----------
    stage, stage_name
        The stage's config and name.
    metric
        Name of the validation metric, at threshold .5.
    samples, true, pseudo
        Augmented training samples; how many of them have true masks, how many pseudo-labels.
    valid
        Validation tiles; there may be none.
    normalise
        From u8 batches to the network's input.
    parts
        What all seeds derive from.
    contents
        What is in the images with true masks, where the stage draws by it.
    """

    stage: Mapping[str, Any]
    stage_name: str
    metric: str
    samples: Samples
    true: int
    pseudo: int
    valid: Tiles
    normalise: Normaliser
    parts: Parts
    contents: pd.DataFrame | None = None

    @property
    def batch(self) -> int:
        """How many whole images make a batch of as many pixels as the stage trains on at once."""
        size, crop = int(self.stage["batch_size"]), self.samples.crop
        if crop is None:
            return size
        height, width = self.valid.fit.size
        return max(1, size * crop.size[0] * crop.size[1] // (height * width))

    @property
    def mines(self) -> bool:
        """Whether tiles are drawn by how much the first weights err on them."""
        return (self.stage.get("sampler") or {}).get("name") == "hard"

    @property
    def train_on(self) -> str:
        """What kind of samples the stage trains on; without pseudo-labels, the truth."""
        return str(self.stage.get("train_on") or "mixed") if self.pseudo else "truth"

    def steps(self, epoch: int, errors: np.ndarray | None) -> list[list[np.ndarray]]:
        """Lay out an epoch.

        Parameters
        ----------
        epoch
            From 0.
        errors
            Of every true sample, where `mines`.

        Returns
        -------
        list of lists of arrays
            Rows of the batches of every optimiser step.

        Raises
        ------
        InputError
            If no sample is left.
        """
        stage = self.stage
        rows = samplers.epoch_rows(
            self.true,
            self.pseudo,
            float(stage.get("pseudo_ratio") or 0.0),
            epoch,
            self.parts,
            images=self.contents,
            keep=stage.get("images"),
            sampler=stage.get("sampler"),
            errors=errors,
            train_on=self.train_on,
        )
        if not len(rows):
            raise InputError(
                f"Stage {self.stage_name}: no tile to train on in epoch {epoch + 1}; its `images` "
                "leave all of them out."
            )
        target = stage.get("target_batch")
        if target:
            updates = samplers.batches(rows, int(target))
            return [samplers.batches(update, stage["batch_size"]) for update in updates]
        batches = samplers.batches(rows, stage["batch_size"])
        group = int(stage.get("accumulate") or 1)
        return [batches[start : start + group] for start in range(0, len(batches), group)]


def split(folds: str, fold: int) -> tuple[list[str], list[str]]:
    """Ids to train and to validate on, sorted: the result depends on no file's order."""
    table = pd.read_csv(folds, dtype={"id": str}, keep_default_na=False)
    inside = table["fold"].astype(int) == fold
    return sorted(table["id"][~inside]), sorted(table["id"][inside])


def load(
    sources: Sequence[Source],
    stage: Mapping[str, Any],
    stage_name: str,
    metric: str,
    memory_gib: float,
    device: torch.device,
    parts: Parts,
) -> tuple[Task, dict[str, Any]]:
    """Load the tiles of a job.

    Parameters
    ----------
    sources
        Tiles to train on, to validate on and perhaps pseudo-labelled ones.
    stage, stage_name, metric, parts
        See `Task`.
    memory_gib
        Images and masks above this are streamed from their files.
    device
        Where to compute.

    Returns
    -------
    task, shape
        Shape: what the network and its weights file must know of the data.
    """
    train = sources[0]
    attrs = store.attrs(train.channels)
    fit = Resizer.of(attrs)
    classes = train.classes()
    planes = classes + train.has_ignore()
    known = store.has(train.masks, "labels")
    width = store.read(train.masks, "labels", train.ids[:1]).shape[1] if known else 0
    memory = fits(sources, fit.size, planes, memory_gib)
    deep = tables.depths(sources) if stage.get("depth_weight") else None
    sets = []
    for place, source in enumerate(sources):
        if source.masks == train.masks:
            labels = store.read(source.masks, "labels", source.ids) if known else _none(source)
        else:
            labels = _pseudo_labels(source, width, _derived(train, classes, width))
        depth = deep[place] if deep else None
        sets.append(Tiles(source, fit, planes, classes, labels.astype(np.float32), memory, depth))
    problems = list(stages.misfits(stage, fit.size, attrs["names"]))
    raise_all(
        [Problem(f"stages.{stage_name}.{key}", why) for key, why in problems],
        f"Stage {stage_name} does not fit the channels {train.channels}",
    )
    colours = images_of(attrs["names"])
    crop = Crop(stage["crop"], classes, next(iter(colours), 0)) if stage.get("crop") else None
    size = crop.size if crop else fit.size
    augment = Augment(stage.get("augment") or [], size, len(attrs["names"]), planes, attrs["names"])
    blackout = float(stage.get("blackout") or 0.0)
    derived = _derived(train, classes, width)
    if blackout and width and not derived:
        raise InputError(
            f"stages.{stage_name}.blackout is {blackout}, but the labels of {train.masks} are not "
            "those of its masks, so nobody knows what blackening a mask does to them; set it to 0."
        )
    samples = Samples([sets[0], *sets[2:]], augment, parts, crop, blackout, colours, derived)
    task = Task(
        stage=stage,
        stage_name=stage_name,
        metric=metric,
        samples=samples,
        true=len(sets[0]),
        pseudo=sum(len(tiles) for tiles in sets[2:]),
        valid=sets[1],
        normalise=runtime.Normaliser(attrs["scale"], attrs["offset"], device),
        parts=parts,
        contents=tables.contents(train) if samplers.needs_images(stage) else None,
    )
    shape = {
        "in_channels": len(attrs["names"]),
        "mask_channels": classes,
        "label_classes": width,
        "channels": attrs["names"],
        "scale": attrs["scale"],
        "offset": attrs["offset"],
        "resize_mode": attrs["resize_mode"],
        "size": attrs["size"],
        "source": attrs["source"],
    }
    return task, shape


def _derived(train: Source, classes: int, width: int) -> bool:
    """Tell whether labels say what masks show: which classes are there, or whether any is.

    What others say of an image need not be true of a part of it.
    """
    return width in (1, classes) and store.labels_are_classes(train.masks)


def _none(source: Source) -> np.ndarray:
    return np.zeros((len(source.ids), 0), np.float32)


def _pseudo_labels(source: Source, width: int, derived: bool) -> np.ndarray:
    """Derive labels from pseudo-masks; NaN, unknown, where masks do not tell them."""
    labels = np.full((len(source.ids), width), np.nan, np.float32)
    if not derived:
        return labels
    for rows, block in store.blocks(source.masks, "mask", source.ids):
        labels[rows] = labels_of(block, width)
    return labels


def network(
    model: Mapping[str, Any],
    shape: Mapping[str, Any],
    start: str | None,
    parts: Parts,
    device: torch.device,
) -> torch.nn.Module:
    """Build the network on its device.

    Parameters
    ----------
    model
        The architecture, as `foldbelt.models.build` takes it.
    shape
        From `load`.
    start
        Weights file to start from, of the stage before; None starts from random weights, or the
        encoder from pretrained ones.
    parts
        What the random weights derive from.
    device
        Where to put it.

    Raises
    ------
    InputError
        If the weights are of other channels or another architecture.
    """
    torch.manual_seed(seed_for(*parts, "init"))
    spec = {**model, "weights": None} if start and "weights" in model else dict(model)
    module = models.build(
        spec, shape["in_channels"], shape["mask_channels"], shape["label_classes"]
    )
    if start:
        tensors, metadata = weights_files.load(start)
        if metadata.get("channels") != shape["channels"]:
            raise InputError(
                f"{start} was trained on the channels {metadata.get('channels')}, "
                f"this stage is given {shape['channels']}."
            )
        fill(module, tensors, start)
    if device.type == "cuda":
        module = module.to(memory_format=torch.channels_last)
    return module.to(device)
