"""Time and memory of out-of-fold inference on wide images, against the bare network.

Draws synthetic steel of 256×1600, ingests it, makes channels, and writes an untrained U-Net with a
label head (how good it is does not change how long it takes). Then, each in a process of its own
with one compute thread, predicts all images whole and in overlapping windows, with three views; and
the same network is called on as many random batches in memory, for the same views, without reading,
undoing, blending, rounding or writing. The ratio, of CPU seconds, is what inference adds to the
network. All three run in turn, several times, and the fastest counts.

    python benchmarks/steel_inference.py 8 --encoder resnet18

Prints seconds an image, the ratio, peak memory, and what 12,568 images would take.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

import torch
from processes import Took, measured

from foldbelt import channels, ingest, models, predict, store, synthetic
from foldbelt.config import complete
from foldbelt.models._saved import load_model
from foldbelt.store import weights

SIZE = (256, 1600)
FULL = 12_568
TTA = ["none", "hflip", "vflip"]
WINDOWS: dict[str, dict[str, Any] | None] = {
    "whole": None,
    "windows": {"size": [256, 512], "overlap": 0.25},
}


def prepare(folder: Path, images: int, encoder: str) -> None:
    """Write ingested images, channels and a model's weights."""
    synthetic.steel(folder / "raw", images, 1, SIZE, 0, workers=2)
    names = ("train.h5", "test.h5", "problems.csv")
    ingest.run("steel", folder / "raw", complete("data", {}), *(folder / name for name in names))
    recipe = {"use": ["image"], "whiten": "none", "size": list(SIZE), "resize_mode": "resize"}
    channels.build(folder / "train.h5", folder / "x.h5", complete("channels", recipe))
    attrs = store.attrs(folder / "x.h5")
    spec = {"name": "unet", "encoder": encoder, "label_head": True, "weights": None}
    shape = {"in_channels": 1, "mask_channels": 4, "label_classes": 4}
    metadata = {"architecture": spec, "channels": attrs["names"], "size": attrs["size"]}
    module = models.build(spec, **shape)
    weights.save(folder / "model", module.state_dict(), metadata | shape | {"key": "untrained"})


def network(folder: Path, images: int, batch: int) -> None:
    """Call the bare network on as many random images, once for each view."""
    torch.set_num_threads(1)
    module, _ = load_model(folder / "model")
    with torch.inference_mode():
        for first in range(0, images, batch):
            some = torch.randn(min(batch, images - first), *SIZE, 1).permute(0, 3, 1, 2)  # as read
            for _ in TTA:
                module(some)


def predicted(folder: Path, windows: dict[str, Any] | None, batch: int, out: str) -> None:
    """Predict the ingested images as a run does."""
    predict.run(
        channels=str(folder / "x.h5"),
        data=str(folder / "train.h5"),
        ids=store.table(folder / "x.h5")["id"].tolist(),
        weights=str(folder / "model"),
        tta=TTA,
        windows=windows,
        batch_size=batch,
        out=str(folder / out),
        cpu_threads=1,
        device="cpu",
    )


def main() -> None:
    """Make the data, measure all three, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("images", type=int, help="images to predict")
    parser.add_argument("--encoder", default="resnet18", help="one of timm's")
    parser.add_argument("--rounds", type=int, default=3, help="the fastest of these counts")
    parser.add_argument("--batch", type=int, default=2, help="images at a time")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        prepare(folder, given.images, given.encoder)
        print(f"U-Net on {given.encoder}, {SIZE[0]}×{SIZE[1]}, {', '.join(TTA)}, one thread")
        heads = f"{'':<10}{'images':>8}{'s':>8}{'CPU s each':>12}{'ratio':>8}"
        print(f"{heads}{'peak MiB':>10}{'full, h':>9}")
        rest: dict[str, Any] = {"folder": folder, "batch": given.batch}
        took: dict[str, list[Took]] = {}
        for _ in range(given.rounds):  # in turn, so that what else the machine does hits all
            took.setdefault("network", []).append(measured(network, images=given.images, **rest))
            for name, windows in WINDOWS.items():
                one = measured(predicted, windows=windows, out=f"{name}.h5", **rest)
                took.setdefault(name, []).append(one)
        best = {name: min(every, key=lambda one: one.busy) for name, every in took.items()}
        for name, one in best.items():
            each, ratio = one.busy / given.images, one.busy / best["network"].busy
            line = f"{name:<10}{given.images:8.0f}{one.seconds:8.1f}{each:12.2f}{ratio:8.2f}"
            print(f"{line}{one.peak:10.0f}{each * FULL / 3600:9.2f}")
        size = sum((folder / f"{name}.h5").stat().st_size for name in WINDOWS) / len(WINDOWS)
        print(f"{size / given.images / 1024:.1f} KiB an image on disk: untrained, so upper bound")


if __name__ == "__main__":
    main()
