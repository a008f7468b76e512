"""What `foldbelt init` says of files that would stop the run."""

import shutil

import numpy as np
import pytest
from raw_folders import cut, make_folder, make_salt, save, tile

from foldbelt.files import InputError
from foldbelt.init import command, trial
from foldbelt.init.layout import detect
from foldbelt.init.looking import look

NAMES = [f"im{number:03d}" for number in range(8)]


def stubbed(*_args, **_kwargs):
    return trial.Speed(0.02, 500_000, 0.0)


@pytest.fixture
def root(tmp_path):
    made = make_folder(tmp_path / "d", dict.fromkeys(NAMES, (64, 64)))
    for number, name in enumerate(NAMES):
        save(made / f"images/{name}.png", tile(number, (64, 64, 3)))
    return made


def test_what_would_stop_the_run_is_named(root, tmp_path):
    (root / "masks/im003.png").unlink()
    cut(root / "images/im005.png")
    told = command.run(root, tmp_path / "mine.yaml", measure=stubbed)
    assert "2 problem(s), which would stop the run" in told
    assert "im003.png: has no mask" in told
    assert "drop leaves such images out; one that shows nothing needs a black mask" in told
    assert "im005.png" in told


def test_a_folder_of_broken_images_is_refused_with_their_names(root):
    for path in (root / "images").iterdir():
        cut(path)
    with pytest.raises(InputError, match=r"(?s)cannot be used: 8 problems.*im004\.png"):
        look(root, detect(root))


def test_masks_of_another_size_than_their_images_are_named(root):
    small = np.full((32, 32), 255, np.uint8)
    save(root / "masks/im002.png", small)
    facts = look(root, detect(root))
    assert facts.looked == len(NAMES) - 1
    assert [one.file for one in facts.problems] == ["masks/im002.png"]
    for name in NAMES:
        save(root / f"masks/{name}.png", small)
    with pytest.raises(InputError, match=r"(?s)cannot be used: 8 problems.*im005\.png: is 32×32"):
        look(root, detect(root))


def test_a_set_without_test_images_is_told_what_to_do_about_them(tmp_path):
    root = make_salt(tmp_path / "salt")
    shutil.rmtree(root / "test")
    (root / "sample_submission.csv").unlink()
    told = command.run(root, tmp_path / "mine.yaml", measure=stubbed)
    assert "1 problem(s), which would stop the run" in told
    assert "make an empty one if nothing is to be predicted" in told
    assert "drop leaves" not in told  # no image is to blame
