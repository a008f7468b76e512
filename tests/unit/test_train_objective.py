"""What is minimised: the heads' losses, mixed batches, and the errors that mining draws by."""

import numpy as np
import pytest
import torch
import training
from torch.nn.functional import binary_cross_entropy_with_logits, smooth_l1_loss
from training import Competition

import foldbelt.train
from foldbelt.files import InputError
from foldbelt.train import evaluation, loop, masks, samplers
from foldbelt.train.objective import Objective

LABEL = torch.ones(3, 1)


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def objective(classes=1, **stage):
    return Objective(training.settings(**{"deep_weight": 0, **stage}), classes)


def beside(weight):
    """A loss of masks, and of the labels beside them."""
    return {"mask": {"bce": 1}, "label": {"bce": weight}}


def scales(count=2):
    """Outputs of a deeply supervised network, and targets of which the second is empty."""
    target = (torch.rand(3, 1, 4, 4) < 0.5).to(torch.uint8)
    target[1] = 0
    outputs = {"mask": torch.randn(3, 1, 4, 4)}
    outputs["deep"] = [torch.randn(3, 1, 4, 4, requires_grad=True) for _ in range(count)]
    return outputs, target


def test_the_label_head_is_weighed():
    outputs = {"mask": torch.zeros(2, 1, 4, 4), "label": torch.tensor([[3.0], [-3.0]])}
    target, label = torch.zeros(2, 1, 4, 4, dtype=torch.uint8), torch.ones(2, 1)
    losses = [
        float(objective(loss=beside(weight))(outputs, target, label)) for weight in (0.0, 0.5)
    ]
    bce = float(binary_cross_entropy_with_logits(outputs["label"], label))
    assert losses[1] - losses[0] == pytest.approx(0.5 * bce)


def test_unknown_labels_teach_nothing():
    outputs = {"mask": torch.zeros(3, 1, 4, 4), "label": torch.tensor([[3.0], [-3.0], [1.0]])}
    target, label = torch.zeros(3, 1, 4, 4), torch.tensor([[1.0], [float("nan")], [0.0]])
    plain, both = (float(objective(loss=beside(w))(outputs, target, label)) for w in (0.0, 0.5))
    known = [0, 2]
    bce = float(binary_cross_entropy_with_logits(outputs["label"][known], label[known]))
    assert both - plain == pytest.approx(0.5 * bce)
    nothing = torch.full((3, 1), float("nan"))
    assert float(objective(loss=beside(0.5))(outputs, target, nothing)) == pytest.approx(plain)
    alone = {"label": outputs["label"]}
    only_labels = Objective(training.settings(), 1, main="label")
    assert float(only_labels(alone, target, label)) == pytest.approx(bce)


def test_the_depth_head_is_weighed():
    outputs = {"mask": torch.zeros(3, 1, 4, 4), "depth": torch.tensor([[0.5], [-3.0], [0.0]])}
    target, depth = torch.zeros(3, 1, 4, 4), torch.tensor([[0.0], [1.0], [0.0]])
    losses = [
        float(objective(depth_weight=weight)(outputs, target, LABEL, depth)) for weight in (0, 0.3)
    ]
    expected = 0.3 * float(smooth_l1_loss(outputs["depth"], depth))
    assert losses[1] - losses[0] == pytest.approx(expected)
    unknown = torch.tensor([[0.0], [float("nan")], [0.0]])
    loss = objective(depth_weight=0.3)(outputs, target, LABEL, unknown)
    kept = smooth_l1_loss(outputs["depth"][[0, 2]], depth[[0, 2]])
    assert float(loss) - losses[0] == pytest.approx(0.3 * float(kept))
    with pytest.raises(InputError, match="depth_head"):
        objective(depth_weight=0.3)(outputs, target, LABEL)


def test_deeper_scales_are_judged_like_the_mask():
    outputs, target = scales()
    plain, deep = (objective(deep_weight=weight)(outputs, target, LABEL) for weight in (0.0, 0.25))
    each = [binary_cross_entropy_with_logits(part, target.float()) for part in outputs["deep"]]
    assert (deep - plain).item() == pytest.approx(0.25 * sum(each).item(), rel=1e-4)


