"""Predictions in a file: the same however often interrupted, and the same as on screen."""

import csv
import errno
import json
import os
import re
import signal
import subprocess
import sys
import time

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import timm
import torch

from spectralvision.cli import main
from spectralvision.engine import output_shards, predict_to_file, progress
from spectralvision.engine.lock import lock
from spectralvision.engine.model_io import describe, save_model
from spectralvision.tasks.prediction import Predictor
from tests.helpers.pictures import COLOURS, encoded, picture

NUMBER = 23
BAD = (4, 5, 17)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return build_run(tmp_path_factory.mktemp("run"), seed=1)


def build_run(folder, seed):
    folder.mkdir(exist_ok=True)
    torch.manual_seed(seed)
    model = timm.create_model("test_resnet", num_classes=3)
    torch.nn.init.normal_(model.get_classifier().weight)
    describe(model, ["blue", "green, or so", 'r"ed'], 32)
    save_model(model, folder)
    return folder


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(NUMBER):
        whole = encoded(picture(list(COLOURS)[number % 3], number))
        (folder / f"{number:02d}, it.png").write_bytes(whole[:60] if number in BAD else whole)
    return folder


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    monkeypatch.setattr(predict_to_file, "MIN_SHARD_IMAGES", 3)
    monkeypatch.setattr(predict_to_file, "TARGET_SHARDS", 2 * NUMBER)
    monkeypatch.setattr(output_shards, "SHARDS_PER_ROW_GROUP", 2)


@pytest.fixture
def call(run, photos, capsys):
    """(exit code, standard output, standard error) of `predict` on the photographs."""

    def words(*more):
        fixed = [
            "predict",
            photos,
            "--model",
            run,
            "--top-k",
            "2",
            "--batch-size",
            "2",
            "--workers",
            "0",
        ]
        code = main([str(word) for word in [*fixed, "--device", "cpu", *more]])
        return code, *capsys.readouterr()

    return words


def stop_after(patch, number, error):
    """Let `number` shards be written, then raise."""
    write, written = output_shards.OutputShards.write, []

    def limited(self, *arguments):
        if len(written) == number:
            raise error
        written.append(write(self, *arguments))

    patch.setattr(output_shards.OutputShards, "write", limited)


def without_numbers(row):
    return [row[0], row[1], row[3]]


def test_a_file_holds_what_is_printed(call, tmp_path):
    printed = call("--csv")
    code, out, err = call("--out", tmp_path / "deep" / "a.csv")
    assert (printed[0], code) == (1, 1)
    assert out == f"written  {tmp_path}/deep/a.csv: {NUMBER - len(BAD)} images\n"
    said, written = (
        list(csv.reader(text.splitlines()))
        for text in (printed[1], (tmp_path / "deep/a.csv").read_text())
    )
    assert [without_numbers(row) for row in written] == [without_numbers(row) for row in said]
    for mine, theirs in zip(
        written[1:], said[1:], strict=True
    ):  # in other batches, which the last digit may show
        assert [float(mine[2]), float(mine[4])] == pytest.approx(
            [float(theirs[2]), float(theirs[4])], abs=2e-6
        )
    assert sorted(os.listdir(tmp_path / "deep")) == ["a.csv", "a.unreadable.csv"]
    assert err.split("could not be read:")[1] == printed[2].split("could not be read:")[1]
    listed = list(csv.DictReader((tmp_path / "deep" / "a.unreadable.csv").read_text().splitlines()))
    assert [int(one["image"][-10:-8]) for one in listed] == list(BAD)
    assert all(one["reason"] in err for one in listed)


def test_parquet_holds_the_same_with_types(call, tmp_path):
    assert call("--out", tmp_path / "a.csv")[0] == 1
    rows = list(csv.reader((tmp_path / "a.csv").read_text().splitlines()))
    for file in tmp_path.glob("a.*"):
        file.unlink()
    assert call("--out", tmp_path / "a.parquet")[0] == 1
    table = pq.read_table(tmp_path / "a.parquet")
    assert (
        table.schema.names
        == rows[0]
        == ["image", "prediction", "probability", "prediction_2", "probability_2"]
    )
    assert table.schema.types == [pa.string(), pa.string(), pa.float32(), pa.string(), pa.float32()]
    given = [
        [f"{value:.6f}" if isinstance(value, float) else value for value in row.values()]
        for row in table.to_pylist()
    ]
    assert given == [
        [row[0], row[1], f"{float(row[2]):.6f}", row[3], f"{float(row[4]):.6f}"] for row in rows[1:]
    ]
    assert pq.ParquetFile(tmp_path / "a.parquet").num_row_groups == 4


