"""A bundle predicts what its run would have, from one file, and goes on after a stop."""

import json
import shutil
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from bundles import SIZES, Tiny, array, changed
from click.testing import CliRunner

from foldbelt import bundle, rle, store
from foldbelt.bundle import listing, predicting
from foldbelt.bundle.folder import picture
from foldbelt.bundle.halving import halve
from foldbelt.bundle.pipeline import Pipeline
from foldbelt.bundle.places import MASKS, MASKS_TABLE
from foldbelt.bundle.predicting import Step
from foldbelt.bundle.reading import Bundle
from foldbelt.cli.main import main
from foldbelt.files import InputError
from foldbelt.store import weights


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Tiny:
    made = Tiny(tmp_path_factory.mktemp("bundle"))
    made.write()
    return made


@pytest.fixture
def images(tiny, tmp_path) -> Path:
    return Path(shutil.copytree(tiny.raw / "test", tmp_path / "images"))


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*.[pc]*"))}


def test_rebuilding_gives_the_same_bytes(tiny, tmp_path):
    assert tiny.write(tmp_path / "again.zip").read_bytes() == tiny.bundle.read_bytes()


def test_weights_travel_unchanged_and_nothing_tells_of_the_training_images(tiny, tmp_path):
    elsewhere = {"x": {"oof": f"{tiny.root}/oof.h5", "test": f"{tiny.root}/test.h5"}}
    model = tiny.recipe["models"]["net"]
    started = {
        "start": {"file": f"{tiny.root}/a.pt"},
        "architecture": {**model["architecture"], "weights": f"{tiny.root}/b.pt"},
    }
    recipe = {**tiny.recipe, "blend": {**tiny.recipe["blend"], "external": elsewhere}}
    recipe["models"] = {"net": {**model, **started}}
    with zipfile.ZipFile(tiny.write(tmp_path / "other.zip", recipe=recipe)) as archive:
        assert archive.read("weights/net/fold1.safetensors") == tiny.weights[1].read_bytes()
        texts = b"".join(archive.read(n) for n in archive.namelist() if n.endswith(".json"))
        assert archive.namelist() == sorted(archive.namelist())
    assert b"secret-image" not in texts
    assert str(tiny.root).encode() not in texts


def test_predicts_the_bytes_of_the_run_s_own_submission(tiny, images, tmp_path):
    expected = tiny.submission()
    done = bundle.predict(tiny.bundle, images, tmp_path / "out", device="cpu")
    assert done == predicting.Done(len(SIZES), len(SIZES))
    assert (tmp_path / "out" / MASKS_TABLE).read_bytes() == expected
    table = pd.read_csv(tmp_path / "out" / MASKS_TABLE, keep_default_na=False)
    shares = []
    for row in table.itertuples():
        mask = cv2.imread(str(tmp_path / "out" / MASKS / f"{row.id}.png"), cv2.IMREAD_UNCHANGED)
        assert mask.shape == (row.height, row.width) == SIZES[row.id.removeprefix("test_")]
        assert np.array_equal(mask, 255 * rle.decode(row.rle, mask.shape))
        shares.append(mask.mean() / 255)
    assert 0 < np.mean(shares) < 1, "else this shows nothing"


def test_goes_on_where_it_was_stopped(tiny, images, tmp_path, monkeypatch):
    bundle.predict(tiny.bundle, images, tmp_path / "whole", device="cpu")
    monkeypatch.setattr(listing, "_GROUP", 1)
    out = tmp_path / "out"

    def stop(step: Step) -> None:
        if step.done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bundle.predict(tiny.bundle, images, out, device="cpu", progress=stop)
    assert len(list((out / MASKS).iterdir())) == 4
    with (out / "journal.jsonl").open("ab") as file:
        file.write(b'{"id": "test_e", "source": ')  # a line that a kill cut short
    seen = []
    monkeypatch.setattr(Pipeline, "__call__", _spied(Pipeline.__call__, seen))
    done = bundle.predict(tiny.bundle, images, out, device="cpu")
    assert done == predicting.Done(6, 2)
    assert seen == [["test_e", "test_f"]]
    assert files(out) == files(tmp_path / "whole")
    assert bundle.predict(tiny.bundle, images, out, device="cpu").new == 0


def _spied(call, seen):
    def spied(self, items, *rest):
        seen.append([item.id for item in items])
        return call(self, items, *rest)

    return spied


