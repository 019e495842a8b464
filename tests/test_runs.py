"""Run folders and atomic file writes."""

import json
import math
import os

import pytest

from spectralvision.runs import (
    UserError,
    atomic_write,
    create_run_folder,
    format_bytes,
    format_duration,
    format_rate,
    printable,
    read_json,
    require_extra,
    write_json,
    write_text,
)


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "file.txt"
    write_text(path, "old")
    with pytest.raises(ZeroDivisionError), atomic_write(path) as beside:
        beside.write_text("half") / 0
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file.txt"]


def test_a_written_file_has_the_usual_permissions(tmp_path):
    (tmp_path / "plain").write_text("")
    write_json(tmp_path / "ours", {"a": 1})
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "plain").stat().st_mode
    assert read_json(tmp_path / "ours") == {"a": 1}


@pytest.mark.parametrize("text", [None, "{", "[1]", b"\xff\xfe\x00"])
def test_broken_json_is_one_sentence(tmp_path, text):
    path = tmp_path / "run.json"
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UserError, match=r"run\.json"):
        read_json(path)


def test_default_folders_are_numbered_and_their_names_are_safe(tmp_path):
    folders = [
        create_run_folder("torch/cifar10 x-../affnet_et", root=tmp_path).name for _ in range(3)
    ]
    assert folders == ["torch-cifar10-x-..-affnet_et" + end for end in ("", "-2", "-3")]


def test_a_folder_that_is_not_empty_is_rejected(tmp_path):
    assert create_run_folder("x", out=tmp_path / "new" / "run").is_dir()
    assert create_run_folder("x", out=tmp_path / "new" / "run").is_dir()  # empty: accepted
    (tmp_path / "new" / "run" / "file").write_text("")
    for taken in (tmp_path / "new" / "run", tmp_path / "new" / "run" / "file"):
        with pytest.raises(UserError, match="--out"):
            create_run_folder("x", out=taken)


def test_a_missing_extra_names_its_install_command():
    require_extra("train", "json")
    with pytest.raises(
        UserError, match=r'no_such_module_here.*pip install "\.\[train\]"` in your clone'
    ):
        require_extra("train", "json", "no_such_module_here")


def test_an_error_from_a_worker_is_reduced_to_its_last_line():
    wrapped = (
        "Caught UserError in DataLoader worker process 0.\n"
        "Traceback ...\n"
        "spectralvision.runs.UserError: a.png is bad."
    )
    assert str(UserError(wrapped)) == "a.png is bad."
    assert json.dumps(str(UserError("plain"))) == '"plain"'


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("caf\u00e9 \U0001f431 \u732b \u05d7\u05ea\u05d5\u05dc.png", None),
        ("a\u202fm \u00a0 e\u0301 \U0001f468\u200d\U0001f469.png", None),
        ("C:\\new [red]<b>&amp;|*_", None),
        ("a\nb\rc\td", r"a\nb\rc\td"),
        ("\x1b[31mred\x1b]0;title\x07\x9b2J\x7f\x00", r"\x1b[31mred\x1b]0;title\x07\x9b2J\x7f\x00"),
        ("photo\u202egpj.exe", r"photo\u202egpj.exe"),
        ("\u2066a\u2069\u200f\u061c\u200b\ufeff", r"\u2066a\u2069\u200f\u061c\u200b\ufeff"),
        ("a\u2028b\u2029c\x85d", r"a\u2028b\u2029c\x85d"),
        ("caf\udce9.png", r"caf\xe9.png"),
        ("\ud800", r"\ud800"),
    ],
)
def test_text_for_people_has_visible_characters_on_one_line(text, shown):
    assert printable(text) == (text if shown is None else shown)
    assert str(UserError(f"{text} is bad.")) == f"{printable(text)} is bad."
    printable(text).encode()
    assert len(printable(text).splitlines()) == 1


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"), (0.34, "0.3 s"), (3, "3 s"), (9.96, "10 s"), (89.4, "89 s"), (90, "2 min"),
        (5399, "1 h 30 min"), (25 * 3600, "25 h 0 min"), (50 * 3600, "2 days 2 h"),
        (30 * 86400, "30 days"), (8825830 * 3600.0, "1,007 years"), (math.inf, "unknown time"),
        (math.nan, "unknown time"),
    ],
)  # fmt: skip
def test_durations(seconds, text):
    assert format_duration(seconds) == text


@pytest.mark.parametrize(
    ("rate", "text"),
    [(0.314, "0.31 images/s"), (4.25, "4.2 images/s"), (13.6, "14 images/s"),
     (1080, "1,080 images/s"), (0, "0.00 images/s")],
)  # fmt: skip
def test_rates(rate, text):
    assert format_rate(rate) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(800, "800 bytes"), (3500, "3.4 KiB"), (12 << 20, "12.0 MiB"), (3 << 29, "1.50 GiB")],
)
def test_amounts_of_memory(count, text):
    assert format_bytes(count) == text
