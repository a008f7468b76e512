"""A folder of predictions loses no file of anybody's, and holds what its tables say."""

import base64
import errno
import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
from bundles import SIZES, Tiny, array

from foldbelt import bundle
from foldbelt.bundle import alone, folder, listing
from foldbelt.bundle.alone import Progress
from foldbelt.bundle.listing import writable
from foldbelt.bundle.places import MASKS, MASKS_TABLE, OVERLAYS, PROBLEMS
from foldbelt.bundle.predicting import Step
from foldbelt.bundle.records import Form, content_of, record_of
from foldbelt.competitions import Item
from foldbelt.files import TEMPORARY, InputError

NAMES = [f"test_{name}" for name in SIZES]
FORM = Form(1, 2, 1, ["study"])


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Tiny:
    made = Tiny(tmp_path_factory.mktemp("bundle"))
    made.write()
    return made


@pytest.fixture(scope="module")
def whole(tiny, tmp_path_factory) -> Path:
    """A folder of predictions that is done."""
    out = tmp_path_factory.mktemp("whole") / "out"
    bundle.predict(tiny.bundle, tiny.raw / "test", out, device="cpu", overlays=True)
    return out


@pytest.fixture
def out(whole, tmp_path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "out"))


@pytest.fixture
def images(tiny, tmp_path) -> Path:
    return Path(shutil.copytree(tiny.raw / "test", tmp_path / "images"))


def stems(place: Path) -> set[str]:
    return {str(path.relative_to(place).with_suffix("")) for path in place.rglob("*.*")}


@pytest.mark.parametrize("journal", [None, '{"bund'])
@pytest.mark.parametrize(
    "file", ["masks/test_a.png", "masks/of/mine.png", "overlays/b.jpg", "masks.csv", "labels.csv",
             "boxes.csv", "problems.csv", "submission.csv"],
)  # fmt: skip
def test_what_no_bundle_has_predicted_is_not_overwritten(tiny, images, tmp_path, file, journal):
    mine = tmp_path / "out" / file
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    if journal is not None:
        (tmp_path / "out" / "journal.jsonl").write_text(journal)
    before = sorted((tmp_path / "out").rglob("*"))
    with pytest.raises(InputError, match=rf"{file.split('/')[0]}: .*\n.*empty folder"):
        bundle.predict(tiny.bundle, images, tmp_path / "out", device="cpu")
    assert sorted((tmp_path / "out").rglob("*")) == before
    assert mine.read_text() == "mine"


def test_empty_folders_and_those_with_hidden_files_are_taken(tiny, images, tmp_path):
    (tmp_path / "out" / MASKS).mkdir(parents=True)
    (tmp_path / "out" / MASKS / ".DS_Store").write_text("")
    assert bundle.predict(tiny.bundle, images, tmp_path / "out", device="cpu").new == len(SIZES)


@pytest.mark.parametrize(("place", "kind"), [(MASKS, "file"), (MASKS_TABLE, "folder")])
def test_a_file_in_the_place_of_a_folder_stops_before_anything_is_predicted(
    tiny, images, out, place, kind
):
    if kind == "file":
        shutil.rmtree(out / place)
        (out / place).touch()
    else:
        (out / place).unlink()
        (out / place).mkdir()
    with pytest.raises(InputError, match=rf"{place}: is a {kind}, where a .*\n.*move these away"):
        bundle.predict(tiny.bundle, images, out, device="cpu")


@pytest.mark.parametrize("source", [MASKS, OVERLAYS, "link"])
def test_images_among_what_is_predicted_are_refused(tiny, images, out, source):
    before = {path: path.read_bytes() for path in out.rglob("*.*")}
    if source == "link":
        (images / "link").symlink_to(out)
    given = images if source == "link" else out / source
    with pytest.raises(InputError, match=r"(?s)6 problems|12 problems.*Choose another folder"):
        bundle.predict(tiny.bundle, given, out, device="cpu")
    assert {path: path.read_bytes() for path in out.rglob("*.*")} == before


def box(of_class: float, side: float) -> str:
    row = np.array([of_class, 1, 2, side, 9, 0.5], np.float32)
    return base64.b64encode(row.tobytes()).decode()


