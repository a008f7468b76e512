"""Networks: sizes, gradients, heads, switches, determinism, pretrained weights."""

import hashlib
import subprocess
import sys

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file
from timm.models import adapt_input_conv

from foldbelt import models, registry
from foldbelt.files import InputError
from foldbelt.models import _encoders
from foldbelt.models import _pretrained as weights
from foldbelt.models._blocks import SCSE, upsample_to

# timm's tiny network for tests: 0.5 million parameters, built like ResNet34.
TINY = {"name": "unet", "encoder": "test_resnet", "decoder_channels": [16, 16, 8, 8, 8]}
PLAIN = {"name": "vanilla", "width": 4, "depth": 3}
PYRAMID = {"name": "fpn", "encoder": "test_resnet", "pyramid_channels": 16}
EACH = pytest.mark.parametrize("spec", [TINY, PLAIN, PYRAMID], ids=["unet", "vanilla", "fpn"])


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def _count(module):
    return sum(parameter.numel() for parameter in module.parameters())


@EACH
@pytest.mark.parametrize("size", [(101, 101), (64, 64), (100, 130), (33, 47), (64, 416)])
def test_the_mask_has_the_size_of_the_image(spec, size):
    model = models.build(spec, 2, 3, 0).eval()
    with torch.no_grad():
        outputs = model(torch.randn(1, 2, *size))
    assert set(outputs) == {"mask"}
    assert outputs["mask"].shape == (1, 3, *size)


def test_resnet18_at_the_size_of_a_salt_tile():
    spec = {"name": "unet", "encoder": "resnet18", "label_head": True, "scse": True}
    model = models.build(spec, 3, 1, 1).eval()
    with torch.no_grad():
        outputs = model(torch.randn(1, 3, 101, 101))
    assert outputs["mask"].shape == (1, 1, 101, 101)
    assert outputs["label"].shape == (1, 1)


@pytest.mark.parametrize("encoder", ["test_convnext", "test_vit", "resnt18"])
def test_other_encoders_work_or_say_why_not(encoder):
    spec = {**TINY, "encoder": encoder}
    if encoder == "resnt18":
        with pytest.raises(InputError, match="no model 'resnt18'; similar are resnet18"):
            models.build(spec, 1, 1, 0)
    elif encoder == "test_vit":
        with pytest.raises(InputError, match="images of one size only; choose a convolutional"):
            models.build(spec, 1, 1, 0)
    else:  # its first map has a quarter of the image's size
        model = models.build(spec, 1, 1, 0).eval()
        with torch.no_grad():
            assert model(torch.randn(1, 1, 50, 66))["mask"].shape == (1, 1, 50, 66)


@EACH
@pytest.mark.parametrize("scse", [False, True])
def test_every_parameter_learns(spec, scse):
    model = models.build({**spec, "scse": scse, "label_head": True}, 3, 2, 2)
    for norm in model.modules():
        if isinstance(norm, torch.nn.BatchNorm2d):  # timm closes residual branches at the start
            torch.nn.init.ones_(norm.weight)
    outputs = model(torch.randn(4, 3, 40, 64))
    (outputs["mask"].square().mean() + outputs["label"].square().mean()).backward()
    idle = [
        name
        for name, parameter in model.named_parameters()
        if parameter.grad is None or not parameter.grad.any()
    ]
    assert idle == []


@EACH
def test_the_label_head_is_there_only_if_wanted_and_labels_exist(spec):
    image = torch.randn(2, 1, 32, 32)
    for head, labels in [(False, 2), (True, 0), (False, 0)]:
        assert set(models.build({**spec, "label_head": head}, 1, 1, labels)(image)) == {"mask"}
    outputs = models.build({**spec, "label_head": True}, 1, 1, 2)(image)
    assert outputs["label"].shape == (2, 2)


@EACH
def test_dropout_acts_on_the_label_in_training_only(spec):
    model = models.build({**spec, "label_head": True, "label_dropout": 0.5}, 1, 1, 2)
    image = torch.randn(2, 1, 64, 64)
    one, other = model(image), model(image)
    assert torch.equal(one["mask"], other["mask"])
    assert not torch.equal(one["label"], other["label"])
    model.eval()
    assert torch.equal(model(image)["label"], model(image)["label"])


