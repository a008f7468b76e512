"""Figures and pages: same bytes, the right images shown, all text escaped, no crash on nothing."""

import dataclasses
import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from foldbelt import store
from foldbelt.decide import Decision
from foldbelt.folds import splitting
from foldbelt.metrics import score_images
from foldbelt.report import balance as balances
from foldbelt.report import (
    best_worst,
    coverage,
    examples,
    pages,
    problems,
    provenance,
    pseudo,
    score_by,
    scoreboard,
    scored,
    scores,
    scores_page,
    selection,
    style,
    threshold,
    training,
)
from foldbelt.report import channels as channels_figure

HOSTILE = "<script>alert(1)</script>"


@dataclasses.dataclass
class Run:
    """Paths of the artefacts of a tiny run."""

    root: Path
    train: str
    folds: str
    oof: str
    decision: str


def make(
    root: Path,
    count: int = 14,
    classes: int = 1,
    rgb: bool = False,
    folds: int = 2,
    original: bool = False,
    label: bool = False,
    names: list[str] | None = None,
) -> Run:
    """Write the artefacts of a run of 20×24 images, whose decision holds no image scores."""
    root.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(count + classes)
    image = random.integers(0, 256, (count, 20, 24, *((3,) if rgb else ())), dtype=np.uint8)
    mask = np.zeros((count, 20, 24, classes), np.uint8)
    for row in range(count):
        for k in range(classes):
            mask[row, : (row % 4) * 5, k * 4 :, k] = 1
    prob = np.clip(mask * 150 + random.integers(0, 140, mask.shape), 0, 255).astype(np.uint8)
    flat = (mask, prob) if classes > 1 else (mask[..., 0], prob[..., 0])
    ids = names or [f"im{row:02d}" for row in range(count)]
    table = pd.DataFrame({"id": ids, "coverage": mask.any(-1).mean((1, 2)), "depth": 0.0})
    table["depth"] = np.arange(count, dtype=np.float64)
    ignore = np.zeros((count, 20, 24), np.uint8)
    ignore[:, :3, :3] = 1
    arrays: dict = {"image": image, "mask": flat[0]}
    if original:
        sizes = random.integers(15, 60, (count, 2))
        table["height"], table["width"] = sizes.T
        arrays["original"] = [
            _enlarged(m, size, classes) for m, size in zip(mask, sizes, strict=True)
        ]
    else:
        arrays["ignore"] = ignore
    store.write(root / "train.h5", arrays, table, classes=classes)
    blended = {"prob": flat[1]}
    if label:
        blended["label_prob"] = random.random((count, 1)).astype(np.float32)
    store.write(root / "oof.h5", blended, pd.DataFrame({"id": ids}))
    scheme = pd.DataFrame({"id": ids, "fold": np.arange(count) % folds})
    scheme["strata"], scheme["group"] = [f"s{row % 3}" for row in range(count)], ids
    scheme.to_csv(root / "folds.csv", index=False)
    # The folds' parameters differ, so that it shows whose are used.
    per_fold = [
        {"fold": fold, "params": _params(0.3 + 0.3 * fold, classes), "score": 0.5, "images": 1}
        for fold in range(folds)
    ]
    curve = {
        "threshold": [0.3, 0.5],
        "all": [0.4, 0.6],
        "folds": {"0": [0.4, 0.5], "1": [0.4, 0.7]},
    }
    decision = Decision(
        params=_params(0.5, classes),
        metric="mean_dice",
        score=0.6,
        optimistic=0.61,
        interval=[0.5, 0.7],
        per_fold=per_fold,
        gate_on="label" if label else "peak",
        curves=[{"class": k, **curve} for k in range(classes)],
        images={"score": [0.0] * count},
        selection=[
            _candidate("threshold", None),
            _candidate(HOSTILE, -0.1),
            _candidate("gate", 0.2),
        ],
    )
    (root / "decision.json").write_text(json.dumps(decision.to_dict()))
    names_ = ("train.h5", "folds.csv", "oof.h5", "decision.json")
    return Run(root, *(str(root / name) for name in names_))


def _candidate(step: str, difference: float | None) -> dict:
    interval = None if difference is None else [difference - 0.1, difference + 0.1]
    kept = difference is None or difference > 0
    return {
        "step": step,
        "score": 0.5,
        "difference": difference,
        "interval": interval,
        "kept": kept,
    }


