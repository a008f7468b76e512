"""Bundles of any channels, networks and blends, made of one tiny run's: for the tests of ONNX."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from bundles import Tiny, changed

from foldbelt import channels, config, models, predict, runtime, store
from foldbelt.channels._resizing import centre
from foldbelt.decide import labels_io
from foldbelt.ensemble import blend
from foldbelt.models._saved import groups_among
from foldbelt.store import weights

VANILLA = {"name": "vanilla", "width": 4, "depth": 2}
CPU = torch.device("cpu")
PREDICT: dict[str, Any] = {"batch_size": 4, "tta": ["none"], "scales": [1], "windows": None}


class Crafted:
    """A bundle, and what the workflow predicts of new images with the same networks.

    Parameters
    ----------
    tiny
        The run whose bundle is changed.
    folder
        Where files lie.
    members
        Name → ``use`` and more of a recipe of channels, an ``architecture``, ``predict``, and
        ``seeds`` of its folds.
    colours, size, classes
        Of the images, and how many masks there are.
    weights, mean
        Of the blend.
    masked
        Members that are blended for masks; None for all.
    labels
        Names of labels that the run decides on, and the decision.
    """

    def __init__(
        self,
        tiny: Tiny,
        folder: Path,
        members: Mapping[str, Mapping[str, Any]],
        colours: int = 1,
        size: tuple[int, int] = (24, 32),
        classes: int = 1,
        weights: Sequence[float] = (1.0,),
        mean: Mapping[str, Any] | None = None,
        masked: Sequence[str] | None = None,
        labels: tuple[list[str], dict[str, Any]] | None = None,
    ) -> None:
        self.masked, self.labels = list(masked or members), labels
        self.folder, self.members, self.classes = folder, members, classes
        self.shape = (*size, colours)
        self.store("train", self.images(0, 6))
        self.weights: dict[str, list[Path]] = {}
        listed, contents, files = [], {}, {}
        for name, member in members.items():
            recipe = config.complete("channels", member["recipe"])
            channels.build(folder / "train.h5", folder / f"{name}.h5", recipe)
            attrs = store.attrs(folder / f"{name}.h5")
            contents[f"channels/{name}.json"] = {"recipe": recipe, "attrs": attrs}
            self.weights[name] = [self._network(name, member, attrs, seed)
                                  for seed in member.get("seeds", (0,))]  # fmt: skip
            entries = [
                f"weights/{name}/fold{k}.safetensors" for k in range(len(self.weights[name]))
            ]
            files |= dict(zip(entries, self.weights[name], strict=True))
            one = {"name": name, "kind": "network", "channels": name, "snapshot": None}
            one |= {"predict": PREDICT | member.get("predict", {}), "weights": entries}
            listed.append(one | {"folds": list(range(len(entries)))})
        content = {"members": self.masked, **(mean or {"mean": "probability"})}
        if labels is not None:
            contents["decision/labels.json"] = labels[1]
        contents["blend.json"] = content | {"all": list(weights), "without": {}}
        (folder / "blend.json").write_text(json.dumps(contents["blend.json"]))

        def change(found: dict[str, bytes]) -> None:
            data = json.loads(found["data.json"])
            names = [f"class{k}" for k in range(classes)]
            data |= {"colours": colours, "size": list(size), "class_names": names}
            data |= {"label_names": labels[0]} if labels is not None else {}
            manifest = json.loads(found["manifest.json"])
            manifest["members"] = listed
            if "outputs" in manifest:
                manifest["outputs"] = {"masks": self.masked}
                if labels is not None:
                    manifest["outputs"]["labels"] = [m for m in members if m not in self.masked]
            for gone in [n for n in found if n.startswith(("channels/", "weights/"))]:
                del found[gone]
            made = {name: json.dumps(c, default=_plain) for name, c in contents.items()}
            found |= {name: text.encode() for name, text in made.items()}
            found |= {name: path.read_bytes() for name, path in files.items()}
            found["data.json"] = json.dumps(data).encode()
            del found["manifest.json"]
            manifest["entries"] = {
                name: {"sha256": hashlib.sha256(each).hexdigest(), "bytes": len(each)}
                for name, each in found.items()
            }
            found["manifest.json"] = json.dumps(manifest).encode()

        self.bundle = changed(tiny.bundle, folder / "bundle.zip", change)

    def images(self, seed: int, count: int) -> np.ndarray:
        """Draw images (N, h, w, C) u8: blocks of eight pixels with noise."""
        random = np.random.default_rng(seed)
        height, width, colours = self.shape
        rough = random.integers(0, 256, (count, -(-height // 8), -(-width // 8), colours))
        whole = rough.repeat(8, axis=1).repeat(8, axis=2)[:, :height, :width]
        return np.clip(whole + random.normal(0, 9, whole.shape), 0, 255).astype(np.uint8)

    def store(self, part: str, images: np.ndarray) -> Path:
        table = pd.DataFrame({"id": [f"i{k}" for k in range(len(images))]})
        path = self.folder / f"{part}.h5"
        given = images if images.shape[3] > 1 else images[..., 0]
        store.write(path, {"image": given}, table)
        return path

    def predicted(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Give masks (N, h, w, K) u8 and labels (N, K) f32 as the workflow blends them."""
        data = self.store("test", images)
        files = {}
        for name, member in self.members.items():
            fitted, made = self.folder / f"{name}.h5", self.folder / f"test_{name}.h5"
            channels.build(data, made, config.complete("channels", member["recipe"]), fitted)
            files[name] = [self.folder / f"{name}{k}.h5" for k in range(len(self.weights[name]))]
            for out, trained in zip(files[name], self.weights[name], strict=True):
                predict.run(
                    **{"channels": str(made), "data": str(data), "ids": None, "out": str(out)},
                    **{"weights": str(trained), "cpu_threads": 1, "device": "cpu"},
                    **(PREDICT | member.get("predict", {})),
                )
        out = self.folder / "blended.h5"
        masked = {name: files[name] for name in self.masked}
        blend.run_test(members=masked, weights=self.folder / "blend.json", out=out)
        prob = store.read(out, "prob")
        labels = store.read(out, "label_prob") if store.has(out, "label_prob") else None
        if self.labels is not None:
            given = {name: paths for name, paths in files.items() if name not in self.masked}
            folds = {name: range(len(paths)) for name, paths in given.items()}
            ids = store.table(data)["id"].tolist()
            labels = labels_io.apply(given, folds, ids, self.labels[1], data, {})
        return prob if prob.ndim == 4 else prob[..., None], labels

    def channels_of(self, name: str) -> np.ndarray:
        """Give the channels of the images that were predicted last."""
        made: np.ndarray = store.read(self.folder / f"test_{name}.h5", "x")
        return made

    def _network(
        self, name: str, member: Mapping[str, Any], attrs: Mapping[str, Any], seed: int
    ) -> Path:
        """Save a network that nobody has trained, but whose probabilities vary."""
        torch.manual_seed(seed)
        count = len(attrs["names"])
        architecture = member["architecture"]
        boxes = ["thing"] if architecture["name"] == "detector" else []
        told = member.get("metadata", {})
        among = len(told.get("labels") or told.get("label_names") or range(self.classes))
        groups = groups_among(told) if told else []
        module = models.build(architecture, count, self.classes, among, len(boxes), groups)
        x = centre(store.read(self.folder / f"{name}.h5", "x"), tuple(attrs["size"]))
        _spread(module, runtime.Normaliser(attrs["scale"], attrs["offset"], CPU)(torch.tensor(x)))
        metadata = {
            **{"architecture": architecture, "in_channels": count, "key": f"{name}{seed}"},
            **{"mask_channels": self.classes, "label_classes": among},
            **{"channels": list(attrs["names"]), "size": list(attrs["size"])},
            **({"box_names": boxes} if boxes else {}),
            **({"masks": False} if architecture["name"] == "classifier" else {}),
            **told,
        }
        path = self.folder / f"{name}-{seed}.safetensors"
        weights.save(path, module.state_dict(), metadata)
        return path


@torch.no_grad()
def _spread(module: torch.nn.Module, images: torch.Tensor) -> None:
    """Let the logits of images have mean 0 and deviation 2, by the last layer of each head."""
    for head in ("mask", "label"):
        layers = [layer for name, layer in module.named_modules() if name.split(".")[0] == head]
        last = [layer for layer in layers if getattr(layer, "bias", None) is not None][-1:]
        for layer in last:
            given = module.eval()(images)[head]
            others = [axis for axis in range(given.ndim) if axis != 1]
            shape = (-1, *[1] * (layer.weight.ndim - 1))
            layer.weight.mul_((2 / given.std(others)).reshape(shape))
            layer.bias.sub_(module(images)[head].mean(others))


def _plain(value: Any) -> Any:
    return value.tolist()