def test_does_again_what_is_lost_or_changed(tiny, images, tmp_path):
    out = tmp_path / "out"
    bundle.predict(tiny.bundle, images, out, device="cpu")
    (out / MASKS / "test_a.png").unlink()
    cv2.imwrite(str(images / "test_b.png"), array(9, (50, 60)))
    assert bundle.predict(tiny.bundle, images, out, device="cpu").new == 2
    assert cv2.imread(str(out / MASKS / "test_b.png")).shape[:2] == (50, 60)
    assert bundle.predict(tiny.bundle, images, out, device="cpu").new == 0


def test_what_cannot_be_read_is_named_and_all_else_predicted(tiny, images, tmp_path):
    (images / "deeper").mkdir()
    cv2.imwrite(str(images / "deeper" / "new.tiff"), array(1, (70, 50)))
    whole = (images / "test_c.png").read_bytes()
    (images / "test_c.png").write_bytes(whole[:-40])
    (images / "notes.txt").write_text("no image, and nobody would take it for one")
    (images / "b.sketch").write_text("no image")
    out, told = tmp_path / "out", []
    with pytest.raises(InputError, match=r"(?s)2 problems.*b.sketch.*test_c.png.*All other"):
        bundle.predict(tiny.bundle, images, out, device="cpu", told=told.append)
    assert list(pd.read_csv(out / "problems.csv")["file"]) == ["b.sketch", "test_c.png"]
    assert "1 file of" in told[1]
    assert "passed over, such as notes.txt" in told[1]
    ids = list(pd.read_csv(out / MASKS_TABLE)["id"])
    assert ids == sorted(["deeper/new", *(f"test_{name}" for name in "abdef")])
    assert cv2.imread(str(out / MASKS / "deeper" / "new.png")).shape[:2] == (70, 50)


def test_another_bundle_s_folder_and_one_among_the_images_are_refused(tiny, images, tmp_path):
    bundle.predict(tiny.bundle, images, tmp_path / "out", device="cpu")
    other = {**tiny.recipe, "seed": 99}
    tiny.write(tmp_path / "other.zip", recipe=other)
    with pytest.raises(InputError, match="another bundle"):
        bundle.predict(tmp_path / "other.zip", images, tmp_path / "out")
    with pytest.raises(InputError, match="lies in the folder of images"):
        bundle.predict(tiny.bundle, images, images / "out")


def test_a_competition_that_is_not_known_here_is_named(tiny, images, tmp_path):
    def change(entries):
        manifest = json.loads(entries["manifest.json"])
        entries["manifest.json"] = json.dumps(manifest | {"competition": "tomorrow"}).encode()

    path = changed(tiny.bundle, tmp_path / "new.zip", change)
    with pytest.raises(InputError, match="'tomorrow'"):
        bundle.predict(path, images, tmp_path / "out")


def test_files_in_the_place_of_folders_are_refused_with_what_to_give(tiny, images, tmp_path):
    file = tmp_path / "file"
    file.write_text("mine")
    with pytest.raises(InputError, match="file is a file; give the folder"):
        bundle.predict(tiny.bundle, file, tmp_path / "out")
    for out in (file, file / "below"):
        with pytest.raises(InputError, match="is a file, or below one; name a folder"):
            bundle.predict(tiny.bundle, images, out)
    assert file.read_text() == "mine"


def test_another_program_s_journal_is_left_alone_and_a_damaged_one_goes_on(tiny, images, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    journal = out / "journal.jsonl"
    journal.write_text('{"event": 1}\n')
    with pytest.raises(InputError, match=r"journal\.jsonl: is no journal of predictions"):
        bundle.predict(tiny.bundle, images, out, device="cpu")
    assert journal.read_text() == '{"event": 1}\n'
    journal.write_text('{"bund')  # stopped within the first line
    assert bundle.predict(tiny.bundle, images, out, device="cpu").new == 6
    lines = journal.read_text().splitlines(keepends=True)
    journal.write_text("".join([*lines[:3], lines[0], *lines[3:]]))
    assert bundle.predict(tiny.bundle, images, out, device="cpu").new == 4


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("nowhere", "there is no such folder"),
        ("images", r"there is no sample_submission\.csv in it"),
        ("raw/meta.csv", "is a file"),
    ],
)
def test_a_sample_that_is_not_there_stops_before_anything_is_predicted(
    tiny, images, tmp_path, place, said
):
    shutil.copytree(tiny.raw, tmp_path / "raw")
    (tmp_path / "raw" / "meta.csv").write_text("id\n")
    out = tmp_path / "out"
    with pytest.raises(InputError, match=said):
        bundle.predict(tiny.bundle, images, out, device="cpu", sample=tmp_path / place)
    assert not (out / MASKS).exists()
    assert not (out / "submission.csv").exists()


