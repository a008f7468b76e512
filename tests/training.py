"""A tiny competition on disk for the tests of training and prediction."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import foldbelt.train
from foldbelt import config, store
from foldbelt.boxes import Boxes
from foldbelt.channels._resizing import Resizer
from foldbelt.config.stage_settings import StageSettings
from foldbelt.train import Inputs, Job, Machine, Outputs, lr_range
from foldbelt.train.loop import Trainer
from foldbelt.train.saving import copied

STORED, SIZE = (13, 13), (16, 16)
MODEL = {"name": "vanilla", "width": 4, "depth": 2, "label_head": True, "weights": None}
STAGE = {
    "loss": {"bce": 1},
    "epochs": 3,
    "batch_size": 4,
    "accumulate": 1,
    "optimizer": {"name": "adamw", "lr": 0.01, "momentum": 0.9, "weight_decay": 0.01},
    "schedule": {"name": "cosine", "warmup": 1, "floor": 0.0, "patience": 2, "factor": 0.5},
    "early_stopping": None,
    "select": "last",
    "ema": None,
    "amp": False,
    "clip": None,
    "validate_every": 1,
    "augment": [{"HorizontalFlip": {"p": 0.5}}],
    "pseudo_ratio": 1.0,
}
STAGE_KEYS = set(config.load_schema()["$defs"]["stage"]["properties"])


def settings(**stage: Any) -> StageSettings:
    """Give a stage's settings: what is not named as the schema's default, plain cross-entropy."""
    return StageSettings.of(config.complete("stage", {"loss": {"bce": 1}, "epochs": 3, **stage}))


def run(log: Callable[[str], None] = lambda text: None, **given: Any) -> None:
    """Train as `Competition.arguments` say, in silence."""
    arguments = _typed(given)
    outputs = {name: given.pop(name) for name in ("weights", "history", "state_root")}
    outputs["tensorboard"] = given.pop("tensorboard", None)
    named = {name: given.pop(name) for name in ("metric", "fingerprint")}
    assert not given, f"no such arguments: {given}"
    foldbelt.train.run(outputs=Outputs(**outputs), log=log, **named, **arguments)


def run_range(log: Callable[[str], None] = lambda text: None, **given: Any) -> pd.DataFrame:
    """Try learning rates as `Competition.arguments` say, in silence."""
    for name in ("weights", "history", "state_root", "metric", "fingerprint"):
        given.pop(name)
    arguments = _typed(given)
    return lr_range.run(log=log, **arguments, **given)


def _typed(given: dict[str, Any]) -> dict[str, Any]:
    """Take from the arguments those that travel as one, and give these."""
    key = given.pop("key")
    identity = {name: key[name] for name in ("model", "round", "fold")}
    identity["seed"] = given.pop("seed")
    identity["model_seed"] = given.pop("model_seed", 0)
    inputs = {name: given.pop(name) for name in ("channels", "data", "folds")}
    others = ("start", "checkpoint", "pseudo", "test_channels")
    inputs |= {name: given.pop(name, None) for name in others}
    inputs["strict"] = given.pop("strict", False)
    return {
        "job": Job(stage=given.pop("stage_name"), **identity),
        "model": given.pop("model"),
        "stage": settings(**given.pop("stage")),
        "inputs": Inputs(**inputs),
        "machine": Machine(*(given.pop(name) for name in ("cpu_threads", "memory_gib", "device"))),
    }


@contextmanager
def weights_of_epochs() -> Iterator[list[dict[str, torch.Tensor]]]:
    """Give a list that a training fills with copies of the model's weights at its epochs' ends."""
    found: list[dict[str, torch.Tensor]] = []
    report = Trainer._report

    def note(self: Trainer, row: list[float], speed: float, seconds: float) -> None:
        found.append(copied(self.model.state_dict()))
        report(self, row, speed, seconds)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "_report", note)
        yield found


class Competition:
    """18 train tiles in three folds, 10 test tiles, two channels; masks are bright squares."""

    resize_mode = "pad-reflect"

    def __init__(self, root: Path, classes: int = 1, ignore: bool = False, seed: int = 0) -> None:
        self.root = root
        self.random = np.random.default_rng(seed)
        self.classes = classes
        self.train_ids = [f"t{number:02d}" for number in range(18)]
        self.test_ids = [f"u{number:02d}" for number in range(10)]
        self.fold = np.arange(18) % 3
        self.mask = self._masks(18)
        self.ignore = self.random.random((18, *STORED)) < 0.1 if ignore else None
        self.image = self._images(self.mask)
        self.test_mask = self._masks(10)
        self.test_image = self._images(self.test_mask)
        self.path = {
            name: str(root / name)
            for name in ("train.h5", "test.h5", "x_train.h5", "x_test.h5", "folds.csv", "pseudo.h5")
        }
        self.write()

    def _masks(self, count: int) -> np.ndarray:
        mask = np.zeros((count, *STORED, self.classes), np.uint8)
        for number in range(count - count // 4):
            top, left = self.random.integers(0, 7, 2)
            mask[number, top : top + 6, left : left + 5, number % self.classes] = 1
        return mask

    def _images(self, mask: np.ndarray) -> np.ndarray:
        noise = self.random.integers(0, 120, (*mask.shape[:3], 2))
        return (noise + 120 * mask.any(axis=3, keepdims=True)).astype(np.uint8)

    def squeeze(self, mask: np.ndarray) -> np.ndarray:
        return mask[..., 0] if self.classes == 1 else mask

    def write(self, order: np.ndarray | None = None) -> None:
        order = np.arange(18) if order is None else order
        ids = [self.train_ids[row] for row in order]
        arrays = {"image": self.image[order, ..., 0], "mask": self.squeeze(self.mask[order])}
        arrays["labels"] = self.mask[order].any(axis=(1, 2)).astype(np.uint8)
        if self.ignore is not None:
            arrays["ignore"] = self.ignore[order].astype(np.uint8)
        table = pd.DataFrame({"id": ids})
        store.write(self.path["train.h5"], arrays, table, {}, self.classes)
        test = {"image": self.test_image[..., 0]}
        store.write(self.path["test.h5"], test, pd.DataFrame({"id": self.test_ids}), {})
        fit = Resizer(self.resize_mode, STORED, SIZE)
        attrs = {
            "names": ["image", "copy"],
            "scale": [1 / 64, 1 / 64],
            "offset": [-2.0, -2.0],
            "resize_mode": self.resize_mode,
            "size": list(SIZE),
            "source": list(STORED),
        }
        store.write(self.path["x_train.h5"], {"x": fit.images(self.image[order])}, table, attrs)
        table = pd.DataFrame({"id": self.test_ids})
        store.write(self.path["x_test.h5"], {"x": fit.images(self.test_image)}, table, attrs)
        folds = pd.DataFrame({"id": ids, "fold": self.fold[order], "strata": 0, "group": ids})
        folds.to_csv(self.path["folds.csv"], index=False)

    def write_pseudo(self, rows: int = 7) -> None:
        table = pd.DataFrame({"id": self.test_ids[:rows][::-1]})
        mask = self.squeeze(self.test_mask[:rows][::-1])
        confidence = np.ones(rows, np.float32)
        arrays = {"mask": mask, "confidence": confidence}
        store.write(self.path["pseudo.h5"], arrays, table, {}, self.classes)

    def arguments(self, name: str = "w", **changes: object) -> dict:
        """Give keyword arguments of `run`; whatever is a key of a stage changes the stage."""
        stage = {**STAGE, **{key: value for key, value in changes.items() if key in STAGE_KEYS}}
        rest = {key: value for key, value in changes.items() if key not in STAGE_KEYS}
        return {
            "channels": self.path["x_train.h5"],
            "data": self.path["train.h5"],
            "folds": self.path["folds.csv"],
            "model": MODEL,
            "stage": stage,
            "stage_name": "bce",
            "key": {"model": "tiny", "round": 0, "fold": 1},
            "seed": 5,
            "weights": str(self.root / f"{name}.safetensors"),
            "history": str(self.root / f"{name}.csv"),
            "metric": "salt_score" if self.classes == 1 else "mean_dice",
            "cpu_threads": 1,
            "memory_gib": 1.0,
            "state_root": str(self.root / "state"),
            "fingerprint": "code",
            "device": "cpu",
            **rest,
        }


CLASSIFIER = {"name": "classifier", "encoder": "test_resnet", "label_dropout": 0.1, "weights": None}
DETECTOR = {"name": "detector", "encoder": "test_resnet", "weights": None, "levels": [4, 8]}
DETECTOR |= {"pyramid_channels": 64, "head_convs": 0}


class Objects(Competition):
    """Images of several original sizes, with boxes around their squares and labels of their own.

    There are two classes of squares. The labels say softly where a square lies, and exclude each
    other. Of every seventh image nobody knows boxes and labels.
    """

    resize_mode = "pad-edge"  # a mirrored square would be no box

    def __init__(self, root: Path, seed: int = 0) -> None:
        super().__init__(root, classes=2, seed=seed)
        self.sizes = np.tile([STORED, (26, 39), (20, 13)], (10, 1))
        self.known = np.arange(18) % 7 != 0
        self.labels = np.full((18, 3), np.nan, np.float32)
        self.boxes = [np.zeros((0, 6), np.float32)] * 18
        for row in np.flatnonzero(self.known):
            places = np.argwhere(self.mask[row])
            soft = np.full(3, 0.1)
            if len(places):
                (top, left, number), (bottom, right, _) = places.min(axis=0), places.max(axis=0) + 1
                high, wide = self.sizes[row] / STORED
                box = [number, left * wide, top * high, right * wide, bottom * high, 1]
                self.boxes[row] = np.array([box], np.float32)
                soft[left // 3] = 0.8
            self.labels[row] = soft / soft.sum()
        self.write_objects()

    def write_objects(self) -> None:
        """Write the images with all that is known of them; channels and folds stay."""
        table = pd.DataFrame({"id": self.train_ids, "height": self.sizes[:18, 0]})
        table["width"] = self.sizes[:18, 1]
        counts = [len(boxes) for boxes in self.boxes]
        table["boxes"] = np.where(self.known, counts, -1)
        arrays = {"image": self.image[..., 0], "mask": self.mask, "labels": self.labels}
        arrays["boxes"] = Boxes.join(self.boxes).to_bytes()
        names = {"label_names": ["left", "middle", "right"], "exclusive_labels": True}
        names |= {"class_names": ["one", "two"], "box_names": ["one", "two"]}
        store.write(self.path["train.h5"], arrays, table, names, 2)
        table = pd.DataFrame({"id": self.test_ids, "height": self.sizes[:10, 0]})
        table["width"] = self.sizes[:10, 1]
        store.write(self.path["test.h5"], {"image": self.test_image[..., 0]}, table, {})
