"""Names of files and classes with any character, through every verb and every kind of output."""

import csv
import json
import os

import pyarrow.parquet as pq
import pytest

from spectralvision.cli import main
from spectralvision.runs import UNPRINTABLE
from tests.helpers.image_bytes import POSTSCRIPT
from tests.helpers.pictures import picture

CLASSES = ["=cls|", "<i>c", "\x1b[31mz\nq", "cafe\u0301"]
FILES = [
    "two\nlines.png", "cr\rhere.png", "\x1b[2Jx.png", "\u202egnp.x.png", " lead trail .png",
    "-x.png", "=1+1.png", "\U0001f431 \u65e5.png", "n" * 250 + ".png", "[red]b[.png", 'a,"b.png',
]  # fmt: skip
COUNT = len(CLASSES) * (len(FILES) + 1)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    root = tmp_path_factory.mktemp("names") / "photos"
    for label, name in enumerate(CLASSES):
        (root / name).mkdir(parents=True)
        color = ("blue", "green", "red", "red")[label]
        for number, file in enumerate([*FILES, "latin.png"]):
            picture(color, 100 * label + number).save(root / name / file)
        os.rename(root / name / "latin.png", os.fsencode(root / name) + b"/latin\xe9.png")
    return root


@pytest.fixture(scope="module")
def run(photos):
    out = photos.parent / "run"
    words = ["train", "--data", photos, "--model", "affnet_et", "--input-size", "32"]
    words += ["--epochs", "1", "--workers", "0", "--out", out]
    assert main([str(word) for word in words]) == 0
    return out


@pytest.fixture
def call(capsysbinary):
    """(exit code, standard output, standard error) of the command."""

    def run(*words):
        code = main([str(word) for word in words])
        return code, *capsysbinary.readouterr()

    return run


def paths_of(photos):
    return {os.fsencode(path) for path in photos.rglob("*.png")}


def is_printable(content):
    return not UNPRINTABLE.search(content.decode().replace("\n", ""))


def test_people_read_visible_characters_on_one_line(photos, run, call):
    code, out, err = call("predict", photos, "--model", run, "--workers", "0")
    assert code == 0
    lines = out.decode().splitlines()
    assert len(lines) == 1 + COUNT
    assert is_printable(out + err)
    assert any("/\\x1b[31mz\\nq/two\\nlines.png" in line for line in lines)
    assert any("/latin\\xe9.png" in line for line in lines)
    words = ["evaluate", "--data", photos, "--model", run, "--per-class", "--workers", "0"]
    code, out, err = call(*words)
    assert code == 0
    assert is_printable(out + err)
    assert len(out.decode().splitlines()) == 5 + 2 + len(CLASSES)


def test_programs_read_the_exact_names(photos, run, call, tmp_path):
    expected = paths_of(photos)
    assert len(expected) == COUNT
    words = ["predict", photos, "--model", run, "--workers", "0"]
    records = json.loads(call(*words, "--json")[1])["predictions"]
    assert {os.fsencode(one["image"]) for one in records} == expected
    (tmp_path / "printed.csv").write_bytes(call(*words, "--csv")[1])
    assert call(*words, "--out", tmp_path / "written.csv")[0] == 0
    for file in (tmp_path / "printed.csv", tmp_path / "written.csv"):
        with open(file, newline="", encoding="utf-8", errors="surrogateescape") as text:
            head, *rows = csv.reader(text)
        assert {len(row) for row in rows} == {len(head)}
        assert {os.fsencode(row[0]) for row in rows} == expected
        assert not any(cell.startswith("=") for row in rows for cell in row)
    assert call(*words, "--out", tmp_path / "a.parquet")[0] == 0
    names = pq.read_table(tmp_path / "a.parquet")["image"].to_pylist()
    latin = {name.replace(b"\xe9", b"\\xe9") for name in expected}
    assert {name.encode() for name in names} == latin


def test_the_report_shows_names_and_runs_nothing(run):
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "&lt;i&gt;c" in page
    assert "<i>c" not in page
    assert is_printable(page.encode())
    assert "\\x1b[31mz\\nq" in page


def test_bad_files_are_alike_whether_they_exist_or_not(call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    picture("red", 0).save("-x.png")
    os.mkfifo("pipe.png")
    (tmp_path / "empty.png").touch()
    (tmp_path / "ps.jpg").write_bytes(POSTSCRIPT)
    bad = ["gone.png", "empty.png", "pipe.png", "ps.jpg", "x" * 300 + ".png", "\x1bc.png"]
    code, out, err = call("predict", "--json", "--", "-x.png", *bad)
    assert code == 1
    result = json.loads(out)
    assert [one["image"] for one in result["predictions"]] == ["-x.png"]
    assert [one["image"] for one in result["unreadable"]] == bad
    assert is_printable(err)
    lines = err.decode().splitlines()
    assert f"{len(bad)} of {len(bad) + 1} could not be read:" in lines
    for name in bad[:4]:
        code, out, err = call("predict", name)
        assert (code, out, err.count(b"\n")) == (2, b"", 1)
    assert b"write ./-x.png" in call("predict", "-x.png")[2]
