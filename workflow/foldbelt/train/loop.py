"""The training loop of one stage: epochs of optimiser steps, validation, the weights to keep.

Everything random derives from (seed, model, round, fold, stage, epoch), and torch's generator is
set anew at each epoch, so nothing that happens beside the training steps (validation least of all)
can change the weights, and a resumed run needs to know little.
"""

import copy
import math
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import torch

from foldbelt import metrics
from foldbelt.files import InputError, seed_for
from foldbelt.runtime import Normaliser
from foldbelt.train import optimisers, samplers, schedules
from foldbelt.train.data import Plan, Samples, Tiles, loader
from foldbelt.train.ema import Average
from foldbelt.train.objective import Objective
from foldbelt.train.state import Interrupted, Signals, State

Log = Callable[[str], None]
COLUMNS = ["epoch", "lr", "train_loss", "valid_loss", "valid_metric"]
_NAN = math.nan


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
    """

    stage: Mapping[str, Any]
    stage_name: str
    metric: str
    samples: Samples
    true: int
    pseudo: int
    valid: Tiles
    normalise: Normaliser
    parts: samplers.Parts


@dataclass
class Progress:
    """Where a run stands; with the tensors, all that a resumed one needs.

    Attributes
    ----------
    epoch, step
        Epochs done, and optimiser steps done of the next.
    loss, seen
        Sum of the losses of this epoch's samples so far, and their number.
    rows
        The history.
    best, best_epoch
        Best validation metric and its epoch (from 1).
    watched, bad
        Best value of what early stopping watches, and the validations since.
    """

    epoch: int = 0
    step: int = 0
    loss: float = 0.0
    seen: int = 0
    rows: list[list[float]] = field(default_factory=list)
    best: float = -math.inf
    best_epoch: int = 0
    watched: float = -math.inf
    bad: int = 0


class Trainer:
    """Train one model through one stage.

    Parameters
    ----------
    model
        On its device.
    task
        Data and settings.
    state
        Where to save what has been reached.
    log
        Takes one line an epoch.
    writer
        TensorBoard's SummaryWriter, made when the first epoch is known; or None.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        task: Task,
        state: State,
        log: Log,
        writer: Callable[[int], Any] | None = None,
    ) -> None:
        stage = task.stage
        self.model, self.task, self.state, self.log = model, task, state, log
        self.device = task.normalise.device
        self.objective = Objective(stage, task.samples.sets[0].classes)
        self.objective.mask.to(self.device)
        self.optimiser = optimisers.build(stage["optimizer"], model)
        self.base_rates = [group["lr"] for group in self.optimiser.param_groups]
        self.schedule = schedules.build(stage["schedule"], stage["epochs"])
        decay = stage.get("ema")
        self.average = Average(model, decay) if decay else None
        self.best: dict[str, torch.Tensor] | None = None
        self.progress = Progress()
        self.accumulate = int(stage.get("accumulate") or 1)
        self.amp = bool(stage.get("amp")) and self.device.type == "cuda"
        self._resume()
        self.writer = writer(self.progress.epoch) if writer else None
        self.plan = Plan()
        workers = 0 if self.device.type == "cpu" else min(8, len(os.sched_getaffinity(0)) - 1)
        self.loader = loader(task.samples, self.plan, self.device, workers)

    @property
    def kept(self) -> torch.nn.Module:
        """The module whose weights would be kept if training ended now: the average, if any."""
        return self.average.module if self.average else self.model

    def fit(self, signals: Signals) -> dict[str, torch.Tensor]:
        """Train to the end of the stage, or to early stopping.

        Parameters
        ----------
        signals
            Looked at between steps: when one was caught, the state is saved and the run ends.

        Returns
        -------
        dict
            The weights to keep.

        Raises
        ------
        Interrupted
            After a signal.
        InputError
            When a loss is no longer finite.
        """
        stage, progress = self.task.stage, self.progress
        began, first = time.monotonic(), progress.epoch
        while progress.epoch < stage["epochs"] and not self._stopped():
            speed = self._train(signals)
            row = [progress.epoch + 1, self._rate(), progress.loss / progress.seen, _NAN, _NAN]
            self._check(row[2], row[1])
            every = int(stage.get("validate_every") or 1)
            last = progress.epoch + 1 == stage["epochs"]
            if len(self.task.valid) and (last or (progress.epoch + 1) % every == 0):
                row[3], row[4] = self._validate(signals)
                self.schedule.observe(row[3])
                self._watch(row)
            progress.rows.append(row)
            progress.epoch, progress.step, progress.loss, progress.seen = int(row[0]), 0, 0.0, 0
            self.state.save(self._pack())
            self._report(row, speed, (time.monotonic() - began) / (progress.epoch - first))
        chosen = self.best if stage["select"] == "best" and self.best else self.kept.state_dict()
        broken = [name for name, value in chosen.items() if not torch.isfinite(value).all()]
        if broken:
            self._diverged(
                f"{len(broken)} weights, {broken[0]} first, are not finite", self._rate()
            )
        return chosen

    def _train(self, signals: Signals) -> float:
        """Do the remaining steps of an epoch; give the samples per second."""
        task, progress, size = self.task, self.progress, self.task.stage["batch_size"]
        epoch = progress.epoch
        ratio = float(task.stage.get("pseudo_ratio") or 0.0)
        rows = samplers.epoch_rows(task.true, task.pseudo, ratio, epoch, task.parts)
        batches = samplers.batches(rows, size)
        groups = [
            batches[start : start + self.accumulate]
            for start in range(0, len(batches), self.accumulate)
        ]
        self.plan.set([batch for group in groups[progress.step :] for batch in group], epoch)
        if progress.step == 0:
            torch.manual_seed(seed_for(*task.parts, "epoch", epoch))
        self.model.train()
        running = torch.tensor(progress.loss, dtype=torch.float64, device=self.device)
        before, seen = time.monotonic(), 0
        stream = iter(self.loader)
        for step in range(progress.step, len(groups)):
            position = epoch + (step + 0.5) / len(groups)
            self._set_rate(self.schedule.factor(position))
            count = sum(len(batch) for batch in groups[step])
            for batch in groups[step]:
                _, loss = self._forward(self.model, next(stream))
                # Samples weigh alike, though the batches of a group may differ by one.
                (loss * (len(batch) / count)).backward()
                running += loss.detach() * len(batch)
            self._step()
            seen += count
            progress.step, progress.seen = step + 1, progress.seen + count
            if signals.caught:
                progress.loss = float(running)
                self._interrupt(signals)
        progress.loss = float(running)
        return seen / max(time.monotonic() - before, 1e-9)

    def _forward(
        self, model: torch.nn.Module, batch: Mapping[str, torch.Tensor]
    ) -> tuple[Mapping[str, torch.Tensor], torch.Tensor]:
        x = self.task.normalise(batch["x"])
        target = batch["target"].to(self.device, non_blocking=True)
        label = batch["label"].to(self.device, non_blocking=True)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.amp):
            outputs = model(x)
        return outputs, self.objective(outputs, target, label)

    def _step(self) -> None:
        if self.task.stage.get("clip"):
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.task.stage["clip"])
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        if self.average:
            self.average.update()

    @torch.no_grad()
    def _validate(self, signals: Signals) -> tuple[float, float]:
        """Loss at network size and metric at storage size of the weights that would be kept."""
        tiles, total = self.task.valid, 0.0
        model = self.kept.eval()
        samples, scores = Samples([tiles], None, ()), []
        size = int(self.task.stage["batch_size"])
        for start in range(0, len(tiles), size):
            rows = np.arange(start, min(start + size, len(tiles)))
            outputs, loss = self._forward(
                model, samples.__getitems__([(0, int(row)) for row in rows])
            )
            total += float(loss) * len(rows)
            logits = outputs["mask"].float().permute(0, 2, 3, 1)
            prob = tiles.fit.undo(torch.sigmoid(logits).cpu().numpy())
            truth, ignore = tiles.truth(rows)
            scores.append(metrics.score_images(self.task.metric, truth, prob > 0.5, ignore))
            if signals.caught:  # before the epoch is noted: its validation will be done again
                self._interrupt(signals)
        return total / len(tiles), float(np.concatenate(scores).mean())

    def _watch(self, row: list[float]) -> None:
        """Keep a copy of the best weights, and count the validations without a better one."""
        stopping = self.task.stage.get("early_stopping")
        progress = self.progress
        if row[4] > progress.best:
            progress.best, progress.best_epoch = row[4], int(row[0])
            if self.task.stage["select"] == "best":
                self.best = copy.deepcopy(self.kept.state_dict())
        watched = -row[3] if stopping and stopping.get("watch") == "loss" else row[4]
        if watched > progress.watched:
            progress.watched, progress.bad = watched, 0
        else:
            progress.bad += 1

    def _stopped(self) -> bool:
        stopping = self.task.stage.get("early_stopping")
        return stopping is not None and self.progress.bad >= max(1, int(stopping["patience"]))

    def _set_rate(self, factor: float) -> None:
        for group, rate in zip(self.optimiser.param_groups, self.base_rates, strict=True):
            group["lr"] = rate * factor

    def _rate(self) -> float:
        return float(self.optimiser.param_groups[0]["lr"])

    def _check(self, loss: float, rate: float) -> None:
        if not math.isfinite(loss):
            self._diverged(f"the training loss became {loss}", rate)

    def _diverged(self, what: str, rate: float) -> None:
        raise InputError(
            f"Stage {self.task.stage_name}, epoch {self.progress.epoch + 1}, learning rate "
            f"{rate:.3g}: {what}. Lower the stage's optimizer.lr, lengthen schedule.warmup, or set "
            "clip (for instance 1.0)."
        )

    def _report(self, row: list[float], speed: float, seconds: float) -> None:
        progress, epochs = self.progress, self.task.stage["epochs"]
        left = round(seconds * (epochs - progress.epoch))
        valid = (
            "" if math.isnan(row[3]) else f"  valid {row[3]:.4f}  {self.task.metric} {row[4]:.4f}"
        )
        self.log(
            f"epoch {int(row[0])}/{epochs}  lr {row[1]:.2e}  train {row[2]:.4f}{valid}  "
            f"{speed:.0f} tiles/s  {left // 60}:{left % 60:02d} left"
        )
        if self.writer:
            names = ["lr", "loss/train", "loss/valid", f"metric/{self.task.metric}"]
            for name, value in zip(names, row[1:], strict=True):
                if not math.isnan(value):
                    self.writer.add_scalar(name, value, int(row[0]))
            self.writer.flush()

    def history(self) -> pd.DataFrame:
        """One row an epoch; what was not validated is empty."""
        table = pd.DataFrame(self.progress.rows, columns=COLUMNS)
        return table.astype({"epoch": int})

    def _interrupt(self, signals: Signals) -> None:
        self.state.save(self._pack())
        number, step = int(signals.caught or 0), self.progress.step
        self.log(
            f"Stopped by signal {number} in epoch {self.progress.epoch + 1} after {step} steps. "
            "The same command goes on from there."
        )
        raise Interrupted(128 + number)

    def _pack(self) -> dict[str, Any]:
        """Gather tensors and plain values; the generators matter in mid-epoch only."""
        cuda = self.device.type == "cuda"
        return {
            "model": self.model.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "schedule": self.schedule.state(),
            "average": self.average.module.state_dict() if self.average else None,
            "average_steps": self.average.steps if self.average else 0,
            "best": self.best,
            "progress": dict(vars(self.progress)),
            "random": torch.get_rng_state(),
            "random_cuda": torch.cuda.get_rng_state(self.device) if cuda else None,
        }

    def _resume(self) -> None:
        state = self.state.load()
        if state is None:
            return
        self.model.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.schedule.restore(state["schedule"])
        if self.average:
            self.average.module.load_state_dict(state["average"])
            self.average.steps = state["average_steps"]
        self.best = state["best"]
        self.progress = Progress(**state["progress"])
        torch.set_rng_state(state["random"])
        if state["random_cuda"] is not None:
            torch.cuda.set_rng_state(state["random_cuda"], self.device)
        progress = self.progress
        self.log(f"Resuming after epoch {progress.epoch}, step {progress.step}.")
