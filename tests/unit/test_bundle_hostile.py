"""A bundle that is damaged, forged or of tomorrow is refused by name, and nothing comes of it."""

import hashlib
import io
import json
import pickle
import stat
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from bundles import Tiny, changed

from foldbelt import bundle, models
from foldbelt.bundle.blaming import blamed
from foldbelt.bundle.onnx.exporting import export
from foldbelt.bundle.pipeline import Pipeline
from foldbelt.bundle.reading import Bundle
from foldbelt.files import InputError
from foldbelt.store import weights

WEIGHTS = "weights/net/fold0.safetensors"
Entries = dict[str, bytes]


@pytest.fixture(scope="module")
def sound(tmp_path_factory) -> Path:
    return Tiny(tmp_path_factory.mktemp("bundle")).write()


def manifest(entries: Entries, change: Callable[[dict], object]) -> None:
    content = json.loads(entries["manifest.json"])
    change(content)
    entries["manifest.json"] = json.dumps(content).encode()


def forged(name: str, content: bytes) -> Callable[[Entries], None]:
    """Put other content under a name, with a manifest that fits it."""

    def change(entries: Entries) -> None:
        entries[name] = content
        told = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
        manifest(entries, lambda m: m["entries"].update({name: told}))

    return change


def swapped(entries: Entries) -> None:
    other = WEIGHTS.replace("fold0", "fold1")
    entries[WEIGHTS], entries[other] = entries[other], entries[WEIGHTS]


def flipped(entries: Entries) -> None:
    content = bytearray(entries[WEIGHTS])
    content[-1] ^= 1
    entries[WEIGHTS] = bytes(content)


FORGED: dict[str, tuple[Callable[[Entries], object], str]] = {
    "a bit flipped": (flipped, "fold0.safetensors: has the SHA-256"),
    "weights swapped": (swapped, r"(?s)fold0.*fold1"),
    "no manifest": (lambda e: e.pop("manifest.json"), "lacks manifest.json"),
    "not ours": (lambda e: manifest(e, lambda m: m.pop("format")), "does not say so"),
    "newer": (lambda e: manifest(e, lambda m: m.update(schema=2)), "newer foldbelt"),
    "no schema": (lambda e: manifest(e, lambda m: m.update(schema="1")), "schema '1'"),
    "no members": (lambda e: manifest(e, lambda m: m.update(members=[])), "is damaged"),
    "no list": (lambda e: manifest(e, lambda m: m.update(members=7)), "is damaged"),
    "no outputs": (lambda e: manifest(e, lambda m: m.update(outputs={})), "is damaged"),
    "strange output": (
        lambda e: manifest(e, lambda m: m.update(outputs={"sounds": ["net"]})),
        "is damaged",
    ),
    "a member of no output": (
        lambda e: manifest(e, lambda m: m.update(outputs={"masks": ["other"]})),
        "members of no output",
    ),
    "no labels' decision": (
        lambda e: manifest(e, lambda m: m.update(outputs={"masks": ["net"], "labels": ["net"]})),
        "decision/labels.json: is not listed",
    ),
    "a fold too many": (
        lambda e: manifest(e, lambda m: m["members"][0].update(folds=[0, 1, 2])),
        "member net lacks folds",
    ),
    "no number": (
        lambda e: manifest(e, lambda m: m["members"][0]["predict"].update(batch_size=0)),
        "not all numbers above 0",
    ),
    "no Python": (lambda e: manifest(e, lambda m: m["install"].pop("python")), "no version of P"),
    "an option for pip": (
        lambda e: manifest(e, lambda m: m["needs"].update({"--index-url=https://x.org": ""})),
        "no packages with their versions",
    ),
    "an address for pip": (
        lambda e: manifest(e, lambda m: m["install"].update(timm="1 @ git+https://x.org/y")),
        "no packages with their versions",
    ),
    "unknown kind": (
        lambda e: manifest(e, lambda m: m["members"][0].update(kind="oracle")),
        "net: is of kind 'oracle'",
    ),
    "too deep": (lambda e: e.update({"manifest.json": b"[" * 100_000}), "is no JSON"),
    "not listed": (lambda e: e.update({"more.bin": b"x"}), "more.bin: is not listed"),
    "missing": (lambda e: e.pop(WEIGHTS), "fold0.safetensors: is listed in the manifest, but not"),
    "longer": (lambda e: e.update({WEIGHTS: e[WEIGHTS] + b"x"}), "the manifest says"),
    "a pickle": (forged(WEIGHTS, pickle.dumps({"a": 1}) * 9), "is no safetensors file"),
    "no object": (forged("blend.json", b"[]"), "blend.json holds no JSON object"),
    "no decision": (forged("decision.json", b"{}"), "decision.json lacks params"),
    "above": (lambda e: e.update({"../above": b"x"}), r"\.\./above: is no plain path"),
    "absolute": (lambda e: e.update({"/tmp/x": b"x"}), "/tmp/x: is no plain path"),
    "backslash": (lambda e: e.update({"..\\x": b"x"}), "is no plain path"),
    "hidden": (lambda e: e.update({"a/./b": b"x"}), "is no plain path"),
    "a file in a file": (
        lambda e: e.update({"blend.json/x": b"x"}),
        "blend.json: is a folder of another entry",
    ),
    "a long name": (lambda e: e.update({f"{'a' * 300}/b": b"x"}), "has a name that is too long"),
    "infinity": (
        lambda e: manifest(e, lambda m: m["entries"]["blend.json"].update(bytes=float("inf"))),
        "is no JSON",
    ),
    "half a character": (lambda e: manifest(e, lambda m: m.update(notes="\ud800")), "is no JSON"),
    "a folder": (lambda e: e.update({"folder/": b""}), "folder/: is no plain path"),
}


