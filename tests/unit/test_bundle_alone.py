"""A bundle predicts where foldbelt is not installed, and runs no code but what it states."""

import base64
import contextlib
import errno
import hashlib
import json
import os
import shutil
import subprocess
import sys
import zipfile
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
from bundles import SIZES, Tiny, array
from chest_bundles import TinyChest
from click.testing import CliRunner
from PIL import ImageFont
from raw_folders import ingest_both, save_table

from foldbelt import bundle, provenance, registry, store
from foldbelt.bundle import alone, needs, overlays, program, wheel
from foldbelt.bundle.alone import Progress
from foldbelt.bundle.places import MASKS
from foldbelt.bundle.predicting import Step
from foldbelt.channels import Resizer, whiten
from foldbelt.channels._resizing import MODES
from foldbelt.channels._whitening import METHODS
from foldbelt.cli import main as cli
from foldbelt.files import InputError

# A residual network of timm's, as small as they come.
TIMMS = {
    "name": "unet", "encoder": "resnet10t", "decoder_channels": [8] * 5, "label_head": True
}  # fmt: skip

# What may be imported: the packages that are needed, and what these import themselves.
NEEDED = ("torch", "torchvision", "timm", "numpy", "cv2", "PIL", "safetensors")
PULLED_IN = (
    "typing_extensions", "sympy", "mpmath", "networkx", "jinja2", "markupsafe", "fsspec",
    "filelock", "torchgen", "functorch", "triton", "cuda", "nvidia", "yaml", "huggingface_hub",
    "requests", "urllib3", "idna", "certifi", "charset_normalizer", "tqdm", "packaging", "httpx",
    "httpcore", "anyio", "h11", "sniffio", "hf_xet", "setuptools", "rich", "typer", "shellingham",
)  # fmt: skip
BLOCKED = f"""
import runpy, sys
more, program, *sys.argv[1:] = sys.argv[1:]
ALLOWED = set({NEEDED + PULLED_IN!r}) | set(sys.stdlib_module_names) | {{"foldbelt", more}}

FINDERS = sys.meta_path[:]

class Allowed:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top in ALLOWED or top.startswith("_"):
            specs = (finder.find_spec(name, path, target) for finder in FINDERS)
            return next((spec for spec in specs if spec), None)

    def find_distributions(self, *about):
        listing = (getattr(finder, "find_distributions", None) for finder in FINDERS)
        return [one for list_them in listing if list_them for one in list_them(*about)]

sys.meta_path[:] = [Allowed()]
try:
    runpy.run_path(program, run_name="__main__")
finally:
    print(sys.modules["foldbelt"].__file__)
"""


# Writes a submission of two images for every competition, where there is no pandas.
WRITE_ALL = """
import sys
from pathlib import Path
import numpy as np
sys.modules["pandas"] = None
from foldbelt import competitions, registry
from foldbelt.boxes import Boxes
from foldbelt.competitions import Prediction

SAMPLES = {
    "salt": "id,rle_mask\\nb,\\na,\\n",
    "steel": "ImageId_ClassId,EncodedPixels\\nb_1,\\nb_2,\\na_1,\\na_2,\\n",
    "folder": "id,class,rle\\na,1,\\na,2,\\nb,1,\\nb,2,\\n",
    "chest": "Id,PredictionString\\ns_study,\\na_image,\\nb_image,\\n",
}
STOP = {"on_problem": "error"}
mask = np.ones((3, 4, 2), np.uint8)
for name in registry.known("competitions"):
    root = Path(sys.argv[1]) / name
    root.mkdir()
    sample = registry.constant(registry.competition(name), "SAMPLE")
    (root / sample).write_text(SAMPLES[name])
    writer = competitions.writer(name)
    if hasattr(writer, "write_submission"):
        classes = ["1", "2"][: 1 if name == "salt" else 2]
        given = [Prediction(key, mask[..., : len(classes)]) for key in "ab"]
        text = writer.write_submission(given, root, STOP, classes)
        wrong = writer.check_submission(text, given, root, STOP, classes)
    else:
        labels, boxes = np.full((2, 5), 0.5, np.float32), np.array([[0, 0, 0, 2, 2, 0.5]])
        boxes = Boxes.join([boxes.astype(np.float32), np.zeros((0, 6), np.float32)])
        table = {"study": ["s", "s"], "height": [3, 3], "width": [4, 4]}
        what = ["a", "b"], labels, boxes, table, root, STOP
        text = writer.write_joint(*what)
        wrong = writer.check_joint(text, *what)
    assert not wrong, wrong
    print(f"{name}: {len(text.splitlines())}")
"""


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Tiny:
    made = Tiny(tmp_path_factory.mktemp("alone"), architecture=TIMMS)
    made.write()
    return made


