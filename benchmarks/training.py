"""Training against the compute ceiling and against a plain script, in turns, in one run.

    python benchmarks/training.py [--sizes 64 128] [--turns 5] [--steps 20] [--batch 16]
                                  [--networks smp/Unet vanilla] [--profile]

Three do the same work on one thread: one network, forward, binary cross-entropy, backward, AdamW
and a moving average of the weights. `ceiling` has one batch in memory, ready for the network: no
data, nothing but torch. `job` is an epoch of foldbelt's own `Trainer`, from u8 images and masks in
memory; states, which it writes by time, are left out. `plain` is what one would write with
segmentation-models-pytorch, albumentations and torch's DataLoader (it profits from
`foldbelt.runtime.prepare`, too, since the process is one). Job and plain go with and without
augmentation; what it costs on one core no job can hide.

Seconds are the processor's (`time.process_time`), so that other work on the machine hardly counts.
Prints medians over the turns with their range, and how fast each is beside the ceiling of its
precision and the plain script (in float32), of the same turn: 1 is as fast, more is faster.
"""

import argparse
import cProfile
import os
import pstats
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any

import albumentations
import numpy as np
import pandas as pd
import segmentation_models_pytorch as smp
import torch
from albumentations.pytorch import ToTensorV2
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader, Dataset

from foldbelt import config, runtime, store
from foldbelt.config.stage_settings import StageSettings
from foldbelt.machine import cpu_model
from foldbelt.train import Job, task
from foldbelt.train.data_source import Source
from foldbelt.train.loop import Trainer
from foldbelt.train.state import Signals, State

NETWORKS: dict[str, dict[str, Any]] = {
    "smp/Unet": {"name": "smp/Unet", "encoder": "resnet18", "weights": None},
    "vanilla": {"name": "vanilla", "width": 8, "depth": 4, "weights": None},
}
AUGMENT: list[dict[str, dict[str, Any]]] = [
    {"HorizontalFlip": {"p": 0.5}},
    {"Affine": {"rotate": [-10, 10], "scale": [0.9, 1.1], "translate_percent": 0.05, "p": 0.5}},
    {"RandomBrightnessContrast": {"p": 0.5}},
]
RATE, DECAY, EMA = 1e-3, 1e-2, 0.99
MEAN, DEVIATION = 127.5, 64.0  # of grey values
JOB = Job("model", 0, 0, "stage", seed=0)
Turn = Callable[[], None]


