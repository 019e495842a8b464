"""What `evaluate` reports about the files of a data set before it runs."""

from types import SimpleNamespace

import pytest

from spectralvision.commands import evaluate as command
from spectralvision.engine import model_io
from spectralvision.tasks import evaluation
from spectralvision.tasks.registry import find_task
from tests.helpers.scenes import coco_folder, mask_folder


def broken_coco(root):
    folder = coco_folder(root)
    (folder / "images" / "001.png").unlink()
    return folder


def broken_masks(root):
    folder = mask_folder(root)
    (folder / "train" / "masks" / "001.png").unlink()
    (folder / "train" / "images" / "002.png").unlink()
    return folder


@pytest.mark.parametrize(
    ("task", "write", "notes"),
    [
        ("segmentation", broken_coco, ["skip   1 image whose file is missing: 001.png"]),
        ("detection", broken_coco, ["skip   1 image whose file is missing: 001.png"]),
        (
            "segmentation",
            broken_masks,
            [
                "skip   1 image without a mask: train: 001.png",
                "skip   1 mask without an image: train: 002.png",
            ],
        ),
    ],
)
def test_problems_of_the_data_are_printed(tmp_path, monkeypatch, capsys, task, write, notes):
    monkeypatch.setattr(command, "task_of", lambda model: find_task(task))
    monkeypatch.setattr(model_io, "find_model", lambda model: None)
    monkeypatch.setattr(evaluation, "evaluate", lambda *words: SimpleNamespace())
    folder = write(tmp_path / "scenes")
    command.Evaluate(["--model", "any", "--data", str(folder), "--device", "cpu"]).run()
    assert [line.rstrip() for line in capsys.readouterr().err.splitlines()][-len(notes) :] == notes