@pytest.fixture
def unpacked(tiny, tmp_path) -> Path:
    return unpack(tiny.bundle, tmp_path / "unpacked")


def unpack(archive: Path, folder: Path) -> Path:
    with zipfile.ZipFile(archive) as opened:
        opened.extractall(folder)
    return folder


def started(*words: str | Path, **more: str) -> subprocess.CompletedProcess:
    """Run Python without what says where foldbelt lies."""
    given = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, *map(str, words)]
    return subprocess.run(command, env=given | more, capture_output=True, text=True, timeout=300)


def blocked(program: Path, *words: str | Path, more: str = "") -> subprocess.CompletedProcess:
    """Run a program where nothing can be imported but what is needed, and one package more."""
    return started("-c", BLOCKED, more, program, *words)


def files(folder: Path, pattern: str = "*.[pc]*") -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob(pattern))}


def test_it_predicts_the_same_bytes_with_the_needed_packages_alone(tiny, unpacked, tmp_path):
    images = shutil.copytree(tiny.raw / "test", tmp_path / "images")
    rows = "".join(f"{path.stem},\n" for path in sorted(images.iterdir(), reverse=True))
    (tmp_path / "sample_submission.csv").write_text(f"id,rle\n{rows}")
    bundle.predict(tiny.bundle, images, tmp_path / "expected", device="cpu", sample=tmp_path)
    words = (images, tmp_path / "out", "--device", "cpu", "--sample", tmp_path)
    done = blocked(unpacked / "predict.py", *words)
    assert done.returncode == 0, done.stderr
    assert "6 images are predicted" in done.stdout
    assert f"6 of {len(SIZES)} images" in done.stderr
    assert "s left" in done.stderr
    assert str(provenance.package()) not in done.stdout, "else it shows nothing of the wheel"
    assert files(tmp_path / "out") == files(tmp_path / "expected")
    assert (tmp_path / "out" / "submission.csv").is_file()
    assert len(list((tmp_path / "out" / MASKS).iterdir())) == len(SIZES)

    (tmp_path / "out" / MASKS / "test_b.png").unlink()
    done = started(tiny.bundle, *words)  # not unpacked
    assert done.returncode == 0, done.stderr
    assert "1 of them now" in done.stdout
    assert files(tmp_path / "out") == files(tmp_path / "expected")


