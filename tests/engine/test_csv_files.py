"""CSV files: what programs read back, and what spreadsheets do not run."""

import csv
import io

import pytest

from spectralvision.engine.csv_files import read_cell, read_rows, write_rows

NAMES = [
    "plain.png", "a,b.png", 'say "x".png', "two\nlines.png", "two\rlines.png", "crlf\r\n.png",
    " space .png ", "tab\there.png", "caf\u00e9 \U0001f431.png", "caf\udce9.png", "", "'quoted'",
    "-", "=", "-1", "+2.5", "1e3", "x=1",
]  # fmt: skip
FORMULAS = [
    "=1+1", "=HYPERLINK(\"http://a\")", "+cmd|' /C calc'!A0", "-2+3", "@SUM(1)", "\t=1", "\r=1",
    "-x.jpg", "'=1", "''@x", "\uff1d1",
]  # fmt: skip


def written(rows):
    file = io.StringIO(newline="")
    write_rows(file, rows)
    return file.getvalue()


def test_every_name_is_read_back_by_csv():
    rows = [[name, 0.5, None, number] for number, name in enumerate(NAMES)]
    text = written(rows)
    read = list(csv.reader(io.StringIO(text, newline="")))
    assert [row[0] for row in read] == NAMES
    assert {tuple(row[1:3]) for row in read} == {("0.5", "")}
    assert text.endswith(f"{len(NAMES) - 1}\n")
    assert "\r\n" not in text.replace('"crlf\r\n.png"', "")


def test_carriage_returns_are_quoted():
    """Python's own writer does not where lines end in a line feed, so that two rows are read."""
    assert written([["a\rb", 1]]) == '"a\rb",1\n'


@pytest.mark.parametrize("formula", FORMULAS)
def test_formulas_are_text_to_a_spreadsheet_and_restored_by_us(formula):
    text = written([[formula, "b"]])
    (row,) = csv.reader(io.StringIO(text, newline=""))
    assert row[0] == "'" + formula
    assert read_cell(row[0]) == formula
    assert list(read_rows(io.StringIO(text, newline=""), ["a", "c"])) == [{"a": formula, "c": "b"}]


def test_negative_numbers_are_numbers():
    assert written([[-1.5, -2, "-3"]]) == "-1.5,-2,-3\n"
