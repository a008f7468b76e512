"""`foldbelt init`: a data set for each rule, and what the recipe must say for it."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
import yaml
from click.testing import CliRunner
from raw_folders import make_salt, save, save_table

from foldbelt import synthetic
from foldbelt.cli.main import main
from foldbelt.config import resolve
from foldbelt.files import InputError
from foldbelt.init import command, recipe, scale, trial
from foldbelt.init.facts import Facts, Machine
from foldbelt.init.layout import detect
from foldbelt.init.looking import look
from foldbelt.init.table import decide, nested, rules

MACHINE = Machine(cores=2, gpus=0, hours=2.0)


def stubbed(*_args, **_kwargs) -> trial.Speed:
    return trial.Speed(0.02, 500_000, 0.0)


def dataset(root: Path, number: int, shape: tuple[int, ...], draw, suffix="png") -> Path:
    """Make images/ and masks/; `draw(random, index)` gives a mask, and image values where it is."""
    for name in ("images", "masks"):
        (root / name).mkdir(parents=True)
    for index in range(number):
        random = np.random.default_rng(index)
        image = random.integers(60, 120, shape).astype(np.uint8)
        mask, colour = draw(random, index)
        image[mask > 0] = colour
        save(root / f"images/im{index:03d}.{suffix}", image)
        save(root / f"masks/im{index:03d}.png", mask)
    return root


def squares(shape, side, share=1.0, classes=1, colour=200):
    """Draw one square an image, of a class in turn, on a share of the images."""

    def draw(random, index):
        mask = np.zeros(shape[:2], np.uint8)
        if index % 100 < 100 * share:
            y, x = (int(random.integers(0, length - side)) for length in shape[:2])
            mask[y : y + side, x : x + side] = 255 if classes == 1 else 1 + index % classes
        return mask, colour

    return draw


def made(root: Path, machine: Machine = MACHINE) -> tuple[Facts, dict]:
    """Look at a folder, and give the recipe, resolved."""
    facts = replace(look(root, detect(root)), machine=machine)
    choices = decide(facts, [command.Choice("run", "x")])
    whole = nested(choices)
    assert yaml.safe_load(recipe.render(choices)) == whole
    return facts, resolve(whole)


def stage(config):
    return config["stages"]["base"]


def network(config):
    return config["models"]["base"]["architecture"]


def test_a_plain_set_has_a_plain_recipe(tmp_path):
    shape = (96, 96)
    facts, config = made(dataset(tmp_path / "d", 40, shape, squares(shape, 40)))
    assert config["competition"] == "folder"
    assert config["data"]["classes"] is None
    assert config["data"]["size"] is None
    assert config["channels"]["base"]["size"] == 96
    assert config["channels"]["base"]["resize_mode"] == "pad-reflect"
    assert stage(config)["crop"] is None
    assert stage(config)["loss"] == {"bce": 0.5, "dice": 0.5}
    assert stage(config)["sampler"]["name"] == "random"
    assert network(config)["prior"] is None
    assert max(config["decision"]["space"].get("gate", [0])) < 0.9
    assert facts.grouping is None


def test_tiny_objects_are_learnt_from_crops_that_hold_them(tmp_path):
    shape = (512, 768)
    facts, config = made(dataset(tmp_path / "d", 24, shape, squares(shape, 6, 0.5)))
    assert facts.small == 6
    assert config["channels"]["base"]["size"] == [512, 768]
    assert stage(config)["crop"]["positive"] == 0.5
    assert min(np.atleast_1d(stage(config)["crop"]["size"])) <= 256
    assert network(config)["prior"] == 0.005
    assert 9 in config["decision"]["space"]["min_area"]  # a quarter of 36
    flat = [name for item in stage(config)["augment"] for name in item]
    assert stage(config)["augment"][flat.index("Affine")]["Affine"]["scale"][0] == 1.0


def test_large_objects_in_as_large_images_are_not_cropped(tmp_path):
    shape = (512, 768)
    _, config = made(dataset(tmp_path / "d", 12, shape, squares(shape, 200)))
    assert stage(config)["crop"] is None
    assert stage(config)["validate_every"] == 5
    height, width = config["channels"]["base"]["size"]
    assert height * width <= 1.1 * 256**2
    assert config["data"]["size"] == [height, width]


def test_rare_objects_are_drawn_more_often_and_learnt_by_a_dice_of_their_images(tmp_path):
    shape = (64, 64)
    facts, config = made(dataset(tmp_path / "d", 100, shape, squares(shape, 10, 0.1)))
    assert facts.positive == pytest.approx(0.1)
    assert stage(config)["sampler"]["name"] == "balanced"
    assert stage(config)["loss"]["dice"]["empty"] == "skip"
    assert network(config)["prior"] < 0.05
    assert min(config["decision"]["space"]["threshold"]) == 0.05
    assert max(config["decision"]["space"]["gate"]) == 0.99


def test_many_classes_are_one_choice(tmp_path):
    shape = (64, 64)
    facts, config = made(dataset(tmp_path / "d", 36, shape, squares(shape, 30, classes=6)))
    assert config["data"]["classes"] == {f"class{k}": k for k in range(1, 7)}
    assert network(config)["exclusive"]
    assert "cross_entropy" in stage(config)["loss"]
    assert len(facts.classes) == 6


def test_a_class_that_few_images_show_is_drawn_as_often(tmp_path):
    shape = (64, 64)

    def draw(random, index):
        mask, colour = squares(shape, 20)(random, index)
        return np.where(mask > 0, 2 if index % 10 == 0 else 1, 0).astype(np.uint8), colour

    _, config = made(dataset(tmp_path / "d", 60, shape, draw))
    assert stage(config)["sampler"]["classes"]


def test_huge_images_are_stored_small_or_cropped_and_predicted_in_windows(tmp_path):
    shape = (1600, 1200)
    _, config = made(dataset(tmp_path / "a", 6, shape, squares(shape, 600), "jpg"))
    assert max(config["data"]["size"]) < 400
    _, config = made(dataset(tmp_path / "b", 6, shape, squares(shape, 8), "jpg"))
    assert config["channels"]["base"]["size"] == [1600, 1216]
    assert config["predict"]["windows"]["size"] == [512, 512]
    # Of an epoch of crops of 256², 1600×1216 pixels of half as many images, a third as dear: 4.95.
    assert stage(config)["validate_every"] == 99  # 5 % of the time


def test_twenty_images_have_five_folds_small_batches_and_a_small_network(tmp_path):
    shape = (128, 128)
    facts, config = made(dataset(tmp_path / "d", 20, shape, squares(shape, 50)))
    assert config["folds"]["base"]["count"] == 5
    assert stage(config)["batch_size"] == 4
    on_gpu = nested(decide(replace(facts, machine=Machine(8, 1, 2))))
    assert network(resolve({"run": "x", **on_gpu}))["encoder"] == "resnet18"


@pytest.mark.parametrize(
    ("machine", "images", "folds"),
    [
        *((Machine(cores), 300, number) for cores, number in ((1, 3), (2, 4), (3, 3), (16, 5))),
        (Machine(16), 20, 5),
        (Machine(16, 2), 300, 5),
        (Machine(2), 5, 2),
    ],
)
def test_no_core_waits_while_the_last_fold_is_trained(machine, images, folds):
    facts = Facts(None, "", images, 0, images, *np.full((2, images), 64))
    assert scale.folds(replace(facts, machine=machine)) == folds


def test_weights_of_this_machine_are_taken_with_their_colours(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    root = dataset(tmp_path / "d", 20, (64, 64), squares((64, 64), 30))
    assert "whiten" not in nested(decide(look(root, detect(root))))["channels"]["base"]
    encoder = made(root)[1]["models"]["base"]["architecture"]["encoder"]
    file = tmp_path / f"hub/models--timm--{encoder}.a1/snapshots/1/model.safetensors"
    file.parent.mkdir(parents=True)
    file.touch()
    config = made(root)[1]
    assert config["models"]["base"]["architecture"]["weights"] == "timm"
    assert config["channels"]["base"]["whiten"] == "imagenet"


def test_sizes_out_of_balance_are_brought_to_one(tmp_path):
    root = tmp_path / "d"
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
    for index in range(12):
        size = (400, 300) if index % 4 else (90, 60)
        random = np.random.default_rng(index)
        save(root / f"images/{index}.png", random.integers(0, 255, size, dtype=np.uint8))
        mask = np.zeros(size, np.uint8)
        mask[: size[0] // 2] = 255
        save(root / f"masks/{index}.png", mask)
    facts, config = made(root)
    assert facts.mixed
    assert config["channels"]["base"]["resize_mode"] == "resize"
    assert config["data"]["size"] == config["channels"]["base"]["size"]


def test_colour_that_matters_is_kept_and_not_shifted(tmp_path):
    shape = (64, 64, 3)
    _, config = made(dataset(tmp_path / "d", 20, shape, squares(shape, 30, colour=(150, 60, 60))))
    assert config["data"]["image_mode"] == "rgb"
    names = [name for item in stage(config)["augment"] for name in item]
    assert "HueSaturationValue" not in names
    light = stage(config)["augment"][names.index("RandomBrightnessContrast")]
    assert light["RandomBrightnessContrast"]["brightness_limit"] == 0.1


def test_grey_stored_as_colour_is_grey(tmp_path):
    root = dataset(tmp_path / "d", 12, (64, 64), squares((64, 64), 30))
    for path in (root / "images").iterdir():
        grey = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        save(path, np.repeat(grey[..., None], 3, axis=2))
    facts, config = made(root)
    assert facts.bands == 3
    assert config["data"]["image_mode"] == "grey"


def test_several_bands_are_all_used(tmp_path):
    root = tmp_path / "d"
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
    for index in range(8):
        random = np.random.default_rng(index)
        bands = random.integers(0, 255, (48, 48, 5), dtype=np.uint8)
        tifffile.imwrite(
            root / f"images/{index}.tif", bands, photometric="minisblack", planarconfig="contig"
        )
        mask = np.zeros((48, 48), np.uint8)
        mask[:24] = 1
        save(root / f"masks/{index}.png", mask)
    facts, config = made(root)
    assert facts.bands == 5
    assert config["data"]["bands"] == [1, 2, 3, 4, 5]


def test_sixteen_bits_are_brought_to_eight_by_a_range_that_is_said(tmp_path):
    root = dataset(tmp_path / "d", 8, (64, 64), squares((64, 64), 30))
    for path in (root / "images").iterdir():
        grey = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        save(path, grey.astype(np.uint16) * 40)
    facts, config = made(root)
    assert config["data"]["range"] == "auto"
    (setting,) = (each for each in facts.layout.settings if each.key == "range")
    assert "uint16: 2400 to 8000" in setting.reason


def test_unlabelled_pixels_follow_the_two_customs(tmp_path):
    def draw(random, index):
        mask = np.zeros((64, 64), np.uint8)
        mask[:30], mask[30:34] = 255, 127
        return mask, 200

    _, config = made(dataset(tmp_path / "d", 8, (64, 64), draw))
    assert config["data"]["ignore"] == 127
    assert list(config["data"]["classes"].values()) == [255]


def test_a_column_of_patients_groups_folds(tmp_path):
    root = dataset(tmp_path / "d", 24, (64, 64), squares((64, 64), 30))
    ids = [f"im{k:03d}" for k in range(24)]
    save_table(root / "meta.csv", {"id": ids, "patient": [f"p{k // 3}" for k in range(24)]})
    facts, config = made(root)
    assert config["folds"]["base"]["group"] == "patient"
    assert facts.grouping.number == 8
    assert config["folds"]["base"]["count"] <= 4


def test_near_copies_stay_in_one_fold(tmp_path):
    root = dataset(tmp_path / "d", 12, (64, 64), squares((64, 64), 30))
    image = cv2.imread(str(root / "images/im003.png"), cv2.IMREAD_GRAYSCALE)
    save(root / "images/im007.png", image)
    _, config = made(root)
    assert config["folds"]["base"]["duplicate_distance"] == 8


def test_labels_and_boxes_are_told_from_tables(tmp_path):
    root = dataset(tmp_path / "d", 12, (64, 64), squares((64, 64), 30))
    for path in (root / "masks").iterdir():
        path.unlink()
    (root / "masks").rmdir()
    ids = [f"im{k:03d}" for k in range(12)]
    with pytest.raises(InputError, match="what is to be learnt"):
        detect(root)
    save_table(root / "meta.csv", {"id": ids, "class": ["a", "b"] * 6})
    _, config = made(root)
    assert config["data"]["label"] == "class"
    assert network(config)["name"] == "classifier"
    (root / "meta.csv").rename(root / "kinds.csv")
    assert made(root)[1]["data"]["label"]["table"] == "kinds.csv"
    box = {"id": ids, "x1": [1] * 12, "y1": [1] * 12, "x2": [9] * 12, "y2": [9] * 12}
    save_table(root / "boxes.csv", box)
    _, config = made(root)
    assert config["data"]["boxes"] == "boxes.csv"
    assert network(config)["name"] == "detector"


def test_a_file_that_lists_masks_is_found_and_what_it_lacks_is_asked(tmp_path):
    root = dataset(tmp_path / "d", 12, (64, 64), squares((64, 64), 30))
    for path in (root / "masks").iterdir():
        path.unlink()
    (root / "masks").rmdir()
    runs = {"ImageId": [f"im{k:03d}.png" for k in range(9)], "EncodedPixels": ["65 30 129 30"] * 9}
    save_table(root / "train.csv", runs)
    facts, config = made(root)
    assert config["data"]["masks"] == "train.csv"
    assert config["data"]["masks_missing"] == "empty"
    assert facts.positive == 0.75
    assert network(config)["name"] == "unet"


def test_the_competitions_are_told_by_their_files(tmp_path):
    _, config = made(make_salt(tmp_path / "salt"))
    assert config["competition"] == "salt"
    assert config["folds"]["base"]["group"] == "mosaic"
    assert config["channels"]["base"]["size"] == 128
    synthetic.steel(tmp_path / "steel", images=24, test_images=4, size=[64, 200], seed=0)
    _, config = made(tmp_path / "steel")
    assert config["competition"] == "steel"
    assert config["folds"]["base"]["stratify"] == ["classes"]
    synthetic.chest(tmp_path / "chest", images=24, test_images=4, side=64, seed=0)
    _, config = made(tmp_path / "chest")
    assert config["competition"] == "chest"
    assert set(config["models"]) == {"base", "none", "detector"}


def test_time_decides_epochs_and_a_tight_one_the_size(tmp_path):
    root = dataset(tmp_path / "d", 30, (256, 256), squares((256, 256), 100))
    facts, _ = made(root)
    sizes, epochs = [], []
    for hours in (2.0, 0.02):
        timed = replace(facts, machine=replace(MACHINE, hours=hours, image_seconds=0.05))
        config = resolve({"run": "x", **nested(decide(timed))})
        sizes.append(config["channels"]["base"]["size"])
        epochs.append(stage(config)["epochs"])
    assert sizes[0] == 256
    assert sizes[1] < 256
    assert epochs[0] > epochs[1]
    assert epochs[1] * (24 // stage(config)["batch_size"]) >= 200


def test_trial_steps_are_timed_by_the_clock_given(tmp_path):
    _, config = made(dataset(tmp_path / "d", 8, (64, 64), squares((64, 64), 30)))
    ticks = iter([0.0, 8.0])
    speed = trial.measure(config, (64, 64, 1), 1, clock=lambda: next(ticks), steps=2)
    assert speed.image_seconds == pytest.approx(8 / (2 * stage(config)["batch_size"]))


def test_the_same_data_give_the_same_bytes_and_nothing_is_overwritten(tmp_path):
    root = dataset(tmp_path / "d", 20, (64, 64), squares((64, 64), 30))
    out = tmp_path / "mine.yaml"
    told = command.run(root, out, measure=stubbed)
    first = out.read_bytes()
    with pytest.raises(InputError, match="--force"):
        command.run(root, out, measure=stubbed)
    command.run(root, out, force=True, measure=stubbed)
    assert out.read_bytes() == first
    assert f"--configfile {out}" in told
    assert "5 trainings" in told


def test_every_line_has_its_reason(tmp_path):
    root = dataset(tmp_path / "d", 20, (64, 64), squares((64, 64), 30, 0.5))
    choices = decide(look(root, detect(root)))
    without = [choice.key for choice in choices if not choice.reason]
    assert set(without) <= {"data.path", "stages.base.augment"}
    items = next(choice.value for choice in choices if choice.key.endswith("augment"))
    assert all(item.reason for item in items)


def test_two_rules_never_decide_the_same_key_and_each_says_what_it_is():
    names = [rule.name for rule in rules()]
    assert len(names) == len(set(names)) >= 15
    assert all(rule.says and rule.source and rule.keys for rule in rules())


def test_sides_fall_only_with_the_time():
    facts = Facts(None, "", 200, 0, 200, np.full(200, 512), np.full(200, 512))
    facts = replace(facts, layout=type("L", (), {"kind": "masks", "competition": "folder"})())
    sizes = [scale.of(replace(facts, machine=Machine(2, 0, hours))).pixels
             for hours in (10, 2, 0.5, 0.1)]  # fmt: skip
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] > sizes[-1]


def test_the_command_says_what_is_wrong_without_a_traceback(tmp_path):
    done = CliRunner().invoke(main, ["init", str(tmp_path / "nowhere")])
    assert done.exit_code == 1
    assert "there is no such folder" in done.output
    assert CliRunner().invoke(main, ["init"]).exit_code == 2