def test_a_label_sees_a_single_bright_pixel():
    head = models.build({**PLAIN, "label_head": True}, 1, 1, 1).label
    torch.nn.init.ones_(head.linear.weight)
    dark = torch.zeros(1, 32, 8, 8)
    bright = dark.clone()
    bright[0, 0, 3, 3] = 64.0
    assert (head(bright) - head(dark)).item() == pytest.approx(64 / 64 + 64)  # mean and maximum


@pytest.mark.parametrize("channels", [16, 64])
def test_scse_is_the_sum_of_both_gates_with_the_paper_s_parameters(channels):
    attention = SCSE(channels)
    hidden = channels // 2
    assert _count(attention) == 2 * channels * hidden + hidden + channels + channels + 1
    x = torch.randn(2, channels, 5, 4)
    relu = torch.relu(attention.channel[0](x.mean(dim=(2, 3))))
    by_channel = torch.sigmoid(attention.channel[2](relu)).reshape(2, channels, 1, 1)
    weight, bias = attention.spatial[0].weight, attention.spatial[0].bias
    by_pixel = torch.sigmoid((x * weight.reshape(1, -1, 1, 1)).sum(1, keepdim=True) + bias)
    torch.testing.assert_close(attention(x), x * by_channel + x * by_pixel)


def test_scse_adds_its_parameters_to_every_decoder_block():
    for spec, widths in [
        (TINY, TINY["decoder_channels"]),
        (PLAIN, [16, 8, 4]),
        (PYRAMID, [16] * 4),
    ]:
        with_, without = (models.build({**spec, "scse": flag}, 1, 1, 0) for flag in (True, False))
        assert _count(with_) - _count(without) == sum(_count(SCSE(width)) for width in widths)


def test_without_the_stem_pool_all_later_maps_are_twice_as_large():
    image = torch.randn(1, 3, 64, 64)
    sizes = []
    for pool in (True, False):
        model = models.build({**TINY, "stem_pool": pool}, 3, 1, 0).eval()
        with torch.no_grad():
            sizes.append([feature.shape[-1] for feature in model.encoder(image)])
            assert model(image)["mask"].shape == (1, 1, 64, 64)
    assert sizes == [[32, 16, 8, 4, 2], [32, 32, 16, 8, 4]]
    with pytest.raises(InputError, match="no max-pool to remove"):
        models.build({**TINY, "encoder": "test_convnext", "stem_pool": False}, 3, 1, 0)


def test_upsampling_puts_the_pixels_of_a_strided_convolution_back():
    for height, width in [(101, 64), (51, 33), (7, 2)]:
        image = torch.arange(height * width, dtype=torch.float32).reshape(1, 1, height, width)
        back = upsample_to(image[..., ::2, ::2], (height, width))
        rows, columns = torch.arange(height) // 2 * 2, torch.arange(width) // 2 * 2
        assert torch.equal(back, image[..., rows[:, None], columns])
    assert upsample_to(torch.ones(1, 1, 21, 28), (48, 62)).shape == (1, 1, 48, 62)


@EACH
def test_the_network_is_where_the_image_is(spec):
    """A mask moves with the image: whatever is upsampled comes back in its place."""
    model = models.build(spec, 1, 1, 0).eval()
    image = torch.zeros(1, 1, 256, 256)  # so large that no border is near
    moved = image.clone()
    image[..., 96:112, 128:144] = 4.0
    moved[..., 128:144, 96:112] = 4.0
    with torch.no_grad():
        one, other = model(image)["mask"], model(moved)["mask"]
    near = one[0, 0, 80:128, 112:160]
    assert near.std() > 0
    torch.testing.assert_close(near, other[0, 0, 112:160, 80:128], rtol=1e-3, atol=1e-4)


