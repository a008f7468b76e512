"""An ONNX file computes what the workflow does, and says all that its caller has to know."""

import importlib.util
import json
import sys
import zipfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
import torch
from bundles import Tiny
from click.testing import CliRunner
from onnx_bundles import VANILLA, Crafted

from foldbelt import bundle, provenance, store
from foldbelt.bundle.onnx import exporting, graph, image
from foldbelt.bundle.onnx.blending import blending_of
from foldbelt.bundle.onnx.exporting import export
from foldbelt.bundle.onnx.translation import session_of
from foldbelt.bundle.reading import Bundle
from foldbelt.bundle.wheels import gather
from foldbelt.channels import build
from foldbelt.channels._resizing import Resizer, centre
from foldbelt.cli.main import main
from foldbelt.config import complete
from foldbelt.files import InputError
from foldbelt.search.means import MEANS, Mean, mix, mix_labels

GREY = {"use": ["image"], "size": [24, 32], "resize_mode": "resize"}
PADDED = {"use": ["image", "row", "image_row"], "whiten": "standard", "size": [32, 40]}
LABELLED = VANILLA | {"label_head": True}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    made = Tiny(tmp_path_factory.mktemp("tiny"))
    made.write()
    return made


def told(path: Path) -> dict[str, Any]:
    (entry,) = onnx.load(str(path)).metadata_props
    assert entry.key == "foldbelt"
    content: dict[str, Any] = json.loads(entry.value)
    return content


