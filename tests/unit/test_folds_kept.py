"""When more training images come, those of an earlier run keep their folds."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from test_folds import STRATIFY, data, images_table

from foldbelt import folds, store
from foldbelt.bundle import writing
from foldbelt.config import complete, resolve
from foldbelt.files import InputError
from foldbelt.folds import dealing, keeping, splitting
from foldbelt.folds.dealing import NEW


def text(plan: pd.DataFrame) -> pd.DataFrame:
    """Give the columns that are kept, as a file has them."""
    return plan[["id", "fold"]].astype(str)


def grown(share: float, count: int, **options: object) -> tuple[pd.DataFrame, ...]:
    """Give a table, the plan of a part of its images, and that of all which keeps it."""
    table = images_table()
    old = table.sample(frac=share, random_state=7)
    before = splitting._plan(old, count, STRATIFY, "mosaic", 1, **options)
    after = splitting._plan(table, count, STRATIFY, "mosaic", 1, kept=text(before), **options)
    return table, before, after


@pytest.mark.parametrize("count", [2, 3, 5, 10])
@pytest.mark.parametrize("share", [0.2, 0.8])
def test_old_images_stay_groups_are_whole_and_folds_alike(count: int, share: float) -> None:
    table, before, after = grown(share, count)
    assert after["id"].tolist() == table["id"].tolist()
    fold = after.set_index("id")["fold"]
    assert fold[before["id"]].tolist() == before["fold"].tolist()
    assert (after.groupby("group")["fold"].nunique() == 1).all()
    grouped = table["mosaic"] >= 0
    assert (after["fold"][grouped].groupby(table["mosaic"][grouped]).nunique() == 1).all()
    by = table.assign(fold=after["fold"].to_numpy()).groupby("fold")
    # What belongs to old groups goes where they are; the rest makes up for it.
    assert by.size().max() - by.size().min() <= 5
    assert np.ptp(by["empty"].mean()) < 0.1
    assert np.ptp(by["coverage"].mean()) < 0.1


def test_a_fold_that_lost_its_images_gets_the_new_ones() -> None:
    table = images_table()
    before = splitting._plan(table, 4, STRATIFY, None, 0)
    left = before[before["fold"] != 2]
    after = splitting._plan(table, 4, STRATIFY, None, 0, kept=text(left))
    assert set(after.loc[before["fold"] == 2, "fold"]) == {2}


def test_with_nothing_new_the_folds_are_those_of_the_table() -> None:
    table, before, after = grown(1, 5)
    assert len(table) == 600
    pd.testing.assert_frame_equal(after.set_index("id").loc[before["id"]], before.set_index("id"))


@pytest.mark.parametrize("options", [{}, {"first": "depth"}, {"sample": 500}])
def test_the_order_of_the_rows_does_not_matter(options: dict[str, object]) -> None:
    table, before, after = grown(0.5, 4, **options)
    again = splitting._plan(
        table.sample(frac=1, random_state=3),
        *(4, STRATIFY, "mosaic", 1),
        kept=text(before.sample(frac=1, random_state=5)),
        **options,
    )
    found = again.set_index("id").loc[after["id"]]
    pd.testing.assert_frame_equal(found, after.set_index("id"))


def test_a_new_image_joins_its_group_also_by_a_copy() -> None:
    table = pd.DataFrame({"id": list("abcdef"), "place": ["x", "y", "", "x", "", ""]})
    kept = pd.DataFrame({"id": list("abc"), "fold": list("102")})
    copies = {"c": "1", "e": "1", "f": "2"}
    after = splitting._plan(table, 3, [], "place", 0, copies=copies, kept=kept)
    assert after["fold"].tolist()[:5] == [1, 0, 2, 1, 2]


def test_new_groups_of_the_highest_values_fill_what_fold_0_lacks() -> None:
    table = pd.DataFrame({"id": [f"{k:02}" for k in range(60)], "rank": np.arange(60.0)})
    old = table[:30]
    before = splitting._plan(old, 3, [], None, 0, first="rank")
    after = splitting._plan(table, 3, [], None, 0, first="rank", kept=text(before))
    new = after[30:]
    assert set(new.loc[new["fold"] == 0, "id"]) == {f"{k}" for k in range(50, 60)}
    assert after["fold"].value_counts().tolist() == [20, 20, 20]


@pytest.mark.parametrize("sample", [60, 300])
def test_a_sample_takes_old_groups_first(sample: int) -> None:
    table = images_table()
    before = splitting._plan(table, 3, STRATIFY, "mosaic", 1, sample=150)
    after = splitting._plan(table, 3, STRATIFY, "mosaic", 2, sample=sample, kept=text(before))
    assert abs(len(after) - sample) <= 6
    small, large = sorted((set(before["id"]), set(after["id"])), key=len)
    assert small <= large
    fold = after.set_index("id")["fold"]
    both = before[before["id"].isin(after["id"])]
    assert fold[both["id"]].tolist() == both["fold"].tolist()


def test_the_rule_is_that_of_folds_without_a_table() -> None:
    """Dealing all by it is as even as scikit-learn's own."""
    table = images_table()
    strata = np.where(table["empty"] > 0, "empty", "full").tolist()
    groups = splitting._join([[None if m < 0 else m for m in table["mosaic"]]], len(table))
    none = np.full(len(table), NEW)
    for dealt in (
        dealing.deal(strata, groups, 5, 0),
        dealing.deal_more(strata, groups, 5, 0, none),
    ):
        counts = pd.crosstab(pd.Series(strata), dealt)
        assert (counts.max(axis=1) - counts.min(axis=1)).max() <= 3


