"""Output shards of a table: which are missing, how they merge, and who merges them."""

import os
import threading

import pytest

from spectralvision.engine.output_shards import OutputShards, check_out
from spectralvision.runs import UserError

COLUMNS = ["image", "probability"]


def shards_of(out, num_images=10, size=3, **job):
    return OutputShards(out, COLUMNS, num_images, size, job)


def test_shards_cover_all_rows(tmp_path):
    shards = shards_of(tmp_path / "a.csv")
    assert len(shards) == 4
    assert [row for number in range(4) for row in shards.rows(number)] == list(range(10))
    assert shards.missing() == [0, 1, 2, 3]
    shards.write(1, [], [])
    assert (shards.missing(), shards.missing(range(1, 4, 2))) == ([0, 2, 3], [3])


def test_the_order_of_writing_does_not_matter(tmp_path):
    shards = shards_of(tmp_path / "a.csv")
    for number in (3, 0, 2, 1):
        kept = [row for row in shards.rows(number) if row != 4]
        shards.write(
            number,
            [[f"{row}, it", row / 10] for row in kept],
            [["4", "gone"]] if 4 in shards.rows(number) else [],
        )
    assert list(shards.unreadable(range(4))) == [{"image": "4", "reason": "gone"}]
    shards.merge()
    rows = [f'"{row}, it",{row / 10}' for row in range(10) if row != 4]
    assert (tmp_path / "a.csv").read_text() == "\n".join(["image,probability", *rows, ""])
    assert (tmp_path / "a.unreadable.csv").read_text() == "image,reason\n4,gone\n"
    assert sorted(os.listdir(tmp_path)) == ["a.csv", "a.unreadable.csv"]


def test_another_job_and_a_broken_record_are_rejected(tmp_path):
    out = tmp_path / "a.csv"
    shards_of(out, model="one").write(0, [], [])
    assert shards_of(out, model="one").missing() == [1, 2, 3]
    for words in ({"model": "two"}, {"model": "one", "num_images": 11}):
        with pytest.raises(
            UserError,
            match=r"a\.csv\.shards was started with another (model|number of images): use",
        ):
            shards_of(out, **words)
    (tmp_path / "a.csv.shards" / "job.json").write_text("{")
    with pytest.raises(UserError, match=r"job\.json cannot be read"):
        shards_of(out, model="one")


def test_existing_files_are_not_overwritten(tmp_path):
    check_out(tmp_path / "a.csv")
    (tmp_path / "a.unreadable.csv").touch()
    with pytest.raises(UserError, match=r"a\.unreadable\.csv exists"):
        check_out(tmp_path / "a.csv")
    shards_of(tmp_path / "a.csv")  # was interrupted between the two files
    check_out(tmp_path / "a.csv")
    with pytest.raises(UserError, match=r"should end in \.csv, \.parquet or \.json"):
        check_out(tmp_path / "a")


def test_exactly_one_of_several_merges(tmp_path):
    for turn in range(40):
        out, merged, barrier = tmp_path / f"{turn}.csv", [], threading.Barrier(4)

        def write_shard(number, out=out, merged=merged, barrier=barrier):
            shards = shards_of(out, num_images=4, size=1)
            with shards.in_use((number + 1, 4)):
                shards.write(number, [[str(number), 0.5]], [])
                barrier.wait()
                if not shards.missing() and shards.is_last_user():
                    shards.merge()
                    merged.append(number)

        threads = [threading.Thread(target=write_shard, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(merged) == 1
        assert out.read_text() == "image,probability\n0,0.5\n1,0.5\n2,0.5\n3,0.5\n"
    assert len(os.listdir(tmp_path)) == 40
