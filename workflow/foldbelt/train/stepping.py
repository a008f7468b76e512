"""One step of training: forward, loss, backward, update."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from foldbelt import runtime
from foldbelt.config.stage_settings import MixingSettings
from foldbelt.files import seed_for
from foldbelt.train import held, optimisers
from foldbelt.train.objective import Objective
from foldbelt.train.task import Task

Batch = Mapping[str, torch.Tensor]


class Stepper:
    """A model with its loss and optimiser, as a stage describes them.

    Parameters
    ----------
    model
        On its device.
    task
        Data and settings.

    Attributes
    ----------
    objective
        The loss.
    optimiser
        Its rates follow `set_rate`.
    """

    def __init__(self, model: torch.nn.Module, task: Task) -> None:
        stage = task.stage
        self.model, self.task = model, task
        self.device = task.normalise.device
        classes = task.samples.sets[0].classes
        self.objective = Objective(stage, classes, task.main).to(self.device)
        self.optimiser = optimisers.build(stage.optimizer, model)
        self.base_rates = [group["lr"] for group in self.optimiser.param_groups]
        self.mixer = _mixer(stage.mixing, classes, task.samples.derived)
        self.amp = runtime.halved(stage.amp, self.device)
        if self.amp and self.device.type == "cpu":
            runtime.mend_narrow_maps(model)
        self.augment = held.augment_of(task.samples, self.device)
        self.frozen_epochs = stage.freeze_encoder
        self.encoder = (
            optimisers.encoder_of(model, "freeze_encoder") if self.frozen_epochs else None
        )

    @property
    def rate(self) -> float:
        """The learning rate; with an encoder_factor, that of the decoder."""
        return float(self.optimiser.param_groups[0]["lr"])

    def set_rate(self, factor: float) -> None:
        """Set the rates to so much of their highest."""
        for group, rate in zip(self.optimiser.param_groups, self.base_rates, strict=True):
            group["lr"] = rate * factor

    def start_epoch(self, epoch: int) -> None:
        """Make the model ready to learn in an epoch, from 0.

        A frozen encoder is as in evaluation: neither its parameters change nor its batch-norm
        statistics, and nothing in it is dropped.
        """
        self.model.train()
        if self.encoder is not None:
            frozen = epoch < self.frozen_epochs
            self.encoder.train(not frozen).requires_grad_(not frozen)

    def autocast(self) -> torch.autocast:
        """Context in which the model computes: bfloat16 where the stage asks for it."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.amp)

    def outputs(self, model: torch.nn.Module, batch: Batch) -> Mapping[str, Any]:
        """Logits of a model for a batch."""
        x = self.task.normalise(batch["x"])
        with self.autocast():
            return model(x)

    def judge(self, outputs: Mapping[str, Any], batch: Batch) -> torch.Tensor:
        """Loss of outputs for a batch, as it is, a scalar."""
        loss: torch.Tensor = self.objective(outputs, *self._truth(batch), self._boxes(batch))
        return loss

    def loss(self, batch: Batch, *seed: str | int) -> torch.Tensor:
        """Give the loss to learn from, of a batch mixed as the stage says; a scalar.

        Parameters
        ----------
        batch
            From `Samples`.
        *seed
            What tells this batch from all others of the stage: the mixing is drawn from it.
        """
        if self.augment is not None:
            batch = self.augment(batch)
        x = self.task.normalise(batch["x"])
        target, label, depth = self._truth(batch)
        shares = [(1.0, target, label)]
        if self.mixer:
            number = seed_for(*self.task.job.seed_parts, "mix", *seed)
            if depth is None:
                x, shares = self.mixer(x, target, label, number)
            else:  # as a plane of the images, the depth is mixed as they are
                plane = depth[:, :, None, None].expand_as(x[:, :1])
                stacked = torch.cat([x, plane], dim=1)
                stacked, shares = self.mixer(stacked, target, label, number)
                x, depth = stacked[:, :-1], stacked[:, -1:].mean(dim=(2, 3))
        with self.autocast():
            outputs = self.model(x)
        box = self._boxes(batch)
        losses = [
            share * self.objective(outputs, truth, label, depth, box)
            for share, truth, label in shares
        ]
        return torch.stack(losses).sum() if len(losses) > 1 else losses[0]

    def gather(
        self, group: Sequence[np.ndarray], stream: Iterator[Batch], place: tuple[int, ...]
    ) -> list[torch.Tensor]:
        """Gather the gradients of the batches of one step.

        Parameters
        ----------
        group
            The rows of every batch.
        stream
            Gives the batches themselves.
        place
            What tells this step from all others.

        Returns
        -------
        list of scalar tensors
            The batches' losses, each summed over its samples.
        """
        count, parts = sum(len(rows) for rows in group), []
        for number, rows in enumerate(group):
            loss = self.loss(next(stream), *place, number)
            # Samples weigh alike, though the batches of a group may differ by one.
            (loss * (len(rows) / count)).backward()
            parts.append(loss.detach() * len(rows))
        return parts

    def update(self) -> None:
        """Take an optimiser step from the gradients gathered, and forget them."""
        if self.task.stage.clip:
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.task.stage.clip)
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)

    def _truth(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
        """Targets (N,P,H,W), labels and, if there are any, depths of a batch, on the device."""
        target = batch["target"].to(self.device, non_blocking=True).permute(0, 3, 1, 2)
        label = batch["label"].to(self.device, non_blocking=True)
        depth = batch.get("depth")
        return target, label, None if depth is None else depth.to(self.device, non_blocking=True)

    def _boxes(self, batch: Batch) -> torch.Tensor | None:
        """Boxes (N,M,5) of a batch, if there are any, on the device."""
        box = batch.get("box")
        return None if box is None else box.to(self.device, non_blocking=True)


def _mixer(settings: MixingSettings, classes: int, derived: bool) -> Callable[..., Any] | None:
    """What mixes the images of a batch, where the stage asks for any of it."""
    if not settings.mixes:
        return None
    from foldbelt.train.mixing import Mixer

    return Mixer(settings, classes, derived)