def put(entry: str, given: dict[str, object]) -> Callable[[Entries], None]:
    """Set values of an entry, with a manifest that fits; dots stand between nested keys."""

    def change(entries: Entries) -> None:
        content = json.loads(entries[entry])
        for key, value in given.items():
            *above, last = key.split(".")
            place = content
            for part in above:
                place = place[int(part) if isinstance(place, list) else part]
            place[last] = value
        text = json.dumps(content).encode()
        entries.update({entry: text}) if entry == "manifest.json" else forged(entry, text)(entries)

    return change


OTHER = [
    ("data.json", {"class_names": 5, "colours": 0}, r"(?s)class_names has to .*not 5.*colours has"),
    ("data.json", {"label_names": [["a"]]}, "label_names has to be a list of names"),
    ("data.json", {"size": [24]}, "size has to be a height and width"),
    ("data.json", {"size": [10**5, 10**5]}, "size has to be a height and width that fit in memory"),
    ("data.json", {"class_names": []}, "class_names is empty"),
    ("recipe.json", {"cpu_threads": "2", "data": None}, r"(?s)cpu_threads has.*data has to be"),
    ("recipe.json", {"data.bands": "x"}, "data.bands has to be a list of bands"),
    ("recipe.json", {"data.classes": {"object": 70000}}, "values from 1 to 65535"),
    ("blend.json", {"all": None, "without": []}, r"(?s)all has to be.*without has to be"),
    ("blend.json", {"all": [2.5]}, "with a sum of 1, not"),
    ("blend.json", {"all": [0.5, 0.5]}, "with a sum of 1, not"),
    ("blend.json", {"members": ["other"]}, "members has to be a list of the members, net"),
    ("decision.json", {"params": 5}, "params has to be an object"),
    ("decision.json", {"params.threshold": float("nan")}, "is no JSON"),
    ("decision.json", {"params.threshold": 2.5}, "threshold has to be a number from 0 to 1"),
    ("decision.json", {"params.min_area": -1}, "min_area has to be a number of pixels"),
    ("decision.json", {"gate_on": "no", "params.gate_mode": "no"}, r"(?s)gate_mode has.*gate_on"),
    ("channels/base.json", {"attrs.scale": [0, 0]}, "scale has to be a list of numbers above 0"),
    ("channels/base.json", {"attrs.offset": [0]}, "attrs.offset has 1 numbers"),
    ("manifest.json", {"members.0.predict.tta": 5}, "member net: tta has to be a list of views"),
    ("manifest.json", {"members.0.predict.scales": [1, 50]}, "scales has to be a list of numbers"),
    ("manifest.json", {"members.0.predict.windows": {}}, "windows.size has to be"),
]