def line(**changes: Any) -> bytes:
    content = {"id": "a", "source": "x", "size": [4, 5], "runs": ["1 3 7 2"], "picture": "y",
               "units": {"study": "s"}, "labels": [0.5, None], "boxes": box(0, 9)}  # fmt: skip
    return json.dumps({**content, **changes}).encode() + b"\n"


def test_a_line_is_read_as_it_was_written():
    content = content_of(line())
    assert content is not None
    record = record_of(content, FORM)
    assert record is not None
    assert (record.size, record.labels) == ((4, 5), [0.5, None])


@pytest.mark.parametrize(
    "changes",
    [{key: value} for key, values in {
        "id": ([1], {}, None, 5, "../x", "/etc/x"), "source": (5, None), "more": (5,),
        "size": (None, "ab", [5], [-5, 3], [True, 5], [4.0, 5]), "picture": (None, 5),
        "runs": ([], None, "x", ["1 2", "3 4"], [5], ["abc"], ["-1 5"], ["9 9 9"], ["20 2"]),
        "units": (5, {}, {"study": 5}, {"study": "s", "more": "t"}),
        "labels": (None, "xy", [0.5], [0.5, "x"], [0.5, float("nan")], [0.5, 10**400], [True, 0.5]),
        "boxes": (None, 5, "!!", "AAAA", box(1, 9), box(0, math.nan)),
    }.items() for value in values],
)  # fmt: skip
def test_a_line_that_no_bundle_wrote_counts_for_nothing(changes):
    content = content_of(line(**changes))
    assert content is not None
    assert record_of(content, FORM) is None


@pytest.mark.parametrize("text", [b"[" * 100_000 + b"\n", b"[]\n", line()[:-1], b"\xff\n", b"{}\n"])
def test_a_line_of_another_form_counts_for_nothing(text):
    assert record_of(content_of(text) or {}, FORM) is None


@pytest.mark.parametrize(
    ("changes", "new"), [({"size": [10**6, 10**7]}, 1), ({"runs": ["9 9 9"]}, 4), ({"id": []}, 4)]
)
def test_what_a_changed_line_noted_is_predicted_again(tiny, images, whole, out, changes, new):
    lines = (out / "journal.jsonl").read_bytes().splitlines(keepends=True)
    lines[3] = json.dumps(json.loads(lines[3]) | changes).encode() + b"\n"
    (out / "journal.jsonl").write_bytes(b"".join(lines))
    assert bundle.predict(tiny.bundle, images, out, device="cpu").new == new
    assert (out / MASKS_TABLE).read_bytes() == (whole / MASKS_TABLE).read_bytes()


def test_images_that_are_gone_leave_no_rows_and_it_is_told(tiny, images, out):
    (images / "test_a.png").unlink()
    (images / "test_b.png").write_bytes(b"damaged")
    told: list[str] = []
    with pytest.raises(InputError, match=r"1 problem\n.*test_b"):
        bundle.predict(tiny.bundle, images, out, device="cpu", told=told.append)
    left = [f"test_{letter}" for letter in "cdef"]
    assert list(pd.read_csv(out / MASKS_TABLE)["id"]) == left
    assert stems(out / MASKS) == {"test_a", "test_b", *left}, "a wrong folder costs no night's work"
    assert "still holds predictions of 2 images not in" in told[1]


def test_a_mask_that_is_not_as_it_was_written_is_written_again(tiny, images, whole, out):
    for name in ("test_a", "test_b"):
        (out / MASKS / f"{name}.png").write_bytes(b"")
    assert bundle.predict(tiny.bundle, images, out, device="cpu").new == 2
    for name in ("test_a", "test_b"):
        assert (out / MASKS / f"{name}.png").stat().st_size
    assert bundle.predict(tiny.bundle, images, out, device="cpu").new == 0


def test_a_mask_that_somebody_has_corrected_stays_and_is_told(tiny, images, out):
    path = out / MASKS / "test_a.png"
    corrected = 255 - cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    cv2.imwrite(str(path), corrected)
    told: list[str] = []
    assert bundle.predict(tiny.bundle, images, out, device="cpu", told=told.append).new == 0
    assert np.array_equal(cv2.imread(str(path), cv2.IMREAD_UNCHANGED), corrected)
    assert told[-1].startswith(f"1 mask in {out} changed by hand")


