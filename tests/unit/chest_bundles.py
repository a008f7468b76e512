"""A tiny finished run of labels and boxes that are decided together, by the stages' functions."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pydicom
import torch
from raw_folders import ingest_both

from foldbelt import bundle, channels, config, models, predict, store, submit, synthetic
from foldbelt.competitions.chest import BOXES, CLASSES, LABEL_GROUPS, LABELS, SAMPLE
from foldbelt.decide import joint_io, output_files
from foldbelt.store import weights

ENCODER = {"encoder": "test_resnet"}
DETECTOR = {"name": "detector", "levels": [8, 16], "head_convs": 1, "pyramid_channels": 64}
MODELS: dict[str, dict[str, Any]] = {
    "study": {"labels": list(LABEL_GROUPS[0]), "architecture": {"name": "classifier", **ENCODER}},
    "all": {"architecture": {"name": "classifier", **ENCODER}},
    "find": {"only_folds": [1], "architecture": {**DETECTOR, **ENCODER}},
    "also": {"architecture": {**DETECTOR, **ENCODER}},
}
OUTPUTS = {"labels": ["study", "all"], "boxes": ["find", "also"]}
FOLDS = 2
ROOM = {"tta": ["none", "hflip"], "batch_size": 3}


class TinyChest:
    """A run: raw files in `raw`, results in `root`, the bundle in `bundle`."""

    def __init__(self, root: Path) -> None:
        self.root, self.raw, self.bundle = root, root / "raw", root / "bundle.zip"
        synthetic.chest(self.raw, 24, 8, 64, 4)
        self._join_studies()
        self.recipe = config.resolve(
            {
                "run": "tiny",
                "competition": "chest",
                "data": {"path": str(self.raw), "size": 64},
                "channels": {"base": {"use": ["image"], "size": 64, "resize_mode": "resize"}},
                "stages": {
                    "label": {"loss": {"label": {"bce": 1}}, "epochs": 1},
                    "box": {"loss": {"box": 1}, "epochs": 1},
                },
                "models": {
                    name: {"stages": ["box" if name in OUTPUTS["boxes"] else "label"], **model}
                    for name, model in MODELS.items()
                },
                "labels": {"join": ["mean"], "weights": "equal"},
                "boxes": {"weights": {"find": 1, "also": 3}},
                "predict": ROOM,
            }
        )
        ingest_both("chest", self.raw, self.recipe["data"], root)
        for part, fitted in (("train", None), ("test", root / "x_train.h5")):
            out = root / f"x_{part}.h5"
            channels.build(root / f"{part}.h5", out, self.recipe["channels"]["base"], fitted)
        table = store.table(root / "train.h5")
        fold = pd.factorize(table["patient"])[0] % FOLDS
        self.folds = root / "folds.csv"
        folds = pd.DataFrame({"id": table["id"], "fold": fold, "group": table["patient"]})
        folds.to_csv(self.folds, index=False)
        self.held_out = {n: table["id"][fold == n].tolist() for n in range(FOLDS)}
        self.of = {name: model.get("only_folds", [0, 1]) for name, model in MODELS.items()}
        self.weights = {n: [self._save(n, fold) for fold in self.of[n]] for n in MODELS}
        self.decisions = {name: root / f"{name}.json" for name in (*OUTPUTS, "joint")}
        self._decide()

    def _join_studies(self) -> None:
        """Put the last test image into the study of the first."""
        files = sorted((self.raw / "test").rglob("*.dcm"), key=lambda path: path.stem)
        first, last = files[0], files[-1]
        image, empty = pydicom.dcmread(last), last.relative_to(self.raw / "test").parts[0]
        image.PatientID = pydicom.dcmread(first).PatientID
        image.save_as(first.parent / last.name)
        shutil.rmtree(self.raw / "test" / empty)
        sample = pd.read_csv(self.raw / SAMPLE)
        ids = sample.iloc[:, 0]
        sample[ids != f"{empty}_study"].to_csv(self.raw / SAMPLE, index=False)

    def _save(self, name: str, fold: int) -> Path:
        """Save a network that nobody has trained."""
        torch.manual_seed(10 * fold + list(MODELS).index(name))
        architecture = MODELS[name]["architecture"]
        boxed = name in OUTPUTS["boxes"]
        labels = [] if boxed else MODELS[name].get("labels", list(LABELS))
        groups = [[labels.index(one) for one in LABEL_GROUPS[0]]] if labels else []
        module = models.build(architecture, 1, 0, len(labels), len(BOXES) * boxed, groups)
        with torch.no_grad():
            for key, value in module.named_parameters():
                if "cls_logits.bias" in key:
                    value.fill_(0.0)  # else no box is likely enough to be kept
        metadata = {
            "architecture": architecture,
            **{"in_channels": 1, "mask_channels": 0, "label_classes": len(labels), "masks": False},
            **{"channels": ["image"], "size": [64, 64], "key": f"{name}{fold}"},
            **({"box_names": list(BOXES)} if boxed else {}),
            **({"label_names": list(LABELS), "labels": labels} if labels else {}),
            "label_groups": [list(group) for group in LABEL_GROUPS],
        }
        path = self.root / f"{name}{fold}.safetensors"
        weights.save(path, module.state_dict(), metadata)
        return path

    def predicted(self, name: str, part: str) -> list[Path]:
        """Predict training images out of fold, or the test images, once."""
        files = []
        for fold, trained in zip(self.of[name], self.weights[name], strict=True):
            files.append(self.root / f"{name}_{part}{fold}.h5")
            if not files[-1].exists():
                predict.run(
                    channels=str(self.root / f"x_{part}.h5"),
                    data=str(self.root / f"{part}.h5"),
                    ids=self.held_out[fold] if part == "train" else None,
                    weights=str(trained),
                    out=str(files[-1]),
                    cpu_threads=self.recipe["cpu_threads"],
                    device="cpu",
                    **self.recipe["predict"],
                )
        return files

    def _decide(self) -> None:
        """Decide as the workflow does."""
        oof = {o: {n: self.predicted(n, "train") for n in names} for o, names in OUTPUTS.items()}
        common = {"data": self.root / "train.h5", "folds": self.folds, "draws": 20, "seed": 0}
        for output, members in oof.items():
            output_files.run(
                output,
                members=members,
                settings=self.recipe[output],
                decision=self.decisions[output],
                blend=self.root / f"blend_{output}.h5",
                **common,
            )
        joint_io.run(
            members=oof,
            decisions={output: self.decisions[output] for output in OUTPUTS},
            settings=self.recipe["joint"],
            classes=list(CLASSES),
            decision=self.decisions["joint"],
            blend=self.root / "blend_joint.h5",
            **common,
        )

    def members(self) -> dict[str, dict[str, Any]]:
        """Say how the members predict."""
        return {
            name: {
                **{"model": name, "channels": "base", "snapshot": None, "folds": self.of[name]},
                "predict": self.recipe["predict"],
            }
            for name in MODELS
        }

    def write(self, out: Path | None = None, **changes: Any) -> Path:
        """Write the bundle."""
        given: dict[str, Any] = {
            "recipe": self.recipe,
            "data": self.root / "train.h5",
            "channels": {"base": self.root / "x_train.h5"},
            "members": self.members(),
            "weights": self.weights,
            "outputs": OUTPUTS,
            "blend": None,
            "decisions": self.decisions,
            "out": out or self.bundle,
        }
        bundle.write(**given | changes)
        return Path(given["out"])

    def submission(self) -> bytes:
        """Predict, blend, decide and submit the test images as the workflow does."""
        test, blends = self.root / "test.h5", {}
        for output, names in OUTPUTS.items():
            blends[output] = self.root / f"test_{output}.h5"
            output_files.apply(
                output,
                members={name: self.predicted(name, "test") for name in names},
                folds={name: self.of[name] for name in names},
                decision=self.decisions[output],
                data=test,
                out=blends[output],
            )
        together, out = self.root / "joint.h5", self.root / "submission.csv"
        decision = self.decisions["joint"]
        joint_io.apply_test(**blends, data=test, decision=decision, out=together)
        submit.write_joint("chest", self.raw, {"on_problem": "error"}, test, together, out)
        return out.read_bytes()

    def change(self, name: str, **params: Any) -> None:
        """Change parameters of a decision."""
        decision = json.loads(self.decisions[name].read_text())
        decision["params"] |= params
        self.decisions[name].write_text(json.dumps(decision))


def grey(seed: int, size: tuple[int, int]) -> np.ndarray:
    """An image that no run has seen."""
    return np.random.default_rng(seed).integers(0, 255, size, dtype=np.uint8)
