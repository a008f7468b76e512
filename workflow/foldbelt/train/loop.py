"""The training loop of one stage: epochs of optimiser steps, validation, the weights to keep.

Everything random derives from (seed, model, round, fold, stage, epoch), and torch's generator is
set anew at each epoch, so nothing that happens beside the training steps (validation least of all)
can change the weights, and a resumed run needs to know little.
"""

import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch

from foldbelt.files import InputError, seed_for
from foldbelt.logs import epoch_line, unlearnt
from foldbelt.runtime import made_on
from foldbelt.store.weights import with_snapshots
from foldbelt.train import evaluation, pictures, schedules
from foldbelt.train.checkpoint_averaging import BestCheckpoints, EpochAverage, Weights
from foldbelt.train.ema import MovingAverage
from foldbelt.train.loading import Plan, loader
from foldbelt.train.saving import Saver
from foldbelt.train.state import Interrupted, Signals, State
from foldbelt.train.stepping import Stepper
from foldbelt.train.task import Task

Log = Callable[[str], None]
COLUMNS = ["epoch", "lr", "train_loss", "valid_loss", "valid_metric"]
_NAN = math.nan


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
        Best value, in validation, of what selects the weights, and its epoch (from 1).
    watched, bad
        Best value of what early stopping watches, and the validations since.
    cycle
        The schedule's cycle, from 0.
    averaged
        The last epoch (from 1) whose weights are in the average of epochs.
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
    cycle: int = 0
    averaged: int = 0


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
    workers
        Processes that prepare batches for a GPU.

    Attributes
    ----------
    made_on
        Every kind of device and software that trained so far; see
        :func:`foldbelt.runtime.made_on`.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        task: Task,
        state: State,
        log: Log,
        writer: Callable[[int], Any] | None = None,
        workers: int = 0,
    ) -> None:
        stage = task.stage
        self.model, self.task, self.state, self.log = model, task, state, log
        self.device = task.normalise.device
        self.saver = Saver(state, self.device)
        self.stepper = Stepper(model, task)
        self.schedule = schedules.build(stage.schedule, stage.epochs)
        averaging = stage.averaging
        self.moving = MovingAverage(model, averaging.ema) if averaging.ema else None
        self.epoch_average = EpochAverage(model) if averaging.swa is not None else None
        self.best = BestCheckpoints(averaging.average_best)
        self.snapshots: dict[int, Weights] = {}
        self.errors: np.ndarray | None = None
        self.progress = Progress()
        self.warned = False
        self.made_on = [made_on(self.device)]
        self._resume()
        self.writer = writer(self.progress.epoch) if writer else None
        self.plan = Plan()
        workers = 0 if self.device.type == "cpu" else workers
        self.loader = loader(task.samples, self.plan, self.device, workers)

    @property
    def kept(self) -> torch.nn.Module:
        """The module whose weights would be kept if training ended now: an average, if any."""
        if self.epoch_average and self.epoch_average.steps:
            return self.epoch_average.module
        return self.moving.module if self.moving else self.model

    def train(self, signals: Signals) -> Weights:
        """Train to the end of the stage, or to early stopping.

        Parameters
        ----------
        signals
            Looked at between steps: when one was caught, the state is saved and the run ends.

        Returns
        -------
        dict
            The weights to keep, snapshots under their prefixes.

        Raises
        ------
        Interrupted
            After a signal.
        InputError
            When a loss is no longer finite, or the state cannot be written.
        """
        with self.saver:
            return self._train(signals)

    def _train(self, signals: Signals) -> Weights:
        stage, progress = self.task.stage, self.progress
        check = partial(self._heed, signals)
        if self.task.mines and self.errors is None:
            self.errors = evaluation.errors(self.stepper, check)
        began, first, constant = time.monotonic(), progress.epoch, _NAN
        while progress.epoch < stage.epochs and not self._stopped():
            speed = self._train_epoch(signals)
            row = [progress.epoch + 1, self.stepper.rate, progress.loss / progress.seen, _NAN, _NAN]
            self._check(row[2], row[1])
            self._average(int(row[0]))
            if len(self.task.valid) and stage.validates(progress.epoch + 1):
                self._settle()
                # Interrupted here, the epoch is not noted yet: its validation will be done again.
                row[3], row[4], constant = evaluation.validate(self.stepper, self.kept, check)
                self.schedule.observe(-_goodness(row, stage.schedule.watch))
                self._watch(row)
            progress.rows.append(row)
            progress.epoch, progress.step, progress.loss, progress.seen = int(row[0]), 0, 0.0, 0
            if self.saver.due():
                self.saver.save(self._pack())
            self._report(row, speed, (time.monotonic() - began) / (progress.epoch - first))
            self._warn(row, constant)
        self._settle()
        self._snapshot(self.schedule.cycle(progress.epoch))
        chosen = with_snapshots(self._chosen(), self.snapshots)
        broken = [name for name, value in chosen.items() if not torch.isfinite(value).all()]
        if broken:
            self._diverged(
                f"{len(broken)} weights, {broken[0]} first, are not finite", self.stepper.rate
            )
        return chosen

    def _chosen(self) -> Weights:
        """Give the final weights: those at the end, the best, or the mean of the best."""
        if not self.best.weights:
            return self.kept.state_dict()
        if self.best.count == 1:
            return self.best.weights[self.best.epochs[0]]
        average = self.best.average(self.model)
        evaluation.settle(self.stepper, average)
        return average.module.state_dict()

    def _train_epoch(self, signals: Signals) -> float:
        """Do the remaining steps of an epoch; give the samples per second."""
        task, progress = self.task, self.progress
        epoch = progress.epoch
        groups = task.steps(epoch, self.errors)
        done = sum(len(group) for group in groups[: progress.step])
        self.plan.set([batch for group in groups for batch in group], epoch, done)
        if progress.step == 0:
            torch.manual_seed(seed_for(*task.job.seed_parts, "epoch", epoch))
        self.stepper.start_epoch(epoch)
        running = torch.tensor(progress.loss, dtype=torch.float64, device=self.device)
        before, seen = time.monotonic(), 0
        stream = iter(self.loader)
        for step in range(progress.step, len(groups)):
            position = epoch + (step + 0.5) / len(groups)
            self._turn(self.schedule.cycle(position))
            self.stepper.set_rate(self.schedule.factor(position))
            for part in self.stepper.gather(groups[step], stream, (epoch, step)):
                running += part
            self._step()
            count = sum(len(batch) for batch in groups[step])
            seen += count
            progress.step, progress.seen = step + 1, progress.seen + count
            if signals.caught or self.saver.due():
                progress.loss = float(running)
                self._heed(signals)
                self.saver.save(self._pack())
        progress.loss = float(running)
        return seen / max(time.monotonic() - before, 1e-9)

    def _step(self) -> None:
        self.stepper.update()
        if self.moving:
            self.moving.update()

    def _average(self, epoch: int) -> None:
        """Take the weights at an epoch's end (from 1) into their average, where there is one."""
        share = self.task.stage.averaging.swa
        late = share is not None and epoch > share * self.task.stage.epochs
        # After an interruption in an epoch's validation, its end comes twice.
        if self.epoch_average and late and epoch > self.progress.averaged:
            self.epoch_average.update(self.model)
            self.progress.averaged = epoch

    def _settle(self) -> None:
        if self.epoch_average and self.epoch_average.steps:
            evaluation.settle(self.stepper, self.epoch_average)

    def _turn(self, cycle: int) -> None:
        """Enter a cycle of the schedule; the one before may leave a snapshot."""
        if cycle > self.progress.cycle:
            self._snapshot(self.progress.cycle)
            self.progress.cycle = cycle

    def _snapshot(self, cycle: int) -> None:
        number = self.schedule.snapshot(cycle)
        if number:
            self.snapshots[number] = copy.deepcopy(self.kept.state_dict())

    def _watch(self, row: list[float]) -> None:
        """Keep copies of the best weights, and count the validations without better ones."""
        stage, progress = self.task.stage, self.progress
        goodness = _goodness(row, stage.select_by)
        if goodness > progress.best:
            progress.best, progress.best_epoch = goodness, int(row[0])
        if stage.select == "best":
            self.best.offer(goodness, int(row[0]), self.kept.state_dict())
        stopping = stage.early_stopping
        watched = _goodness(row, stopping.watch if stopping else "metric")
        if watched > progress.watched:
            progress.watched, progress.bad = watched, 0
        else:
            progress.bad += 1

    def _stopped(self) -> bool:
        stopping = self.task.stage.early_stopping
        return stopping is not None and self.progress.bad >= stopping.patience

    def _check(self, loss: float, rate: float) -> None:
        if not math.isfinite(loss):
            self._diverged(f"the training loss became {loss}", rate)

    def _diverged(self, what: str, rate: float) -> None:
        raise InputError(
            f"Stage {self.task.job.stage}, epoch {self.progress.epoch + 1}, learning rate "
            f"{rate:.3g}: {what}. Lower the stage's optimizer.lr, lengthen schedule.warmup, or set "
            "clip (for instance 1.0)."
        )

    def _report(self, row: list[float], speed: float, seconds: float) -> None:
        progress, epochs = self.progress, self.task.stage.epochs
        left = round(seconds * (epochs - progress.epoch))
        self.log(epoch_line(row, epochs, self.task.metric, speed, left))
        if self.writer:
            names = ["lr", "loss/train", "loss/valid", f"metric/{self.task.metric}"]
            for name, value in zip(names, row[1:], strict=True):
                if not math.isnan(value):
                    self.writer.add_scalar(name, value, int(row[0]))
            shown = None if math.isnan(row[3]) else pictures.draw(self.stepper, self.kept)
            if shown is not None:
                self.writer.add_image("validation", shown, int(row[0]))
            self.writer.flush()

    def _warn(self, row: list[float], constant: float) -> None:
        """Say, once half of the epochs are done and again at the end, that nothing is learnt."""
        epochs, done = self.task.stage.epochs, self.progress.epoch
        late = done == epochs or (2 * done >= epochs and not self.warned)
        if late and row[4] <= constant:  # neither is so of NaN
            self.warned = True
            self.log(unlearnt(self.task.main, self.task.metric, row[4], constant))

    def history(self) -> pd.DataFrame:
        """One row an epoch; what was not validated is empty."""
        table = pd.DataFrame(self.progress.rows, columns=COLUMNS)
        return table.astype({"epoch": int})

    def _heed(self, signals: Signals) -> None:
        if signals.caught:
            self._interrupt(signals)

    def _interrupt(self, signals: Signals) -> None:
        self.saver.save(self._pack())
        self.saver.wait()
        number, step = int(signals.caught or 0), self.progress.step
        self.log(
            f"Stopped by signal {number} in epoch {self.progress.epoch + 1} after {step} steps. "
            "The same command goes on from there."
        )
        raise Interrupted(128 + number)

    def _pack(self) -> dict[str, Any]:
        """Gather tensors and plain values; the generators matter in mid-epoch only."""
        cuda = self.device.type == "cuda"
        average = self.epoch_average or self.moving
        return {
            "model": self.model.state_dict(),
            "optimiser": self.stepper.optimiser.state_dict(),
            "schedule": self.schedule.state(),
            "average": average.module.state_dict() if average else None,
            "average_steps": average.steps if average else 0,
            "best": self.best.state(),
            "snapshots": self.snapshots,
            "errors": None if self.errors is None else torch.from_numpy(self.errors),
            "progress": dict(vars(self.progress)),
            "made_on": self.made_on,
            "random": torch.get_rng_state(),
            "random_cuda": torch.cuda.get_rng_state(self.device) if cuda else None,
        }

    def _resume(self) -> None:
        state = self.state.load()
        if state is None:
            return
        self.model.load_state_dict(state["model"])
        self.stepper.optimiser.load_state_dict(state["optimiser"])
        self.schedule.restore(state["schedule"])
        average = self.epoch_average or self.moving
        if average:
            average.module.load_state_dict(state["average"])
            average.steps = state["average_steps"]
        self.best.restore(state["best"])
        self.snapshots = state["snapshots"]
        self.errors = None if state["errors"] is None else state["errors"].numpy()
        self.progress = Progress(**state["progress"])
        here, before = self.made_on[0], state["made_on"]
        if here not in before:
            self.log(f"Resuming on {here}; before, it was {before[-1]}. The last digits differ.")
        self.made_on = before if here in before else [*before, here]
        torch.set_rng_state(state["random"])
        if state["random_cuda"] is not None:
            torch.cuda.set_rng_state(state["random_cuda"], self.device)
        progress = self.progress
        self.log(f"Resuming after epoch {progress.epoch}, step {progress.step}.")


def _goodness(row: list[float], watched: str) -> float:
    """Give what is watched in a row of the history, such that more is better."""
    return -row[3] if watched == "loss" else row[4]