@EACH
def test_the_same_seed_gives_the_same_bytes(spec):
    def train():
        torch.manual_seed(3)
        model = models.build({**spec, "scse": True, "label_head": True}, 2, 1, 1)
        optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
        image = torch.randn(4, 2, 32, 45)
        for _ in range(2):
            outputs = model(image)
            loss = outputs["mask"].sigmoid().mean() + outputs["label"].square().mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        return b"".join(value.numpy().tobytes() for value in model.state_dict().values())

    torch.use_deterministic_algorithms(True)
    try:
        assert train() == train()
    finally:
        torch.use_deterministic_algorithms(False)


@EACH
def test_channels_last_gives_the_same_mask(spec):
    model = models.build({**spec, "scse": True}, 3, 1, 0).eval()
    image = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        expected = model(image)["mask"]
        model.to(memory_format=torch.channels_last)
        found = model(image.contiguous(memory_format=torch.channels_last))["mask"]
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_decoder_widths_fit_the_encoder():
    four = models.build(
        {**TINY, "encoder": "test_convnext", "decoder_channels": [40, 9, 8, 7, 6, 5]}, 1, 1, 0
    )
    assert [block.convs[0][0].out_channels for block in four.decoder.blocks] == [9, 8, 7, 6, 5]
    with pytest.raises(InputError, match=r"\[16, 8\] has 2 numbers, and this encoder needs 5"):
        models.build({**TINY, "decoder_channels": [16, 8]}, 1, 1, 0)


@pytest.mark.parametrize(
    ("spec", "sizes", "message"),
    [
        ({"name": "unnet"}, (1, 1, 0), "did you mean 'unet'"),
        ({}, (1, 1, 0), "needs a `name`"),
        ({**TINY, "decoder_chanels": [1]}, (1, 1, 0), "did you mean 'decoder_channels'.*known are"),
        (TINY, (0, 1, 0), "at least one input"),
        (PLAIN, (1, 0, 0), "at least a mask channel"),
        ({**TINY, "encoder": "resnet18.nope"}, (1, 1, 0), "no weights 'nope'; there are resnet18"),
    ],
)
def test_a_wrong_spec_is_refused_with_its_cure(spec, sizes, message):
    with pytest.raises(InputError, match=message):
        models.build(spec, *sizes)


def test_options_of_other_architectures_are_left_aside():
    """The config fills in every default, whatever the architecture."""
    spec = {**TINY, "name": "vanilla", "weights": None, "sha256": None, "width": 4, "depth": 2}
    assert _count(models.build(spec, 1, 1, 0)) == _count(
        models.build({**PLAIN, "depth": 2}, 1, 1, 0)
    )