CASES: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "folds, views, rows, padding and labels": (
        {
            "net": {
                "recipe": PADDED,
                "architecture": LABELLED,
                "predict": {"tta": ["none", "hflip", "vflip"]},
                "seeds": (0, 1),
            }
        },
        {},
        "image",
    ),
    "windows, scales and exclusive classes of colour images": (
        {
            "net": {
                "recipe": {"use": ["image"], "whiten": "imagenet", "size": [40, 56]}
                | {"offset": "random", "resize_mode": "pad-edge"},
                "architecture": VANILLA | {"exclusive": True, "label_head": True},
                "predict": {"scales": [0.8], "windows": {"size": [24, 32], "overlap": 0.3}},
            }
        },
        {"colours": 3, "classes": 3},
        "image",
    ),
    "logits of members that see an image differently": (
        {
            "plain": {"recipe": GREY, "architecture": VANILLA, "seeds": (0, 1)},
            "padded": {"recipe": PADDED, "architecture": LABELLED, "seeds": (2,)},
            "idle": {"recipe": PADDED | {"use": ["cumsum"]}, "architecture": VANILLA},
        },
        {"weights": (0.25, 0.75, 0.0), "mean": {"mean": "logit"}},
        "image",
    ),
    "resized images, a network of segmentation_models_pytorch": (
        {
            "net": {
                "recipe": GREY | {"size": [40, 48], "whiten": "imagenet"},
                "architecture": {"name": "smp/Unet", "encoder": "resnet18"},
            }
        },
        {"colours": 3},
        "image",
    ),
    "channels that are no function of a pixel": (
        {"net": {"recipe": PADDED | {"use": ["image", "cumsum"]}, "architecture": VANILLA}},
        {},
        "channels",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_file_computes_what_the_workflow_does(tiny: Tiny, tmp_path: Path, case: str) -> None:
    members, options, source = CASES[case]
    made = Crafted(tiny, tmp_path, members, **options)
    out = tmp_path / "model.onnx"
    done = export(made.bundle, out)
    assert done.difference < 2e-5
    assert done.source == source
    about = told(out)
    images = made.images(seed=9, count=5)
    prob, labels = made.predicted(images)
    resized = about["geometry"]["mode"] == "resize"
    if source == "channels" or resized:
        (name,) = members
        images = centre(made.channels_of(name), tuple(about["geometry"]["network"]))
    session = session_of(out, 1)
    (given,) = session.get_inputs()
    assert (given.name, given.type) == (source, "tensor(uint8)")
    assert given.shape[1:] == list(images.shape[1:])
    assert (about["input"]["height"], about["input"]["width"]) == images.shape[1:3]
    assert len(about["input"]["planes"]) == images.shape[3]
    for count in (1, 5):
        masks, *rest = session.run(None, {source: images[:count]})
        assert masks.dtype == np.float32
        assert masks.shape[1:] == (
            about["outputs"]["masks"]["height"],
            about["outputs"]["masks"]["width"],
            len(about["outputs"]["masks"]["classes"]),
        )
        if resized:
            resizer = Resizer("resize", made.shape[:2], done.size)
            masks = resizer.undo(masks)
        # The workflow rounds to levels, twice; means of logits stretch what is near 0 and 1.
        apart = np.abs(masks - prob[:count] / 255)
        assert apart.max() < (4 if "logits" in case else 1.05) / 255
        assert apart.mean() < 0.5 / 255
        assert (labels is not None) == bool(rest)
        if labels is not None:
            np.testing.assert_allclose(rest[0], labels[:count], atol=1e-4)
    assert prob.min() < 90, "a network that says one thing everywhere tests nothing"
    assert prob.max() > 160


def test_the_command_tells_what_came_of_it_and_the_same_bundle_gives_the_same_bytes(
    tiny: Tiny, tmp_path: Path
) -> None:
    """Views stay outside, here."""
    member = {"recipe": GREY, "architecture": VANILLA}
    views = {"tta": ["none", "vflip"], "scales": [1, 0.75]}
    made = Crafted(tiny, tmp_path, {"net": member | {"predict": views}})
    out = tmp_path / "model.onnx"
    done = CliRunner().invoke(main, ["export", str(made.bundle), str(out), "--no-views"])
    assert done.exit_code == 0, done.output
    assert "1 network, " in done.output
    assert "takes image of 24×32, gives masks; differs from torch by" in done.output
    images = made.images(3, 4)
    (masks,) = session_of(out, 1).run(None, {"image": images})
    with_views, _ = made.predicted(images)
    alone, _ = Crafted(tiny, tmp_path, {"net": member}).predicted(images)
    assert np.abs(masks - alone / 255).max() < 0.6 / 255
    assert np.abs(masks - with_views / 255).max() > 2 / 255

    content, about = out.read_bytes(), told(out)
    (said,) = about["members"]
    assert (said["name"], said["networks"]) == ("net", 1)
    assert (said["views"], said["scales"]) == (["none"], [1])
    assert about["decision"]["masks"]["params"] == {"threshold": 0.5, "min_area": 3, "gate": 0.0}
    assert (about["run"], about["input"]["planes"]) == ("tiny", ["grey"])
    assert b".py" not in content, "where a node was made is nobody's business"
    assert str(Path(torch.__file__).parent).encode() not in content
    viewed = Crafted(tiny, tmp_path, {"net": member | {"predict": views}})
    export(viewed.bundle, tmp_path / "again.onnx", views=False)
    assert (tmp_path / "again.onnx").read_bytes() == content
    done = CliRunner().invoke(main, ["export", str(tmp_path / "gone.zip"), str(out)])
    assert done.exit_code == 1
    assert "there is no such file" in done.output


def test_what_the_manifest_does_not_list_is_not_read(tiny: Tiny, tmp_path: Path) -> None:
    with zipfile.ZipFile(tiny.bundle) as archive:
        archive.extractall(tmp_path)
    (tmp_path / "decision").mkdir()
    (tmp_path / "decision" / "labels.json").write_text("{}")
    with Bundle(tmp_path) as opened:
        assert set(blending_of(opened, None).decisions) == {"masks"}


def test_labels_are_averaged_block_by_block(tiny: Tiny, tmp_path: Path) -> None:
    """Two classifiers of different labels, three of which exclude each other, beside masks."""
    names = ["old", "young", "left", "adult", "right"]
    told_of = {"label_names": names, "label_groups": [["old", "young", "adult"]]}
    windows = {"windows": {"size": [24, 20], "overlap": 0.2}, "tta": ["none", "hflip"]}
    classifier = {"name": "classifier", "encoder": "test_resnet"}
    other = told_of | {"labels": ["adult", "right", "old", "young"]}
    members = {
        "net": {"recipe": GREY, "architecture": VANILLA},
        "one": {"recipe": GREY, "architecture": classifier, "metadata": told_of}
        | {"predict": windows},
        "other": {"recipe": GREY, "architecture": classifier, "metadata": other},
    }
    block = {"level": None, "exclusive": False}
    decision = {
        "metric": "log_loss",
        "exclusive": False,
        "blocks": [
            {**block, "name": "age", "labels": ["old", "young", "adult"], "exclusive": True},
            {**block, "name": "side", "labels": ["right"]},
            {**block, "name": "alone", "labels": ["left"]},
        ],
        "params": {
            "age": {"mean": "logit", "weights": {"one": 0.25, "other": 0.75}},
            "side": {"mean": "power", "power": 0.5, "weights": {"one": 0.5, "other": 0.5}},
            "alone": {"mean": "probability", "weights": {"one": 1.0}},
        },
    }
    made = Crafted(tiny, tmp_path, members, masked=["net"], labels=(names, decision))
    out = tmp_path / "model.onnx"
    assert export(made.bundle, out).outputs == ["masks", "labels"]
    about = told(out)
    assert about["outputs"]["labels"]["classes"] == names
    assert about["decision"]["labels"]["blocks"] == decision["blocks"]
    images = made.images(11, 4)
    prob, expected = made.predicted(images)
    masks, labels = session_of(out, 1).run(None, {"image": images})
    assert np.abs(masks - prob / 255).max() < 1.05 / 255
    np.testing.assert_allclose(labels, expected, atol=1e-5)
    assert np.ptp(expected, axis=0).min() > 0.02
    with Bundle(made.bundle) as opened:
        alone = blending_of(opened, "other")
    assert [member.name for member in alone.members] == ["other"]
    assert [block.weights for block in alone.label_blocks()] == [[0.75], [0.5], [0.0]]


def test_members_of_other_inputs_are_refused_and_exported_alone(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    members = {
        "small": {"recipe": PADDED | {"use": ["cumsum"]}, "architecture": VANILLA},
        "large": {"recipe": GREY | {"size": [48, 64]}, "architecture": VANILLA},
    }
    made = Crafted(tiny, tmp_path, members, weights=(0.5, 0.5))
    with pytest.raises(InputError) as error:
        export(made.bundle, tmp_path / "model.onnx")
    assert "small: sees the channels small, cumsum at 32×40 (pad-reflect)" in str(error.value)
    assert "large: sees the channels large, image at 48×64 (resize)" in str(error.value)
    monkeypatch.setattr(exporting, "translate", lambda blend, probes, *_: sys.exit(probes.shape[1]))
    with pytest.raises(SystemExit, match="48"):
        export(made.bundle, tmp_path / "model.onnx", member="large")
    with pytest.raises(InputError, match=r"no member 'larg' of its masks or labels, only small, "):
        export(made.bundle, tmp_path / "model.onnx", member="larg")


def test_detectors_say_that_they_cannot(tiny: Tiny, tmp_path: Path) -> None:
    architecture = {"name": "detector", "encoder": "test_resnet", "pyramid_channels": 64}
    made = Crafted(tiny, tmp_path, {"find": {"recipe": GREY, "architecture": architecture}})
    with pytest.raises(InputError, match="find: predicts boxes: how many there are differs"):
        export(made.bundle, tmp_path / "model.onnx")


def test_nothing_is_written_that_differs(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Crafted(tiny, tmp_path, {"net": {"recipe": GREY, "architecture": VANILLA}})
    real = exporting.Predictor.average

    def shifted(self: Any, x: torch.Tensor) -> Any:
        given = real(self, x)
        return given._replace(masks=given.masks + 0.002)

    monkeypatch.setattr(exporting.Predictor, "average", shifted)
    with pytest.raises(InputError, match=r"differ from torch's by up to 0\.002.*Nothing was"):
        export(made.bundle, tmp_path / "model.onnx")
    assert not (tmp_path / "model.onnx").exists()


def test_missing_packages_are_named(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "onnxscript" else find(name)
    )
    with pytest.raises(InputError, match=r"the packages onnxscript: pip install 'foldbelt\[onnx\]"):
        export(tiny.bundle, tmp_path / "model.onnx")


RECIPES = [
    {"use": ["image"], "size": [24, 32], "resize_mode": "resize"},
    {"use": ["image"], "size": [24, 32], "whiten": "imagenet"},
    {"use": ["image", "row"], "size": [32, 32], "resize_mode": "pad-edge", "whiten": "standard"},
    {"use": ["row", "image_row", "image"], "size": [33, 47], "resize_mode": "pad-reflect"},
    {"use": ["image_row"], "size": [40, 41], "offset": "random", "whiten": "standard"},
    {"use": ["image"], "size": [51, 64], "resize_mode": "resize", "whiten": "standard"},
]


@pytest.mark.parametrize("colours", [1, 3])
@pytest.mark.parametrize("recipe", RECIPES, ids=str)
def test_channels_are_the_bytes_of_the_workflow(
    tiny: Tiny, tmp_path: Path, recipe: dict[str, Any], colours: int
) -> None:
    members = {"net": {"recipe": recipe, "architecture": VANILLA}}
    made = Crafted(tiny, tmp_path, members, colours=colours)
    images = made.images(5, 4)
    complete_recipe = complete("channels", recipe)
    build(made.store("test", images), tmp_path / "x.h5", complete_recipe, tmp_path / "net.h5")

    attrs = store.attrs(tmp_path / "net.h5")
    expected = centre(store.read(tmp_path / "x.h5", "x"), tuple(attrs["size"]))
    found = image.channels_of({"recipe": complete_recipe, "attrs": attrs}, colours)
    assert found is not None
    module, size = found
    given = expected if recipe.get("size") == [51, 64] else images
    assert size == given.shape[1:3]
    np.testing.assert_array_equal(module(torch.from_numpy(given)).numpy(), expected)


@pytest.mark.parametrize(
    "recipe",
    [
        {"use": ["image", "cumsum"], "size": [24, 32]},
        {"use": ["image"], "size": [24, 32], "whiten": "zca"},
        {"use": ["image"], "size": [24, 32], "whiten": "spectral"},
        {"use": ["image"], "size": [32, 40], "resize_mode": "pad-biharmonic"},
        {"use": ["image", "row"], "size": [48, 64], "resize_mode": "resize"},
        {"use": ["image"], "size": [64, 64], "scale": 2},
    ],
    ids=str,
)
def test_channels_that_would_differ_are_not_made(
    tiny: Tiny, tmp_path: Path, recipe: dict[str, Any]
) -> None:

    Crafted(tiny, tmp_path, {"net": {"recipe": recipe, "architecture": VANILLA}})
    content = {"recipe": recipe, "attrs": store.attrs(tmp_path / "net.h5")}
    assert image.channels_of(content, 1) is None


@pytest.mark.parametrize("mean", MEANS)
def test_means_are_those_of_the_blend(mean: str) -> None:
    random = np.random.default_rng(0)
    levels = [random.integers(0, 256, (2, 9, 9, 2), np.uint8) for _ in range(3)]
    labels = [random.random((5, 2)).astype(np.float32) for _ in range(3)]
    labels[0][0], labels[1][0] = 0, 1
    shares, kind = [0.5, 0.2, 0.3], Mean(mean, 0.7)
    probs = [torch.from_numpy(level / np.float32(255)) for level in levels]
    got = graph.mixed(probs, shares, kind, 0.5 / 255).numpy() * 255
    assert np.abs(got - mix(levels, shares, *kind)).max() < 1.01
    found = graph.mixed([torch.from_numpy(p) for p in labels], shares, kind, 1e-6).numpy()
    # Next to 1, float32 has few digits for the logarithm of what is missing.
    np.testing.assert_allclose(found, mix_labels(labels, shares, *kind), atol=1e-4)


def test_the_document_s_program_gives_what_is_predicted_but_for_a_few_pixels(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Crafted(tiny, tmp_path / "run", {"net": {"recipe": GREY, "architecture": VANILLA}})
    export(made.bundle, tmp_path / "mine.onnx")
    coarse = np.random.default_rng(1).integers(0, 256, (6, 8), np.uint8)
    (tmp_path / "scans").mkdir()
    for path in (tmp_path / "scan.png", tmp_path / "scans" / "scan.png"):
        cv2.imwrite(str(path), cv2.resize(coarse, (64, 48), interpolation=cv2.INTER_CUBIC))
    text = (provenance.package().parents[1] / "docs" / "bundle.md").read_text(encoding="utf-8")
    program = text[text.index("## ONNX") :].split("```python\n")[1].split("```")[0]
    monkeypatch.chdir(tmp_path)
    given: dict[str, Any] = {}
    exec(program, given)
    bundle.predict(made.bundle, tmp_path / "scans", tmp_path / "out", device="cpu")
    expected = cv2.imread(str(tmp_path / "out" / "masks" / "scan.png"), 0) > 0
    assert 0.02 < expected.mean() < 0.98, "else this shows nothing"
    assert np.mean(given["mask"] != expected) < 0.01


def test_a_folder_in_the_place_of_the_file_is_refused_first(tmp_path):
    with pytest.raises(InputError, match="is a folder; give the name of a file"):
        export(tmp_path / "none.zip", tmp_path)


@pytest.mark.parametrize("make", [export, gather])
def test_a_bundle_is_not_written_over_by_what_is_made_of_it(tmp_path, make):
    given = Tiny(tmp_path / "run").write()
    before = given.read_bytes()
    zipfile.ZipFile(given).extractall(tmp_path / "unpacked")
    (tmp_path / "link.zip").symlink_to(given)
    part = tmp_path / "unpacked" / "predict.py"
    for source, out in ((given, tmp_path / "link.zip"), (tmp_path / "unpacked", part)):
        with pytest.raises(InputError, match=r"the bundle.*would be spoilt. Name another file"):
            make(source, out)
    assert given.read_bytes() == before