def test_deeper_scales_may_learn_from_images_with_a_mask_only():
    outputs, target = scales()
    target = torch.cat([target, torch.zeros_like(target)], dim=1)
    target[2, 1] = 1 - target[2, 0]  # ignored where there is no mask: not empty
    target[0, :, :2], target[0, :, 2:] = 1, 0  # a mask that may not be seen: empty
    spec = {"deep_weight": 0.25, "deep_images": "nonempty"}
    objective(**spec)(outputs, target, LABEL).backward()
    for part in outputs["deep"]:
        assert [bool((image != 0).any()) for image in part.grad] == [False, False, True]
    alone = {"mask": outputs["mask"], "deep": [part.detach() for part in outputs["deep"]]}
    none = torch.zeros_like(target)
    assert objective(**spec)(alone, none, LABEL) == objective()(alone, none, LABEL)


MASK_LOSSES = ["bce", "focal", "dice", "lovasz", "cross_entropy", "lovasz_softmax"]
MASK_LOSSES += ["jaccard", "tversky", "focal_tversky"]


@pytest.mark.parametrize("ignores", [False, True])
@pytest.mark.parametrize("name", MASK_LOSSES)
def test_images_hidden_teach_as_little_as_those_that_are_left_out(name, ignores):
    loss = masks.MaskLoss({name: 1}, 2)
    truth = (torch.rand(5, 2, 6, 7) < 0.3).float()
    ignore = torch.rand(5, 1, 6, 7) < 0.2 if ignores else None
    for shows in ([True, False, True, True, False], [False] * 5):
        found = []
        for leave in (masks.picked, masks.hidden):
            torch.manual_seed(1)
            logits = (torch.randn(5, 2, 6, 7) - 2).requires_grad_()
            (taken,), true, ignored = leave([logits], truth, ignore, torch.tensor(shows))
            total = loss.terms(taken, true, ignored) if len(true) else 0 * taken.sum()
            total.backward()
            found.append((total.item(), logits.grad))
        assert found[0][0] == pytest.approx(found[1][0], rel=1e-6)
        torch.testing.assert_close(found[0][1], found[1][1], rtol=1e-5, atol=1e-9)
        assert found[1][1].flatten(1).any(dim=1).tolist() == shows


def test_no_step_asks_the_device():
    """Whether a tensor is true, and its values, are asked of the host's tensors alone."""
    stage = {"deep_weight": 0.1, "deep_images": "nonempty", "loss": beside(0.5)}
    outputs, target = scales()
    outputs = {name: on_meta(part) for name, part in outputs.items()}
    outputs["label"] = torch.empty(3, 1, device="meta", requires_grad=True)
    loss = objective(**stage)(outputs, on_meta(target), on_meta(LABEL))
    assert loss.device.type == "meta"
    loss.backward()
    labels = {"label": torch.empty(3, 4, device="meta", requires_grad=True)}
    for term in ("bce", "focal", "cross_entropy"):
        only = Objective(training.settings(loss={term: 1}), 0, main="label")
        only(labels, on_meta(target), torch.empty(3, 4, device="meta")).backward()


def on_meta(value):
    """Where there are shapes and no values, so that asking for one is an error."""
    if isinstance(value, list):
        return [on_meta(each) for each in value]
    return value.detach().to("meta").requires_grad_(value.is_floating_point())


class Constant(torch.nn.Module):
    """A network that shows what it is given."""

    def __init__(self):
        super().__init__()
        self.bias = torch.nn.Parameter(torch.zeros(1))

    def forward(self, x):
        outputs = {"mask": x[:, :1] + self.bias, "label": self.bias.expand(len(x), 1)}
        return {**outputs, "depth": self.bias.expand(len(x), 1)}


@pytest.fixture
def tiny(tmp_path):
    return Competition(tmp_path)


def trainer_of(competition, monkeypatch, **changes):
    """Give the trainer of a run that is stopped before it begins."""
    found = []

    def train(self, signals):
        found.append(self)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(loop.Trainer, "train", train)
        arguments = competition.arguments(**changes)
        with pytest.raises(KeyboardInterrupt):
            training.run(**arguments, log=lambda text: None)
    return found[0]


