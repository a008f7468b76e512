"""The program `foldbelt`: what it shows, how it ends, and that it answers at once."""

import errno
import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from test_docs import ROOT

from foldbelt import config
from foldbelt.cli import state
from foldbelt.cli.main import main
from foldbelt.files import atomic, words_of
from foldbelt.init import reference

RECIPE = {
    "run": "mine",
    "competition": "folder",
    "data": {"path": "resources/mine"},
    "folds": {"base": {"count": 2}},
    "stages": {"one": {"loss": {"bce": 1}, "epochs": 1}},
    "models": {"net": {"stages": ["one"], "architecture": {"name": "vanilla"}}},
}
SCORES = {
    "metric": "mean_dice", "score": 0.75, "interval": [0.7, 0.8], "optimistic": 0.76,
    "baseline": 0.5, "hidden": None, "groups": 9, "members": {},
}  # fmt: skip


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    """Give a working directory with a recipe, in which nothing has run."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config").mkdir()
    (tmp_path / "config/mine.yaml").write_text(yaml.safe_dump(RECIPE))
    return tmp_path


def said(*arguments: str, code: int = 0) -> str:
    done = CliRunner().invoke(main, list(arguments))
    assert done.exit_code == code, done.output
    return done.output


def test_help_imports_nothing_heavy():
    text = (
        "import sys, foldbelt.cli.main; "
        "print(sorted({'numpy', 'torch', 'pandas', 'yaml', 'cv2'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_the_entry_point_is_the_command():
    assert 'foldbelt = "foldbelt.cli.main:main"' in (ROOT / "pyproject.toml").read_text()
    for name in ("init", "show", "scores", "predict"):
        assert name in said("--help")
        assert "foldbelt " + name in said(name, "--help")


def test_a_recipe_that_never_ran_lacks_everything(place):
    text = said("show", "config/mine.yaml")
    assert "run mine: folder data, resources/mine" in text
    assert "train       missing  0 of 4 files; not there: models/net/round0/fold0/one" in text
    assert "snakemake --cores all --configfile config/mine.yaml" in text


def test_a_recipe_that_is_a_part_is_named(place):
    (place / "config/part.yaml").write_text("run: part\nseed: 3\n")
    text = said("show", "config/part.yaml", code=1)
    assert "config/part.yaml: The config cannot be used" in text
    assert "recipes, write one that says all" in text


def test_a_run_shows_what_is_done_and_what_is_not(place):
    for name in ("data/train.h5", "data/test.h5", "channels/base/train.h5"):
        (place / "results/mine" / name).parent.mkdir(parents=True, exist_ok=True)
        (place / "results/mine" / name).touch()
    text = said("show", "mine")
    assert "ingest      done     2 files" in text
    assert "channels    part     1 of 2 files; not there: channels/base/test.h5" in text
    assert text == said("show", "results/mine") == said("show", "config/mine.yaml")


def test_a_finished_run_needs_nothing_and_has_its_score(place):
    settings = config.resolve(RECIPE)
    for stage in state.stages_of(settings, Path("results/mine")):
        for path in stage.files:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    (place / "results/mine/scores.json").write_text(json.dumps(SCORES))
    text = said("show", "mine")
    assert "still needed" not in text
    assert "mean_dice 0.7500, 0.7000 to 0.8000" in text
    assert "report      done     1 file\n" in text
    assert "foldbelt predict" not in text
    (place / "results/mine/bundle.zip").touch()
    assert "  for new images: foldbelt predict results/mine/bundle.zip" in said("show", "mine")
    assert "leave-one-fold-out               0.7500" in said("scores", "mine")
    assert said("scores", "mine") == said("scores", "results/mine/scores.json")


def test_what_was_told_of_the_files_is_no_problem(place):
    data = place / "results/mine/data"
    data.mkdir(parents=True)
    note = "data,Masks are named *_mask,told\n"
    (data / "problems.csv").write_text(f"file,reason,action\n{note}")
    assert "of the raw files" not in said("show", "mine")
    (data / "problems.csv").write_text(f'file,reason,action\n{note}a.png,"is\nbroken",dropped\n')
    assert "1 problem of the raw files" in said("show", "mine")


def test_what_is_not_there_is_named_with_the_nearest(place):
    (place / "results/mine").mkdir(parents=True)
    assert "did you mean 'mine'?" in said("show", "mime", code=1)
    assert "there are no scores yet" in said("scores", "mine", code=1)
    assert "there is no such recipe" in said("show", "config/other.yaml", code=1)
    said("show", code=2)
    said("unknown", code=2)


def test_the_page_of_rules_is_in_sync_with_them():
    text = (ROOT / "docs" / "init.md").read_text(encoding="utf-8")
    assert reference.page(text) == text, "make docs renews it"


def test_a_full_disk_is_told_with_the_file_and_what_to_do(tmp_path):
    path = tmp_path / "some.csv"
    with pytest.raises(OSError, match="No space") as caught, atomic(path):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert words_of(caught.value).startswith(f"{path}: No space left on device. Make room")
    assert not list(tmp_path.iterdir())