def pictures(count: int, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw images (n, side, side, 3) u8 of noise with a bright rectangle, and their masks."""
    random = np.random.default_rng(0)
    images = random.integers(0, 160, (count, side, side, 3), dtype=np.uint8)
    masks = np.zeros((count, side, side), np.uint8)
    for image, mask in zip(images, masks, strict=True):
        top, left = random.integers(0, side // 2, 2)
        mask[top : top + side // 3, left : left + side // 3] = 1
        image += 90 * mask[..., None]
    return images, masks


def job(
    folder: Path, network: Mapping[str, Any], amp: bool | str, augment: list[Any], batch: int
) -> Iterator[None]:
    """Train as a job does; every item is an epoch."""
    channels, data = str(folder / "x.h5"), str(folder / "data.h5")
    ids = [str(each) for each in store.read(channels, "id")]
    settings = {"loss": {"bce": 1}, "epochs": 1000, "batch_size": batch, "augment": augment}
    settings |= {"optimizer": {"name": "adamw", "lr": RATE, "weight_decay": DECAY}}
    stage = StageSettings.of(config.complete("stage", {**settings, "ema": EMA, "amp": amp}))
    sources = [Source(channels, data, ids), Source(channels, data, [])]
    device = torch.device("cpu")
    loaded, shape = task.load(sources, JOB, stage, network, "mean_dice", 4.0, device)
    module = task.network(network, shape, None, JOB, device)
    trainer = Trainer(module, loaded, State(folder / "state", print), print)
    # One would be due in every turn, after the others': a job writes one about every half minute,
    # which is a hundredth of its time at most (`foldbelt.train.saving`).
    trainer.saver.due = lambda: False  # type: ignore[method-assign]
    progress, signals = trainer.progress, Signals()
    with trainer.saver:
        while True:
            trainer._train_epoch(signals)
            progress.epoch += 1
            progress.step, progress.loss, progress.seen = 0, 0.0, 0
            yield


def ceiling(network: torch.nn.Module, side: int, batch: int, amp: bool, steps: int) -> Turn:
    """Give a turn of steps on one batch, as torch alone takes them."""
    network = network.train().to(memory_format=torch.channels_last)
    x = torch.randn(batch, 3, side, side)
    target = (torch.rand(batch, 1, side, side) < 0.1).float()
    optimiser = torch.optim.AdamW(network.parameters(), RATE, weight_decay=DECAY, fused=True)
    average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(EMA))
    averaged, current = list(average.module.parameters()), list(network.parameters())

    def turn() -> None:
        for _ in range(steps):
            with torch.autocast("cpu", torch.bfloat16, enabled=amp):
                logits = masks_of(network(x)).float()
            functional.binary_cross_entropy_with_logits(logits, target).backward()
            optimiser.step()
            optimiser.zero_grad()
            with torch.no_grad():
                torch._foreach_lerp_(averaged, current, 1 - EMA)

    return turn


class Pictures(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """Images and masks of the plain script."""

    def __init__(self, images: np.ndarray, masks: np.ndarray, augment: bool) -> None:
        self.images, self.masks = images, masks
        moves = [
            getattr(albumentations, name)(**given)
            for entry in (AUGMENT if augment else [])
            for name, given in entry.items()
        ]
        share = {"mean": MEAN / 255, "std": DEVIATION / 255}
        self.transform = albumentations.Compose(
            [*moves, albumentations.Normalize(**share), ToTensorV2()]
        )

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        made = self.transform(image=self.images[index], mask=self.masks[index])
        return made["image"], made["mask"][None].float()


def plain(network: torch.nn.Module, pictures: Pictures, batch: int) -> Turn:
    """Give a turn of an epoch, as a script has it."""
    network.train()
    loader = DataLoader(pictures, batch_size=batch, shuffle=True)
    criterion = smp.losses.SoftBCEWithLogitsLoss()
    optimiser = torch.optim.AdamW(network.parameters(), RATE, weight_decay=DECAY)
    average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(EMA))

    def turn() -> None:
        for images, masks in loader:
            loss = criterion(masks_of(network(images)), masks)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            average.update_parameters(network)

    return turn


def masks_of(outputs: Any) -> torch.Tensor:
    """Logits of masks, of one of our networks or of the package's."""
    return outputs["mask"] if isinstance(outputs, Mapping) else outputs


def write(folder: Path, images: np.ndarray, masks: np.ndarray) -> None:
    """Write the files that a job reads."""
    table = pd.DataFrame({"id": [f"{number:05d}" for number in range(len(images))]})
    size = list(masks.shape[1:])
    attrs = {"names": ["image0", "image1", "image2"], "resize_mode": "resize"}
    attrs |= {"scale": [1 / DEVIATION] * 3, "offset": [-MEAN / DEVIATION] * 3}
    store.write(str(folder / "x.h5"), {"x": images}, table, {**attrs, "size": size, "source": size})
    store.write(str(folder / "data.h5"), {"image": images, "mask": masks}, table, {}, 1)


def contestants(
    folder: Path, name: str, side: int, batch: int, steps: int
) -> dict[tuple[str, str], Turn]:
    """Make all that take turns, by what they are and how they compute; all of as many steps."""
    spec = NETWORKS[name]
    images, masks = pictures(steps * batch, side)
    write(folder, images, masks)

    def fresh(packaged: bool = False) -> torch.nn.Module:
        torch.manual_seed(0)
        if packaged and name.startswith("smp/"):
            return smp.create_model(name[4:], spec["encoder"], encoder_weights=None, classes=1)
        return task.models.build(spec, 3, 1, 0)

    made: dict[tuple[str, str], Turn] = {}
    for precision, amp in (("float32", False), ("bfloat16", True)):
        made["ceiling", precision] = ceiling(fresh(), side, batch, amp, steps)
        for label, augment in (("job", []), ("job, augmented", AUGMENT)):
            epochs = job(folder, spec, "everywhere" if amp else False, augment, batch)
            made[label, precision] = lambda epochs=epochs: next(epochs)
    for label, augmented in (("plain", False), ("plain, augmented", True)):
        given = Pictures(images, masks, augmented)
        made[label, "float32"] = plain(fresh(packaged=True), given, batch)
    return made


def spread(values: list[float], form: str) -> str:
    """Give a median and its range."""
    middle, low, high = (f(values) for f in (statistics.median, min, max))
    return f"{middle:{form}} ({low:{form}} to {high:{form}})"


def compare(name: str, side: int, given: argparse.Namespace) -> None:
    """Let all take turns; print their rows."""
    with tempfile.TemporaryDirectory() as folder:
        made = contestants(Path(folder), name, side, given.batch, given.steps)
        cpu: dict[tuple[str, str], list[float]] = {key: [] for key in made}
        wall: dict[tuple[str, str], list[float]] = {key: [] for key in made}
        for turn in made.values():
            turn()  # warm
        keys = list(made)
        for number in range(given.turns):
            for key in keys[number % len(keys) :] + keys[: number % len(keys)]:
                began, busy = time.perf_counter(), time.process_time()
                made[key]()
                cpu[key].append((time.process_time() - busy) / given.steps / given.batch * 1e3)
                wall[key].append((time.perf_counter() - began) / given.steps / given.batch * 1e3)
    for label, precision in keys:
        peers = [("ceiling", precision)] if label != "ceiling" else []
        peers += [(label.replace("job", "plain"), "float32")] if "job" in label else []
        taken = cpu[label, precision]
        ratios = [
            spread([b / a for a, b in zip(taken, cpu[peer], strict=True)], ".2f") for peer in peers
        ]
        times = [spread(taken, ".2f"), spread(wall[label, precision], ".2f")]
        cells = [name, side, precision, label, *times, *ratios, *[""] * (2 - len(ratios))]
        print("| " + " | ".join(map(str, cells)) + " |", flush=True)


def profile(name: str, side: int, given: argparse.Namespace) -> None:
    """Print where a job's Python spends its time, without augmentation."""
    with tempfile.TemporaryDirectory() as folder:
        turn = contestants(Path(folder), name, side, given.batch, given.steps)["job", "float32"]
        turn()
        profiler = cProfile.Profile(time.process_time)
        profiler.runcall(turn)
        pstats.Stats(profiler).sort_stats("tottime").print_stats(25)


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 128])
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--profile", action="store_true")
    given = parser.parse_args()
    runtime.prepare(1, "cpu")
    work = profile if given.profile else compare
    if not given.profile:
        load = os.getloadavg()[0]
        print(f"{cpu_model()}, torch {torch.__version__}, {date.today()}, load {load:.1f}\n")
        print(
            "| network | pixels | precision | what | CPU ms a sample | wall | of the ceiling | ",
            end="",
        )
        print("of plain |\n|" + "---|" * 8)
    for name in given.networks:
        for side in given.sizes:
            work(name, side, given)


if __name__ == "__main__":
    main()
