"""The detector against torchvision's own FCOS: precision on drawings, and images a second.

    python benchmarks/detector.py [--images N] [--epochs N] [--folds N] [--encoder NAME]

Both train the same network from the same weights on the same batches. Ours is `BoxLoss` on what
the network says, and `decode`; torchvision's is `FCOS` in training mode, which returns its losses,
and in evaluation mode, which returns boxes. Its `.transform` is replaced by one that stacks images
and changes nothing: the one it has normalises them by the colours of photographs and enlarges them.
Each row is a fold that was not trained on, with the interval of the difference over its images.
The seconds are of the processor, and epochs of the two take turns.
"""

import argparse
import copy
import time
from collections import OrderedDict
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torchvision.models.detection import FCOS
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.image_list import ImageList

from foldbelt import metrics, models
from foldbelt.boxes import Boxes
from foldbelt.level import LEVEL
from foldbelt.models._decoding import decode
from foldbelt.models.detector import Detector
from foldbelt.train.boxes import PADDING, BoxLoss

SIDE = 64  # a multiple of the strides of all levels: torchvision's anchors lie right only then
MOST = 3  # shapes an image
NAMES = ["bright rectangle", "dark ellipse"]
BATCH = 8
RATE = 1e-3
DRAWS = 200
SCORE, IOU, KEPT, CANDIDATES = 0.01, 0.6, 300, 2000  # as `decode` has them


def draw(count: int, seed: int, side: int = SIDE) -> tuple[Tensor, Tensor]:
    """Draw bright rectangles and dark ellipses on noise, none to three an image, that do not touch.

    Returns
    -------
    images, target
        (N, 1, side, side) f32, and (N, 3, 5) f32 as `BoxLoss` takes them.
    """
    random = np.random.default_rng(seed)
    images = random.normal(0, 0.5, (count, 1, side, side)).astype(np.float32)
    target = np.zeros((count, MOST, 5), np.float32)
    target[..., 0] = PADDING
    rows, columns = np.mgrid[:side, :side] + 0.5
    for image, boxes in zip(images, target, strict=True):
        free = np.ones((side, side), bool)
        for box in boxes[: random.integers(MOST + 1)]:
            width, height = random.integers(side // 5, side // 2, 2)
            x, y = random.integers(side - width), random.integers(side - height)
            if not free[y : y + height, x : x + width].all():
                continue
            free[y : y + height, x : x + width] = False
            box[:] = random.integers(2), x, y, x + width, y + height
            away = [(columns - x) / width * 2 - 1, (rows - y) / height * 2 - 1]
            far = np.hypot(*away) if box[0] else np.maximum(*np.abs(away))
            image[0][far < 1] += random.uniform(1, 2) * (-1 if box[0] else 1)
    order = np.argsort(target[..., 0] == PADDING, axis=1, kind="stable")
    return torch.from_numpy(images), torch.from_numpy(
        np.take_along_axis(target, order[..., None], axis=1)
    )


class Theirs(nn.Module):
    """torchvision's model on our network's layers."""

    def __init__(self, network: Detector) -> None:
        super().__init__()
        levels = AnchorGenerator(tuple((s,) for s in network.strides), ((1.0,),) * 4)
        settings = {"score_thresh": SCORE, "nms_thresh": IOU, "detections_per_img": KEPT}
        self.fcos = FCOS(
            _Backbone(network), 2, anchor_generator=levels, head=network.head,
            topk_candidates=CANDIDATES, **settings,
        )  # fmt: skip
        self.fcos.transform = _Unchanged()

    def loss(self, images: Tensor, target: Tensor) -> Tensor:
        """Sum the losses that the model returns in training mode."""
        boxes = [rows[rows[:, 0] >= 0] for rows in target]
        given = [{"boxes": rows[:, 1:], "labels": rows[:, 0].long()} for rows in boxes]
        losses: Tensor = sum(self.fcos(list(images), given).values())
        return losses

    def boxes(self, images: Tensor) -> list[np.ndarray]:
        """Give boxes (m, 6) of each image."""
        return [
            torch.cat([x["labels"][:, None], x["boxes"], x["scores"][:, None]], 1).numpy()
            for x in self.fcos(list(images))
        ]


class Ours(nn.Module):
    """The network, with our loss and our decoding."""

    def __init__(self, network: Detector) -> None:
        super().__init__()
        self.network, self.criterion = network, BoxLoss()

    def loss(self, images: Tensor, target: Tensor) -> Tensor:
        """Compute the loss of a batch."""
        total: Tensor = self.criterion(self.network(images)["box"], target)
        return total

    def boxes(self, images: Tensor) -> list[np.ndarray]:
        """Give boxes (m, 6) of each image."""
        size = (images.shape[2], images.shape[3])
        return decode(self.network(images)["box"], size, SCORE, KEPT, IOU, CANDIDATES)


class _Backbone(nn.Module):
    """Maps by name, as torchvision takes them."""

    def __init__(self, network: Detector) -> None:
        super().__init__()
        self.network = network
        self.out_channels = network.head.regression_head.bbox_reg.in_channels

    def forward(self, images: Tensor) -> OrderedDict[str, Tensor]:
        return OrderedDict((str(n), x) for n, x in enumerate(self.network.features(images)))


class _Unchanged(nn.Module):
    """What stands in for torchvision's resizing and normalising."""

    def forward(self, images: list[Tensor], target: list | None) -> tuple[ImageList, list | None]:
        return ImageList(torch.stack(images), [(x.shape[1], x.shape[2]) for x in images]), target

    def postprocess(self, found: list, *_: list) -> list:
        return found


def epoch(
    model: Ours | Theirs,
    optimiser: torch.optim.Optimizer,
    images: Tensor,
    target: Tensor,
    seed: int,
) -> float:
    """Train on every image once, in an order of the seed; give the mean loss of a batch."""
    model.train()
    batches = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))
    losses = []
    for batch in batches.split(BATCH):
        loss = model.loss(images[batch], target[batch])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    return float(np.mean(losses))