def test_labels_of_a_data_set_have_a_column(run, tmp_path, capsys):
    words = [
        "predict",
        "--data",
        "digits",
        "--model",
        run,
        "--workers",
        "0",
        "--out",
        tmp_path / "a.parquet",
    ]
    assert main([str(word) for word in words]) == 0
    table = pq.read_table(tmp_path / "a.parquet")
    assert table.schema.names == ["image", "label", "prediction", "probability"]
    assert table.num_rows > 300  # all of the split
    assert set(table["label"].to_pylist()) == set("0123456789")


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_an_interrupted_file_is_the_same(suffix, call, tmp_path, monkeypatch):
    call("--out", tmp_path / f"whole.{suffix}")
    out = tmp_path / f"cut.{suffix}"
    for done in (0, 6, 12):
        with monkeypatch.context() as patch:
            stop_after(patch, 2, KeyboardInterrupt())
            code, printed, err = call("--out", out)
        assert (code, printed) == (130, "")
        assert (f"resuming: {done} of {NUMBER} images are done" in err) == bool(done)
        assert f"interrupted; the same command resumes it (see {out}.shards)" in err
        assert not out.exists()
    with monkeypatch.context() as patch:
        patch.setattr(
            output_shards, "replace_file", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt)
        )
        assert call("--out", out)[0] == 130  # when putting them together, too
    result = json.loads(call("--out", out, "--json")[1])
    assert result["finished"]
    assert (result["images"], result["num_unreadable"], len(result["unreadable"])) == (
        NUMBER - len(BAD),
        3,
        3,
    )
    assert result["images_per_second"] is None  # nothing was left to do
    assert out.read_bytes() == (tmp_path / f"whole.{suffix}").read_bytes()
    assert (tmp_path / "cut.unreadable.csv").read_bytes() == (
        tmp_path / "whole.unreadable.csv"
    ).read_bytes()
    assert sorted(os.listdir(tmp_path)) == sorted(
        [
            "photos",
            *(f"{name}.{end}" for name in ("cut", "whole") for end in (suffix, "unreadable.csv")),
        ]
    )


def test_processes_write_one_file(call, tmp_path):
    call("--out", tmp_path / "whole.csv")
    out = tmp_path / "shared.csv"
    code, printed, _ = call("--out", out, "--shard", "3/3")
    assert code == 1
    assert printed.startswith("shard    3/3: ")
    assert (
        "6 output shards of\n         other processes are missing: the last to finish writes"
        in printed
    )
    assert "shard    2/3" in call("--out", out, "--shard", "2/3")[1]
    result = json.loads(
        call("--out", out, "--shard", "2/3", "--json")[1]
    )  # again: nothing left in this share
    assert (result["finished"], result["shards_missing"], result["unreadable_out"]) == (
        False,
        3,
        None,
    )
    assert "written" in call("--out", out, "--shard", "1/3")[1]
    assert out.read_bytes() == (tmp_path / "whole.csv").read_bytes()


def test_an_empty_shard_is_no_error_whoever_is_first(call, tmp_path):
    out = tmp_path / "a.csv"
    early = call("--out", out, "--shard", "9/9")
    assert early == (0, "shard    9/9: empty, as there are fewer images than shards\n", "")
    assert not list(tmp_path.glob("a.*"))
    assert "written" in call("--out", out)[1]
    assert call("--out", out, "--shard", "9/9") == early
    assert "a.csv exists" in call("--out", out, "--shard", "1/9")[2]


def test_the_last_process_merges(call, tmp_path, monkeypatch):
    out = tmp_path / "a.csv"
    with monkeypatch.context() as patch:
        stop_after(patch, 99, None)
        patch.setattr(output_shards.OutputShards, "is_last_user", lambda self: False)
        assert "another process is writing" in call("--out", out)[1]
    busy = output_shards.OutputShards.__new__(output_shards.OutputShards)
    busy.folder, busy.out = tmp_path / "a.csv.shards", out
    with busy.in_use((2, 2)):
        assert "another process is writing" in call("--out", out)[1]
        assert not out.exists()
    assert "written" in call("--out", out)[1]


def another_model(run, photos, words):
    return [build_run(photos.parent / "other", seed=2) if word == run else word for word in words]


def another_image(run, photos, words):
    picture("red", 99).save(photos / "99.png")
    return words


def fewer_images(run, photos, words):
    (photos / "00, it.png").unlink()
    return words


def more_classes(run, photos, words):
    return [*words, "--top-k", "2"]


CHANGED = {
    another_model: "model",
    another_image: "list of images",
    fewer_images: "list of images",
    more_classes: "--top-k",
}


