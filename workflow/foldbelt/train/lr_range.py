"""Learning-rate range test (Smith 2017): train with a rising rate, and see what the loss does.

The loss first stays, falls while the rate is of use, and rises where it is too high. Nothing is
kept of the weights.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch

from foldbelt import files, runtime, store
from foldbelt.config.stage_settings import StageSettings
from foldbelt.files import InputError, seed_for
from foldbelt.train import evaluation, labels
from foldbelt.train.arguments import Inputs, Job, Machine
from foldbelt.train.job import check_stage
from foldbelt.train.loading import Plan, loader
from foldbelt.train.stepping import Batch, Stepper
from foldbelt.train.task import Task, load, network, sources_of, split, start_from

COLUMNS = ["step", "lr", "loss", "smoothed", "suggestion"]
MEMORY = 0.9
"""Share of the old in the smoothed loss."""
RISE = 4.0
"""So many times its minimum the smoothed loss may reach."""


def run(
    *,
    job: Job,
    model: Mapping[str, Any],
    stage: StageSettings,
    inputs: Inputs,
    machine: Machine,
    rates: str,
    lowest: float = 1e-6,
    highest: float = 10.0,
    steps: int = 100,
    log: Callable[[str], None] = print,
) -> pd.DataFrame:
    """Try learning rates on the training part of one fold, with a stage's optimiser and loss.

    The rate rises by the same factor from step to step, until the smoothed loss (an exponential
    moving average, bias-corrected) has reached four times its minimum. The schedule of the stage,
    its averages of weights and its epochs do not matter. The same arguments give the same bytes.

    Parameters
    ----------
    job, model, stage, machine
        As of `foldbelt.train.job.run`.
    inputs
        Files to read; pseudo-labels are left aside.
    rates
        CSV file to write, see Returns.
    lowest, highest
        The rates of the first and the last step.
    steps
        How many optimiser steps; epochs follow each other as long as they are needed.
    log
        Takes the messages.

    Returns
    -------
    DataFrame
        ``step`` (from 1), ``lr``, ``loss`` (before the step), ``smoothed`` and ``suggestion``:
        "steepest" where the smoothed loss falls fastest over the logarithm of the rate, "tenth"
        nearest to a tenth of the rate of its minimum, "" elsewhere.

    Raises
    ------
    InputError
        If something in the config or the files cannot be used, or the first loss is not finite.
    """
    if not 0 < lowest < highest or steps < 3:
        raise InputError(
            f"a range test needs rates 0 < lowest < highest and 3 steps at least, not {lowest}, "
            f"{highest} and {steps}"
        )
    check_stage(stage, job, model, labels.are_exclusive(store.attrs(inputs.data), model))
    device = runtime.prepare(machine.cpu_threads, machine.device)
    sources = sources_of(inputs, *split(inputs.folds, job.fold))[:2]
    task, shape = load(sources, job, stage, model, "", machine.memory_gib, device)
    module = network(model, shape, inputs.start, job, device)
    start_from(module, inputs, log)
    stepper = Stepper(module, task)
    errors = evaluation.errors(stepper, lambda: None) if task.mines else None
    log(f"Stage {job.stage}: {steps} steps at rates from {lowest:g} to {highest:g}.")
    rows: list[list[float]] = []
    mean = 0.0
    for step, (lr, loss) in enumerate(_losses(stepper, errors, lowest, highest, steps), start=1):
        if math.isfinite(loss):
            mean = MEMORY * mean + (1 - MEMORY) * loss
            rows.append([step, lr, loss, mean / (1 - MEMORY**step)])
        if not math.isfinite(loss) or rows[-1][3] > RISE * min(row[3] for row in rows):
            log(f"Stopped at step {step}, rate {lr:.3g}, loss {loss:.4g}.")
            break
    if not rows:
        raise InputError(f"Stage {job.stage}: the loss is {loss} even before the first step.")
    table = pd.DataFrame(rows, columns=COLUMNS[:4]).astype({"step": int})
    table["suggestion"] = suggest(table["lr"].to_numpy(), table["smoothed"].to_numpy())
    for name in ("steepest", "tenth"):
        for rate in table["lr"][table["suggestion"].str.contains(name)]:
            log(f"Suggested ({name}): {rate:.2g}")
    files.write_csv(rates, table)
    return table


def _losses(
    stepper: Stepper, errors: np.ndarray | None, lowest: float, highest: float, steps: int
) -> Iterator[tuple[float, float]]:
    """Train, giving every step's rate and the loss that it starts from."""
    task, done, epoch = stepper.task, 0, 0
    base = stepper.base_rates[0]
    while done < steps:
        torch.manual_seed(seed_for(*task.job.seed_parts, "epoch", epoch))
        stepper.start_epoch(epoch)
        groups = task.steps(epoch, errors)[: steps - done]
        stream = _stream(task, groups, epoch)
        for number, group in enumerate(groups):
            lr = lowest * (highest / lowest) ** (done / (steps - 1))
            stepper.set_rate(lr / base)
            losses = stepper.gather(group, stream, (epoch, number))
            loss = float(torch.stack(losses).sum()) / sum(len(rows) for rows in group)
            stepper.update()
            yield lr, loss
            done += 1
        epoch += 1


def _stream(task: Task, groups: list[list[np.ndarray]], epoch: int) -> Iterator[Batch]:
    plan = Plan()
    plan.set([batch for group in groups for batch in group], epoch)
    return iter(loader(task.samples, plan, task.normalise.device, 0))


def suggest(lr: np.ndarray, smoothed: np.ndarray) -> list[str]:
    """Point out rates worth trying.

    Parameters
    ----------
    lr, smoothed
        (n,) rising rates, and smoothed losses.

    Returns
    -------
    list of n str
        "steepest" at the fastest fall of the smoothed loss before its minimum, the first steps,
        whose mean is of few losses, left out; "tenth" at the rate nearest to a tenth of the
        minimum's. Both, "steepest tenth", may be one. A loss that never falls has neither.

    Examples
    --------
    >>> lr = np.geomspace(1e-3, 10, 5)
    >>> suggest(lr, np.array([1.0, 0.9, 0.5, 0.4, 2.0]))
    ['', '', 'steepest tenth', '', '']
    """
    names: list[list[str]] = [[] for _ in lr]
    lowest = int(np.argmin(smoothed))
    if lowest:
        slope = np.gradient(smoothed, np.log(lr))
        first = min(round(1 / (1 - MEMORY)), lowest - 1)
        names[first + int(np.argmin(slope[first : lowest + 1]))].append("steepest")
        names[int(np.argmin(np.abs(np.log(lr / (lr[lowest] / 10)))))].append("tenth")
    return [" ".join(labels) for labels in names]