def test_a_sample_that_lists_an_image_twice_is_refused_first(tiny, images, tmp_path):
    names = [path.stem for path in sorted(images.iterdir())]
    rows = "".join(f"{name},\n" for name in [*names, names[0]])
    (tmp_path / "sample_submission.csv").write_text(f"id,rle\n{rows}")
    with pytest.raises(InputError, match="test_a object: is written 2 times"):
        bundle.predict(tiny.bundle, images, tmp_path / "out", device="cpu", sample=tmp_path)
    assert not (tmp_path / "out").exists()


def test_a_sample_in_kaggle_s_words_is_answered_in_them(tiny, images, tmp_path):
    names = [path.stem for path in sorted(images.iterdir(), reverse=True)]
    rows = "".join(f"{name}.png,\n" for name in names)
    (tmp_path / "sample_submission.csv").write_text(f"ImageId,EncodedPixels\n{rows}")
    out = tmp_path / "out"
    bundle.predict(tiny.bundle, images, out, device="cpu", sample=tmp_path)
    made = pd.read_csv(out / "submission.csv", keep_default_na=False)
    assert list(made) == ["ImageId", "EncodedPixels"]
    assert made["ImageId"].tolist() == [f"{name}.png" for name in names]
    known = pd.read_csv(out / MASKS_TABLE, keep_default_na=False).set_index("id")["rle"]
    assert made["EncodedPixels"].tolist() == [known[name] for name in names]


def test_two_images_of_one_name_are_both_named_and_a_data_folder_is_told(tiny, images, tmp_path):
    shutil.copy(images / "test_a.png", images / "test_a.bmp")
    with pytest.raises(InputError, match=r"(?s)2 problems.*test_a\.bmp.*test_a\.png"):
        bundle.predict(tiny.bundle, images, tmp_path / "out", device="cpu")
    with pytest.raises(InputError, match=r"holds images/ and masks/; give .*images\. "):
        bundle.predict(tiny.bundle, tiny.raw, tmp_path / "other", device="cpu")


def test_what_is_no_image_is_named_to_a_notebook(tiny, tmp_path):
    model = bundle.load(tiny.bundle, device="cpu")
    with pytest.raises(InputError, match=r"none\.png is not there"):
        model(tmp_path / "none.png")
    with pytest.raises(InputError, match=r"an image is .* not \(0, 4\)"):
        model(np.zeros((0, 4), np.uint8))


def test_threads_share_a_loaded_bundle(tiny, images, tmp_path):
    bundle.predict(tiny.bundle, images, tmp_path / "out", device="cpu")
    model = bundle.load(tiny.bundle, device="cpu")
    paths = sorted(images.iterdir())
    with ThreadPoolExecutor(4) as pool:
        masks = [found["mask"] for found in pool.map(model, paths)]
    assert np.array_equal(masks[0], model(cv2.imread(str(paths[0]))[..., ::-1])["mask"])
    for path, mask in zip(paths, masks, strict=True):
        assert mask.shape == (*SIZES[path.stem.removeprefix("test_")], 1)
        written = cv2.imread(str(tmp_path / "out" / MASKS / path.name), cv2.IMREAD_UNCHANGED)
        assert np.array_equal(mask[..., 0] * 255, written)
    with pytest.raises(InputError, match="float64"):
        model(np.zeros((20, 20)))


def test_a_step_that_looks_at_training_masks_stays_behind(tmp_path):
    made = Tiny(tmp_path, steps=[{"step": "jigsaw", "options": {}, "params": {}}])
    with pytest.raises(InputError, match="jigsaw"):
        made.write()
    assert not made.bundle.exists()


def test_overlapping_classes_are_drawn_in_their_order():
    mask = np.array([[[1, 0], [1, 1], [0, 0]]], np.uint8)
    drawn = cv2.imdecode(np.frombuffer(picture(mask, [1, 300]), np.uint8), cv2.IMREAD_UNCHANGED)
    assert drawn.tolist() == [[1, 300, 0]]


def test_groups_are_whole_batches_that_fit_into_memory():
    def sizes(batch: int, each: int) -> list[int]:
        return [len(group) for group in listing.groups(range(100), batch, each)]

    assert sizes(4, 1000) == [32, 32, 32, 4]
    assert sizes(24, 1000) == [48, 48, 4]
    assert sizes(4, 2**26) == [8] * 12 + [4], "half a gigabyte"
    assert set(sizes(4, 2**40)) == {4}, "but never less than a batch"