def test_unfinished_files_that_a_kill_left_are_deleted(tiny, images, out):
    (out / MASKS / "deeper").mkdir()
    left = [out / MASKS / "deeper" / f"{TEMPORARY}x", out / OVERLAYS / f"{TEMPORARY}y"]
    for path in left:
        path.write_text("half")
    bundle.predict(tiny.bundle, images, out, device="cpu")
    assert not any(path.exists() for path in left)


@pytest.mark.parametrize(
    ("ids", "size", "overlays", "refused"),
    [
        (["a", "a.png/b"], (4, 4), False, {"a": "where the folder a.png for other images"}),
        (["a", "a.jpg/b"], (4, 4), True, {"a": "its overlay would lie where"}),
        (["a", "a.jpg/b"], (4, 4), False, {}),
        (["x" * 251, "ä" * 126, "d/" + "x" * 252], (4, 4), False,
         {"ä" * 126: "too long", "d/" + "x" * 252: "too long"}),
        (["a"], (1_000_001, 2), False, {"a": "1000000 at most"}),
        (["a"], (1_000_000, 2), False, {}),
    ],
)  # fmt: skip
def test_an_image_whose_mask_no_file_could_hold_is_named(ids, size, overlays, refused):
    items = [Item(name, Path("in") / f"{name}.tif", size) for name in ids]
    fitting, findings = writable(items, Path("in"), masks=True, overlays=overlays)
    assert [item.id for item in fitting] == [name for name in ids if name not in refused]
    assert [finding.id for finding in findings] == list(refused)
    for finding, words in zip(findings, refused.values(), strict=True):
        assert words in finding.reason
    assert not writable(items, Path("in"), masks=False, overlays=False)[1]


def test_the_longest_name_that_a_mask_can_have_is_predicted(tiny, tmp_path):
    (tmp_path / "images").mkdir()
    name = "x" * 251
    cv2.imwrite(str(tmp_path / "images" / "y.png"), array(1, (20, 30)))
    (tmp_path / "images" / "y.png").rename(tmp_path / "images" / f"{name}.png")
    bundle.predict(tiny.bundle, tmp_path / "images", tmp_path / "out", device="cpu")
    assert stems(tmp_path / "out" / MASKS) == {name}


def vanishing(path: Path, at: Callable[[Step], bool]) -> Callable[[Step], None]:
    """Delete a file when so many images are done."""
    return lambda step: path.unlink(missing_ok=True) if at(step) else None


@pytest.mark.parametrize("when", ["before", "within"])
def test_an_image_that_vanishes_is_named_and_all_others_are_predicted(
    tiny, images, tmp_path, monkeypatch, when
):
    monkeypatch.setattr(listing, "_GROUP", 1)
    path, source_of = images / "test_d.png", folder._source

    def digested(item: Item) -> str:
        made = source_of(item)
        path.unlink(missing_ok=item.image != path)
        return made

    if when == "within":
        monkeypatch.setattr(folder, "_source", digested)
    progress = vanishing(path, lambda step: when == "before" and step.done == 2)
    with pytest.raises(InputError, match=r"(?s)test_d\.png: cannot be opened .*All other images"):
        bundle.predict(tiny.bundle, images, tmp_path / "out", device="cpu", progress=progress)
    others = [name for name in NAMES if name != "test_d"]
    assert list(pd.read_csv(tmp_path / "out" / MASKS_TABLE)["id"]) == others
    assert list(pd.read_csv(tmp_path / "out" / PROBLEMS)["file"]) == ["test_d.png"]


def test_an_image_that_vanishes_before_its_overlay_is_named_and_keeps_its_mask(tiny, images, out):
    shutil.rmtree(out / OVERLAYS)
    progress = vanishing(images / "test_d.png", lambda step: step.drawing)
    with pytest.raises(InputError, match=r"test_d\.png: cannot be opened .*overlay is not drawn"):
        bundle.predict(tiny.bundle, images, out, device="cpu", overlays=True, progress=progress)
    assert stems(out / OVERLAYS) == set(NAMES) - {"test_d"}
    assert stems(out / MASKS) == set(NAMES)
    assert list(pd.read_csv(out / PROBLEMS)["file"]) == ["test_d.png"]


