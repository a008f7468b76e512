"""Figures of several classes and of wide images."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from settings_of import decision_settings
from test_decide_components import SPACE, data

from foldbelt import decide, store
from foldbelt.report import (
    balance,
    best_worst,
    classes,
    examples,
    pseudo,
    score_by,
    scoreboard,
    scores_page,
    selection,
    style,
    threshold,
)
from foldbelt.report import scores as scores_figure
from foldbelt.report.scored import Predicted

NAMES = ["1", "<b>", "3"]
SPEC = {"metric": "mean_dice", "space": SPACE, "bootstrap": 20}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Artefacts of a run of wide images of three classes, as paths by name."""
    root = tmp_path_factory.mktemp("wide")
    prob, truth, folds, label = data(1, n=18, shape=(9, 60, 3))
    truth[:3] = 0
    ids = [f"w{row:02d}.jpg" for row in range(18)]
    table = pd.DataFrame({"id": ids, "coverage": truth.any(-1).mean((1, 2))})
    for k, name in enumerate(NAMES):
        table[f"area_{name}"] = truth[..., k].mean((1, 2))
    image = prob.max(axis=-1)
    attrs = {"class_names": NAMES}
    store.write(root / "train.h5", {"image": image, "mask": truth}, table, attrs, classes=3)
    plain = {"mask": truth, "confidence": np.linspace(0.9, 1, 18, dtype=np.float32)}
    store.write(root / "pseudo.h5", plain, table[["id"]], {"tiles": 40}, classes=3)
    store.write(root / "oof.h5", {"prob": prob, "label_prob": label}, table[["id"]])
    scheme = pd.DataFrame({"id": ids, "fold": folds, "strata": "s", "group": ids})
    scheme.to_csv(root / "folds.csv", index=False)
    paths = {name: str(root / name) for name in ("train.h5", "oof.h5", "folds.csv", "pseudo.h5")}
    members = {"m": [paths["oof.h5"]]}
    found = decide.search_alone(
        members, paths["train.h5"], paths["folds.csv"], decision_settings(SPEC), 0
    )
    paths["decision"] = str(root / "decision.json")
    decide.save(found, paths["decision"])
    one = {"score": 0.9, "interval": [0.8, 0.95], "baseline": 0.7, "positives": 5}
    one |= {"on_positives": 0.6, "hidden": 0.88, "parameters": {"threshold": 0.5, "gate_mode": "x"}}
    scores = {"score": 0.9, "interval": [0.8, 0.95], "baseline": 0.7, "metric": "mean_dice"}
    scores["classes"] = dict.fromkeys(NAMES, one) | {"3": {**one, "hidden": None}}
    paths["scores"] = str(root / "scores.json")
    (root / "scores.json").write_text(json.dumps(scores))
    return paths


def figures(run):
    four = (run["oof.h5"], run["train.h5"], run["decision"], run["folds.csv"])
    train, names = run["train.h5"], classes.mask_names(run["train.h5"], 3)
    return {
        "examples.png": lambda out: examples.draw(train, out),
        "balance.svg": lambda out: balance.draw(run["folds.csv"], train, out, out + ".html"),
        "threshold.svg": lambda out: threshold.draw({0: run["decision"]}, out, names),
        "selection.svg": lambda out: selection.draw(decision=run["decision"], out=out),
        "worst.png": lambda out: best_worst.draw(*four, which="worst", out=out, count=2),
        "scores.svg": lambda out: scores_figure.draw(run["scores"], out),
        "pseudo.svg": lambda out: pseudo.draw({"m/0/fold0": run["pseudo.h5"]}, train, out),
        "score_by.svg": lambda out: score_by.draw(*four, out),
    }


@pytest.mark.parametrize("name", ["examples.png", "worst.png"])
def test_wide_images_are_shown_large(run, name, tmp_path):
    figures(run)[name](str(tmp_path / name))
    with Image.open(tmp_path / name) as image:
        assert image.size[0] > 900
        assert image.size[0] / image.size[1] < 4


