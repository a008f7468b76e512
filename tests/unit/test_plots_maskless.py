"""Figures of data without masks: boxes and labels are shown, counted and named."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text
from test_plots_crowded import check

from foldbelt import channels, store
from foldbelt.boxes import Boxes
from foldbelt.config import complete
from foldbelt.files import InputError
from foldbelt.folds import splitting
from foldbelt.report import augment, balance, box_drawing, examples, known, pseudo, style
from foldbelt.report import channels as channels_figure

COUNT = 24
LABELS = ["sun", "rain"]


def write(
    root: Path, boxes: int = 0, labels: bool = False, unknown: int = 0, **fold: Any
) -> dict[str, str]:
    """Write images with boxes of some classes and labels, the last ones without; their paths."""
    root.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(3)
    image = random.integers(0, 256, (COUNT, 32, 40), dtype=np.uint8)
    ids = [f"a-rather-long-name-{n:03d}" for n in range(COUNT)]
    table, arrays, attrs = pd.DataFrame({"id": ids, "side": 0.5}), {"image": image}, {}
    if boxes:
        counts = [n % 4 for n in range(COUNT)]
        rows = [
            [[(n + k) % boxes, 2 + 9 * k, 3, 9 + 9 * k, 20, 1] for k in range(count)]
            for n, count in enumerate(counts)
        ]
        table["boxes"] = [*counts[: COUNT - unknown], *[-1] * unknown]
        given = rows[: COUNT - unknown] + [[]] * unknown
        arrays["boxes"] = Boxes.join([np.reshape(r, (-1, 6)) for r in given]).to_bytes()
        attrs["box_names"] = [f"a-class-{k}" for k in range(boxes)]
    if labels:
        table["view"] = [LABELS[n % 3 == 0] for n in range(COUNT)]
        arrays["labels"] = np.array([[n % 3 != 0, n % 3 == 0] for n in range(COUNT)], np.float32)
        arrays["labels"][COUNT - unknown :] = np.nan
        attrs |= {"label_names": LABELS, "exclusive_labels": True}
    store.write(root / "train.h5", arrays, table, attrs, 0)
    columns = ["boxes"] * (boxes > 0) + ["view"] * labels
    scheme = complete("folds", {"count": 3, "stratify": columns, **fold})
    splitting.run(root / "train.h5", None, scheme, root / "folds.csv")
    recipe = complete("channels", {"whiten": "none", "size": [32, 40], "resize_mode": "resize"})
    channels.build(root / "train.h5", root / "x.h5", recipe)
    names = {"train": "train.h5", "folds": "folds.csv", "channels": "x.h5"}
    return {key: str(root / name) for key, name in names.items()}


KINDS: list[dict[str, Any]] = [
    {"boxes": 1},
    {"boxes": 1, "unknown": 5},
    {"boxes": 3},
    {"boxes": 8, "unknown": 5},
    {"labels": True},
    {"labels": True, "unknown": 5},
    {"boxes": 3, "labels": True, "unknown": 5},
]


def texts(made: Figure) -> str:
    """All that is written in a figure."""
    return "\n".join(text.get_text() for text in made.findobj(Text))


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """Check every figure for texts that are cut or overlap, and keep it."""
    figures: list[Figure] = []
    save = style.save

    def keep(made: Figure, out: str) -> None:
        save(made, out)
        check(made)
        figures.append(made)

    monkeypatch.setattr(style, "save", keep)
    return figures


@pytest.mark.parametrize("given", KINDS)
def test_data_without_masks_are_drawn(
    given: dict[str, Any], tmp_path: Path, kept: list[Figure]
) -> None:
    paths = write(tmp_path, **given)
    for again in ("a", "b"):
        examples.draw(paths["train"], str(tmp_path / f"{again}-examples.png"))
        channels_figure.draw(
            paths["train"], {"base": paths["channels"]}, str(tmp_path / f"{again}-channels.png")
        )
        out, page = (str(tmp_path / f"{again}-balance{end}") for end in (".svg", ".html"))
        balance.draw(paths["folds"], paths["train"], out, page)
    for path in tmp_path.glob("a-*"):
        assert path.read_bytes() == path.with_name("b" + path.name[1:]).read_bytes()
    sheet, _, folds = map(texts, kept[:3])
    page = (tmp_path / "a-balance.html").read_text()
    for figure, what in (("examples", sheet), ("balance", folds)):
        assert ("without boxes" in what.lower()) == ("boxes" in given), figure
    if "boxes" in given:
        names = [f"a-class-{k}" for k in range(given["boxes"])] if given["boxes"] > 1 else ["2 box"]
        assert all(name in sheet for name in names)
        assert all(name in page for name in names if given["boxes"] > 1)
    if "labels" in given:
        assert all(name in text for name in LABELS for text in (sheet, page))
    assert ("unknown" in sheet) == ("unknown" in given)


def test_every_box_is_drawn_on_its_own_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = write(tmp_path, boxes=3)
    table = store.table(paths["train"]).set_index("id")
    images = store.read(paths["train"], "image")
    drawn: dict[int, list[np.ndarray]] = {}
    shown: dict[int, int] = {}
    outline, tile = box_drawing.outline, style.tile

    def record_tile(axes: Any, image: np.ndarray, *more: Any, **how: Any) -> None:
        shown[id(axes)] = next(n for n, one in enumerate(images) if np.array_equal(one, image))
        drawn[shown[id(axes)]] = []
        tile(axes, image, *more, **how)

    def record(axes: Any, row: np.ndarray, *more: Any) -> None:
        drawn[shown[id(axes)]].append(row)
        outline(axes, row, *more)

    monkeypatch.setattr(style, "tile", record_tile)
    monkeypatch.setattr(box_drawing, "outline", record)
    examples.draw(paths["train"], str(tmp_path / "out.png"))
    truth = Boxes.from_bytes(list(store.read(paths["train"], "boxes")))
    assert drawn
    for number, rows in drawn.items():
        assert len(rows) == table["boxes"].iloc[number]
        assert np.array_equal(np.reshape(rows, (-1, 6)), truth.image(number))


def test_images_of_unknown_boxes_count_neither_as_empty_nor_as_full(
    tmp_path: Path, kept: list[Figure]
) -> None:
    paths = write(tmp_path, boxes=1, unknown=4)
    folds = pd.read_csv(paths["folds"])
    assert (folds["strata"] == "boxes missing").sum() == 4
    means = splitting.balance(paths["folds"], paths["train"])
    counts = store.table(paths["train"])["boxes"]
    expected = counts.where(counts >= 0).groupby(folds["fold"]).mean()
    assert np.allclose(means["boxes"], expected)
    examples.draw(paths["train"], str(tmp_path / "out.png"))
    assert "25 % without boxes, the median of the others holds 2, the fullest 3; boxes of 17 %" in (
        texts(kept[0]).replace("\n", " ")
    )


def test_a_fold_without_any_box_is_refused() -> None:
    table = pd.DataFrame({"id": list("abcd"), "boxes": [2, 0, 0, np.nan]})
    with pytest.raises(InputError, match=r"no positive image.*1 of 4 images have boxes.*`boxes`"):
        splitting.split(table, 2, [], None, 0)


def test_numbers_of_boxes_have_classes_with_names() -> None:
    counts = np.array([-1, 0, 1, 2, 3, 5, 6, 10, 11, 400])
    classes = known.count_class(counts)
    names = [known.count_names()[number] for number in classes]
    assert names == [
        *("unknown", "no box", "1 box", "2 boxes", "3–5 boxes", "3–5 boxes"),
        *("6–10 boxes", "6–10 boxes", "over 10 boxes", "over 10 boxes"),
    ]


def test_of_many_labels_the_most_common_have_a_row(tmp_path: Path, kept: list[Figure]) -> None:
    random = np.random.default_rng(0)
    labels = (random.random((COUNT, 30)) < np.linspace(0.02, 0.3, 30)).astype(np.float32)
    names = [f"label-{k:02d}" for k in range(30)]
    table = pd.DataFrame({"id": [f"i{n}" for n in range(COUNT)]})
    arrays = {"image": np.zeros((COUNT, 32, 40), np.uint8), "labels": labels}
    store.write(tmp_path / "train.h5", arrays, table, {"label_names": names}, 0)
    examples.draw(str(tmp_path / "train.h5"), str(tmp_path / "out.png"))
    written = texts(kept[0])
    assert "16 most common of 30" in written.replace("\n", " ")
    assert names[int(labels.sum(axis=0).argmax())] in written


# Augmentation


@dataclasses.dataclass
class Drawn:
    """A panel: its axes, what it shows, and the boxes and outlines over it."""

    axes: Any
    image: np.ndarray
    boxes: list[np.ndarray] = dataclasses.field(default_factory=list)
    outlines: int = 0


@pytest.fixture
def panels(monkeypatch: pytest.MonkeyPatch) -> list[Drawn]:
    """Record every panel."""
    drawn: list[Drawn] = []
    tile, box, outline = style.tile, box_drawing.outline, style.outline

    def record_tile(axes: Any, image: np.ndarray, *more: Any, **how: Any) -> None:
        drawn.append(Drawn(axes, image))
        tile(axes, image, *more, **how)

    def record_box(axes: Any, row: np.ndarray, *more: Any) -> None:
        assert drawn[-1].axes is axes
        drawn[-1].boxes.append(row[1:5])
        box(axes, row, *more)

    def record_outline(*given: Any) -> None:
        drawn[-1].outlines += 1
        outline(*given)

    monkeypatch.setattr(style, "tile", record_tile)
    monkeypatch.setattr(box_drawing, "outline", record_box)
    monkeypatch.setattr(style, "outline", record_outline)
    return drawn


MOVES = [
    {"HorizontalFlip": {"p": 0.5}},
    {"Affine": {"translate_percent": [-0.2, 0.2], "interpolation": 0, "p": 0.9}},
]


def write_bright(root: Path, masks: bool = False) -> dict[str, str]:
    """Write black images of which exactly the boxes are white."""
    image = np.zeros((6, 32, 40), np.uint8)
    rows = []
    for n in range(6):
        given = [[0, 3 + 12 * k, 5 + n, 10 + 12 * k, 14 + n, 1] for k in range(n % 3)]
        for _, x1, y1, x2, y2, _ in given:
            image[n, y1:y2, x1:x2] = 255
        rows.append(np.reshape(given, (-1, 6)))
    table = pd.DataFrame({"id": [f"i{n}" for n in range(6)], "boxes": [n % 3 for n in range(6)]})
    arrays: dict[str, Any] = {"image": image, "boxes": Boxes.join(rows).to_bytes()}
    if masks:
        arrays["mask"] = (image > 0).astype(np.uint8)
        table["coverage"] = arrays["mask"].mean((1, 2))
    store.write(root / "train.h5", arrays, table, {"box_names": ["object"]}, 1)
    recipe = complete("channels", {"whiten": "none", "size": [32, 40], "resize_mode": "resize"})
    channels.build(root / "train.h5", root / "x.h5", recipe)
    return {"data": str(root / "train.h5"), "channels": str(root / "x.h5")}


@pytest.mark.parametrize("masks", [False, True])
@pytest.mark.parametrize("crop", [None, {"size": 24, "positive": 0, "dark": 1}])
def test_boxes_move_with_their_image(
    masks: bool, crop: dict[str, Any] | None, tmp_path: Path, panels: list[Drawn]
) -> None:
    paths = write_bright(tmp_path, masks)
    window = {"crop": crop, "blackout": 0, "visible": 0.0}
    augment.draw(
        **paths,
        stages={"one": MOVES},
        model="net",
        out=str(tmp_path / "out.png"),
        windows={"one": window},
    )
    assert sum(len(panel.boxes) for panel in panels) > 20
    assert not any(panel.outlines for panel in panels)
    for panel in panels:
        inside = np.zeros(panel.image.shape[:2], bool)
        for x1, y1, x2, y2 in np.round(panel.boxes).astype(int).tolist():
            inside[y1:y2, x1:x2] = True
        assert ((panel.image > 127) == inside).mean() > 0.98


def test_a_model_of_labels_is_shown_images_with_different_labels(
    tmp_path: Path, panels: list[Drawn], kept: list[Figure]
) -> None:
    paths = write(tmp_path, labels=True)
    augment.draw(
        data=paths["train"],
        channels=paths["channels"],
        stages={"one": MOVES},
        model="net",
        out=str(tmp_path / "out.png"),
    )
    assert not any(panel.boxes or panel.outlines for panel in panels)
    written = texts(kept[0]).split("\n")
    assert set(LABELS) <= set(written)
    assert not any("dashed" in line or "mask" in line for line in written)


# Pseudo-labels


def write_pseudo(path: Path, ids: list[str], boxes: int, labels: bool) -> str:
    random = np.random.default_rng(len(ids))
    arrays: dict[str, Any] = {"confidence": random.random(len(ids)).astype(np.float32)}
    table = pd.DataFrame({"id": ids})
    if boxes:
        counts = [n % 3 for n in range(len(ids))]
        rows = [[[n % boxes, 2 + 9 * k, 3, 9, 20, 0.8] for k in range(c)]
                for n, c in enumerate(counts)]  # fmt: skip
        arrays["boxes"] = Boxes.join([np.reshape(r, (-1, 6)) for r in rows]).to_bytes()
        table["boxes"] = np.array(counts, np.int64)
    if labels:
        arrays["labels"] = np.tile(np.array([[0.7, 0.3]], np.float32), (len(ids), 1))
    store.write(path, arrays, table, {"tiles": 9}, 0)
    return str(path)


@pytest.mark.parametrize("given", KINDS)
def test_pseudo_labels_without_masks_are_set_beside_the_truth(
    given: dict[str, Any], tmp_path: Path, kept: list[Figure], monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = write(tmp_path, **given)
    kind = (given.get("boxes", 0), given.get("labels", False))
    files = {
        "net/round0/fold0": write_pseudo(tmp_path / "0.h5", ["a", "b", "c", "d"], *kind),
        "net/round0/fold1": write_pseudo(tmp_path / "1.h5", ["a", "b"], *kind),
        "net/round0/fold2": write_pseudo(tmp_path / "2.h5", [], *kind),
    }
    shown: list[pseudo.Shares] = []
    compare = pseudo._compare
    monkeypatch.setattr(
        pseudo, "_compare", lambda axes, one, *more: (shown.append(one), compare(axes, one, *more))
    )
    pseudo.draw(files, paths["train"], str(tmp_path / "out.svg"))
    assert "0 to 4 of 9 test images" in texts(kept[0])
    of_boxes = [one for one in shown if "box" in one.what]
    of_labels = [one for one in shown if "label" in one.what]
    assert (len(of_boxes), len(of_labels)) == (kind[0] > 0, kind[1])
    for one in of_boxes:
        assert one.admitted[0] == pytest.approx(3 / 6)  # a and d of four, a of two
        truth = known.read(paths["train"], store.read(paths["train"], "id"))
        told = truth.counts[truth.counts != known.UNKNOWN]
        assert one.training is not None
        assert one.training[0] == pytest.approx((told == 0).mean())
    for one in of_labels:
        assert one.names == LABELS
        assert one.admitted == pytest.approx([0.7, 0.3])
        assert one.training == pytest.approx([2 / 3, 1 / 3], abs=0.05)
