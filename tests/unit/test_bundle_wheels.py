"""What a bundle needs is downloaded for a machine without internet, and torch never is."""

import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from bundles import Tiny

from foldbelt.bundle import wheels
from foldbelt.files import InputError

# What there would be to download: package → what it requires.
INDEX = {
    "timm": ["torch", "torchvision>=0.12", "pyyaml", "hf_hub>=1; python_version > '3'"],
    "numpy": [],
    "pillow": ["olefile; extra == 'fpx'"],
    "opencv-python-headless": ["numpy>=2"],
    "safetensors": ["numpy; extra == 'numpy'"],
    "pyyaml": [],
    "hf-hub": ["tqdm", "PyYAML"],
    "tqdm": [],
    "pydicom": [],
    "pylibjpeg": ["numpy"],
}


@pytest.fixture
def pip(monkeypatch) -> list[list[str]]:
    """A pip that writes empty wheels; what it was called with."""
    calls = []

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess:
        assert command[:4] == [sys.executable, "-m", "pip", "download"]
        calls.append(command)
        place = command.index("--dest") + 1
        for requirement in command[place + 1 :]:
            name, _, version = requirement.partition("==")
            name = wheels._normal(name)
            if name not in INDEX:
                return subprocess.CompletedProcess(command, 1, "", f"no matching {name}")
            path = Path(command[place]) / f"{name}-{version or '1.0'}-py3-none-any.whl"
            with zipfile.ZipFile(path, "w") as archive:
                lines = "".join(f"Requires-Dist: {one}\n" for one in INDEX[name])
                archive.writestr(f"{name}.dist-info/METADATA", f"Name: {name}\n{lines}")
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(wheels, "subprocess", SimpleNamespace(run=run))
    return calls


@pytest.fixture(scope="module")
def manifest(tmp_path_factory) -> dict[str, Any]:
    """What a bundle says of itself."""
    with zipfile.ZipFile(Tiny(tmp_path_factory.mktemp("run")).write()) as archive:
        return json.loads(archive.read("manifest.json"))


@pytest.fixture
def bundle_of(manifest, tmp_path) -> Callable[..., Path]:
    """Write the manifest of a bundle that needs some packages; nothing else of it is read."""

    def write(*names: str) -> Path:
        needs = {name: "1.2+cu1" if name == "torch" else "1.2" for name in names}
        installed = {**needs, "python": "3.12", "pylibjpeg": "7.0"}
        (tmp_path / "bundle").mkdir()
        text = json.dumps({**manifest, "needs": needs, "install": installed})
        (tmp_path / "bundle" / "manifest.json").write_text(text)
        return tmp_path / "bundle"

    return write


ALL = ("torch", "torchvision", "timm", "numpy", "Pillow", "opencv-python-headless", "safetensors")


def packed(path: Path) -> tuple[set[str], str]:
    with zipfile.ZipFile(path) as archive:
        names = set(archive.namelist())
        text = archive.read(wheels.REQUIREMENTS).decode()
    return {name.partition("-1")[0].partition("-7")[0] for name in names}, text


def test_all_that_is_needed_comes_but_torch(pip, bundle_of, tmp_path):
    given = bundle_of(*ALL)
    wheels.gather(given, tmp_path / "wheels.zip")
    names, text = packed(tmp_path / "wheels.zip")
    assert names == {"timm", "numpy", "pillow", "opencv-python-headless", "safetensors", "pyyaml",
                     "hf-hub", "tqdm", wheels.REQUIREMENTS}  # fmt: skip
    assert text.splitlines() == [
        "Pillow==1.2", "numpy==1.2", "opencv-python-headless==1.2", "safetensors==1.2", "timm==1.2"
    ]  # fmt: skip
    words = pip[0]
    assert words[words.index("--python-version") + 1] == "3.12"
    assert "manylinux_2_28_x86_64" in words
    assert {"--no-deps", "--only-binary"} <= set(words)
    first = (tmp_path / "wheels.zip").read_bytes()
    wheels.gather(given, tmp_path / "wheels.zip")
    assert (tmp_path / "wheels.zip").read_bytes() == first


def test_what_is_there_is_left_out_with_what_it_needs(pip, bundle_of, tmp_path):
    given = bundle_of(*ALL)
    there = ("numpy", "pillow", "opencv_python_headless", "HF.hub")
    wheels.gather(given, tmp_path / "w.zip", python="3.11", platforms=["any"], without=there)
    names, _ = packed(tmp_path / "w.zip")
    assert names == {"timm", "safetensors", "pyyaml", wheels.REQUIREMENTS}
    assert pip[0][pip[0].index("--python-version") + 1] == "3.11"
    with pytest.raises(InputError, match="all of which is left out"):
        wheels.gather(given, tmp_path / "w.zip", without=[*there, "timm", "safetensors"])


def test_a_package_of_which_nothing_is_needed_is_no_slip_that_passes(pip, bundle_of, tmp_path):
    with pytest.raises(InputError, match=r"--without numpi: .*did you mean 'numpy'.*Nothing was"):
        wheels.gather(bundle_of(*ALL), tmp_path / "w.zip", without=["numpi", "torch", "hf-hub"])
    assert not (tmp_path / "w.zip").exists()
    with pytest.raises(InputError, match="--python three: is no version of Python"):
        wheels.gather(tmp_path, tmp_path / "w.zip", python="three")


def test_decoders_of_dicom_come_along(pip, bundle_of, tmp_path):
    wheels.gather(bundle_of("torch", "pydicom"), tmp_path / "w.zip")
    assert packed(tmp_path / "w.zip")[0] >= {"pydicom", "pylibjpeg", "numpy"}


def test_what_pip_cannot_find_is_told_and_nothing_written(pip, bundle_of, tmp_path):
    given = bundle_of("torch", "unheard-of")
    with pytest.raises(InputError, match="no matching unheard-of"):
        wheels.gather(given, tmp_path / "w.zip")
    assert not (tmp_path / "w.zip").exists()


def test_a_real_bundle_is_understood(pip, tmp_path):
    made = Tiny(tmp_path / "run")
    names = wheels.gather(made.write(), tmp_path / "w.zip")
    assert {name.split("-")[0] for name in names} == {"numpy", "opencv", "pillow", "safetensors"}
