"""Tables are read as people write them: blanks, commas behind, other forms of ids."""

import io
from pathlib import Path

import pandas as pd
import pytest

from foldbelt.formats import csv_files


def read(tmp_path: Path, text: str) -> list[dict]:
    path = tmp_path / "t.csv"
    path.write_text(text, newline="")
    return csv_files.read_text(path).to_dict("records")


def test_blanks_around_column_names_do_not_count(tmp_path: Path) -> None:
    assert read(tmp_path, "id , age\na, 5\n") == [{"id": "a", "age": " 5"}]


def test_commas_behind_rows_make_no_index_of_the_first_column(tmp_path: Path) -> None:
    assert read(tmp_path, "id,age\na,5,\nb,6,\n") == [
        {"id": "a", "age": "5"},
        {"id": "b", "age": "6"},
    ]
    with pytest.raises(ValueError, match=r"line 3 has more fields than the header"):
        read(tmp_path, "id,age\na,5,\nb,6,7\n")


@pytest.mark.parametrize(
    "text",
    [
        "id , age\na, 5\n",
        "\ufeffid,age\r\na,5\r\n",
        "id,age\na,5,\n\n  \nb,,\n",
        'id,age\n"a,""b""",NA\n"two\nlines",nan\n',
        "id\na\n\nb\n",
        "id,age\n",
        "id,age,,\na,5,,\n",
        "id,age\na\nb,6",
        'id,age\na,5 "or" 6\n',
    ],
)
def test_tables_are_read_as_pandas_reads_them(tmp_path: Path, text: str) -> None:
    path = tmp_path / "t.csv"
    path.write_text(text, newline="")
    expected = pd.read_csv(path, dtype=str, na_filter=False, index_col=False, encoding="utf-8-sig")
    expected.columns = expected.columns.str.strip()
    assert csv_files.read_columns(path) == expected.to_dict("list")
    assert csv_files.read_text(path).to_dict("list") == expected.to_dict("list")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("id,age\na,5,\nb,6,7\n", "line 3 has more fields"),
        ("id,id \na,5\n", "header names 'id' more than once"),
        ("", "is empty"),
        ("\n \n", "is empty"),
        ('id,age\na,"5\nb,6\n', "a quote is opened and never closed"),
        ("id\n\udcff\n", "utf-8"),
    ],
)
def test_what_is_no_table_is_refused(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(ValueError, match=reason):
        csv_files.read_columns(path)


def test_a_field_may_be_as_long_as_run_lengths_are(tmp_path: Path) -> None:
    runs = "1 1 " * 100_000
    assert read(tmp_path, f"id,rle\na,{runs}\nb,\n") == [
        {"id": "a", "rle": runs},
        {"id": "b", "rle": ""},
    ]


def test_what_is_written_is_read_back() -> None:
    rows = [["a,b", 'say "x"'], ["", "two\nlines"], ["c", 3]]
    text = csv_files.text_of(["id", "what"], rows)
    assert csv_files.read_columns(io.StringIO(text)) == {
        "id": ["a,b", "", "c"],
        "what": ['say "x"', "two\nlines", "3"],
    }
    assert text == pd.DataFrame(rows, columns=["id", "what"]).to_csv(index=False)


def test_ids_are_matched_in_the_form_that_images_have() -> None:
    known = {"a", " b", "r\u00f6"}
    given = ["a ", " b", "ro\u0308", "x ", "a.png"]
    assert csv_files.match_ids(given, known) == ["a", " b", "r\u00f6", "x ", "a"]


@pytest.mark.parametrize("name", ["a", "a/b", "a b", "ä"])
def test_a_path_below_the_folder_is_an_id(name: str) -> None:
    assert csv_files.is_name(name)


@pytest.mark.parametrize("name", ["", "..", "a/..", "/a", "a//b", "a\\b", "a/ /b"])
def test_a_path_that_could_leave_is_none(name: str) -> None:
    assert not csv_files.is_name(name)