def test_the_command_predicts_and_shows_how_far_it_is(tiny, images, tmp_path):
    words = ["predict", str(tiny.bundle), str(images), str(tmp_path / "out"), "--device", "cpu"]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, done.output
    assert "6 of 6 images" in done.output
    assert "6 images are predicted" in done.output
    lines = (tmp_path / "out" / "journal.jsonl").read_text().splitlines()
    assert [json.loads(line).get("id") for line in lines[1:]] == [f"test_{n}" for n in "abcdef"]
    (images / "test_a.png").write_bytes(b"")
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 1
    assert "test_a.png" in done.output


def test_half_precision_halves_the_weights_and_changes_little(tiny, images, tmp_path):
    recipe = {**tiny.recipe, "bundle": {**tiny.recipe["bundle"], "half": True}}
    path = tiny.write(tmp_path / "half.zip", recipe=recipe)
    sizes = []
    for archive in (path, tiny.bundle):
        with zipfile.ZipFile(archive) as opened:
            names = [name for name in opened.namelist() if name.startswith("weights/")]
            sizes.append(sum(opened.getinfo(name).file_size for name in names))
    assert sizes[0] < 0.6 * sizes[1]  # the header stays
    half, full = bundle.load(path, device="cpu"), bundle.load(tiny.bundle, device="cpu")
    assert half._pipeline.bundle.manifest.half
    masks = [model(image)["mask"] for model in (half, full) for image in sorted(images.iterdir())]
    apart = [(a != b).mean() for a, b in zip(masks[:6], masks[6:], strict=True)]
    assert max(apart) < 0.05
    ((module, _),) = [n for key, n in half._pipeline._networks.items() if "fold0" in key[0]]
    assert {value.dtype for value in module.parameters()} == {torch.float32}


def test_what_16_bits_do_not_reach_stays_as_it_is(tmp_path):
    tensors = {"wide": torch.tensor([1e6]), "small": torch.tensor([0.1]), "n": torch.tensor([7])}
    weights.save(tmp_path / "full.safetensors", tensors, {"key": "x"})
    halve(tmp_path / "full.safetensors", tmp_path / "half.safetensors")
    made, metadata = weights.load(tmp_path / "half.safetensors")
    kinds = {"wide": torch.float32, "small": torch.float16, "n": torch.int64}
    assert {name: value.dtype for name, value in made.items()} == kinds
    assert made["wide"] == tensors["wide"]
    assert metadata == {"key": "x"}


def test_the_manifest_says_what_people_should_know_and_only_as_data(tiny, tmp_path):
    said = {"licence": "CC BY 4.0\x1b[31m", "notes": '"}], "entries": {}'}
    recipe = {**tiny.recipe, "bundle": {**tiny.recipe["bundle"], **said}}
    path = tiny.write(tmp_path / "told.zip", recipe=recipe)
    with Bundle(path) as opened:
        manifest = opened.manifest
        assert (manifest.licence, manifest.notes) == tuple(said.values())
        assert manifest.left_out == {"members": [], "steps": []}
    with zipfile.ZipFile(path) as archive:
        assert b"\x1b" not in archive.read("manifest.json")


def test_labels_that_gate_masks_travel(tmp_path):
    made = Tiny(tmp_path / "run")
    made.submission()
    gate = float(np.median(store.read(made.root / "blend.h5", "label_prob")))
    path = made.root / "decision.json"
    decision = json.loads(path.read_text()) | {"gate_on": "label"}
    decision["params"]["gate"] = gate
    path.write_text(json.dumps(decision))
    bundle.predict(made.write(), made.raw / "test", tmp_path / "out", device="cpu")
    table = (tmp_path / "out" / MASKS_TABLE).read_bytes()
    assert table == made.submission()
    empty = pd.read_csv(tmp_path / "out" / MASKS_TABLE)["rle"].isna()
    assert empty.tolist().count(True) == 3, "those whose labels lie below the median"


def test_what_does_not_fit_a_sample_is_listed_in_part_with_what_to_do(tiny, images, tmp_path):
    rows = "".join(f"other{number},\n" for number in range(50))
    (tmp_path / "sample_submission.csv").write_text(f"id,rle\n{rows}")
    with pytest.raises(InputError, match=r"(?s)problems.*… and .* more.*exactly the images"):
        bundle.predict(tiny.bundle, images, tmp_path / "out", device="cpu", sample=tmp_path)
    assert not (tmp_path / "out" / MASKS).exists(), "it is told before anything is predicted"
