"""The preview of augmentation: what is drawn is what training sees, once, and always the same."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from foldbelt import channels, store
from foldbelt.config import complete
from foldbelt.files import InputError
from foldbelt.report import augment, style

SIZE = (32, 40)
COUNT = 7
FLIPS = [{"HorizontalFlip": {"p": 0.5}}, {"VerticalFlip": {"p": 0.5}}]
MOVES = [
    {"Affine": {"translate_percent": [-0.2, 0.2], "interpolation": 0, "p": 0.9}},
    {"OneOf": {"p": 0.5, "transforms": [{"Transpose": {}}, {"RandomRotate90": {}}]}},
]


def write(root: Path, classes: int = 1, order: int = 1, **recipe: Any) -> dict[str, Any]:
    """Images that are white where their mask (of the first class) is; the paths of the files."""
    root.mkdir(parents=True, exist_ok=True)
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    mask = np.zeros((COUNT, *SIZE, classes), np.uint8)
    for number in range(1, COUNT):
        mask[number, ..., 0] = (rows < 5 * number) & (columns < 6 * number) & (rows < 2 + columns)
        mask[number, number:9, 20:, 1:] = 1
    ignore = np.zeros((COUNT, *SIZE), np.uint8)
    ignore[:, -4:, :4] = 1
    ids = [f"t{number}" for number in range(COUNT)]
    table = pd.DataFrame({"id": ids, "coverage": mask.any(-1).mean((1, 2)), "depth": 300.0})
    table = table.iloc[::order]
    arrays = {"image": 255 * mask[..., 0], "mask": mask if classes > 1 else mask[..., 0]}
    arrays = {name: array[::order] for name, array in (arrays | {"ignore": ignore}).items()}
    store.write(root / "train.h5", arrays, table, {}, classes)
    plain = {"use": ["image"], "whiten": "none", "size": list(SIZE), "resize_mode": "resize"}
    channels.build(root / "train.h5", root / "x.h5", complete("channels", {**plain, **recipe}))
    return {"data": root / "train.h5", "channels": root / "x.h5", "model": "m"}


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Record every tile drawn, with the outlines and the ignored pixels drawn over it."""
    panels: list[dict[str, Any]] = []
    tile, outline, hatch = style.tile, style.outline, style.hatch

    def record_tile(axes: Any, image: np.ndarray, *more: Any, **how: Any) -> None:
        panels.append({"axes": axes, "image": image, "masks": []})
        tile(axes, image, *more, **how)

    def record_outline(axes: Any, mask: np.ndarray, *more: Any) -> None:
        assert panels[-1]["axes"] is axes
        panels[-1]["masks"].append(mask.copy())
        outline(axes, mask, *more)

    def record_hatch(axes: Any, ignored: np.ndarray | None) -> None:
        panels[-1]["ignored"] = ignored
        hatch(axes, ignored)

    monkeypatch.setattr(style, "tile", record_tile)
    monkeypatch.setattr(style, "outline", record_outline)
    monkeypatch.setattr(style, "hatch", record_hatch)
    return panels


