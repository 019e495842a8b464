"""Run folders and atomic file writes."""

import json
import os

import pytest

from spectralvision.runs import (
    UserError,
    atomic_write,
    create_run_folder,
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
        UserError, match=r'no_such_module_here.*pip install "spectralvision\[train\]"'
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
