"""Progress where no bar is shown: lines that say what is done, and how much is left."""

import re

import pytest

from spectralvision.engine import progress
from spectralvision.engine.progress import TrainingBar, log_line, show_status, track


def test_every_long_loop_logs_lines(capsys, monkeypatch):
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.0)
    assert list(track([1, 2, 0], "Reading train images", 3, count=int)) == [1, 2, 0]
    lines = capsys.readouterr().err.splitlines()
    pattern = r"Reading train images: {} of 3 images, [\d.,]+ images/s, 0 s left"
    assert [bool(re.fullmatch(pattern.format(done), line)) for done, line in
            zip((1, 3, 3), lines, strict=True)] == [True] * 3  # fmt: skip


def test_short_loops_log_nothing(capsys):
    assert list(track(range(3), "Reading", unit="")) == [0, 1, 2]
    with show_status("Finding"):
        pass
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("line", ["a\nb", "\x1b[2Ja", "caf\udce9"])
def test_a_line_of_the_log_is_one_line(line, capsys):
    log_line(line)
    (shown,) = capsys.readouterr().err.splitlines()
    assert shown.isascii()
    assert shown.isprintable()


def test_a_terminal_shows_what_takes_time(capsys, monkeypatch):
    monkeypatch.setattr(progress, "is_terminal", lambda: True)
    with show_status("Finding [red]x\x1b"):
        pass
    assert capsys.readouterr().out == ""


@pytest.fixture
def clock(monkeypatch):
    """A clock that advances by 40 s at each look, and no terminal."""
    now = iter(range(0, 100_000, 40))
    monkeypatch.setattr(progress.time, "monotonic", lambda: float(next(now)))
    monkeypatch.setattr(progress, "is_terminal", lambda: False)


def test_long_work_prints_lines(clock, capsys):
    assert list(track(range(5), "Evaluating")) == [0, 1, 2, 3, 4]
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "Evaluating: 2 of 5 images, 0.03 images/s, 2 min left"
    assert len(lines) == 2


def test_without_a_rate(clock, capsys):
    list(track(range(3), "Timing 64 px", unit=""))
    assert capsys.readouterr().err.splitlines()[0] == "Timing 64 px: 2 of 3, 40 s left"


def test_an_epoch_prints_lines(clock):
    lines = []
    bar = TrainingBar(lines.append)
    with bar.show(is_shown=True):
        bar.begin("Epoch 3/50", total=9, done=4)
        for _ in range(4):
            bar.advance({"loss": "0.5", "left": "5 min"} if bar.is_shown else None)
    assert lines
    assert lines[0].startswith("Epoch 3/50: batch ")
    assert lines[-1].endswith(" of 9, loss 0.5, left 5 min")