def rows_of(panels: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Panels by the line of the figure that they lie in."""
    lines: dict[int, list[dict[str, Any]]] = {}
    for panel in panels:
        lines.setdefault(panel["axes"].get_subplotspec().rowspan.start, []).append(panel)
    return list(lines.values())


@pytest.mark.parametrize(
    "recipe", [{}, {"size": [48, 48], "resize_mode": "pad-edge", "offset": "random"}]
)
@pytest.mark.parametrize("spec", [FLIPS, MOVES])
def test_the_outline_is_that_of_the_augmented_mask(
    recipe: dict, spec: list, drawn: list, tmp_path: Path
) -> None:
    if spec is MOVES and not recipe:
        spec = MOVES[:1]  # no quarter turns of what is not square
    files = write(tmp_path, classes=2, **recipe)
    augment.draw(**files, stages={"a": spec}, out=str(tmp_path / "a.png"))
    lines = rows_of(drawn)
    assert sum(len(line) for line in lines) == len(drawn) > 20
    for line in lines:
        for panel in line:
            first, second = panel["masks"]
            assert ((panel["image"] > 127) == (first > 0)).all()
            assert second.shape == first.shape
            assert panel["ignored"].shape == first.shape
        assert any((panel["masks"][0] != line[0]["masks"][0]).any() for panel in line[1:])
        assert any((panel["ignored"] != line[0]["ignored"]).any() for panel in line[1:])


def test_equal_pipelines_are_drawn_once(drawn: list, tmp_path: Path) -> None:
    files = write(tmp_path)
    again = [{name: dict(how) for name, how in entry.items()} for entry in FLIPS]
    augment.draw(**files, stages={"a": FLIPS}, out=str(tmp_path / "a.png"))
    once = len(rows_of(drawn))
    drawn.clear()
    augment.draw(**files, stages={"a": FLIPS, "b": [], "c": again}, out=str(tmp_path / "b.png"))
    assert len(rows_of(drawn)) == once == 3 + len(FLIPS)
    names = [names for names, _ in augment.pipelines({"a": FLIPS, "b": [], "c": again})]
    assert names == [["a", "c"], ["b"]]
    backwards = augment.pipelines({"a": FLIPS, "b": FLIPS[::-1]})
    assert len(backwards) == 2, "the order of transforms is part of a pipeline"


def test_transforms_alone_are_always_applied_and_what_repeats_is_left_out(
    drawn: list, tmp_path: Path
) -> None:
    rare = [
        {"HorizontalFlip": {"p": 0.001}},
        {"Affine": {"p": 0.001}},
        {"GaussNoise": {"p": 0.001}},
    ]
    augment.draw(**write(tmp_path), stages={"a": rare}, out=str(tmp_path / "a.png"))
    flip, nothing, noise = rows_of(drawn)[-3:]
    assert [len(row) for row in (flip, nothing, noise)] == [2, 2, 1 + augment.DRAWS]
    assert (flip[1]["image"] == flip[0]["image"][:, ::-1]).all()
    assert (flip[1]["image"] != flip[0]["image"]).any()
    assert (nothing[1]["image"] == nothing[0]["image"]).all()
    assert all((panel["image"] != noise[0]["image"]).any() for panel in noise[1:])


def test_members_of_a_choice_come_one_by_one() -> None:
    found = list(augment.alone([{"HorizontalFlip": {"p": 0.5}}, *MOVES[1:]]))
    assert [name for name, _, _ in found] == ["HorizontalFlip", "Transpose", "RandomRotate90"]
    assert [spec for _, _, spec in found] == [[{name: {"p": 1.0}}] for name, _, _ in found]
    assert "OneOf (p: 0.5)" in found[1][1]
    assert found[0][1] == "p: 0.5"


def test_other_channels_than_the_image_stay_in_the_background(drawn: list, tmp_path: Path) -> None:
    files = write(tmp_path, use=["depth", "image"])
    augment.draw(**files, stages={"a": FLIPS}, out=str(tmp_path / "a.png"))
    assert all(((panel["image"] > 127) == (panel["masks"][0] > 0)).all() for panel in drawn)


def test_same_inputs_give_the_same_bytes_whatever_the_order_of_the_file(tmp_path: Path) -> None:
    made = []
    for name, order in (("one", 1), ("turned", -1)):
        out = tmp_path / f"{name}.png"
        files = write(tmp_path / name, order=order)
        augment.draw(**files, stages={"a": FLIPS, "b": []}, out=str(out))
        made.append(out.read_bytes())
    assert made[0] == made[1]
    other = tmp_path / "other.png"
    augment.draw(**files, stages={"a": FLIPS, "b": []}, out=str(other), seed=1)
    assert other.read_bytes() != made[0]
    with Image.open(other) as image:
        assert set(image.info) <= {"dpi"}


def test_tiles_of_middling_coverage_are_picked_and_empty_ones_only_in_need(tmp_path: Path) -> None:
    coverage = [0.0, 0.9, 0.31, 0.0, 0.14, 0.52, 0.31]  # of equal ones, the first by its id
    image = np.zeros((COUNT, 8, 8), np.uint8)
    ids = [f"t{number}" for number in range(COUNT)]
    for count, wanted in ((COUNT, ["t4", "t2", "t5"]), (2, ["t1", "t0"]), (1, ["t0"]), (0, [])):
        path = tmp_path / f"{count}.h5"
        table = pd.DataFrame({"id": np.array(ids[:count], object), "coverage": coverage[:count]})
        store.write(path, {"image": image[:count], "mask": image[:count]}, table[::-1])
        assert augment.pick(path) == wanted


def test_nothing_to_draw_gives_a_figure_that_says_so(
    drawn: list, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    said = []
    message = style.message
    monkeypatch.setattr(style, "message", lambda out, text: (said.append(text), message(out, text)))
    augment.draw(**write(tmp_path), stages={"a": [], "b": []}, out=str(tmp_path / "a.png"))
    assert not drawn
    assert said == ["Augmentation of m: none in any stage"]
    assert (tmp_path / "a.png").stat().st_size > 1000


def test_a_stage_of_crops_is_drawn_on_its_windows(tmp_path: Path) -> None:
    files = write(tmp_path)
    height, width = SIZE
    window = {"size": [height // 2, width // 2], "positive": 1.0, "dark": 1}
    # This pipeline cannot be built for whole tiles.
    spec = [{"RandomResizedCrop": {"size": window["size"], "p": 0.5}}]
    windows = {"a": {"crop": window, "blackout": 0.5}}
    stages = {"a": spec, "b": FLIPS, "c": FLIPS}
    assert [names for names, _ in augment.pipelines(stages, windows)] == [["a"], ["b", "c"]]
    assert [names for names, _ in augment.pipelines({"a": FLIPS, "b": FLIPS}, windows)] == [
        ["a"],
        ["b"],
    ]
    with pytest.raises(InputError):
        augment.draw(**files, stages=stages, out=str(tmp_path / "a.png"))
    augment.draw(**files, stages=stages, out=str(tmp_path / "a.png"), windows=windows)
    preview = augment._Preview(str(files["data"]), str(files["channels"]), ["t1"], 0)
    rows = list(preview.rows(["a"], spec, windows["a"]))
    assert "of a window of" in rows[0].label
    for row in rows[1:2]:
        assert {image.shape[:2] for image, *_ in row.samples[1:]} == {(height // 2, width // 2)}