@pytest.mark.parametrize(("entry", "given", "message"), OTHER)
def test_other_types_and_numbers_out_of_range_are_refused_by_name(
    sound, tmp_path, entry, given, message
):
    with pytest.raises(InputError, match=message):
        Bundle(changed(sound, tmp_path / "forged.zip", put(entry, given)))


STOPS = [
    ("decision.json", {"steps": [{"step": "nope"}]}, "KeyError: 'options'"),
    ("decision.json", {"params.threshold": [0.5, 0.5]}, "the decision is for 2 classes"),
    ("data.json", {"class_names": ["a", "b"]}, "1 masks are predicted, 2 named"),
    ("channels/base.json", {"attrs.whiten": "x"}, "TypeError"),
    ("channels/base.json", {"recipe.use": ["image", "a.b"]}, "unknown channel 'a.b'"),
    ("manifest.json", {"competition": "os"}, "unknown competition 'os'"),
    ("manifest.json", {"members.0.snapshot": 3}, "weights/net/fold0.safetensors has 0 snapshots"),
]


@pytest.mark.parametrize(("entry", "given", "reason"), STOPS)
def test_what_stops_the_computing_is_told_of_the_bundle(sound, tmp_path, entry, given, reason):
    path = changed(sound, tmp_path / "forged.zip", put(entry, given))
    with pytest.raises(InputError) as told:
        bundle.load(path, device="cpu")(np.zeros((20, 30), np.uint8))
    assert str(told.value).startswith(f"{path} cannot be computed: ")
    assert reason in str(told.value)
    assert "foldbelt-bundle-" not in str(told.value), "a folder that is gone by now"


def weighed(given: dict[str, object]) -> Callable[[Entries], None]:
    """Say otherwise in a file of weights what it is."""

    def change(entries: Entries) -> None:
        tensors = safetensors.torch.load(entries[WEIGHTS])
        length = int.from_bytes(entries[WEIGHTS][:8], "little")
        header = json.loads(entries[WEIGHTS][8 : 8 + length])
        told = json.dumps(json.loads(header["__metadata__"]["foldbelt"]) | given)
        forged(WEIGHTS, safetensors.torch.save(tensors, {"foldbelt": told}))(entries)

    return change


@pytest.mark.parametrize(
    "use",
    [
        lambda path: bundle.load(path, device="cpu")(np.zeros((20, 30), np.uint8)),
        lambda path: export(path, path.with_suffix(".onnx")),
    ],
    ids=["load", "export"],
)
def test_weights_that_do_not_fit_are_told_with_what_helps_a_bundle(sound, tmp_path, use):
    path = changed(sound, tmp_path / "forged.zip", weighed({"label_classes": 3}))
    with pytest.raises(InputError) as told:
        use(path)
    first, *_, last = str(told.value).splitlines()
    assert first.startswith(f"{path} cannot be computed: {WEIGHTS} does not fit the model")
    assert "timm above all" in last
    assert "elete" not in str(told.value)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"snapshots": 10**12}, "snapshots has to be a number of snapshots"),
        ({"in_channels": None, "size": 5}, r"(?s)in_channels has to be.*size has to be"),
        ({"key": 5, "architecture": []}, r"(?s)architecture has to be.*key has to be"),
    ],
)
def test_what_weights_say_of_themselves_is_checked(sound, tmp_path, given, message):
    with pytest.raises(InputError, match=message):
        Bundle(changed(sound, tmp_path / "forged.zip", weighed(given)))


