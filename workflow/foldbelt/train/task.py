"""What one job trains on: images and settings from their files, and the network."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch

from foldbelt import models, runtime, store
from foldbelt.augment._transforms import Augment, images_of
from foldbelt.config.stage_settings import StageSettings
from foldbelt.files import InputError, seed_for
from foldbelt.models._saved import fill, groups_among
from foldbelt.runtime import Normaliser
from foldbelt.store import weights as weights_files
from foldbelt.train import augmenting, box_targets, image_statistics, labels, room, samplers
from foldbelt.train.arguments import Inputs, Job
from foldbelt.train.augmenting import DrawnSamples
from foldbelt.train.crops import Crop
from foldbelt.train.data import ImageSet, Samples
from foldbelt.train.data_source import Source
from foldbelt.train.facts import Facts
from foldbelt.train.held import HeldSamples


@dataclass
class Task:
    """What one job trains on and what it is called.

    Attributes
    ----------
    job, stage
        Which job it is, and the settings of its stage.
    main
        The model's main output, ``mask``, ``label`` or ``box``.
    metric
        Name of the validation metric; of masks, at threshold .5.
    samples, true, pseudo
        Augmented training samples; how many of them have true masks, how many pseudo-labels.
    valid
        Validation images; there may be none.
    normalise
        From u8 batches to the network's input.
    contents
        What is in the images with true masks, where the stage draws by it.
    """

    job: Job
    stage: StageSettings
    main: str
    metric: str
    samples: Samples
    true: int
    pseudo: int
    valid: ImageSet
    normalise: Normaliser
    contents: pd.DataFrame | None = None

    @property
    def batch(self) -> int:
        """How many whole images make a batch of as many pixels as the stage trains on at once."""
        size, crop = self.stage.batch_size, self.samples.crop
        if crop is None:
            return size
        height, width = self.valid.resizer.size
        return max(1, size * crop.size[0] * crop.size[1] // (height * width))

    @property
    def mines(self) -> bool:
        """Whether images are drawn by how much the first weights err on them."""
        return self.stage.sampler.name == "hard"

    @property
    def train_on(self) -> str:
        """What kind of samples the stage trains on; without pseudo-labels, the truth."""
        settings = self.stage.pseudo
        return settings.train_on if settings and self.pseudo else "truth"

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
            stage.pseudo.pseudo_ratio if stage.pseudo else 0.0,
            epoch,
            self.job.seed_parts,
            keep=stage.images,
            sampler=stage.sampler,
            images=self.contents,
            errors=errors,
            train_on=self.train_on,
        )
        if not len(rows):
            raise InputError(
                f"Stage {self.job.stage}: no image to train on in epoch {epoch + 1}; its `images` "
                "leave all of them out."
            )
        if stage.target_batch:
            updates = samplers.batches(rows, stage.target_batch)
            return [samplers.batches(update, stage.batch_size) for update in updates]
        batches = samplers.batches(rows, stage.batch_size)
        group = stage.accumulate
        return [batches[start : start + group] for start in range(0, len(batches), group)]


def split(folds: str, fold: int) -> tuple[list[str], list[str]]:
    """Ids to train and to validate on, sorted: the result depends on no file's order."""
    table = pd.read_csv(folds, dtype={"id": str}, keep_default_na=False)
    inside = table["fold"].astype(int) == fold
    return sorted(table["id"][~inside]), sorted(table["id"][inside])


def sources_of(inputs: Inputs, train: Sequence[str], valid: Sequence[str]) -> list[Source]:
    """Say where a job's images come from: to train on, to validate on, pseudo-labelled if any."""
    sources = [Source(inputs.channels, inputs.data, ids) for ids in (train, valid)]
    if inputs.pseudo and inputs.test_channels:
        admitted = sorted(store.read(inputs.pseudo, "id")) if store.length(inputs.pseudo) else []
        sources.append(Source(inputs.test_channels, inputs.pseudo, admitted))
    return sources


def load(
    sources: Sequence[Source],
    job: Job,
    stage: StageSettings,
    model: Mapping[str, Any],
    metric: str,
    memory_gib: float,
    device: torch.device,
    log: Callable[[str], None] = lambda text: None,
) -> tuple[Task, dict[str, Any]]:
    """Load the images of a job.

    Parameters
    ----------
    sources
        From `sources_of`.
    job, stage, metric
        See `Task`.
    model
        The architecture, as in the config.
    memory_gib
        Images and masks above this are streamed from their files.
    device
        Where to compute.
    log
        Is told what the job will take of the memory, before anything large is read.

    Returns
    -------
    task, shape
        Shape: what the network and its weights file must know of the data.
    """
    facts = Facts.of(sources[0], job, stage, model)
    seen = facts.resizer.size if stage.crop is None else stage.crop.size
    room.check(job.stage, stage.batch_size, facts.learnt, seen, device)
    data = room.data_bytes(sources, facts.resizer, facts.planes, facts.classes, facts.masks_matter)
    batch = room.batch_bytes(stage.batch_size, facts.learnt, seen)
    log(room.told(data, memory_gib, batch, device))
    room.check_data(job.stage, data, memory_gib, batch, device)
    memory = data <= memory_gib * room.GIB
    sets = _sets(sources, facts, stage, memory)
    drawing = _Drawing(facts, job, stage)
    if stage.augment_on == "device":
        whole = memory and drawing.crop is None and not stage.blackout
        held = whole and room.fits(data, device)
        if held:
            log(f"Images and masks are held on {device.type}, too.")
        samples = drawing.on_device(sets, held)
    else:
        samples = drawing.on_cpu(sets)
    draws_by_contents = samplers.needs_images(stage.images, stage.sampler)
    task = Task(
        job=job,
        stage=stage,
        main=facts.main,
        metric=metric,
        samples=samples,
        true=len(sets[0]),
        pseudo=sum(len(image_set) for image_set in sets[2:]),
        valid=sets[1],
        normalise=runtime.Normaliser(facts.attrs["scale"], facts.attrs["offset"], device),
        contents=image_statistics.contents(sources[0]) if draws_by_contents else None,
    )
    return task, facts.shape


