"""The detector and its loss: shapes, torchvision as oracle, what teaches and what does not."""

import copy

import detector as benchmark
import numpy as np
import pytest
import torch
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.image_list import ImageList

from foldbelt import metrics, models
from foldbelt.boxes import Boxes
from foldbelt.files import InputError
from foldbelt.models._decoding import decode
from foldbelt.models.detector import anchors
from foldbelt.store.weights import save
from foldbelt.train.boxes import PADDING, UNKNOWN, BoxLoss

TINY = {
    "name": "detector",
    "encoder": "test_resnet",
    "pyramid_channels": 64,
    "head_convs": 1,
    "levels": [8, 16],
}


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def make(channels=1, classes=2, **options):
    return models.build({**TINY, **options}, channels, 0, 0, box_classes=classes)


def target(*images):
    """(N, M, 5) of lists of boxes, filled up."""
    most = max(map(len, images))
    rows = [[*boxes, *[[PADDING, 0, 0, 0, 0]] * (most - len(boxes))] for boxes in images]
    return torch.tensor(rows, dtype=torch.float32).reshape(len(images), most, 5)


def rectangles(count, seed, side=64):
    """Bright rectangles of 16 to 40 pixels on noise, one an image, none in every eighth."""
    random = np.random.default_rng(seed)
    images = random.normal(0, 0.3, (count, 1, side, side)).astype(np.float32)
    boxes = [[]] * count
    for number, image in enumerate(images):
        width, height = random.integers(16, 40, 2)
        x, y = random.integers(side - width), random.integers(side - height)
        if number % 8:
            image[0, y : y + height, x : x + width] += 2
            boxes[number] = [[0, x, y, x + width, y + height]]
    return torch.from_numpy(images), target(*boxes)


def trained(epochs=6, seed=0):
    """A network that learned rectangles, and the losses of its steps."""
    torch.manual_seed(seed)
    module, criterion = make(classes=1), BoxLoss()
    optimiser = torch.optim.Adam(module.parameters(), 2e-3)
    falling = torch.optim.lr_scheduler.LinearLR(optimiser, 1, 0.05, epochs)
    images, truth = rectangles(64, 0)
    losses = []
    for _ in range(epochs):
        for batch in torch.randperm(len(images)).split(8):
            loss = criterion(module(images[batch])["box"], truth[batch])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            losses.append(loss.item())
        falling.step()
    return module.eval(), losses