@pytest.mark.parametrize(
    "error",
    [
        KeyboardInterrupt(),
        MemoryError(),
        OSError(28, "No space left on device"),
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory"),
    ],
)
def test_what_the_machine_lacks_is_no_fault_of_the_bundle(error):
    with pytest.raises(type(error)) as told, blamed("bundle.zip", Path("unpacked")):
        raise error
    assert told.value is error


def test_a_blank_image_is_predicted_once_and_where_one_is_asked_for(sound, monkeypatch):
    predicted = []
    predict = Pipeline._predict
    monkeypatch.setattr(
        Pipeline, "_predict", lambda *given: predicted.append(given[1]) or predict(*given)
    )
    with bundle.load(sound, device="cpu") as model:
        assert not predicted
        for _ in range(2):
            model(np.zeros((20, 30), np.uint8))
    assert len(predicted) == 3


def test_no_room_to_unpack_is_told_as_that(sound, monkeypatch):
    monkeypatch.setattr(Bundle, "file", lambda *_: Path("/dev/full"))
    with pytest.raises(InputError, match=r"bundle\.zip: there is no room.*takes 3 MB.*set TMPDIR"):
        Bundle(sound)


def test_a_folder_around_a_bundle_names_the_bundle(sound):
    with pytest.raises(
        InputError, match=r"lacks manifest\.json\. Name a file in it: bundle\.zip\."
    ):
        Bundle(sound.parent)


@pytest.mark.parametrize("name", FORGED)
def test_a_forged_bundle_is_refused_by_name(sound, tmp_path, name):
    change, message = FORGED[name]
    path = changed(sound, tmp_path / "forged.zip", change)
    with pytest.raises(InputError, match=message):
        Bundle(path)


def test_weights_name_no_other_file_to_be_read(tmp_path):
    (tmp_path / "other.pt").write_bytes(pickle.dumps({"a": 1}))
    architecture = {"name": "unet", "encoder": "resnet18", "weights": str(tmp_path / "other.pt")}
    module = models.build({**architecture, "weights": None}, 1, 1, 0)
    sizes = {"in_channels": 1, "mask_channels": 1, "label_classes": 0}
    told = {"architecture": architecture, **sizes}
    weights.save(tmp_path / "net.safetensors", module.state_dict(), told)
    found, _ = models.load_model(tmp_path / "net.safetensors")
    assert all(
        torch.equal(a, b) for a, b in zip(found.parameters(), module.parameters(), strict=True)
    )


@pytest.mark.parametrize("encoder", ["hf-hub:someone/net", "local-dir:/somewhere"])
def test_an_encoder_of_another_place_is_refused(sound, tmp_path, encoder):
    told = {"architecture": {"name": "unet", "encoder": encoder}}
    weights.save(tmp_path / "net.safetensors", {"x": torch.zeros(1)}, told)
    change = forged(WEIGHTS, (tmp_path / "net.safetensors").read_bytes())
    with pytest.raises(InputError, match=f"fold0.*is of the encoder {encoder}"):
        Bundle(changed(sound, tmp_path / "forged.zip", change))
    header = b'{"x": 5, "__metadata__": []}'
    broken = forged(WEIGHTS, len(header).to_bytes(8, "little") + header)
    with pytest.raises(InputError, match=r"fold0.*: cannot be read \(SafetensorError"):
        Bundle(changed(sound, tmp_path / "broken.zip", broken))


def test_the_sound_one_is_read_and_its_folder_goes_with_it(sound, tmp_path):
    copied = changed(sound, tmp_path / "copy.zip", lambda entries: None)
    with Bundle(copied) as opened:
        place = opened.file(WEIGHTS)
        assert opened.manifest.members[0].name == "net"
        assert place.is_file()
    assert not place.exists()