@pytest.mark.parametrize(
    "name", ["threshold.svg", "balance.svg", "scores.svg", "pseudo.svg", "score_by.svg"]
)
def test_every_class_is_named(run, name, tmp_path):
    figures(run)[name](str(tmp_path / name))
    text = (tmp_path / name).read_text()
    for label in ("class 1", "&lt;b&gt;", "class 3"):
        assert label in text, label


def test_the_selection_names_what_it_tried(run, tmp_path):
    figures(run)["selection.svg"](str(tmp_path / "l.svg"))
    text = (tmp_path / "l.svg").read_text()
    assert "minimum component" in text
    assert "one set for all classes" in text


def test_images_hold_what_their_table_or_their_masks_say(run):
    table, masks = classes.presence(run["train.h5"]), classes.presence(run["pseudo.h5"])
    np.testing.assert_array_equal(table, masks)
    assert table.any()
    assert not table.all()
    ids = store.read(run["train.h5"], "id").tolist()
    backwards = classes.presence(run["train.h5"], ids[::-1])
    np.testing.assert_array_equal(backwards, table[::-1])
    np.testing.assert_array_equal(classes.presence(run["pseudo.h5"], ids[::-1]), masks[::-1])


def test_an_image_of_several_classes_is_of_the_rarest():
    there = np.array([[1, 1, 0], [1, 0, 0], [1, 0, 1], [0, 0, 1], [0, 0, 0], [1, 0, 1]], bool)
    assert classes.kinds(there).tolist() == [2, 1, 3, 3, 0, 3]


def test_the_class_that_lost_most_is_shown():
    truth, mask = np.zeros((2, 4, 20, 3), np.uint8)
    truth[:, :5, 0] = mask[:, :5, 0] = 1
    truth[:, :8, 1], mask[:, :4, 1] = 1, 1
    one = Predicted(mask, mask > 0, truth, None)
    scores = best_worst._scores(one, "mean_dice")
    assert scores.tolist() == [1, 2 * 16 / 48, 1]
    assert best_worst._most_telling(one, scores) == 1
    assert best_worst._most_telling(one, np.ones(3)) == 1  # of equals the one with the most pixels


def test_classes_stand_below_the_scores(run, tmp_path):
    found = json.loads(Path(run["scores"]).read_text())
    listed = scoreboard.by_class(found)
    assert [one.label for one in listed] == ["class 1", "<b>", "class 3"]
    assert (listed[0].low, listed[0].baseline, listed[0].positives) == (0.8, 0.7, 5)
    assert scoreboard.by_class({"score": 0.5}) == []
    scores_page.write(run["scores"], str(tmp_path / "s.html"))
    text = (tmp_path / "s.html").read_text()
    assert "<b>" not in text
    for part in ("&lt;b&gt;", "+0.2000", "0.8800", "0.6000", "gate mode"):
        assert part in text, part


def test_the_balance_counts_the_images_of_each_class_before_the_means(run, tmp_path):
    page = tmp_path / "b.html"
    balance.draw(run["folds.csv"], run["train.h5"], str(tmp_path / "b.svg"), str(page))
    text = page.read_text()
    there = classes.presence(run["train.h5"])
    folds = pd.read_csv(run["folds.csv"])["fold"].to_numpy()
    counts = [[fold, (folds == fold).sum(), *there[folds == fold].sum(axis=0)] for fold in (0, 1)]
    for line in [*counts, ["all", len(there), *there.sum(axis=0)]]:
        assert "".join(f'<td class="n">{value}</td>' for value in line) in text, line
    assert text.index("&lt;b&gt;") < text.index("area_&lt;b&gt;")
    assert "<b>" not in text