def test_nothing_is_said_of_other_images_where_there_are_none(tiny, tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.png").write_text("no image")
    with pytest.raises(InputError, match=r"(?s)a\.png") as error:
        bundle.predict(tiny.bundle, tmp_path / "images", tmp_path / "out", device="cpu")
    assert "All other" not in str(error.value)


def test_a_folder_without_images_leaves_nothing_behind(tiny, tmp_path):
    (tmp_path / "images").mkdir()
    with pytest.raises(InputError, match="holds no images"):
        bundle.predict(tiny.bundle, tmp_path / "images", tmp_path / "out", device="cpu")
    assert not (tmp_path / "out").exists()


def test_an_empty_name_is_not_the_current_folder(tiny, images, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert alone.main(tiny.bundle, [str(images), ""]) == 1
    assert alone.main(tiny.bundle, ["", str(tmp_path / "out")]) == 1
    assert capsys.readouterr().err.count("the name of a folder is empty") == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["images"]


@pytest.mark.parametrize(
    ("code", "said"), [(errno.EAGAIN, "another process"), (errno.ENOLCK, "no file can be locked")]
)
def test_a_disk_without_locks_is_not_taken_for_another_process(
    tiny, images, tmp_path, monkeypatch, code, said
):
    def flock(*_: object) -> None:
        raise OSError(code, "said so")

    monkeypatch.setattr("foldbelt.bundle.journal.fcntl.flock", flock)
    with pytest.raises(InputError, match=said):
        bundle.predict(tiny.bundle, images, tmp_path / "out", device="cpu")


def test_a_service_may_have_closed_standard_error(tiny, images, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.stderr", None)
    assert alone.main(tiny.bundle, [str(images), str(tmp_path / "out"), "--device", "cpu"]) == 0
    assert capsys.readouterr().out.startswith("6 images are predicted"), "nothing else is said"


def said(monkeypatch, capsys, steps: dict[float, Step], terminal: bool = False) -> str:
    times = iter(steps)
    monkeypatch.setattr("foldbelt.bundle.alone.time.monotonic", lambda: next(times))
    monkeypatch.setattr("sys.stderr.isatty", lambda: terminal, raising=False)
    progress = Progress()
    for step in steps.values():
        progress(step)
    text: str = capsys.readouterr().err
    return text


def test_images_that_were_done_do_not_count_for_the_time_that_is_left(monkeypatch, capsys):
    steps = {0.0: Step(0, 100, 0), 1.0: Step(50, 100, 0), 21.0: Step(60, 100, 10)}
    text = said(monkeypatch, capsys, steps)
    assert text.splitlines()[-1] == "60 of 100 images, 2.000 s each, 1 min 20 s left"


def test_overlays_are_counted_apart(monkeypatch, capsys):
    steps = {0.0: Step(0, 4, 0), 40.0: Step(4, 4, 4), 41.0: Step(0, 4, 0, True),
             52.0: Step(1, 4, 1, True)}  # fmt: skip
    lines = said(monkeypatch, capsys, steps).splitlines()
    assert lines[1:] == ["4 of 4 images, 10.000 s each, 0 s left", "drawing 0 of 4",
                         "drawing 1 of 4, 11.000 s each, 33 s left"]  # fmt: skip


def test_a_shorter_line_leaves_nothing_of_a_longer_one_on_a_terminal(monkeypatch, capsys):
    steps = {
        0.0: Step(0, 2, 0),
        90.0: Step(1, 2, 1),
        90.0625: Step(1, 2, 1),
        91.0625: Step(2, 2, 2),
    }
    text = said(monkeypatch, capsys, steps, terminal=True)
    lines = ["0 of 2 images", "1 of 2 images, 90.000 s each, 1 min 30 s left",
             "2 of 2 images, 45.500 s each, 0 s left"]  # fmt: skip
    assert text == "".join(f"\r{line}\x1b[K" for line in lines) + "\n"


def test_all_overlays_are_told_one_by_one(tiny, images, out):
    shutil.rmtree(out / OVERLAYS)
    steps: list[Step] = []
    bundle.predict(tiny.bundle, images, out, device="cpu", overlays=True, progress=steps.append)
    count = len(SIZES)
    assert steps == [*(Step(n, count, 0) for n in range(count + 1)),
                     *(Step(n, count, n, True) for n in range(count + 1))]  # fmt: skip