def written(path: Path, sound: Path, add: Callable[[zipfile.ZipFile], object], **given) -> Path:
    """Copy a bundle, with a further entry."""
    with zipfile.ZipFile(sound) as source, zipfile.ZipFile(path, "w", **given) as archive:
        for name in source.namelist():
            archive.writestr(name, source.read(name))
        add(archive)
    return path


def test_a_link_a_second_entry_and_a_bomb_are_refused(sound, tmp_path):
    link = zipfile.ZipInfo("link")
    link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    with pytest.raises(InputError, match="link: is a link"):
        Bundle(written(tmp_path / "link.zip", sound, lambda a: a.writestr(link, "/etc/passwd")))
    with (
        pytest.warns(UserWarning, match="Duplicate"),
        pytest.raises(InputError, match=r"fold0\.safetensors: occurs more than once"),
    ):
        Bundle(written(tmp_path / "twice.zip", sound, lambda a: a.writestr(WEIGHTS, "x")))
    bomb = written(tmp_path / "bomb.zip", sound, lambda a: a.writestr("zeros", bytes(10**7)),
                   compression=zipfile.ZIP_DEFLATED)  # fmt: skip
    with pytest.raises(InputError, match="zeros: is compressed"):
        Bundle(bomb)


def test_entries_that_share_their_bytes_are_refused(tmp_path):
    """Overlapping entries unpack to far more than the file, without any compression."""
    content, count = bytes(1000), 50
    crc = zlib.crc32(content)
    local = zipfile.ZipInfo("e0")
    local.file_size = local.compress_size = len(content)
    local.CRC = crc
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("manifest.json", content)
        first = archive.filelist[0]
        for number in range(1, count):
            again = zipfile.ZipInfo(f"e{number}")
            again.file_size = again.compress_size = len(content)
            again.CRC, again.header_offset = crc, first.header_offset
            again.external_attr = (stat.S_IFREG | 0o644) << 16
            archive.filelist.append(again)
        archive._didModify = True
    path = tmp_path / "overlapping.zip"
    path.write_bytes(data.getvalue())
    with pytest.raises(InputError, match="entries claim 50000 bytes"):
        Bundle(path)


def test_no_mutation_does_more_than_be_refused(sound, tmp_path):
    """Bytes changed, cut out or put in at random: an answer by InputError, or the same content."""
    whole = np.frombuffer(sound.read_bytes(), np.uint8)
    random = np.random.default_rng(1)
    path, answers = tmp_path / "mutated.zip", []
    tail = 2500  # the directory, where a change means most
    for _ in range(150):
        mutated = whole.copy()
        low = 0 if random.random() < 0.3 else len(whole) - tail
        for place in random.integers(low, len(whole), random.integers(1, 4)):
            mutated[place] = random.integers(256)
        if random.random() < 0.2:
            mutated = mutated[: random.integers(len(mutated))]
        path.write_bytes(mutated.tobytes())
        try:
            with Bundle(path) as opened:
                assert opened.manifest.run == "tiny"
        except InputError as error:
            answers.append(str(error))
    assert len(answers) > 75
    assert all(str(path) in answer for answer in answers)
    assert [one.name for one in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("content", [b"", b"PK", b"no archive at all"])
def test_what_is_no_archive_is_named(tmp_path, content):
    path = tmp_path / "bundle.zip"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"bundle\.zip: its directory cannot be read"):
        Bundle(path)
    with pytest.raises(InputError, match="there is no such file"):
        Bundle(tmp_path / "none.zip")


def test_another_kind_of_zip_file_is_told_from_a_damaged_bundle(tmp_path):
    path = tmp_path / "photos.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a photo.txt", b"x" * 1000)
    with pytest.raises(InputError, match=r"photos\.zip is no bundle: it lacks manifest\.json"):
        Bundle(path)