@pytest.mark.parametrize("change", CHANGED, ids=lambda change: change.__name__)
def test_shards_of_another_job_are_rejected(change, run, photos, tmp_path, monkeypatch, capsys):
    words = ["predict", photos, "--model", run, "--workers", "0", "--out", tmp_path / "a.csv"]
    with monkeypatch.context() as patch:
        stop_after(patch, 2, KeyboardInterrupt())
        assert main([str(word) for word in words]) == 130
    before = {path: path.read_bytes() for path in (tmp_path / "a.csv.shards").iterdir()}
    capsys.readouterr()
    assert main([str(word) for word in change(run, photos, words)]) == 2
    err = capsys.readouterr().err
    assert (
        f"a.csv.shards was started with another {CHANGED[change]}: use the same again to resume, "
        "or delete"
    ) in err
    assert before == {path: path.read_bytes() for path in (tmp_path / "a.csv.shards").iterdir()}


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_full_disk_is_one_sentence_and_resumable(suffix, call, tmp_path, monkeypatch):
    out = tmp_path / f"a.{suffix}"
    with monkeypatch.context() as patch:
        stop_after(patch, 2, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
        code, printed, err = call("--out", out)
    assert (code, printed) == (2, "")
    assert err.splitlines()[-1] == (
        "spectralvision: error: the disk is full ([Errno 28] No space left on device): free some "
        "space; "
        f"the same command resumes it (see {out}.shards)."
    )
    assert len(list(tmp_path.glob(f"*.shards/*.{suffix}"))) >= 2
    assert call("--out", out)[0] == 1


def test_a_batch_too_large_for_memory_is_one_sentence(call, tmp_path, monkeypatch):
    stop_after(monkeypatch, 1, torch.OutOfMemoryError("CUDA out of memory."))
    assert (
        "a batch of 2 does not fit into memory: choose a smaller --batch-size; the same"
        in call("--out", tmp_path / "a.csv")[2]
    )


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("--out a.txt", r"--out a\.txt should end in \.csv, \.parquet or \.json\."),
        ("--out there.csv", r"there\.csv exists: name another file with --out, or move it away\."),
        ("--out beside.csv", r"beside\.unreadable\.csv exists: name another file"),
        ("--out there.csv/a.csv", r"there\.csv/a\.csv cannot be written \(.*"),
        ("--out a.csv --csv", r"--csv cannot be combined with --out"),
        ("--shard 1/2", r"--shard needs --out"),
        (
            "--out a.csv --shard 3/2",
            r"--shard 3/2 should be K/N, such as 2/8: the second of eight shards\.",
        ),
        ("--out a.csv --shard 0/2", r"--shard 0/2 should be K/N"),
        ("--out a.csv --shard two", r"--shard two should be K/N"),
        ("--out a.csv --top-k 9", r"--top-k 9 should be between 1 and 3"),
    ],
)
def test_bad_options_are_rejected(words, sentence, call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there.csv").write_text("mine")
    (tmp_path / "beside.unreadable.csv").write_text("mine")
    before = sorted(os.listdir(tmp_path))
    code, printed, err = call(*words.split())
    assert (code, printed) == (2, "")
    assert re.search(rf"^spectralvision: error: .*{sentence}", err, re.MULTILINE), err
    assert sorted(os.listdir(tmp_path)) == before
    assert (tmp_path / "there.csv").read_text() == "mine"


def test_no_readable_image_leaves_a_header(run, tmp_path, capsys):
    (tmp_path / "photos").mkdir()
    for number in range(12):
        (tmp_path / "photos" / f"{number:02d}.png").write_text("no image")
    words = [
        "predict",
        tmp_path / "photos",
        "--model",
        run,
        "--workers",
        "0",
        "--out",
        tmp_path / "a.parquet",
    ]
    assert main([str(word) for word in words]) == 1
    assert "12 of 12 could not be read:" in (err := capsys.readouterr().err)
    assert err.splitlines()[-1] == f"  and 2 more, listed in {tmp_path}/a.unreadable.csv"
    assert pq.read_table(tmp_path / "a.parquet").num_rows == 0


def test_file_names_that_are_not_utf8(run, tmp_path, capsys):
    name = os.fsdecode(b"\xff.png")
    (tmp_path / "photos").mkdir()
    picture("red", 1).save(tmp_path / "photos" / name)
    words = ["predict", tmp_path / "photos", "--model", run, "--workers", "0", "--out"]
    assert main([str(word) for word in [*words, tmp_path / "a.csv"]]) == 0
    assert b"/\xff.png," in (tmp_path / "a.csv").read_bytes()
    assert main([str(word) for word in [*words, tmp_path / "a.parquet"]]) == 0
    assert pq.read_table(tmp_path / "a.parquet")["image"][0].as_py().endswith("/\\xff.png")


def test_progress_without_a_terminal(call, tmp_path, monkeypatch):
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.0)
    err = call("--out", tmp_path / "a.csv")[2]
    assert re.search(
        rf"^Predicting: 6 of {NUMBER} images, [\d.,]+ images/s, [\d.]+ s left$", err, re.MULTILINE
    )