def test_modules_are_found_without_importing_torch():
    code = (
        "import sys; from foldbelt import registry; "
        "print(registry.models({'name': 'unet', 'scse': True}), 'torch' in sys.modules)"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "['foldbelt.models.unet'] False"
    assert registry.models(PLAIN) == ["foldbelt.models.vanilla"]


@pytest.fixture(name="file")
def _file(tmp_path):
    """Weights of a whole classifier, as timm publishes them."""
    path = tmp_path / "source.safetensors"
    torch.manual_seed(7)
    save_file(timm.create_model("test_resnet").state_dict(), path)
    return path


def test_pretrained_weights_arrive_in_the_encoder(file, tmp_path):
    out = tmp_path / "out.safetensors"
    weights.fetch(str(file), out, hashlib.sha256(file.read_bytes()).hexdigest())
    state = load_file(out)
    model = models.build({**TINY, "weights": str(out)}, 3, 1, 0)
    for name, value in model.encoder.state_dict().items():
        assert torch.equal(value, state[name]), name
    assert "state_dict" not in model.encoder.pretrained_cfg


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_the_first_convolution_is_adapted_to_the_channels(file, channels):
    model = models.build({**TINY, "weights": str(file)}, channels, 1, 0)
    state = load_file(file)
    expected = adapt_input_conv(channels, state["conv1.0.weight"])
    assert torch.equal(model.encoder.conv1[0].weight, expected)
    assert torch.equal(model.encoder.layer1[0].conv1.weight, state["layer1.0.conv1.weight"])


def test_the_decoder_starts_the_same_with_and_without_pretrained_weights(file):
    decoders = []
    for path in (None, str(file)):
        torch.manual_seed(5)
        decoders.append(models.build({**TINY, "weights": path}, 3, 1, 0).decoder.state_dict())
    assert all(torch.equal(decoders[0][name], decoders[1][name]) for name in decoders[0])


def test_fetching_converts_checkpoints_and_repeats_to_the_byte(file, tmp_path):
    state = load_file(file)
    torch.save(
        {"state_dict": {f"module.{name}": v for name, v in state.items()}, "epoch": 3},
        tmp_path / "a.pth",
    )
    weights.fetch(str(tmp_path / "a.pth"), tmp_path / "a.safetensors")
    weights.fetch(str(file), tmp_path / "b.safetensors")
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
    assert load_file(tmp_path / "a.safetensors").keys() == state.keys()


def test_what_is_not_the_wanted_weights_is_refused(file, tmp_path, monkeypatch):
    out = tmp_path / "out.safetensors"
    with pytest.raises(InputError, match=r"source.safetensors: the SHA-256 is .* should be 00"):
        weights.fetch(str(file), out, "0" * 64)
    with pytest.raises(InputError, match="no file, no https address and no timm model"):
        weights.fetch("nowhere.pth", out)
    torch.save({"model": subprocess.run}, tmp_path / "evil.pth")
    with pytest.raises(InputError, match=r"evil.pth: no readable file"):
        weights.fetch(str(tmp_path / "evil.pth"), out)
    torch.save({"epoch": 3}, tmp_path / "empty.pth")
    with pytest.raises(InputError, match="something else than tensors"):
        weights.fetch(str(tmp_path / "empty.pth"), out)
    (tmp_path / "half.safetensors").write_bytes(file.read_bytes()[:1000])
    with pytest.raises(InputError, match=r"half.safetensors: no readable file"):
        weights.fetch(str(tmp_path / "half.safetensors"), out)

    def offline(*_, **__):
        raise OSError("no route to host")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", offline)
    with pytest.raises(
        InputError, match=r"resnet18: cannot be downloaded .*no route.* path instead"
    ):
        weights.fetch("resnet18", out)
    assert not out.exists()


def test_weights_of_another_encoder_are_refused_with_what_they_lack(file, tmp_path):
    with pytest.raises(InputError, match=r"lacks .* of encoder 'resnet10t' \(conv1.0.weight|layer"):
        models.build({**TINY, "encoder": "resnet10t", "weights": str(file)}, 3, 1, 0)
    state = load_file(file)
    wrong = {**state, "layer1.0.conv1.weight": torch.zeros(3, 3, 3, 3)}
    save_file(wrong, tmp_path / "wrong.safetensors")
    with pytest.raises(InputError, match=r"size mismatch for layer1.0.conv1.weight"):
        models.build({**TINY, "weights": str(tmp_path / "wrong.safetensors")}, 3, 1, 0)
    with pytest.raises(InputError, match="no such file of weights; fetch it"):
        models.build({**TINY, "weights": "timm"}, 3, 1, 0)
    del state["layer2.0.conv1.weight"]
    save_file(state, tmp_path / "hole.safetensors")
    with pytest.raises(InputError, match=r"lacks 1 of .*\(layer2.0.conv1.weight\)"):
        _encoders.make_encoder("test_resnet", 3, str(tmp_path / "hole.safetensors"), True)


@pytest.mark.parametrize("seed", [0, 2, 3])
def test_a_short_training_makes_foreground_likely(seed):
    """Probabilities must not be stuck at one half where background prevails."""
    torch.manual_seed(seed)
    model = models.build(TINY, 1, 1, 0).to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(model.parameters(), 0.006)
    for step in range(50):
        truth = torch.zeros(4, 1, 32, 32)
        place = step % 16
        truth[:, :, place : place + 16, place : place + 16] = 1
        logits = model(truth + 0.3 * torch.randn(4, 1, 32, 32))["mask"]
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, truth)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert torch.sigmoid(logits[truth > 0]).median() > 0.75