def test_shares_of_a_mixed_batch_add_up(tiny, monkeypatch):
    stepper = trainer_of(tiny, monkeypatch).stepper
    stepper.model = Constant()
    stepper.objective = objective(depth_weight=0.5, loss=beside(0.5))
    seeds = []

    def mixer(x, target, label, seed):
        seeds.append(seed)
        return 0.3 * x + 0.7 * x.flip(0), [
            (0.3, target, label),
            (0.7, target.flip(0), label.flip(0)),
        ]

    stepper.mixer = mixer
    batch = stepper.task.samples.__getitems__([(0, row) for row in range(4)])
    batch["depth"] = torch.tensor([[0.0], [1.0], [2.0], [3.0]])
    loss = stepper.loss(batch, 1, 2)
    x, target = stepper.task.normalise(batch["x"]), batch["target"].permute(0, 3, 1, 2)
    mixed = 0.3 * x + 0.7 * x.flip(0)
    depth = 0.3 * batch["depth"] + 0.7 * batch["depth"].flip(0)
    outputs = stepper.model(mixed)
    expected = 0.3 * stepper.objective(outputs, target, batch["label"], depth)
    expected += 0.7 * stepper.objective(outputs, target.flip(0), batch["label"].flip(0), depth)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    stepper.loss(batch, 1, 3)
    stepper.loss(batch, 1, 2)
    assert seeds[0] == seeds[2] != seeds[1]


def test_errors_are_highest_where_the_model_is_wrong(tiny, monkeypatch):
    path = str(tiny.root / "a.safetensors")
    quick = {"optimizer": {"name": "adamw", "lr": 0.03}, "epochs": 16}
    training.run(**tiny.arguments("a", **quick), log=lambda text: None)
    train = np.flatnonzero(tiny.fold != 1)
    spoilt = 7  # of the training tiles
    tiny.mask[train[spoilt]] ^= 1
    tiny.write()
    stepper = trainer_of(tiny, monkeypatch, start=path).stepper
    errors = evaluation.errors(stepper, lambda: None)
    assert errors.shape == (12,)
    assert int(errors.argmax()) == spoilt
    assert errors.mean() == pytest.approx(1, abs=0.05)
    assert (errors == evaluation.errors(stepper, lambda: None)).all()


def test_false_positives_on_empty_tiles_count_beside_the_loss():
    logits = torch.full((1, 2, 4, 4), -1.0)
    logits[:, 0, :2] = 1.0  # half the pixels of the first class
    target = torch.zeros(1, 4, 4, 3)
    assert float(masks.false_positives(logits, target)) == 0.25
    target[..., 0, :, 2] = 0
    target[:, 0, :, 2] = 1  # a row ignored
    assert float(masks.false_positives(logits, target)) == pytest.approx(4 / 24)
    target[:, 3, 3, 0] = 1  # no longer empty
    assert float(masks.false_positives(logits, target)) == 0
    errors = evaluation.relative(np.array([1.0, 1.0, 0.0]), np.array([0.0, 0.5, 0.0]))
    assert errors[1] == pytest.approx(4 / 3 * errors[0])
    assert errors[2] == evaluation.LEAST_ERROR


def test_mining_happens_once_before_the_first_step(tiny, monkeypatch):
    calls = []
    real = evaluation.errors

    def errors(stepper, check):
        calls.append(stepper.model.state_dict()["mask.weight"].clone())
        return real(stepper, check)

    monkeypatch.setattr(evaluation, "errors", errors)
    training.run(**tiny.arguments("a", epochs=1), log=lambda text: None)
    assert not calls
    arguments = tiny.arguments("b", epochs=2, start=str(tiny.root / "a.safetensors"))
    arguments["stage"]["sampler"] = {"name": "hard", "strength": 1}
    drawn = []

    def draw(true, *rest, errors, **more):
        drawn.append(errors)
        return np.arange(true)

    monkeypatch.setattr(samplers, "epoch_rows", draw)
    training.run(**arguments, log=lambda text: None)
    (before,) = calls
    first = foldbelt.store.weights.load(tiny.root / "a.safetensors")[0]["mask.weight"]
    assert torch.equal(before, first)
    assert len(drawn) == 2
    assert (drawn[0] == drawn[1]).all()


def test_an_evaluation_leaves_weights_and_statistics_alone(tiny, monkeypatch):
    trainer = trainer_of(tiny, monkeypatch)
    before = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    evaluation.errors(trainer.stepper, lambda: None)
    evaluation.validate(trainer.stepper, trainer.model, lambda: None)
    after = trainer.model.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())
