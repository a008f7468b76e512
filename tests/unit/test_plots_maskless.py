"""Figures of data without masks: boxes and labels are shown, counted and named."""

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
from foldbelt.report import balance, box_examples, examples, known, style
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
    outline, tile = box_examples.outline, style.tile

    def record_tile(axes: Any, image: np.ndarray, *more: Any, **how: Any) -> None:
        shown[id(axes)] = next(n for n, one in enumerate(images) if np.array_equal(one, image))
        drawn[shown[id(axes)]] = []
        tile(axes, image, *more, **how)

    def record(axes: Any, row: np.ndarray, *more: Any) -> None:
        drawn[shown[id(axes)]].append(row)
        outline(axes, row, *more)

    monkeypatch.setattr(style, "tile", record_tile)
    monkeypatch.setattr(box_examples, "outline", record)
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
