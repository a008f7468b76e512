"""config/folder.yaml is what `foldbelt init` writes for a plain case, and runs on other folders."""

import importlib.util
from pathlib import Path

import numpy as np
import yaml
from raw_folders import ingest_both, save

from foldbelt import config, store
from foldbelt.competitions import settings
from foldbelt.init import command, rules  # noqa: F401  what the script uses, for tests/touched.py

ROOT = Path(__file__).parents[2]
FILE = ROOT / "config" / "folder.yaml"


def test_the_recipe_of_a_plain_case_is_what_init_writes():
    path = ROOT / "docs" / "make_recipe.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    assert script.FILE == FILE
    same = script.text() == FILE.read_text(encoding="utf-8")
    assert same, f"{FILE} is out of date: `python docs/make_recipe.py`, or `make docs`, writes it"


def test_it_reads_images_of_any_depth_and_size(tmp_path):
    random = np.random.default_rng(0)
    shapes = {"a": (40, 50), "b": (60, 30, 3), "c": (33, 64)}
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    for name, shape in shapes.items():
        high, dtype = (2**16, np.uint16) if name == "c" else (256, np.uint8)
        save(tmp_path / f"images/{name}.png", random.integers(0, high, shape).astype(dtype))
        save(tmp_path / f"masks/{name}.png", np.full(shape[:2], 255 * (name != "a"), np.uint8))
    whole = config.resolve(yaml.safe_load(FILE.read_text(encoding="utf-8")))
    assert whole["data"]["path"] == "resources/folder"
    ingest_both("folder", tmp_path, settings(whole["data"]), tmp_path / "out")
    images = store.read(tmp_path / "out/train.h5", "image")
    assert images.shape == (3, *whole["data"]["size"], 3)
