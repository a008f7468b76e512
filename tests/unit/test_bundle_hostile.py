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
import torch
from bundles import Tiny, changed

from foldbelt import models
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
    "a folder": (lambda e: e.update({"folder/": b""}), "folder/: is no plain path"),
}


@pytest.mark.parametrize(
    ("entry", "given", "message"),
    [
        ("data.json", {"class_names": 5, "colours": 0}, r"(?s)class_names is no.*colours is no"),
        ("data.json", {"label_names": [["a"]]}, "label_names is no list of names"),
        ("data.json", {"size": [24]}, "size is no height and width"),
        ("recipe.json", {"cpu_threads": "2", "data": None}, r"(?s)cpu_threads is no.*data is no"),
    ],
)
def test_other_types_are_refused_by_name(sound, tmp_path, entry, given, message):
    def change(entries: Entries) -> None:
        content = json.dumps({**json.loads(entries[entry]), **given}).encode()
        forged(entry, content)(entries)

    with pytest.raises(InputError, match=message):
        Bundle(changed(sound, tmp_path / "forged.zip", change))


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
    Bundle(changed(sound, tmp_path / "broken.zip", broken)).close()  # told when it is computed


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