def test_labels_boxes_and_pictures_are_the_same_with_the_needed_packages_alone(
    tmp_path, monkeypatch
):
    chest = TinyChest(tmp_path / "run")
    chest.write()
    listed = {*needs.ALWAYS, "pydicom", "timm", "torchvision"}
    assert set(manifest(chest.bundle)["needs"]) == listed
    images, table = chest.raw / "test", tmp_path / "studies.csv"
    names = sorted(path.stem for path in images.rglob("*.dcm"))
    save_table(table, {"id": names, "study": [place // 3 for place in range(len(names))]})
    small = ImageFont.load_default(overlays._FONT)  # letters without matplotlib's fonts
    monkeypatch.setattr(overlays, "_font", lambda: small)
    bundle.predict(
        chest.bundle, images, tmp_path / "expected", device="cpu", table=table, overlays=True
    )
    unpacked = unpack(chest.bundle, tmp_path / "unpacked")
    words = (images, tmp_path / "out", "--device", "cpu", "--table", table, "--overlays")
    done = blocked(unpacked / "predict.py", *words, more="pydicom")
    assert done.returncode == 0, done.stderr
    made = files(tmp_path / "out", "*.[cj]*")
    assert made == files(tmp_path / "expected", "*.[cj]*")
    pictures = {f"overlays/{name}.jpg" for name in names}
    assert made.keys() == {"labels.csv", "boxes.csv", "problems.csv", "journal.jsonl", *pictures}
    assert made["boxes.csv"].count(b"opacity") > 1


def test_every_competition_s_submission_is_written_and_checked_without_pandas(tmp_path):
    done = started("-c", WRITE_ALL, tmp_path, PYTHONPATH=str(provenance.package().parent))
    assert (done.returncode, done.stderr) == (0, "")
    rows = dict(line.split(": ") for line in done.stdout.splitlines() if ": " in line)
    assert set(rows) == set(registry.known("competitions"))
    assert all(int(count) > 1 for count in rows.values())


def test_a_swapped_wheel_is_refused_and_not_run(unpacked, tmp_path):
    (name,) = unpacked.glob("*.whl")
    with zipfile.ZipFile(name) as archive:
        code = {one: archive.read(one) for one in archive.namelist()}
    code["foldbelt/__init__.py"] += f"open({str(tmp_path / 'run')!r}, 'w')".encode()
    with zipfile.ZipFile(name, "w") as archive:
        for one, content in code.items():
            archive.writestr(one, content)
    done = started(unpacked / "predict.py", tmp_path, tmp_path / "out")
    assert done.returncode == 1
    assert f"{name.name} has the SHA-256" in done.stderr
    packed = shutil.make_archive(str(tmp_path / "packed"), "zip", unpacked)
    done = started(packed, tmp_path, tmp_path / "out")
    assert (done.returncode, "Nothing of it was run" in done.stderr) == (1, True)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("threads", ["x", "0", "-1", "1.5", "9" * 20])
def test_threads_that_are_none_are_named(capsys, threads):
    with pytest.raises(SystemExit) as ended:
        alone.main("bundle.zip", ["images", "out", f"--threads={threads}"])
    assert ended.value.code == 2
    assert f"{threads!r} is no whole number from 1 to 4096" in capsys.readouterr().err


def test_both_programs_take_the_same_numbers_of_threads():
    words = ["predict", "bundle.zip", "images", "out", f"--threads={'9' * 20}"]
    done = CliRunner().invoke(cli.main, words)
    assert (done.exit_code, "1<=x<=4096" in done.output) == (2, True)


def test_stopped_by_hand_it_says_that_it_goes_on(monkeypatch, capsys):
    def stopped() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(program, "_manifest", stopped)
    assert program.main([]) == 1
    assert "The same command goes on" in capsys.readouterr().err


def test_nothing_is_imported_that_lies_beside_the_program(unpacked, tmp_path):
    for name in ("json", "numpy", "foldbelt", "zipfile"):
        (unpacked / f"{name}.py").write_text(f"open({str(tmp_path / 'run')!r}, 'w')")
    done = started(unpacked / "predict.py", "--help")
    assert done.returncode == 0, done.stderr
    assert "--sample" in done.stdout
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "change",
    [
        lambda manifest: manifest.pop("needs"),
        lambda manifest: manifest.update(wheel="other.whl"),
        lambda manifest: manifest["entries"].clear(),
        lambda manifest: manifest.update(entries=[manifest["wheel"]]),
        lambda manifest: manifest["entries"].update({manifest["wheel"]: None}),
        lambda manifest: manifest["needs"].update(torch=5),
        lambda manifest: manifest["needs"].update({"": "1"}),
        lambda manifest: manifest.update(wheel="a\0b", entries={"a\0b": {"sha256": ""}}),
        lambda manifest: "[" * 99_999,
    ],
)
def test_a_damaged_manifest_is_named(unpacked, change, monkeypatch, capsys):
    path = unpacked / "manifest.json"
    manifest = json.loads(path.read_text())
    text = change(manifest)
    path.write_text(text if isinstance(text, str) else json.dumps(manifest))
    monkeypatch.setattr(program, "_HERE", unpacked)
    assert program.main(["a", "b"]) == 1
    assert "manifest.json is damaged" in capsys.readouterr().err


def test_no_room_for_its_code_is_told_with_a_way_out(unpacked, monkeypatch, capsys):
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(program, "_HERE", unpacked)
    monkeypatch.setattr(zipfile.ZipFile, "extractall", full)
    assert program.main(["a", "b"]) == 1
    assert "No space left on device). It takes a few MB; set TMPDIR" in capsys.readouterr().err


@pytest.mark.parametrize("start", [lambda: program.main(["a", "b"]), lambda: cli.main.callback()])
def test_without_standard_error_words_lead_nowhere(start, tmp_path, monkeypatch):
    monkeypatch.setattr(program, "_HERE", tmp_path)
    monkeypatch.setattr(sys, "stderr", None)
    start()
    with sys.stderr as nowhere:
        assert nowhere.name == os.devnull


def test_missing_packages_are_named_all_at_once(unpacked):
    path = unpacked / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["needs"] |= {"not-there": "1.2+cu1", "nor-this": "", "numpy": "0.1"}
    path.write_text(json.dumps(manifest))
    done = started(unpacked / "predict.py", "a", "b")
    assert done.returncode == 1
    assert "are not installed: not-there, nor-this." in done.stderr
    assert "pip install not-there==1.2 nor-this." in done.stderr
    del manifest["needs"]["not-there"], manifest["needs"]["nor-this"]
    path.write_text(json.dumps(manifest))
    assert "was 0.1 where the bundle was made" in started(unpacked / "predict.py", "-h").stderr


def test_a_package_that_cannot_be_imported_is_named_with_what_it_lacks(unpacked, tmp_path):
    (tmp_path / "half.py").write_text("import numpy, other_half")
    path = unpacked / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["needs"] = {"half": "", "numpy": ""}
    path.write_text(json.dumps(manifest))
    done = started(unpacked / "predict.py", "a", "b", PYTHONPATH=str(tmp_path))
    assert done.returncode == 1
    assert "half (ModuleNotFoundError: No module named 'other_half')." in done.stderr


def test_a_folder_is_a_bundle_and_checked_like_one(tiny, unpacked, tmp_path):
    (unpacked / "notes.txt").write_text("of somebody")
    bundle.predict(unpacked, tiny.raw / "test", tmp_path / "out", device="cpu")
    bundle.predict(tiny.bundle, tiny.raw / "test", tmp_path / "out", device="cpu")  # the same
    before = files(unpacked, "*.*")
    weights = unpacked / "weights" / "net" / "fold1.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\1")
    with pytest.raises(InputError, match=r"fold1.safetensors: has the SHA-256"):
        bundle.load(unpacked)
    weights.unlink()
    with pytest.raises(InputError, match=r"fold1.safetensors: is listed in the manifest, but not"):
        bundle.load(unpacked)
    assert files(unpacked, "*.*").keys() == before.keys() - {"weights/net/fold1.safetensors"}


def test_no_network_is_asked_for_weights(tiny, monkeypatch):
    asked = []

    def refuse(*what: object, **_: object) -> None:
        asked.append(what)
        raise OSError("there is no internet")

    for name in ("socket.socket.connect", "socket.getaddrinfo", "socket.create_connection"):
        monkeypatch.setattr(name, refuse)
    assert bundle.load(tiny.bundle, device="cpu")(array(0, (40, 30)))["mask"].shape == (40, 30, 1)
    assert not asked


def test_the_wheel_is_the_same_each_time_and_holds_all_code(tmp_path):
    assert wheel.content() == wheel.content()
    path = tmp_path / wheel.name()
    path.write_bytes(wheel.content())
    with zipfile.ZipFile(path) as archive:
        code = {name: archive.read(name) for name in archive.namelist()}
    (record,) = (name for name in code if name.endswith("RECORD"))
    for line in code[record].decode().splitlines():
        name, digest, size = line.split(",")
        if name != record:
            found = base64.urlsafe_b64encode(hashlib.sha256(code[name]).digest()).decode()
            assert (f"sha256={found.rstrip('=')}", str(len(code[name]))) == (digest, size)
    assert len(code[record].decode().splitlines()) == len(code)
    root = provenance.package()
    modules = {path.relative_to(root.parent).as_posix(): path for path in root.rglob("*.py")}
    assert {name for name in code if name.endswith(".py")} == set(modules)
    assert all(code[name] == path.read_bytes() for name, path in modules.items())
    assert any(name.endswith("/LICENSE") for name in code)


def test_no_competition_s_reader_imports_more_than_images_need():
    readers = [registry.reader(name) for name in registry.known("competitions")]
    heavy = {"pandas", "scipy", "skimage", "h5py", "hdf5plugin", "tifffile", "pydicom"}
    code = f"import sys, {', '.join(readers)}; print(*({heavy} & sys.modules.keys()))"
    done = started("-c", code, PYTHONPATH=str(provenance.package().parent))
    assert (done.returncode, done.stdout.split()) == (0, [])


UNET = {"name": "unet", "encoder": "resnet34"}


@pytest.mark.parametrize(
    ("given", "more"),
    [
        (([{"name": "vanilla"}], [], [], []), set()),
        (([{"name": "vanilla"}, UNET], [], [], []), {"timm", "torchvision"}),
        (([{**UNET, "name": "classifier"}], [], [], []), {"timm", "torchvision"}),
        (([{**UNET, "name": "detector"}], [], [], []), {"timm", "torchvision"}),
        (([{"name": "smp/Unet"}], [], [], []), {"segmentation-models-pytorch", "timm"}),
        (([], [{"use": ["image"], "whiten": "spectral"}], [], []), {"scipy"}),
        (([], [{"use": ["image"], "resize_mode": "pad-biharmonic"}], [], []), {"scipy"}),
        (([], [], ["crf", "holes", "components"], ["TIFF"]), {"tifffile"}),
        (([], [], [], ["DICOM"]), {"pydicom"}),
    ],
)
def test_what_a_bundle_needs_follows_from_what_it_holds(given, more):
    found = set(needs.packages(*given))
    assert found - set(needs.ALWAYS) >= more
    assert found - set(needs.ALWAYS) - more <= ({"torchvision"} if "timm" in more else set())


def test_only_recipes_that_are_said_to_need_scipy_import_it(monkeypatch):
    images = np.random.default_rng(0).integers(0, 255, (2, 19, 23), np.uint8)
    fitted = {method: whiten(images, method)[1] for method in METHODS}
    for name in ("scipy", "scipy.fft", "scipy.ndimage", "scipy.sparse"):
        monkeypatch.setitem(sys.modules, name, None)
    calls = {("whiten", m): partial(whiten, images, m, fitted[m]) for m in METHODS}
    for mode in MODES:
        resizer = Resizer(mode, (19, 23), (32, 32), 1, "centre")
        calls["resize_mode", mode] = partial(resizer.images, images[..., None])
    for (key, value), call in calls.items():
        stated = "scipy" in needs.packages([], [{"use": ["image"], key: value}], [], [])
        with pytest.raises(ImportError) if stated else contextlib.nullcontext():
            call()


def test_formats_that_need_a_package_are_stated_by_the_data(tmp_path):
    made = Tiny(tmp_path)
    assert "formats" not in store.attrs(tmp_path / "train.h5")
    assert "tifffile" not in manifest(made.write())["needs"]
    image = made.raw / "images" / "a.png"
    cv2.imwrite(str(image.with_suffix(".tif")), cv2.imread(str(image), cv2.IMREAD_UNCHANGED))
    image.unlink()
    (tmp_path / "again").mkdir()
    ingest_both("folder", made.raw, made.recipe["data"], tmp_path / "again")
    data = tmp_path / "again" / "train.h5"
    assert store.attrs(data)["formats"] == ["TIFF"]
    assert "tifffile" in manifest(made.write(data=data))["needs"]


def manifest(path: Path) -> dict:
    with zipfile.ZipFile(path) as archive:
        return json.loads(archive.read("manifest.json"))


def test_progress_tells_the_time_that_is_left(capsys, monkeypatch):
    times = iter([0.0, 1.0, 2.0, 60.0])
    monkeypatch.setattr("foldbelt.bundle.alone.time.monotonic", lambda: next(times))
    progress = Progress()
    for done in (0, 10, 20, 30):
        progress(Step(done, 90, done))
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["0 of 90 images", "30 of 90 images, 2.000 s each, 2 min 0 s left"]
