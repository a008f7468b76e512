"""How ONNX Runtime computes an exported network beside torch: differences, and time.

    python benchmarks/onnx_export.py [--turns N] [--batch N] [--size N] [--networks NAME ...]

Networks with random weights predict noise: by foldbelt's own prediction on torch, and as exported
by `foldbelt export`, on one thread and on two. Both take turns within one run, and what is printed
is the median over turns of torch's time by ONNX Runtime's (above 1, ONNX Runtime is faster), of the
processor's seconds and of the clock's, with the least and the largest of the turns.
"""

import argparse
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch

from foldbelt import models
from foldbelt.bundle.onnx.graph import LABELS, MASKS, Blend, Block, Member
from foldbelt.bundle.onnx.translation import session_of, translate
from foldbelt.predict.predictor import Predictor
from foldbelt.search.means import PLAIN

NETWORKS: dict[str, dict[str, Any]] = {
    "vanilla": {"name": "vanilla", "width": 16, "depth": 4, "label_head": True},
    "unet": {"name": "unet", "encoder": "resnet34", "label_head": True},
    "fpn": {"name": "fpn", "encoder": "resnet18", "label_head": True},
    "smp/Unet": {"name": "smp/Unet", "encoder": "resnet18"},
}
THREADS = (1, 2)
_SKIPPED = 2  # first turns, in which memory is taken and kernels are chosen


def networks(spec: dict[str, Any], size: int) -> tuple[torch.nn.Module, dict[str, Any]]:
    """Make a network of grey images, and the attributes of its channels."""
    torch.manual_seed(0)
    attrs = {"scale": [4 / 255], "offset": [-2.0], "names": ["image"], "resize_mode": "resize"}
    return models.build(spec, 1, 1, 1).eval(), attrs | {"size": [size] * 2, "source": [size] * 2}


def exported(network: torch.nn.Module, attrs: dict[str, Any], x: np.ndarray, labels: bool) -> bytes:
    """Export one network without views."""
    size = tuple(attrs["size"])
    outputs = [MASKS, LABELS] if labels else [MASKS]
    member = Member(
        [network],
        attrs["scale"],
        attrs["offset"],
        views=["none"],
        size=size,
        sizes=[size],
        windows=None,
        crop=None,
        outputs=outputs,
        labels=[0],
        channels=None,
    )
    blend = Blend([member], [1.0], PLAIN, [Block([0], [1.0], PLAIN, False)]).eval()
    return translate(blend, x, "image", outputs)


def timed(work: Callable[[], Any]) -> tuple[float, float]:
    """Give the seconds of the processor and of the clock that some work takes."""
    clock, busy = time.perf_counter(), time.process_time()
    work()
    return time.process_time() - busy, time.perf_counter() - clock


def main() -> None:
    """Print a line a network and number of threads."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=15)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--networks", nargs="*", default=list(NETWORKS), choices=list(NETWORKS))
    given = parser.parse_args()
    shape = (given.batch, given.size, given.size, 1)
    x = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    for name in given.networks:
        network, attrs = networks(NETWORKS[name], given.size)
        took = time.perf_counter()
        model = exported(network, attrs, x, "label_head" in NETWORKS[name])
        took = time.perf_counter() - took
        predictor = Predictor(network, attrs, ["none"], torch.device("cpu"))
        images = torch.from_numpy(x)
        wanted = predictor.average(images)
        masks, *labels = session_of(model, 1).run(None, {"image": x})
        apart = np.abs(masks - wanted.masks.permute(0, 2, 3, 1).numpy()).max()
        apart = max(apart, *(np.abs(part - wanted.labels.numpy()).max() for part in labels), 0)
        size = len(model) / 1e6
        print(
            f"{name}: {size:.1f} MB, exported in {took:.1f} s, differs by {apart:.1e}", flush=True
        )
        for threads in THREADS:
            torch.set_num_threads(threads)
            session = session_of(model, threads)
            ratios, each = [], []
            for _ in range(_SKIPPED + given.turns):
                own = timed(partial(predictor.average, images))
                other = timed(partial(session.run, None, {"image": x}))
                each.append((own[0], other[0]))
                ratios.append([a / b for a, b in zip(own, other, strict=True)])
            kept = np.array(ratios[_SKIPPED:])
            low, middle, high = np.quantile(kept, [0, 0.5, 1], axis=0)
            torch_ms, onnx_ms = np.median(each[_SKIPPED:], axis=0) / given.batch * 1e3
            print(
                f"  threads: {threads}; torch {torch_ms:.1f} ms of the processor an image, ONNX "
                f"Runtime {onnx_ms:.1f}; ratio {middle[0]:.2f} ({low[0]:.2f} to {high[0]:.2f}), "
                f"by the clock {middle[1]:.2f} ({low[1]:.2f} to {high[1]:.2f})",
                flush=True,
            )


if __name__ == "__main__":
    main()