def test_the_balance_leaves_out_what_is_the_same_in_all_images():
    images = pd.DataFrame({"id": ["a", "b"], "<b>": 0.5, "images": 7.0, "black": [0.0, 1.0]})
    shown = {"fold": [0, 1], "images": [1, 1], "groups": [1, 1]}
    means = {"<b>": [0.5, 0.5], "images (column)": [7.0, 7.0], "black": [0.0, 1.0]}
    text = balance._means(pd.DataFrame({**shown, **means}), images)
    assert re.findall('<th class="n">(.*?)</th>', text) == [*shown, "black"]
    assert "same in all images: &lt;b&gt; 0.5, images 7." in text
    alone = balance._means(pd.DataFrame({**shown, **means})[:1], images[:1])
    assert "same in all images" not in alone  # of a single image everything is


def test_the_hidden_column_stands_only_where_there_is_hidden_truth(run, tmp_path):
    found = json.loads(Path(run["scores"]).read_text())
    for one in found["classes"].values():
        one["hidden"], one["score"] = None, 0.6
    (tmp_path / "s.json").write_text(json.dumps(found))
    scores_page.write(str(tmp_path / "s.json"), str(tmp_path / "without.html"))
    scores_page.write(run["scores"], str(tmp_path / "with.html"))
    plain, text = ((tmp_path / f"{name}.html").read_text() for name in ("without", "with"))
    assert ">hidden</th>" in text
    assert ">hidden</th>" not in plain
    assert '<td class="n">−0.1000</td>' in plain


def test_the_best_images_say_where_a_class_is_missed():
    truth, mask = np.zeros((2, 4, 20, 3), np.uint8)
    truth[:, :5, 0] = mask[:, :5, 0] = truth[:, 8:, 1] = 1
    one = Predicted(mask, mask > 0, truth, None)
    assert best_worst._misses(one, best_worst._scores(one, "mean_dice"))
    whole = Predicted(truth, truth > 0, truth, None)
    assert not best_worst._misses(whole, best_worst._scores(whole, "mean_dice"))
    rows = pd.DataFrame({"score": [0.9, 0.6], "coverage": [0.5, 0.5]})
    assert "in 1 of these 2 a class" in best_worst._title(rows, rows, "best", True, 1)
    assert "scores 0" not in best_worst._title(rows, rows, "best", True, 0)


def test_labels_and_likeness_stand_in_the_table(run, tmp_path):
    found = json.loads(Path(run["scores"]).read_text())
    scores_page.write(run["scores"], str(tmp_path / "without.html"))
    labels = {"net/round0": {"auc": {"<i>": 0.75, "other": None}, "log_loss": 0.25}}
    like = {"score": 0.81, "interval": [0.7, 0.9], "difference": -0.02, "auc": 0.66}
    like |= {"difference_interval": [-0.04, 0.01], "effective_images": 12.3, "flattening": 1.0}
    (tmp_path / "s.json").write_text(json.dumps({**found, "labels": labels, "like_test": like}))
    scores_page.write(str(tmp_path / "s.json"), str(tmp_path / "with.html"))
    plain, text = ((tmp_path / f"{name}.html").read_text() for name in ("without", "with"))
    assert "<i>" not in text
    for part in (
        "net, round 0",
        "&lt;i&gt;",
        "0.750",
        "0.2500",
        "AUC of 0.66",
        "0.8100",
        "−0.0200",
    ):
        assert part in text, part
        assert part not in plain, part


def test_intervals_have_as_many_draws_as_the_config_says(run, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(score_by, "interval", lambda *a, n: asked.append(n) or (0.4, 0.6))
    four = (run["oof.h5"], run["train.h5"], run["decision"], run["folds.csv"])
    score_by.draw(*four, str(tmp_path / "s.svg"), draws=123)
    assert len(asked) > 5
    assert set(asked) == {123}


def test_no_two_classes_look_alike_nor_colours_repeat_beside_an_image():
    assert len({classes.look(channel) for channel in range(36)}) == 36
    assert best_worst._colours(3, [0, 1, 2]) == list(style.CLASS_COLOURS[:3])
    colours = best_worst._colours(15, [2, 9, 11])
    assert len({colours[channel] for channel in (2, 9, 11)}) == 3
    assert colours.count(style.PALE) == 12