@torch.no_grad()
def predict(model: Ours | Theirs, images: Tensor) -> Boxes:
    """Give the boxes of all images."""
    model.eval()
    return Boxes.join(box for batch in images.split(BATCH) for box in model.boxes(batch))


def truth_of(target: Tensor) -> Boxes:
    """Give a target's boxes, their scores 1."""
    known = [rows[rows[:, 0] >= 0].numpy() for rows in target]
    return Boxes.join(np.pad(rows, [(0, 0), (0, 1)], constant_values=1) for rows in known)


def precision(truth: Boxes, found: Boxes) -> float:
    """Mean average precision at IoU > .5."""
    ids = [str(number) for number in range(len(truth))]
    return metrics.mean_average_precision(truth.frame(ids, NAMES), found.frame(ids, NAMES))


def interval(measure: Callable[[np.ndarray], float], images: int) -> tuple[float, float]:
    """Percentiles of what is measured on images drawn with replacement."""
    random = np.random.default_rng(0)
    drawn = [measure(random.integers(images, size=images)) for _ in range(DRAWS)]
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def compare(
    network: Detector, images: Tensor, target: Tensor, held_out: Tensor, epochs: int
) -> tuple[dict[str, Boxes], dict[str, float], dict[str, float]]:
    """Train both on images that are not held out; give boxes of the others, and CPU seconds.

    The seconds are those of training, and those of predicting.
    """
    both = {"ours": Ours(copy.deepcopy(network)), "torchvision": Theirs(copy.deepcopy(network))}
    optimisers = {name: torch.optim.Adam(model.parameters(), RATE) for name, model in both.items()}
    took, predicting = dict.fromkeys(both, 0.0), dict.fromkeys(both, 0.0)
    for number in range(epochs):
        names = list(both)[:: 1 if number % 2 else -1]
        for name in names:
            start = time.process_time()
            epoch(both[name], optimisers[name], images[~held_out], target[~held_out], number)
            took[name] += time.process_time() - start
    found = {}
    for name, model in both.items():
        start = time.process_time()
        found[name] = predict(model, images[held_out])
        predicting[name] = time.process_time() - start
    return found, took, predicting


def main() -> None:
    """Train in every fold, and print a row of each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=240)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--folds", type=int, default=3)
    parser.add_argument("--encoder", default="test_resnet")
    given = parser.parse_args()
    torch.set_num_threads(1)
    images, target = draw(given.images, seed=0)
    fold_of = torch.arange(len(images)) % given.folds
    rates: dict[str, list[float]] = {"training": [], "predicting": []}
    for fold in range(given.folds):
        torch.manual_seed(fold)
        spec = {"name": "detector", "encoder": given.encoder}
        network = models.build(spec, 1, 0, 0, box_classes=len(NAMES))
        held_out = fold_of == fold
        found, *seconds = compare(network, images, target, held_out, given.epochs)
        truth = truth_of(target[held_out])
        scores = {name: precision(truth, boxes) for name, boxes in found.items()}

        def difference(rows: np.ndarray, truth: Boxes = truth, found: dict = found) -> float:
            ours, theirs = (precision(truth.take(rows), x.take(rows)) for x in found.values())
            return ours - theirs

        low, high = interval(difference, len(truth))
        for name, took in zip(rates, seconds, strict=True):
            rates[name].append(took["torchvision"] / took["ours"])
        shown = given.epochs * int((~held_out).sum())
        print(
            f"fold {fold}: AP ours {scores['ours']:.4f}, torchvision {scores['torchvision']:.4f}, "
            f"difference {scores['ours'] - scores['torchvision']:+.4f} [{low:+.4f}, {high:+.4f}]; "
            f"{shown / seconds[0]['ours']:.1f} and {shown / seconds[0]['torchvision']:.1f} "
            "images a CPU second",
            flush=True,
        )
    for name, each in rates.items():
        print(
            f"{name}: ours is {np.mean(each):.2f} times as fast ({min(each):.2f}–{max(each):.2f})"
        )


if __name__ == "__main__":
    main()
