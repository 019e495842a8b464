"""Training with label maps through the command: what is written, resuming, and what is rejected."""

import json
import re
import shlex
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from spectralvision.cli import main, parse_command
from spectralvision.data.open_data import open_data
from spectralvision.engine.model_io import load_model
from spectralvision.engine.optimizer_config import OptimizerConfig
from spectralvision.tasks.classification.config import ClassificationConfig
from spectralvision.tasks.classification.token_labels.module import TokenLabelClassifier
from spectralvision.tasks.classification.token_labels.storage import shard_path
from spectralvision.tasks.start_training import start_training
from tests.helpers.label_maps import (
    NARROW_SVT,
    save_untrained,
    write_label_maps,
    write_published_maps,
)
from tests.helpers.pictures import COLOURS, image_folder
from tests.helpers.training import interrupted_at, read_results

GUIDE = Path(__file__).parents[4] / "docs/guides/token-labels.md"


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Return a folder with photographs, a narrow student, and maps that agree with the labels."""
    root = tmp_path_factory.mktemp("token-labels")
    image_folder(root / "photos", 10)
    save_untrained(root / "student", name="svt_h_s", token_label=True, **NARROW_SVT)
    write_label_maps(root / "maps", all_images(root), COLOURS, shape=(3, 2, 2), shard=8)
    return root


def all_images(root):
    return open_data(str(root / "photos")).split("all")


def words(root, out, *more):
    """Return the command that trains the student for three epochs of three updates."""
    paths = ["--data", root / "photos", "--model", root / "student", "--label-maps", root / "maps"]
    numbers = ["--epochs", "3", "--batch-size", "8", "--input-size", "64", "--lr", "1e-3"]
    return [
        str(word) for word in ("train", *paths, *numbers, "--workers", "0", "--out", out, *more)
    ]


def interrupt(command, update):
    with interrupted_at(TokenLabelClassifier, update):
        assert main(command) == 130


def test_a_resumed_run_equals_one_that_was_not_interrupted(root, tmp_path, capsys):
    # 1. Without interruption
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert main(words(root, whole, "--json")) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["epochs"] == 3
    assert f"labels {root / 'maps'}: top 3 classes at 2 x 2 positions, by T" in err

    # 2. Interrupted and resumed
    interrupt(words(root, parts), 4)
    assert main(["train", "--resume", str(parts)]) == 0
    weights, checkpoint, rows = read_results(whole)
    weights2, checkpoint2, rows2 = read_results(parts)
    assert weights
    assert all(torch.equal(weights[name], weights2[name]) for name in weights)
    state, state2 = checkpoint["model"], checkpoint2["model"]
    assert state
    assert all(torch.equal(state[name], state2[name]) for name in state)
    assert len(rows) == 3
    assert rows == rows2

    # 3. The run folder
    record = json.loads((whole / "run.json").read_text())
    assert record["config"]["label_maps"] == str(root / "maps")
    facts = record["data"]["label_maps"]
    assert (facts["teacher"], facts["count"], facts["shape"]) == ("T", 30, [3, 2, 2])
    model = load_model(str(whole))
    assert model.aux_head is not None
    assert main(["evaluate", "--model", str(whole), "--data", str(root / "photos"), "--json"]) == 0


def test_weights_depend_on_the_maps(root, tmp_path):
    """The annotation is used for the metrics only."""
    write_label_maps(tmp_path / "maps", all_images(root), COLOURS, shape=(3, 2, 2))
    path = shard_path(tmp_path / "maps", 0)
    tensors = load_file(path)
    save_file(tensors | {"indices": (tensors["indices"] + 1) % 3}, path)
    for name, folder in (("a", root / "maps"), ("b", tmp_path / "maps")):
        assert main(words(root, tmp_path / name, "--label-maps", folder, "--epochs", "1")) == 0
    first, second = (read_results(tmp_path / name)[0] for name in "ab")
    assert not all(torch.equal(first[name], second[name]) for name in first)


def test_from_teacher_to_student_by_two_commands(root, tmp_path):
    """The student is an SVT by its name, at an input size that tests can afford."""
    teacher = save_untrained(tmp_path / "teacher")
    maps, run = str(tmp_path / "maps"), str(tmp_path / "run")
    common = ["--data", str(root / "photos"), "--workers", "0"]
    assert main(["token-labels", "--teacher", str(teacher), "--out", maps, *common]) == 0
    student = ["--model", "svt_h_s", "--label-maps", maps, "--input-size", "32"]
    numbers = ["--epochs", "1", "--batch-size", "8"]
    assert main(["train", *common, *student, *numbers, "--out", run]) == 0
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["model_args"]["token_label"] is True


def test_training_with_the_published_format(root, tmp_path):
    images = all_images(root)
    names = [images.name(row) for row in range(len(images))]
    write_published_maps(tmp_path / "maps", names, shape=(3, 4, 4), classes=3)
    command = words(root, tmp_path / "run", "--label-maps", tmp_path / "maps", "--epochs", "1")
    assert main(command) == 0
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["data"]["label_maps"]["format"] == "published"


def test_folds_use_the_same_maps(root, tmp_path):
    config = ClassificationConfig(
        data=str(root / "photos"),
        model=str(root / "student"),
        label_maps=str(root / "maps"),
        epochs=1,
        folds=2,
        input_size=64,
        workers=0,
        out=str(tmp_path / "run"),
        optimizer=OptimizerConfig(lr=1e-3, warmup_epochs=0.5),
    )
    assert len(start_training(config, lambda line: None)["folds"]) == 2


def mixup(root, tmp):
    return ["--mixup", "0.2"]


def model_without_auxiliary_head(root, tmp):
    return ["--model", "test_resnet"]


def folder_without_maps(root, tmp):
    return ["--label-maps", tmp]


def maps_of_other_images(root, tmp):
    image_folder(tmp / "others", 10, first=100)
    return ["--data", tmp / "others"]


def maps_of_other_classes(root, tmp):
    write_label_maps(tmp / "maps", all_images(root), ("a", "b", "c"))
    return ["--label-maps", tmp / "maps"]


def truncated_maps(root, tmp):
    write_label_maps(tmp / "maps", all_images(root), COLOURS)
    path = shard_path(tmp / "maps", 3)
    path.write_bytes(path.read_bytes()[:-1])
    return ["--label-maps", tmp / "maps"]


CASES = {
    mixup: r"--mixup does not go with --label-maps, which mixes images by MixToken: leave it out\.",
    model_without_auxiliary_head: r"test_resnet has none, svt_h_s has one\.",
    folder_without_maps: r"has no label maps: `spectralvision token-labels",
    maps_of_other_images: (
        r"has label maps of other images \(30 of D, all\) than the 24 training images"
    ),
    maps_of_other_classes: (
        r"label maps of other classes \(a, b, c\) than the images \(blue, green, red\)"
    ),
    truncated_maps: (
        r"maps-00003\.safetensors is truncated or damaged .*: the same `.*` command generates "
        r"what is missing\.$"
    ),
}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_errors_are_one_sentence_before_anything_is_written(case, root, tmp_path, capsys):
    more = case(root, tmp_path)
    assert main(words(root, tmp_path / "run", *more)) == 2
    out, err = capsys.readouterr()
    last = err.strip().splitlines()[-1]
    assert out == ""
    assert "Traceback" not in err
    assert re.search(rf"^spectralvision: error: .*{CASES[case]}", last), last
    assert not (tmp_path / "run").exists()


def test_resuming_with_other_maps_is_rejected(root, tmp_path, capsys):
    maps = tmp_path / "maps"
    write_label_maps(maps, all_images(root), COLOURS, shape=(3, 2, 2))
    interrupt(words(root, tmp_path / "run", "--label-maps", maps), 4)
    shutil.rmtree(maps)
    write_label_maps(maps, all_images(root), COLOURS, shape=(3, 2, 2), teacher="another")
    capsys.readouterr()
    assert main(["train", "--resume", str(tmp_path / "run")]) == 2
    assert "the label maps are not those that" in capsys.readouterr().err


def test_the_commands_of_the_guide_can_be_parsed():
    lines = GUIDE.read_text().splitlines()
    commands = [shlex.split(line, comments=True) for line in lines if line[:14] == "spectralvision"]
    assert {command[1] for command in commands} == {"train", "token-labels", "evaluate"}
    for command in commands:
        parse_command(command[1:])