def _sets(
    sources: Sequence[Source], facts: Facts, stage: StageSettings, memory: bool
) -> list[ImageSet]:
    """Load the images of each source: to train on, to validate on, pseudo-labelled."""
    depths = image_statistics.depths(sources) if stage.depth_weight else None
    sets = []
    for place, source in enumerate(sources):
        if source.masks == sources[0].masks:
            label = labels.given(source, facts.width)
        else:
            label = labels.of_pseudo_masks(source, facts.width, facts.derived)
        label = labels.predicted(label, facts.told)
        depth = depths[place] if depths else None
        # What is mirrored around an image is no evidence; validation never counts it.
        padding = facts.pads and (place == 1 or not stage.loss_on_padding)
        boxes = box_targets.of_images(source, facts.resizer) if facts.objects else None
        # Where no masks are learnt, validation has no use for them: none is read.
        read = facts.masks_matter or place != 1
        given = (label, memory, depth, padding and read, boxes, place == 1 and read)
        planes, classes = (facts.planes, facts.classes) if read else (0, 0)
        sets.append(ImageSet(source, facts.resizer, planes, classes, *given))
    return sets


class _Drawing:
    """How samples are drawn of images.

    Parameters
    ----------
    facts, job, stage
        Of the training.
    """

    def __init__(self, facts: Facts, job: Job, stage: StageSettings) -> None:
        self.stage, self.names = stage, facts.attrs["names"]
        colours = images_of(self.names)
        channel = next(iter(colours), 0)
        self.crop = Crop(stage.crop, facts.classes, channel) if stage.crop else None
        self.size = self.crop.size if self.crop else facts.resizer.size
        self.visible = stage.visible if facts.objects else None
        self.images = (self.size, len(self.names), facts.planes, self.names, self.visible)
        blackout = stage.blackout, colours, facts.derived
        self.rest = (job.seed_parts, self.crop, *blackout, stage.visible)

    def on_cpu(self, sets: Sequence[ImageSet]) -> Samples:
        """Draw and augment one by one."""
        augment = Augment(self.stage.augment, *self.images)
        return Samples([sets[0], *sets[2:]], augment, *self.rest)

    def on_device(self, sets: Sequence[ImageSet], held: bool) -> Samples:
        """Augment batches where the network is; with `held`, images lie there, too."""
        batched = augmenting.build(self.stage, self.size, self.names, self.visible)
        nothing = Augment([], *self.images)
        kind = HeldSamples if held else DrawnSamples
        return kind(batched, [sets[0], *sets[2:]], nothing, *self.rest)


def network(
    model: Mapping[str, Any],
    shape: Mapping[str, Any],
    start: str | None,
    job: Job,
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
    job
        Which job it is: the random weights derive from it.
    device
        Where to put it.

    Raises
    ------
    InputError
        If the weights are of other channels or another architecture.
    """
    torch.manual_seed(seed_for(*job.seed_parts, "init"))
    spec = {**model, "weights": None} if start and "weights" in model else dict(model)
    module = models.build(
        spec,
        shape["in_channels"],
        shape["mask_channels"],
        shape["label_classes"],
        box_classes=len(shape.get("box_names", [])),
        label_groups=groups_among(shape),
    )
    if start:
        tensors, metadata = weights_files.load(start)
        if metadata.get("channels") != shape["channels"]:
            raise InputError(
                f"{start} was trained on the channels {metadata.get('channels')}, "
                f"this stage is given {shape['channels']}."
            )
        fill(module, tensors, start)
    return module.to(device).to(memory_format=torch.channels_last)


def start_from(module: torch.nn.Module, inputs: Inputs, log: Callable[[str], None]) -> None:
    """Fill a network with what fits of a checkpoint, where a job is given one, and say what does.

    Raises
    ------
    InputError
        See `foldbelt.models._starting.begin`.
    """
    if inputs.checkpoint is None:
        return
    from foldbelt.models._starting import begin  # imports timm, a second that others need not

    for line in begin(module, inputs.checkpoint, inputs.strict):
        log(line)
