"""A tiny finished run of a plain folder, made of the stages' own functions, and its bundle."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from raw_folders import ingest_both, make_folder, save_table

from foldbelt import bundle, channels, config, models, predict, submit
from foldbelt.ensemble import blend
from foldbelt.store import weights

SIZES = {"a": (20, 30), "b": (24, 32), "c": (33, 21), "d": (24, 32), "e": (40, 40), "f": (24, 32)}
STORED = [24, 32]
ARCHITECTURE = {"name": "vanilla", "width": 4, "depth": 2, "label_head": True}
FOLDS = 2


class Tiny:
    """A run: raw files in `raw`, results in `root`, the bundle in `bundle`."""

    def __init__(
        self,
        root: Path,
        steps: list[dict[str, Any]] | None = None,
        depth: bool = False,
        architecture: dict[str, Any] = ARCHITECTURE,
    ) -> None:
        self.architecture = architecture
        self.root, self.raw = root, make_folder(root / "raw", SIZES, test=True)
        self.channels = ["image", "depth" if depth else "cumsum"]
        if depth:
            depths = {name: 100 + 50 * place for place, name in enumerate(SIZES)}
            depths |= {f"test_{name}": z for name, z in depths.items()}
            save_table(self.raw / "meta.csv", {"id": list(depths), "depth": list(depths.values())})
        self.bundle = root / "bundle.zip"
        recipe = {
            "run": "tiny",
            "competition": "folder",
            "data": {"path": str(self.raw), "size": STORED},
            "channels": {"base": {"use": self.channels, "whiten": "standard", "size": 32}},
            "stages": {"one": {"loss": {"bce": 1}, "epochs": 1}},
            "models": {"net": {"stages": ["one"], "architecture": architecture}},
            "predict": {"batch_size": 2, "tta": ["none", "hflip"]},
        }
        self.recipe = config.resolve(recipe)
        ingest_both("folder", self.raw, self.recipe["data"], root)
        for part, fitted in (("train", None), ("test", root / "x_train.h5")):
            out = root / f"x_{part}.h5"
            channels.build(root / f"{part}.h5", out, self.recipe["channels"]["base"], fitted)
        self.weights = [self._save(fold) for fold in range(FOLDS)]
        self._write("blend.json", {"members": ["net"], "mean": "probability", "all": [1.0],
                                   "without": {"0": [1.0], "1": [1.0]}})  # fmt: skip
        decision = {"params": {"threshold": 0.5, "min_area": 3, "gate": 0.0}, "steps": steps or []}
        self._write("decision.json", decision | {"images": {"id": ["secret-image"]}})

    def _save(self, fold: int) -> Path:
        """Save a network that nobody has trained, but that divides images in two."""
        torch.manual_seed(fold)
        module = models.build(self.architecture, 2, 1, 1)
        metadata = {
            "architecture": self.architecture,
            "in_channels": 2,
            "mask_channels": 1,
            "label_classes": 1,
            "channels": self.channels,
            "size": [32, 32],
            "key": f"fold{fold}",
        }
        path = self.root / f"fold{fold}.safetensors"
        weights.save(path, module.state_dict(), metadata)
        return path

    def _write(self, name: str, content: dict[str, Any]) -> None:
        (self.root / name).write_text(json.dumps(content))

    def write(self, out: Path | None = None, **changes: Any) -> Path:
        """Write the bundle."""
        member = {"model": "net", "channels": "base", "snapshot": None, "folds": [0, 1]}
        member["predict"] = self.recipe["predict"]
        given: dict[str, Any] = {
            "recipe": self.recipe,
            "data": self.root / "train.h5",
            "channels": {"base": self.root / "x_train.h5"},
            "members": {"net": member},
            "weights": {"net": self.weights},
            "outputs": {"masks": ["net"]},
            "blend": self.root / "blend.json",
            "decisions": {"masks": self.root / "decision.json"},
            "out": out or self.bundle,
        }
        bundle.write(**given | changes)
        return Path(given["out"])

    def submission(self) -> bytes:
        """Predict, blend and submit the test images as the workflow does."""
        files = [self.root / f"test_fold{fold}.h5" for fold in range(FOLDS)]
        for path, trained in zip(files, self.weights, strict=True):
            predict.run(
                channels=str(self.root / "x_test.h5"),
                data=str(self.root / "test.h5"),
                ids=None,
                weights=str(trained),
                out=str(path),
                cpu_threads=self.recipe["cpu_threads"],
                device="cpu",
                **self.recipe["predict"],
            )
        blended, out = self.root / "blend.h5", self.root / "submission.csv"
        blend.run_test(members={"net": files}, weights=self.root / "blend.json", out=blended)
        settings = {"on_problem": "error"}
        places = {"test": self.root / "test.h5", "blend": blended}
        decision = self.root / "decision.json"
        submit.run("folder", self.root, settings, decision=decision, out=out, **places)
        return out.read_bytes()


def changed(source: Path, target: Path, change: Callable[[dict[str, bytes]], object]) -> Path:
    """Copy a bundle entry by entry, changed in between."""
    with zipfile.ZipFile(source) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    change(entries)
    with zipfile.ZipFile(target, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return target


def array(seed: int, size: tuple[int, int]) -> np.ndarray:
    """An image that no run has seen."""
    return np.random.default_rng(seed).integers(0, 255, (*size, 3), dtype=np.uint8)
