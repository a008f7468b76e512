"""A loaded bundle leaves its host as it was, and says of all that it is given what cannot be."""

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from bundles import Tiny, array
from PIL import Image

from foldbelt import bundle
from foldbelt.bundle.sparing import _restore, _settings, spared
from foldbelt.files import InputError


@pytest.fixture(scope="module")
def sound(tmp_path_factory) -> Path:
    return Tiny(tmp_path_factory.mktemp("loading")).write()


@pytest.fixture(scope="module")
def model(sound) -> bundle.Model:
    return bundle.load(sound, device="cpu")


@pytest.fixture
def settings() -> Iterator[dict]:
    kept = _settings()
    torch.set_deterministic_debug_mode("default")
    torch.backends.cudnn.benchmark = True
    yield _settings()
    _restore(kept)


def test_torch_has_its_settings_again_after_every_call(sound, settings):
    with bundle.load(sound, device="cpu", cpu_threads=settings["threads"] + 1) as model:
        model(array(0, (20, 30)))
        assert _settings() == settings
        with pytest.raises(InputError):
            model(np.zeros((3, 4), np.float64))
    assert _settings() == settings


def test_settings_stay_as_long_as_one_thread_computes():
    before = torch.get_num_threads()
    enough, left = threading.Event(), threading.Event()

    def compute() -> None:
        with spared():
            torch.set_num_threads(before + 2)
            left.set()
            enough.wait()
        assert torch.get_num_threads() == before

    with spared():
        torch.set_num_threads(before + 2)
        other = threading.Thread(target=compute)
        other.start()
        left.wait()
    assert torch.get_num_threads() == before + 2, "the other thread still needs them"
    enough.set()
    other.join()
    with spared():
        pass
    assert torch.get_num_threads() == before


def test_an_array_of_one_band_is_that_band(model):
    image = array(1, (20, 30))[..., :1]
    assert np.array_equal(model(image)["mask"], model(image[..., 0])["mask"])


@pytest.mark.parametrize(
    "image", [None, 3, b"x.png", [[1]], np.uint8(3), torch.zeros(3, 4), Image.new("L", (3, 4))]
)
def test_what_is_no_image_is_refused(model, image):
    with pytest.raises(InputError, match="an image is a file or an array, not"):
        model(image)


def test_what_is_known_is_given_by_name(model):
    with pytest.raises(InputError, match="by name, not as 5"):
        model(array(0, (20, 30)), 5)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"device": "tpu"}, "device is 'tpu'"),
        ({"cpu_threads": 0}, "cpu_threads is 0"),
        ({"cpu_threads": -1}, "cpu_threads is -1"),
        ({"cpu_threads": "2"}, "cpu_threads is '2'"),
        ({"cpu_threads": 10**20}, "from 1 to 4096"),
    ],
)
def test_devices_and_threads_that_are_none_are_named(sound, given, message):
    with pytest.raises(InputError, match=message):
        bundle.load(sound, **given)


def test_the_commands_words_for_devices_are_known(sound):
    bundle.load(sound, device="auto").close()
    if torch.cuda.is_available():
        bundle.load(sound, device="gpu").close()
    else:
        with pytest.raises(InputError, match="a GPU is demanded"):
            bundle.load(sound, device="gpu")


def test_a_closed_model_leaves_nothing_behind_and_says_that_it_is_closed(sound):
    with bundle.load(sound, device="cpu") as model:
        place = model._bundle.file("manifest.json")
        assert place.is_file()
    assert not place.parent.exists()
    with pytest.raises(InputError, match="is closed; load it again"):
        model(array(0, (20, 30)))