@pytest.mark.slow
def test_killed_processes_lose_nothing(run, tmp_path):
    """Two processes share the images and are killed repeatedly; the file is the same."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(10):
        picture(list(COLOURS)[number % 3], number).save(folder / f"{number}.png")
        for copy in range(1, 200):
            os.link(folder / f"{number}.png", folder / f"{number}-{copy:03d}.png")
    words = [
        sys.executable,
        "-m",
        "spectralvision.cli",
        "predict",
        folder,
        "--model",
        run,
        "--device",
        "cpu",
        "--out",
    ]
    subprocess.run([*map(str, words), tmp_path / "whole.parquet"], check=True)
    out, kills = tmp_path / "killed.parquet", 0
    for pause in (0, 0.4, 0.8, 1.6, 1000):
        shards = [
            [*map(str, words), str(out), "--shard", f"{k}/2", "--workers", str(k - 1)]
            for k in (1, 2)
        ]
        jobs = [
            subprocess.Popen(shard, stderr=subprocess.DEVNULL, start_new_session=True)
            for shard in shards
        ]
        before = len(list(tmp_path.glob("killed.parquet.shards/*.parquet")))
        while (
            pause < 1000 and len(list(tmp_path.glob("killed.parquet.shards/*.parquet"))) <= before
        ):
            if all(job.poll() is not None for job in jobs):
                break
            time.sleep(0.05)
        time.sleep(pause if pause < 1000 else 0)
        for job in jobs:
            if pause < 1000 and job.poll() is None:
                os.killpg(job.pid, signal.SIGKILL)
                kills += 1
            job.wait(timeout=300)
        if out.exists():
            break
    assert kills >= 2
    assert out.read_bytes() == (tmp_path / "whole.parquet").read_bytes()
    assert sorted(os.listdir(tmp_path)) == ["killed.parquet", "photos", "whole.parquet"]


def terminate():
    os.kill(os.getpid(), signal.SIGTERM)


def test_sigterm_ends_it_as_ctrl_c_does(call, tmp_path, monkeypatch):
    """No file is half written, and the same command resumes."""
    write, out = output_shards._write_csv, tmp_path / "a.csv"

    def write_half(path, rows):
        write(path, rows)
        terminate()

    with monkeypatch.context() as patch:
        patch.setattr(output_shards, "_write_csv", write_half)
        code, printed, err = call("--out", out)
    assert (code, printed) == (143, "")
    assert err.splitlines()[-1] == (
        f"spectralvision: stopped by SIGTERM; the same command resumes it (see {out}.shards)"
    )
    assert not list(tmp_path.glob("a.csv.shards/*.csv"))
    assert not list(tmp_path.rglob(".*"))
    assert call("--out", out)[0] == 1
    assert sorted(os.listdir(tmp_path)) == ["a.csv", "a.unreadable.csv", "photos"]


def test_sigterm_without_a_file(call, monkeypatch):
    monkeypatch.setattr(Predictor, "predict", lambda *arguments: terminate())
    code, printed, err = call()
    assert (code, printed) == (143, "")
    assert err == "spectralvision: stopped by SIGTERM\n"


@pytest.mark.parametrize("shard", ["1/1", "1/2"])
def test_a_second_process_is_rejected(shard, call, tmp_path, monkeypatch):
    out = tmp_path / "a.csv"
    with monkeypatch.context() as patch:
        stop_after(patch, 1, KeyboardInterrupt())
        assert call("--out", out, "--shard", shard)[0] == 130
    k, n = shard.split("/")
    with lock(tmp_path / "a.csv.shards" / f"{k}-of-{n}.lock", ""):
        code, _, err = call("--out", out, "--shard", shard)
    assert code == 2
    assert "error: another process is writing " in err
    assert err.count("\n") == 1
    assert call("--out", out, "--shard", shard)[0] in (0, 1)


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.EROFS, "permission to read or write is missing"),
        (errno.EMFILE, "too many files are open"),
        (errno.ENOMEM, "a batch of 2 does not fit into memory"),
    ],
)
def test_a_shard_that_cannot_be_written_is_one_sentence(number, words, call, tmp_path, monkeypatch):
    out = tmp_path / "a.csv"
    with monkeypatch.context() as patch:
        stop_after(patch, 2, OSError(number, os.strerror(number)))
        code, printed, err = call("--out", out)
    assert (code, printed) == (2, "")
    assert err.splitlines()[-1].startswith(f"spectralvision: error: {words}")
    assert err.endswith(f"; the same command resumes it (see {out}.shards).\n")
    assert call("--out", out)[0] == 1
