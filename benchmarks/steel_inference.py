"""Time and memory of out-of-fold inference on wide images, against the bare network.

Draws synthetic steel of 256×1600, ingests it, makes channels, and writes an untrained U-Net with a
label head (how good it is does not change how long it takes). Then, each in a process of its own
with one compute thread, predicts all images whole and in overlapping windows, with three views; and
the same network is called on as many random batches in memory, for the same views, without reading,
undoing, blending, rounding or writing. The ratio, of CPU seconds, is what inference adds to the
network.

    python benchmarks/steel_inference.py 120 --encoder resnet18 --folder /tmp/steel

Prints seconds an image, the ratio, peak memory, and what 12,568 images would take.
"""

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

SIZE = (256, 1600)
FULL = 12_568
TTA = ["none", "hflip", "vflip"]
TILES: dict[str, dict[str, Any] | None] = {
    "whole": None,
    "windows": {"size": [256, 512], "overlap": 0.25},
}


def prepare(folder: Path, images: int, encoder: str) -> None:
    """Write ingested images, channels and a model's weights."""
    from foldbelt import channels, ingest, models, store, survey, weights

    survey.steel(folder / "raw", images, 1, SIZE, 0, workers=2)
    names = ("train.h5", "test.h5", "problems.csv")
    ingest.run("steel", folder / "raw", {}, *(folder / name for name in names))
    recipe = {"use": ["image"], "whiten": "none", "size": list(SIZE), "fit": "resize"}
    channels.build(folder / "train.h5", folder / "x.h5", recipe)
    attrs = store.attrs(folder / "x.h5")
    spec = {"name": "unet", "encoder": encoder, "label_head": True, "weights": None}
    shape = {"in_channels": 1, "mask_channels": 4, "label_classes": 4}
    metadata = {"architecture": spec, "channels": attrs["names"], "size": attrs["size"]}
    module = models.build(spec, **shape)
    weights.save(folder / "model", module.state_dict(), metadata | shape | {"key": "untrained"})


def work(task: str, folder: Path, batch: int) -> None:
    """Do one of the tasks in this process, and print its seconds and peak memory."""
    import torch

    from foldbelt import predict, store, weights

    ids = store.table(folder / "x.h5")["id"].tolist()
    start, busy = time.perf_counter(), time.process_time()
    if task == "network":
        torch.set_num_threads(1)
        module, _ = weights.load_model(folder / "model")
        with torch.inference_mode():
            for first in range(0, len(ids), batch):
                images = torch.randn(min(batch, len(ids) - first), 1, *SIZE)
                for _ in TTA:
                    module(images)
    else:
        predict.run(
            channels=str(folder / "x.h5"),
            data=str(folder / "train.h5"),
            ids=ids,
            weights=str(folder / "model"),
            tta=TTA,
            tiles=TILES[task],
            batch_size=batch,
            out=str(folder / f"{task}.h5"),
            cpu_threads=1,
            device="cpu",
        )
    seconds, busy = time.perf_counter() - start, time.process_time() - busy
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"images": len(ids), "seconds": seconds, "busy": busy, "peak": peak}))


def measure(task: str, folder: Path, batch: int) -> dict[str, float]:
    """Run a task in a new process."""
    command = [sys.executable, __file__, "0", "--task", task, "--folder", str(folder)]
    done = subprocess.run(
        [*command, "--batch", str(batch)], check=True, capture_output=True, text=True
    )
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Make the data, measure all three, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("images", type=int, help="images to predict")
    parser.add_argument("--encoder", default="resnet18", help="one of timm's")
    parser.add_argument("--batch", type=int, default=2, help="images at a time")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir(), "steel_predict"))
    parser.add_argument("--task", choices=("network", *TILES), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.task:
        work(given.task, given.folder, given.batch)
        return
    given.folder.mkdir(parents=True)
    try:
        prepare(given.folder, given.images, given.encoder)
        print(f"U-Net on {given.encoder}, {SIZE[0]}×{SIZE[1]}, {', '.join(TTA)}, one thread")
        heads = f"{'':<10}{'images':>8}{'s':>8}{'CPU s each':>12}{'ratio':>8}"
        print(f"{heads}{'peak MiB':>10}{'full, h':>9}")
        alone = 0.0
        for task in ("network", *TILES):
            took = measure(task, given.folder, given.batch)
            each = took["busy"] / took["images"]
            alone = alone or each
            line = f"{task:<10}{took['images']:8.0f}{took['seconds']:8.1f}{each:12.2f}"
            line += f"{each / alone:8.2f}{took['peak']:10.0f}{each * FULL / 3600:9.2f}"
            print(line)
        size = sum((given.folder / f"{task}.h5").stat().st_size for task in TILES) / len(TILES)
        print(f"{size / given.images / 1024:.1f} KiB an image on disk: untrained, so upper bound")
    finally:
        shutil.rmtree(given.folder)


if __name__ == "__main__":
    main()
