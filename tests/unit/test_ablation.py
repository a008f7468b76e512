"""The table of an ablation: who is compared with whom, how surely, and at what cost."""

import numpy as np
import pandas as pd
import pytest

from foldbelt import decide
from foldbelt.evaluate import ablation
from foldbelt.files import InputError
from foldbelt.report import ablation as figure

IDS = [f"i{number:02}" for number in range(40)]


def scored(path, scores, ids=None):
    """Write what score_variant writes: one score an image, two folds, groups of two."""
    ids = IDS if ids is None else ids
    numbers = [int(name[1:]) for name in ids]
    images = {
        "score": list(map(float, scores)),
        "id": list(ids),
        "group": [f"g{number // 2}" for number in numbers],
        "fold": [number // 2 % 2 for number in numbers],
    }
    mean = float(np.mean(scores))
    decide.save(decide.Decision(params={}, score=mean, optimistic=mean, images=images), path)
    return str(path)


def compare(tmp_path, variants, **more):
    results = {
        name: [scored(tmp_path / f"{name}{i}.json", one) for i, one in enumerate(seeds)]
        for name, seeds in variants.items()
    }
    arguments = {"train_benchmarks": {}, "predict_benchmarks": {}, "seeds": [3, 5, 7]} | more
    out = tmp_path / "ablation.csv"
    ablation.run(results=results, base="base", out=out, **arguments)
    return pd.read_csv(out).set_index("variant")


@pytest.fixture
def base():
    random = np.random.default_rng(0)
    return [random.random(40) / 2 + 0.2 for _ in range(3)]


def test_verdicts(tmp_path, base):
    noise = np.random.default_rng(1).normal(0, 0.2, 40)
    variants = {
        "base": base,
        "same": base,
        "better": [one + 0.1 for one in base],
        "worse": [one - 0.1 for one in base],
        "noisy": [one + noise - noise.mean() + 0.001 for one in base],
        "lucky": [one + step for one, step in zip(base, [0.2, 0.0, 0.01], strict=True)],
    }
    table = compare(tmp_path, variants)
    assert dict(table["verdict"]) == {
        "base": "base",
        "same": "undecided",
        "better": "helps",
        "worse": "harms",
        "noisy": "undecided",
        "lucky": "undecided",
    }
    assert list(table.index) == sorted(table.index, key=lambda name: -table["difference"][name])
    assert table.loc["same", ["difference", "low", "high"]].tolist() == [0, 0, 0]
    assert table.loc["better", ["low", "difference", "high"]].tolist() == pytest.approx([0.1] * 3)
    low, high = table.loc["lucky", ["low", "high"]]
    assert low < 0 < 0.2 < high, "one training of three was lucky, whatever the images say"


def test_two_seeds_give_no_verdict(tmp_path, base):
    table = compare(tmp_path, {"base": base[:2], "x": [b + 0.1 for b in base[:2]]}, seeds=[3, 5])
    assert table.loc["x", "verdict"] == "no verdict: 2 seeds of at least 3"
    assert np.isnan(table.loc["x", "low"])
    figure.draw(table=tmp_path / "ablation.csv", out=str(tmp_path / "a.svg"))
    text = (tmp_path / "a.svg").read_text().replace("\n", " ")
    assert "Of 1 variant, 0 helping" in text
    assert "without a verdict" in text
    assert "|  | no verdict: 2 seeds" in ablation.describe(tmp_path / "ablation.csv")


def test_what_only_one_of_both_saw_is_a_leak_and_what_both_saw_a_note(tmp_path, base):
    better = [one + 0.1 for one in base]
    seen = {"base": ["plateau"], "x": ["plateau"], "y": ["plateau", "select: best"], "z": []}
    variants = {"base": base, "x": better, "y": better, "z": better}
    table = compare(tmp_path, variants, seen=seen)
    assert table["verdict"].to_dict() == {
        "base": "base",
        "x": "helps",
        "y": "leak: select: best",
        "z": "leak: plateau",
    }
    assert table.loc["base", "note"].startswith("sees plateau; 3 seeds; 5 tell more")
    assert table.loc["x", "note"] == "saw what the recipe saw: plateau"
    figure.draw(table=tmp_path / "ablation.csv", out=str(tmp_path / "a.svg"))
    assert "2 that saw other truths" in (tmp_path / "a.svg").read_text().replace("\n", " ")


def test_other_folds_are_a_leak(tmp_path, base):
    paths = [scored(tmp_path / f"{name}.json", base[0] + 0.1 * (name == "x")) for name in "bx"]
    found = decide.load(paths[1])
    found.images["fold"] = [*found.images["fold"][::-1][1:], 1]
    decide.save(found, paths[1])
    out = tmp_path / "ablation.csv"
    given = {"train_benchmarks": {}, "predict_benchmarks": {}, "seeds": [0, 1, 2]}
    results = {"base": paths[:1] * 3, "x": paths[1:] * 3, "y": paths[:1] * 3}
    ablation.run(results=results, base="base", out=out, **given)
    table = pd.read_csv(out).set_index("variant")
    assert table.loc["x", "difference"] == pytest.approx(0.1)
    assert table["verdict"].to_dict() == {
        "x": "leak: other folds",
        "base": "base",
        "y": "undecided",
    }
    assert "leak" in ablation.describe(out)


def test_differences_are_means_over_seeds_and_shown_seed_by_seed_and_fold_by_fold(tmp_path, base):
    step = np.array([0.2 if number // 2 % 2 else 0.0 for number in range(40)])
    both = {"base": base[:2], "x": [base[0] + step, base[1] - step]}
    table = compare(tmp_path, both, seeds=[3, 5])
    assert table.loc["x", "difference"] == pytest.approx(0, abs=1e-9)
    columns = ["seed3/fold0", "seed3/fold1", "seed5/fold0", "seed5/fold1"]
    assert table.loc["x", columns].tolist() == pytest.approx([0, 0.2, 0, -0.2], abs=1e-9)


def test_images_are_paired_by_id_not_by_place(tmp_path, base):
    order = np.random.default_rng(2).permutation(40)
    results = {
        "base": [scored(tmp_path / "b.json", base[0])] * 3,
        "x": [scored(tmp_path / "x.json", base[0][order], [IDS[i] for i in order])] * 3,
    }
    out = tmp_path / "ablation.csv"
    none = {"train_benchmarks": {}, "predict_benchmarks": {}}
    ablation.run(results=results, base="base", seeds=[0, 1, 2], out=out, **none)
    table = pd.read_csv(out).set_index("variant")
    assert table.loc["x", ["difference", "low", "high"]].tolist() == [0, 0, 0]


def test_costs_are_added_up_and_may_be_missing(tmp_path, base):
    for name, seconds, memory in (("a", 10, 900.5), ("b", 5, 1200)):
        text = f"s\th:m:s\tmax_rss\n{seconds}\t0:00:10\t{memory}\n"
        (tmp_path / f"{name}.txt").write_text(text)
    files = [str(tmp_path / name) for name in ("a.txt", "b.txt", "none.txt")]
    costs = {"train_benchmarks": {"x": files}, "predict_benchmarks": {"x": files[:1]}}
    table = compare(tmp_path, {"base": base, "x": base}, **costs)
    costs = table.loc["x", ["train_seconds", "predict_seconds", "memory_mb"]]
    assert costs.tolist() == [15, 10, 1200]
    assert np.isnan(table.loc["base", "train_seconds"])


def test_variants_of_other_images_are_refused_all_at_once(tmp_path, base):
    results = {
        "base": [scored(tmp_path / "base.json", base[0])],
        "x": [scored(tmp_path / "x.json", base[0][:30], IDS[:30])],
        "y": [scored(tmp_path / "y.json", base[0][5:], IDS[5:])],
    }
    with pytest.raises(InputError) as caught:
        ablation.run(
            results=results,
            base="base",
            seeds=[0],
            train_benchmarks={},
            predict_benchmarks={},
            out=tmp_path / "t.csv",
        )
    assert "x.json: lacks 10 images" in str(caught.value)
    assert "y.json: lacks 5 images" in str(caught.value)
    assert not (tmp_path / "t.csv").exists()


def test_figure_and_markdown_show_every_variant(tmp_path, base):
    compare(tmp_path, {"base": base, "x": [one + 0.1 for one in base]})
    figure.draw(table=tmp_path / "ablation.csv", out=str(tmp_path / "a.svg"))
    first = (tmp_path / "a.svg").read_bytes()
    figure.draw(table=tmp_path / "ablation.csv", out=str(tmp_path / "a.svg"))
    assert (tmp_path / "a.svg").read_bytes() == first
    text = ablation.describe(tmp_path / "ablation.csv")
    assert "| x | " in text
    assert "+0.1000" in text
    assert "helps" in text
