"""Parts of a table: which are missing, what they make together, and who puts them together."""

import os
import threading

import pytest

from spectralvision.runs import UserError
from spectralvision.tasks.parts import Parts, refuse_out

COLUMNS = ["image", "probability"]


def parts_of(out, num_images=10, size=3, **job):
    return Parts(out, COLUMNS, num_images, size, job)


def test_rows_of_parts_are_all_rows(tmp_path):
    parts = parts_of(tmp_path / "a.csv")
    assert len(parts) == 4
    assert [row for number in range(4) for row in parts.rows(number)] == list(range(10))
    assert parts.missing() == [0, 1, 2, 3]
    parts.write(1, [], [])
    assert (parts.missing(), parts.missing(range(1, 4, 2))) == ([0, 2, 3], [3])


def test_the_order_of_writing_does_not_matter(tmp_path):
    parts = parts_of(tmp_path / "a.csv")
    for number in (3, 0, 2, 1):
        kept = [row for row in parts.rows(number) if row != 4]
        parts.write(
            number, [[f"{row}, it", row / 10] for row in kept], [["4", "gone"]] if 4 in parts.rows(number) else []
        )
    assert list(parts.unreadable(range(4))) == [{"image": "4", "reason": "gone"}]
    parts.merge()
    rows = [f'"{row}, it",{row / 10}' for row in range(10) if row != 4]
    assert (tmp_path / "a.csv").read_text() == "\n".join(["image,probability", *rows, ""])
    assert (tmp_path / "a.unreadable.csv").read_text() == "image,reason\n4,gone\n"
    assert sorted(os.listdir(tmp_path)) == ["a.csv", "a.unreadable.csv"]


def test_another_job_and_a_broken_record_are_refused(tmp_path):
    out = tmp_path / "a.csv"
    parts_of(out, model="one").write(0, [], [])
    assert parts_of(out, model="one").missing() == [1, 2, 3]
    for words in ({"model": "two"}, {"model": "one", "num_images": 11}):
        with pytest.raises(UserError, match=r"a\.csv\.parts was begun with another (model|number of images): give"):
            parts_of(out, **words)
    (tmp_path / "a.csv.parts" / "job.json").write_text("{")
    with pytest.raises(UserError, match=r"job\.json cannot be read"):
        parts_of(out, model="one")


def test_what_is_there_is_not_overwritten(tmp_path):
    refuse_out(tmp_path / "a.csv")
    (tmp_path / "a.unreadable.csv").touch()
    with pytest.raises(UserError, match=r"a\.unreadable\.csv exists"):
        refuse_out(tmp_path / "a.csv")
    parts_of(tmp_path / "a.csv")  # was cut short between the two files
    refuse_out(tmp_path / "a.csv")
    with pytest.raises(UserError, match=r"should end in \.csv or \.parquet"):
        refuse_out(tmp_path / "a")


def test_of_those_that_end_together_exactly_one_merges(tmp_path):
    for turn in range(40):
        out, merged, barrier = tmp_path / f"{turn}.csv", [], threading.Barrier(4)

        def share(number, out=out, merged=merged, barrier=barrier):
            parts = parts_of(out, num_images=4, size=1)
            with parts.shared():
                parts.write(number, [[str(number), 0.5]], [])
                barrier.wait()
                if not parts.missing() and parts.last():
                    parts.merge()
                    merged.append(number)

        threads = [threading.Thread(target=share, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(merged) == 1
        assert out.read_text() == "image,probability\n0,0.5\n1,0.5\n2,0.5\n3,0.5\n"
    assert len(os.listdir(tmp_path)) == 40