def test_all_offenders_are_named_at_once() -> None:
    table = pd.DataFrame({"id": list("abcdefgh"), "place": [*"xxyyz", "", "", ""]})
    rows = [("a", "0"), ("b", "1"), ("c", "7"), ("f", "-1"), ("g", "one"), ("h", "1"), ("h", "1")]
    kept = pd.DataFrame(rows, columns=["id", "fold"])
    with pytest.raises(InputError) as error:
        splitting._plan(table, 2, [], "place", 0, kept=kept)
    said = str(error.value)
    assert "the table, which folds.*.keep names: 5 problems" in said
    assert "h: this id occurs 2 times" in said
    assert "c: fold 7, but `count` is 2" in said
    assert "f: fold '-1' is no whole number" in said
    assert "g: fold 'one' is no whole number" in said
    assert "the group of a: its images lie in fold 0 (a) and fold 1 (b)" in said
    assert "leave `keep` out to split anew" in said


def test_a_new_image_that_joins_two_groups_is_named() -> None:
    table = pd.DataFrame({"id": list("abc"), "place": list("xyx")})
    kept = pd.DataFrame({"id": list("ab"), "fold": list("01")})
    with pytest.raises(InputError, match=r"fold 0 \(a\) and fold 1 \(b\); c, new, belongs to it"):
        splitting._plan(table, 2, [], "place", 0, copies={"b": "1", "c": "1"}, kept=kept)


def test_images_that_are_gone_are_told_and_a_strange_table_is_refused(
    capsys: pytest.CaptureFixture,
) -> None:
    table = images_table(40)
    before = splitting._plan(table, 3, [], None, 0)
    splitting._plan(table[5:], 3, [], None, 0, kept=text(before))
    out = capsys.readouterr().out
    assert "35 images keep their fold, 0 are new" in out
    assert f"5 images of the table of `keep` take no part any more, such as {table['id'][0]}" in out
    strange = text(before).assign(id=[f"other{k}" for k in range(40)])
    with pytest.raises(InputError, match="no id of the table is that of a training image"):
        splitting._plan(table, 3, [], None, 0, kept=strange)