@pytest.mark.parametrize(
    ("encoder", "channels", "classes", "size"),
    [
        ("test_resnet", 1, 1, (101, 101)),
        ("test_resnet", 5, 6, (33, 147)),
        ("resnet18", 3, 6, (64, 64)),
        ("efficientnet_lite0", 5, 1, (70, 96)),
        ("test_convnext", 3, 2, (1, 65)),
    ],
)
def test_every_anchor_says_something_of_images_of_any_size(encoder, channels, classes, size):
    module = make(channels, classes, encoder=encoder, levels=[4, 8, 16, 32, 64])
    x = torch.randn(3, channels, *size)  # batch norm needs several values a channel
    for training in (True, False):
        outputs = module.train(training)(x)
        assert set(outputs) == {"box"}
        box = outputs["box"]
        count = int(box["levels"].sum())
        shapes = {name: tuple(tensor.shape) for name, tensor in box.items()}
        assert shapes == {
            "logits": (3, count, classes), "offsets": (3, count, 4), "centreness": (3, count, 1),
            "anchors": (count, 4), "levels": (5,),
        }  # fmt: skip
        assert box["levels"][0] == -(-size[0] // 32) * 8 * -(-size[1] // 32) * 8
        probability = box["logits"].sigmoid().mean()
        assert 0.003 < probability < 0.03  # the prior
        assert (box["offsets"] > 0).all()  # where they are 0, nothing is learned


def test_anchors_are_those_of_torchvision_where_sides_are_multiples():
    generator = AnchorGenerator(((4,), (8,), (32,)), ((1.0,),) * 3)
    sizes = [(16, 24), (8, 12), (2, 3)]
    images = ImageList(torch.zeros(1, 1, 64, 96), [(64, 96)])
    (expected,) = generator(images, [torch.zeros(1, 1, *size) for size in sizes])
    assert torch.equal(anchors(sizes, (4, 8, 32)), expected)


@pytest.mark.parametrize("size", [(64, 64), (40, 72), (96, 96)])
def test_the_maps_have_the_strides_of_the_levels(size):
    """Also without the first max-pool, which the encoder's description does not know."""
    for options, deepest in (({}, 32), ({"stem_pool": False, "encoder": "resnet18"}, 16)):
        module = make(levels=[4, 8, 16, 32, 64], **options).eval()
        padded = [-(-side // deepest) * deepest for side in size]
        for stride, each in zip(
            module.strides, module.features(torch.zeros(1, 1, *size)), strict=True
        ):
            assert list(each.shape[2:]) == [-(-side // stride) for side in padded]


def test_of_two_maps_of_one_stride_the_deeper_one_is_taken():
    module = make(levels=[2, 4, 8], stem_pool=False, encoder="resnet18")
    assert module.used == [1, 2, 3]
    assert all(part.training for part in module.modules())  # measuring strides left no trace


def test_two_more_levels_are_convolved_one_more_is_thinned_out():
    module = make(levels=[16, 32, 64])
    maps = module.eval().features(torch.randn(1, 1, 128, 128))
    assert torch.equal(maps[2], maps[1][:, :, ::2, ::2])
    module = make(levels=[16, 32, 64, 128])
    assert [name for name, _ in module.pyramid.extra_blocks.named_children()] == ["p6", "p7"]


def test_late_channels_enter_below_the_encoder():
    module = make(3, late_channels=1).eval()
    assert next(module.encoder.parameters()).shape[1] == 2
    x = torch.randn(1, 3, 48, 48)
    logits = module(x)["box"]["logits"]
    x[:, 2] += 1
    assert not torch.equal(module(x)["box"]["logits"], logits)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"levels": [8, 24]},
            r"\[8, 24\] does not fit .* 'test_resnet'.* are 2, 4, 8, 16, 32 times",
        ),
        ({"levels": [16, 8]}, "each twice the one before"),
        ({"levels": [8, 64]}, "each twice the one before"),
        ({"levels": [32, 64, 128, 256]}, "at most 2 more"),
        ({"levels": [64]}, "take some of these"),
        ({"levels": []}, "take some of these"),
        ({"pyramid_channels": 48}, "multiple of 32 from 64 on.*take 128"),
        ({"head_convs": -1}, "head_convs: -1"),
        ({"late_channels": 1}, "take at most 0"),
        ({"classes": 0}, "predicts boxes, and this data has none; give the images boxes"),
        ({"classes": -1}, "no negative number"),
    ],
)
def test_a_wrong_detector_is_refused_with_its_cure(options, message):
    with pytest.raises(InputError, match=message):
        make(**options)


def test_other_networks_are_the_same_where_there_are_boxes():
    spec = {"name": "vanilla", "width": 4, "depth": 2}
    torch.manual_seed(0)
    without = models.build(spec, 1, 1, 0).state_dict()
    torch.manual_seed(0)
    beside = models.build(spec, 1, 1, 0, box_classes=3).state_dict()
    assert all(torch.equal(without[name], beside[name]) for name in without)


def test_every_parameter_learns():
    module = make(levels=[8, 16, 32, 64, 128])
    for norm in module.modules():
        if isinstance(norm, torch.nn.BatchNorm2d):  # timm closes residual branches at the start
            torch.nn.init.ones_(norm.weight)
    outputs = module(torch.randn(2, 1, 64, 64))["box"]
    sum(outputs[name].square().sum() for name in ("logits", "offsets", "centreness")).backward()
    parameters = dict(module.named_parameters())
    assert [name for name, x in parameters.items() if x.grad is None or not x.grad.any()] == []


def test_loss_and_boxes_equal_those_of_torchvisions_model():
    images, truth = benchmark.draw(6, seed=1, side=128)
    network = make(levels=[8, 16, 32, 64])
    ours, theirs = benchmark.Ours(network), benchmark.Theirs(copy.deepcopy(network))
    losses = [model.train().loss(images, truth) for model in (ours, theirs)]
    torch.testing.assert_close(losses[0], losses[1])
    for loss in losses:
        loss.backward()
    pairs = zip(network.parameters(), theirs.fcos.backbone.network.parameters(), strict=True)
    for mine, yours in pairs:
        torch.testing.assert_close(mine.grad, yours.grad)
    with torch.no_grad():
        pairs = [model.eval().boxes(images) for model in (ours, theirs)]
    for mine, yours in zip(*pairs, strict=True):
        yours = yours[(yours[:, 3:5] > yours[:, 1:3]).all(axis=1)]
        assert len(mine) > 5
        np.testing.assert_allclose(mine, yours[: len(mine)], atol=1e-3)


def test_it_learns_rectangles():
    module, losses = trained()
    assert np.mean(losses[-8:]) < 0.7 * np.mean(losses[:8])
    images, truth = rectangles(60, 1)
    with torch.no_grad():
        found = Boxes.join(decode(module(images)["box"], (64, 64)))
    ids = [str(number) for number in range(60)]
    tables = [boxes.frame(ids, ["a"]) for boxes in (benchmark.truth_of(truth), found)]
    assert metrics.mean_average_precision(*tables) > 0.9
    empty = np.diff(benchmark.truth_of(truth).start) == 0
    surest = np.array([found.image(n)[:1, 5].sum() for n in range(60)])
    assert surest[empty].max() < surest[~empty].mean()  # nothing is sure where nothing is


def test_training_twice_gives_the_same_bytes():
    torch.use_deterministic_algorithms(True)
    try:
        first, second = (trained(epochs=1)[0].state_dict() for _ in range(2))
    finally:
        torch.use_deterministic_algorithms(False)
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_bfloat16_learns_and_the_loss_is_float32():
    module, truth = make(), target([[0, 10, 10, 40, 40]], [])
    with torch.autocast("cpu", torch.bfloat16):
        outputs = module(torch.randn(2, 1, 72, 200))["box"]
        loss = BoxLoss()(outputs, truth)
    assert outputs["logits"].dtype == torch.bfloat16
    assert outputs["anchors"].dtype == torch.float32  # 16 bits would move them by pixels
    same = {name: tensor.float() for name, tensor in outputs.items()}
    assert torch.equal(loss, BoxLoss()(same | {"levels": outputs["levels"]}, truth))
    loss.backward()
    assert all(torch.isfinite(x.grad).all() for x in module.parameters() if x.grad is not None)
    decode(outputs, (72, 200))


@pytest.fixture
def outputs():
    made = make(classes=3).eval()(torch.randn(3, 1, 64, 64))["box"]
    return {
        name: made[name].detach().requires_grad_(name not in ("anchors", "levels")) for name in made
    }


def taught(outputs, truth, rows=slice(None), weight=1.0):
    """Loss, and gradients of what was said, of some images."""
    said = {name: outputs[name][rows] for name in ("logits", "offsets", "centreness")}
    loss = BoxLoss(weight)({**outputs, **said}, truth)
    return loss, torch.autograd.grad(loss, [outputs[name] for name in said])


KNOWN = [[1, 8, 8, 40, 44], [2, 30, 10, 50, 63]]


def test_images_of_unknown_boxes_change_nothing(outputs):
    unknown = [[UNKNOWN, 0, 0, 0, 0], [1, 8, 8, 40, 40]]
    loss, gradients = taught(outputs, target(KNOWN, unknown, []))
    alone, expected = taught(outputs, target(KNOWN, []), [0, 2])
    torch.testing.assert_close(loss, alone, rtol=0, atol=0)
    for found, wanted in zip(gradients, expected, strict=True):
        assert torch.equal(found, wanted)
        assert not found[1].any()


def test_a_batch_of_unknown_images_has_no_loss_and_gradients_of_zero(outputs):
    loss, gradients = taught(outputs, target(*[[[UNKNOWN, 0, 0, 0, 0]]] * 3))
    assert loss == 0
    assert all(not gradient.any() for gradient in gradients)


def test_rows_that_fill_up_and_boxes_without_area_change_nothing(outputs):
    nothing = [[2, 8, 8, 8, 40], [0, 30, 30, 20, 20], [PADDING, 12, 12, 36, 40]]
    loss, gradients = taught(outputs, target([*nothing, *KNOWN], nothing, KNOWN))
    alone, expected = taught(outputs, target(KNOWN, [], KNOWN))
    assert torch.equal(loss, alone)
    assert all(map(torch.equal, gradients, expected))


def test_images_without_boxes_teach_that_nothing_is_there(outputs):
    for truth in (target([], [], []), target(*[[[PADDING, 0, 0, 0, 0]]] * 3)):
        loss, (logits, offsets, centreness) = taught(outputs, truth)
        assert loss > 0
        assert (logits > 0).all()  # a step lowers every logit
        assert not offsets.any()
        assert not centreness.any()


def test_the_weight_multiplies_the_loss(outputs):
    single, double = (taught(outputs, target(KNOWN, [], KNOWN), weight=w)[0] for w in (1, 2))
    torch.testing.assert_close(double, 2 * single)


def test_the_loss_has_nothing_to_train():
    assert list(BoxLoss().parameters()) == []
    assert BoxLoss().state_dict() == {}


def test_it_is_rebuilt_from_its_weights_file(tmp_path):
    module, x = make(2, 3).eval(), torch.randn(1, 2, 40, 40)
    shape = {"in_channels": 2, "mask_channels": 0, "label_classes": 0, "box_names": ["a", "b", "c"]}
    save(tmp_path / "w.safetensors", module.state_dict(), {"architecture": TINY, **shape})
    rebuilt, _ = models.load_model(tmp_path / "w.safetensors")
    for name, tensor in module(x)["box"].items():
        assert torch.equal(rebuilt(x)["box"][name], tensor)