def _params(threshold: float, classes: int) -> dict:
    params = {"threshold": threshold, "min_area": 2.0, "gate": 0.1}
    return {name: value if classes == 1 else [value] * classes for name, value in params.items()}


def _enlarged(mask: np.ndarray, size: np.ndarray, classes: int) -> np.ndarray:
    height, width = (int(side) for side in size)
    rows, columns = np.arange(height) * 20 // height, np.arange(width) * 24 // width
    ignore = np.zeros((height, width), bool)
    ignore[:4] = True
    return store.encode_original(mask[rows][:, columns], ignore)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return make(tmp_path_factory.mktemp("run"))


@pytest.fixture
def balance(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand in for the table that another room measures."""
    measured = pd.DataFrame({"fold": [0, 1], "name": [HOSTILE, "b"], "share": [0.5, np.nan]})
    monkeypatch.setattr(splitting, "balance", lambda folds, data: measured)


def channels(run: Run) -> str:
    out = str(run.root / "channels.h5")
    count = store.length(run.train)
    x = np.arange(count * 32 * 32 * 2, dtype=np.int64).reshape(count, 32, 32, 2).astype(np.uint8)
    attrs = {"names": ["image", "depth"], "scale": [0.02, 0.01], "offset": [-2.0, -1.0]}
    attrs |= {"resize_mode": "pad-reflect", "size": [32, 32], "source": [20, 24]}
    attrs |= {"whiten": {"method": "zca"}}
    store.write(out, {"x": x}, store.table(run.train)[["id"]], attrs)
    return out


def history(root: Path, name: str, epochs: int = 3, metric: bool = True) -> str:
    path = root / f"{name}.csv"
    steps = np.arange(1, epochs + 1)
    table = pd.DataFrame(
        {"epoch": steps, "lr": 0.1, "train_loss": 1 / steps, "valid_loss": 2 / steps}
    )
    table["valid_metric"] = 1 - 1 / steps if metric else np.nan
    table.to_csv(path, index=False)
    return str(path)


SCORES = {
    "score": 0.8,
    "interval": [0.7, 0.9],
    "optimistic": 0.82,
    "baseline": 0.4,
    "hidden": 0.83,
    "members": {f"{HOSTILE}/round0": 0.7, "b/round10": 0.6, "b/round2": 0.5},
    "member_intervals": {"b/round2": [0.4, 0.6]},
    "rounds": [0.75, 0.8],
    "round_intervals": [[0.7, 0.8], [0.7, 0.9]],
    "differences": [{"of": "x", "over": HOSTILE, "difference": 0.1, "interval": [-0.1, 0.2]}],
    "select": {HOSTILE: {"bce": "best"}},
}


def pseudo_file(path: Path, count: int) -> str:
    masks = np.zeros((count, 20, 24), np.uint8)
    masks[::2, :10] = 1
    table = pd.DataFrame({"id": [f"t{row}" for row in range(count)]})
    arrays = {"mask": masks, "confidence": np.linspace(0.9, 1, count, dtype=np.float32)}
    store.write(path, arrays, table, {"tiles": 40})
    return str(path)


def every(run: Run) -> dict[str, Callable[[str], None]]:
    """Name each figure with a function that draws it."""
    files = {f"m/round0/fold{f}": pseudo_file(run.root / f"p{f}.h5", 4 + f) for f in range(2)}
    (run.root / "scores.json").write_text(json.dumps(SCORES))
    histories = {
        f"round 0/fold {fold}/{stage}": history(run.root, f"{fold}{stage}", 3 + fold)
        for fold in range(2)
        for stage in ("bce", "lovasz")
    }
    four = (run.oof, run.train, run.decision, run.folds)
    recipe = channels(run)
    return {
        "examples.png": lambda out: examples.draw(run.train, out),
        "channels.png": lambda out: channels_figure.draw(run.train, {"base": recipe}, out),
        "balance.svg": lambda out: balances.draw(run.folds, run.train, out, out + ".html"),
        "curves.svg": lambda out: training.draw(histories, "m, round 0", out),
        "threshold.svg": lambda out: threshold.draw({0: run.decision}, out),
        "selection.svg": lambda out: selection.draw(decision=run.decision, out=out),
        "worst.png": lambda out: best_worst.draw(*four, which="worst", out=out, count=2),
        "best.png": lambda out: best_worst.draw(*four, which="best", out=out, count=2),
        "scores.svg": lambda out: scores.draw(str(run.root / "scores.json"), out),
        "pseudo.svg": lambda out: pseudo.draw(files, run.train, out),
        "score_by.svg": lambda out: score_by.draw(*four, out),
    }


@pytest.mark.usefixtures("balance")
def test_same_inputs_give_the_same_bytes_without_time_or_version(run: Run, tmp_path: Path) -> None:
    drawn = every(run)
    for name in ("best.png", "channels.png"):  # made as worst.png is
        del drawn[name]
    for name, draw in drawn.items():
        first, second = tmp_path / "a" / name, tmp_path / "b" / name
        draw(str(first))
        draw(str(second))
        assert first.read_bytes() == second.read_bytes(), name
        text = first.read_bytes()
        assert b"matplotlib.org" not in text, name
        assert b"dc:date" not in text, name
        if first.suffix == ".png":
            with Image.open(first) as image:
                assert image.size[0] > 300
                assert set(image.info) <= {"dpi"}


@pytest.mark.parametrize("which", ["worst", "best"])
def test_shown_are_the_most_extreme_scores(which: str) -> None:
    random = np.random.default_rng(3)
    rows = pd.DataFrame(
        {"id": [f"i{n}" for n in range(60)], "score": random.integers(0, 11, 60) / 10}
    )
    rows["coverage"] = random.integers(0, 3, 60) / 3
    picked = best_worst.rank(rows, which, 9, seed=1)
    left = rows.drop(picked.index)
    if which == "worst":
        assert picked["score"].max() <= left["score"].min()
        assert picked["score"].is_monotonic_increasing
    else:
        assert (picked["coverage"] > 0).all()
        assert picked["score"].min() >= left.loc[left["coverage"] > 0, "score"].max()
    shuffled = best_worst.rank(rows.sample(frac=1, random_state=0), which, 9, seed=1)
    assert shuffled["id"].tolist() == picked["id"].tolist()
    assert len(best_worst.rank(rows, which, 100, seed=1)) == 60


def test_the_best_fall_back_on_empty_images_and_other_names_are_refused() -> None:
    rows = pd.DataFrame({"id": ["a", "b"], "score": [0.2, 1.0], "coverage": [0.5, 0.0]})
    assert best_worst.rank(rows, "best", 5, seed=0)["id"].tolist() == ["a", "b"]
    with pytest.raises(ValueError, match="'finest'"):
        best_worst.rank(rows, "finest", 5, seed=0)


def test_images_are_decided_with_the_parameters_of_their_own_fold(run: Run) -> None:
    rows = scored.score_rows(run.oof, run.train, run.decision, run.folds).set_index("id")
    prob, truth = store.read(run.oof, "prob"), store.read(run.train, "mask")
    for row, name in enumerate(store.read(run.train, "id")):
        threshold = 0.3 if row % 2 == 0 else 0.6
        pred = prob[row] / 255 > threshold
        ignore = store.read(run.train, "ignore", [name])
        score = score_images("mean_dice", truth[row][None], pred[None], ignore)[0]
        assert rows.loc[name, "score"] == pytest.approx(score), name


def test_scores_of_the_decision_are_taken_where_it_names_its_images(
    run: Run, tmp_path: Path
) -> None:
    found = json.loads(Path(run.decision).read_text())
    ids = store.read(run.train, "id").tolist()
    found["images"] = {"id": ids[::-1], "score": [n / 100 for n in range(len(ids))]}
    path = tmp_path / "decision.json"
    path.write_text(json.dumps(found))
    rows = scored.score_rows(run.oof, run.train, str(path), run.folds)
    assert dict(zip(rows["id"], rows["score"], strict=True)) == dict(
        zip(ids[::-1], found["images"]["score"], strict=True)
    )


TILES = ("examples.png", "channels.png", "worst.png", "threshold.svg", "score_by.svg")


@pytest.mark.usefixtures("balance")
@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({"classes": 3, "rgb": True, "original": True, "count": 6}, TILES),
        (
            {"count": 1, "folds": 1, "label": True, "names": [HOSTILE + "$x^$"]},
            (*TILES, "best.png", "balance.svg"),
        ),
    ],
)
def test_classes_colours_sizes_and_single_images_are_drawn(
    options: dict, names: tuple[str, ...], tmp_path: Path
) -> None:
    drawn = every(make(tmp_path / "run", **options))
    for name in names:
        drawn[name](str(tmp_path / name))
        assert (tmp_path / name).stat().st_size > 1000, name


@pytest.mark.usefixtures("balance")
def test_nothing_to_draw_gives_a_figure_that_says_so(run: Run, tmp_path: Path) -> None:
    empty = tmp_path / "empty.h5"
    none = pd.DataFrame({"id": np.array([], object), "coverage": np.array([], np.float64)})
    image = np.zeros((0, 20, 24), np.uint8)
    store.write(empty, {"image": image, "mask": image, "prob": image}, none)
    folds = tmp_path / "folds.csv"
    folds.write_text("id,fold,strata,group\n")
    flat = tmp_path / "flat.json"
    flat.write_text(json.dumps({**json.loads(Path(run.decision).read_text()), "curves": []}))
    four = (str(empty), str(empty), run.decision, str(folds))
    nothing = {"m/round0/fold0": pseudo_file(tmp_path / "p.h5", 0)}
    out = {n: str(tmp_path / f"{n}.svg") for n in range(9)}
    examples.draw(str(empty), out[0])
    channels_figure.draw(str(empty), {}, out[1])
    balances.draw(str(folds), str(empty), out[2], str(tmp_path / "balance.html"))
    training.draw({}, "m", out[3])
    threshold.draw({0: str(flat)}, out[4])
    best_worst.draw(*four, which="worst", out=out[5])
    score_by.draw(*four, out[6])
    pseudo.draw({}, None, out[7])
    pseudo.draw(nothing, None, out[8])
    for path in out.values():
        assert "<svg" in Path(path).read_text()


def test_curves_cope_with_one_epoch_and_no_metric(tmp_path: Path) -> None:
    files = {
        "round 0/fold 0/a": history(tmp_path, "a", 1),
        "round 0/fold 1/a": history(tmp_path, "b", 2),
    }
    training.draw(files, "m", str(tmp_path / "one.svg"))
    training.draw(
        {"round 0/fold 0/a": history(tmp_path, "c", 2, metric=False)}, "m", str(tmp_path / "no.svg")
    )


@pytest.mark.usefixtures("balance")
def test_pages_escape_what_users_wrote_and_need_nothing_from_outside(
    run: Run, tmp_path: Path
) -> None:
    found, config, numbers = (tmp_path / name for name in ("p.csv", "c.yaml", "s.json"))
    found.write_text(f"file,reason,action\n{HOSTILE}.png,{HOSTILE},dropped\nb,{HOSTILE},dropped\n")
    config.write_text(f"run: '{HOSTILE}'\nstages:\n  '{HOSTILE}': {{epochs: 3}}\n")
    numbers.write_text(json.dumps(SCORES))
    out = [str(tmp_path / f"{n}.html") for n in range(4)]
    problems.write(str(found), out[0])
    provenance.write(
        str(config),
        {HOSTILE: HOSTILE, "p": dict.fromkeys("abcd", HOSTILE)},
        {"seconds": {HOSTILE: 3.0}, "made_on": [{"device": HOSTILE, "files": 2}]},
        out[1],
    )
    scores_page.write(str(numbers), out[2])
    balances.draw(run.folds, run.train, str(tmp_path / "b.svg"), out[3])
    for path in out:
        text = Path(path).read_text(encoding="utf-8")
        assert "<script" not in text.lower()
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
        assert not re.search(r"(src|href)\s*=|url\(|@import", text)


def test_problems_page_says_when_there_are_none(tmp_path: Path) -> None:
    found, out = tmp_path / "p.csv", tmp_path / "p.html"
    found.write_text("file,reason,action\n")
    problems.write(str(found), str(out), checked=4000)
    assert "No problems found in 4,000 images" in out.read_text()


def test_provenance_page_holds_config_versions_and_durations(tmp_path: Path) -> None:
    config, out = tmp_path / "c.yaml", tmp_path / "c.html"
    config.write_text("run: demo\nmodels: {unet: {folds: base}}\n")
    environment = {"git": {"commit": "abc123", "dirty": False}, "memory": 2**33, "gpus": []}
    scores = {"seconds": {"train": 3725.0, "ingest": 4.24}}
    made = {"device": "H100", "torch": "2.9", "files": 6}
    scores["made_on"] = [made, {**made, "torch": "2.11", "files": 3}]
    provenance.write(str(config), environment, scores, str(out))
    text = out.read_text()
    assert "Made with different torch (2.9, 2.11)" in text
    assert "H100" in text
    for part in ("abc123", "8.0 GiB", "1 h 02 min", "4.2 s", "folds: base", "run: demo"):
        assert part in text
    assert text.index("train") < text.index("ingest")  # the longest first


def test_score_table_keeps_the_order_of_rounds_and_marks_the_last_blend() -> None:
    listed = scoreboard.entries(SCORES)
    assert [entry.kind for entry in listed] == [
        "baseline", "member", "member", "member", "blend", "score", "hidden",
    ]  # fmt: skip
    assert [entry.label for entry in listed[2:4]] == ["b, round 2", "b, round 10"]
    assert (listed[2].low, listed[2].high) == (0.4, 0.6)
    assert listed[5].optimistic == 0.82
    assert [entry.kind for entry in scoreboard.entries({"score": 0.5})] == ["score"]


def test_coverage_classes_keep_empty_images_apart() -> None:
    shares = np.array([0, 1e-9, 0.1, 0.11, 0.25, 0.5, 0.75, 0.76, 1])
    assert coverage.coverage_class(shares).tolist() == [0, 1, 1, 2, 2, 3, 4, 5, 5]
    assert [coverage.class_name(n) for n in (0, 1, 5)] == ["empty", "0–10 %", "75–100 %"]


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0, "0 %"),
        (0.0001, "<0.1 %"),
        (0.083, "8.3 %"),
        (0.0999, "10 %"),
        (1, "100 %"),
        (np.nan, "–"),
    ],
)
def test_shares_are_written_with_the_digits_they_need(share: float, text: str) -> None:
    assert style.percent(share) == text


def test_numbers_have_minus_signs_and_words_keep_their_hyphens() -> None:
    text = "leave-one-out -0.02 (-.5 to 1e-05) on 2020-01-02, conv-3"
    assert style.minus(text) == "leave-one-out −0.02 (−.5 to 1e−05) on 2020-01-02, conv-3"
    made = pages.rows(["", "n"], [["-1", -0.0083]], [False, True])
    assert "<td>-1</td>" in made  # a text of the user's
    assert '<td class="n">−0.0083</td>' in made


def test_long_ids_keep_both_ends() -> None:
    assert style.shorten("abcdefghij", 10) == "abcdefghij"
    assert style.shorten("abcdefghijk", 6) == "ab…ijk"


def test_panels_lie_on_rounded_places_which_the_solver_alone_does_not_give(tmp_path: Path) -> None:
    with style.figure(str(tmp_path / "a.svg"), "t", 5, 3) as made:
        made.subplots(1, 3)
    bounds = [side for axes in made.axes for side in axes.get_position(original=True).bounds]
    assert np.allclose(bounds, np.round(bounds, 5), rtol=0, atol=1e-12)
    assert len(set(bounds)) > 3


@pytest.mark.parametrize(("bands", "shown"), [(2, (5, 4)), (3, (5, 4, 3)), (5, (5, 4, 3))])
def test_any_number_of_bands_can_be_shown(bands: int, shown: tuple[int, ...]) -> None:
    assert style.visible(np.zeros((5, 4, bands), np.uint8)).shape == shown


def test_a_file_that_a_model_started_from_is_named_beside_its_scores(tmp_path: Path) -> None:
    pages = []
    for kept in (["last"], ["started from w.pt", "last"]):
        (tmp_path / "scores.json").write_text(json.dumps({**SCORES, "select": {"net": kept}}))
        scores_page.write(str(tmp_path / "scores.json"), str(tmp_path / "out.html"))
        pages.append((tmp_path / "out.html").read_text())
    assert "started from" not in pages[0]
    assert "started from w.pt" in pages[1]
    assert "have seen their own answer" in pages[1]