def test_a_fold_that_nobody_fills_is_refused() -> None:
    table = pd.DataFrame({"id": list("abcd")})
    kept = pd.DataFrame({"id": list("abc"), "fold": list("010")})
    with pytest.raises(InputError, match="no image in fold 3 of 4"):
        splitting._plan(table, 4, [], None, 0, kept=kept)


def test_a_run_keeps_the_folds_of_a_file(tmp_path: Path) -> None:
    train = data(tmp_path)
    spec = complete("folds", {"count": 3, "stratify": ["coverage"]})
    folds.run(train, None, spec, tmp_path / "before.csv")
    table = pd.read_csv(tmp_path / "before.csv", dtype={"id": str})
    table["fold"] = 2 - table["fold"]
    table[::-1].to_csv(tmp_path / "kept.csv", index=False)
    folds.run(train, None, spec, tmp_path / "one.csv", kept=tmp_path / "kept.csv")
    folds.run(train, None, spec, tmp_path / "again.csv", kept=tmp_path / "kept.csv")
    assert (tmp_path / "one.csv").read_bytes() == (tmp_path / "again.csv").read_bytes()
    made = pd.read_csv(tmp_path / "one.csv", dtype={"id": str})
    pd.testing.assert_frame_equal(made, table)
    assert made["id"].tolist() == store.table(train)["id"].tolist()


def test_commas_behind_the_rows_of_a_table_move_nothing(tmp_path: Path) -> None:
    (tmp_path / "kept.csv").write_text("id,fold\na,0,\nb,1,\n")
    kept = keeping.read(tmp_path / "kept.csv")
    assert kept.to_dict("list") == {"id": ["a", "b"], "fold": ["0", "1"]}
    table = pd.DataFrame({"id": list("ab")})
    kept["fold"] = ["0", "9" * 5000]
    with pytest.raises(InputError, match=r"kept\.csv, which folds.*: 1 problem\n.*no whole number"):
        splitting._plan(table, 2, [], None, 0, kept=kept)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("id,part\na,0\n", "lacks the column fold; it has id, part"),
        ("", "CSV"),
        (None, "cannot be read"),
    ],
)
def test_a_file_that_is_no_table_of_folds_is_named(
    tmp_path: Path, content: str | None, told: str
) -> None:
    if content is not None:
        (tmp_path / "kept.csv").write_text(content)
    with pytest.raises(InputError, match=told):
        keeping.read(tmp_path / "kept.csv")


def test_a_run_cannot_keep_what_it_writes_itself() -> None:
    spec = {
        "run": "mine",
        "data": {"path": "resources/mine"},
        "channels": {"base": {"use": ["image"], "size": 32}},
        "folds": {"base": {"keep": "results/mine/folds/base.csv"}},
        "stages": {"one": {"loss": {"bce": 1}, "epochs": 1}},
        "models": {"net": {"stages": ["one"], "architecture": {"name": "vanilla"}}},
    }
    with pytest.raises(InputError, match=r"folds\.base\.keep: .*copy it out of results/mine"):
        resolve(spec)
    other = {**spec, "folds": {"base": {"keep": "results/older/folds/base.csv"}}}
    whole = resolve(other)
    assert whole["folds"]["base"]["keep"] == "results/older/folds/base.csv"
    assert "older" not in str(writing._without_places(whole)), "a bundle tells no path"
    with pytest.raises(InputError, match=r"folds\.base\.keep: \. is a folder; name the csv"):
        resolve({**spec, "folds": {"base": {"keep": "."}}})


def test_of_many_offenders_some_are_listed() -> None:
    names = [f"im{n}" for n in range(50)]
    table = pd.DataFrame({"id": names})
    kept = pd.DataFrame({"id": names, "fold": "4"})
    with pytest.raises(InputError) as error:
        splitting._plan(table, 2, [], None, 0, kept=kept)
    assert "50 problems" in str(error.value)
    assert "… and 30 more" in str(error.value)
