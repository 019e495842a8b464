"""Training with label maps through the command, on made-up images: what it writes, how it goes on, what it refuses."""

import json
import re
import shlex
from pathlib import Path

import pytest
import torch

from spectralvision.cli import main
from spectralvision.data.label_maps import shard_path
from spectralvision.data.opening import open_data
from spectralvision.recipes.classification import Classification
from spectralvision.tasks import token_labelling
from spectralvision.tasks.loading import load_model
from spectralvision.tasks.optimisation import Optimisation
from tests.label_maps import published, stored, teacher
from tests.pictures import COLOURS, image_folder
from tests.recipes.test_resume import what_came_out

SMALL = {"dims": (8, 16, 16, 16), "depths": (1, 1, 1, 1), "stem_dim": 8, "img_size": 64}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Photographs, a narrow student, and maps that are sure of the truth."""
    root = tmp_path_factory.mktemp("labelled")
    images = open_data(str(image_folder(root / "photos", 10))).split("all")
    teacher(root / "student", name="svt_h_s", token_label=True, **SMALL)
    stored(root / "maps", images, COLOURS, shape=(3, 2, 2), shard=8)
    return root


def words(root, out, *more):
    return [str(word) for word in (
        "train", "--data", root / "photos", "--model", root / "student", "--label-maps", root / "maps", "--epochs", "3",
        "--batch-size", "8", "--input-size", "64", "--workers", "0", "--lr", "1e-3", "--out", out, *more
    )]  # fmt: skip


def interrupted(command, at):
    true = token_labelling.TokenLabelClassifier.training_step

    def step(module, batch, batch_idx):
        if module.global_step == at:
            raise KeyboardInterrupt
        return true(module, batch, batch_idx)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(token_labelling.TokenLabelClassifier, "training_step", step)
        assert main(command) == 130


def test_a_resumed_run_equals_one_that_was_not_interrupted(root, tmp_path, capsys):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert main(words(root, whole, "--json")) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["epochs"] == 3
    assert f"labels {root / 'maps'}: the best 3 classes at 2 x 2 positions, by T" in err
    interrupted(words(root, parts), 4)
    assert main(["train", "--resume", str(parts)]) == 0
    (weights, checkpoint, rows), (weights2, checkpoint2, rows2) = what_came_out(whole), what_came_out(parts)
    assert all(torch.equal(weights[name], weights2[name]) for name in weights)
    state, state2 = checkpoint["state_dict"], checkpoint2["state_dict"]
    assert all(torch.equal(state[name], state2[name]) for name in state)
    assert rows == rows2
    record = json.loads((whole / "run.json").read_text())
    assert record["recipe"]["label_maps"] == str(root / "maps")
    facts = record["data"]["label_maps"]
    assert (facts["teacher"], facts["count"], facts["shape"]) == ("T", 30, [3, 2, 2])
    model = load_model(str(whole))
    assert model.aux_head is not None
    assert main(["evaluate", "--model", str(whole), "--data", str(root / "photos"), "--json"]) == 0


def test_labels_reach_the_weights(root, tmp_path):
    """Other maps, other weights: the annotation serves the metrics only."""
    images = open_data(str(root / "photos")).split("all")
    stored(tmp_path / "maps", images, COLOURS, shape=(3, 2, 2))
    path = shard_path(tmp_path / "maps", 0)
    from safetensors.torch import load_file, save_file

    tensors = load_file(path)
    save_file(tensors | {"indices": (tensors["indices"] + 1) % 3}, path)
    for name, folder in (("a", root / "maps"), ("b", tmp_path / "maps")):
        assert main(words(root, tmp_path / name, "--label-maps", folder, "--epochs", "1")) == 0
    first, second = (what_came_out(tmp_path / name)[0] for name in "ab")
    assert not all(torch.equal(first[name], second[name]) for name in first)


def test_from_teacher_to_student_by_two_commands(root, tmp_path):
    """An SVT by its name, cut to the shape that tests can afford."""
    teacher(tmp_path / "teacher")
    photos, maps, run = root / "photos", tmp_path / "maps", tmp_path / "run"
    common = ["--data", str(photos), "--workers", "0"]
    assert main(["token-labels", "--teacher", str(tmp_path / "teacher"), "--out", str(maps), *common]) == 0
    more = ["--model", "svt_h_s", "--label-maps", str(maps), "--epochs", "1", "--batch-size", "8", "--input-size", "32"]
    assert main(["train", *common, *more, "--out", str(run)]) == 0
    assert json.loads((run / "config.json").read_text())["model_args"]["token_label"] is True


def test_the_published_format_trains_too(root, tmp_path):
    images = open_data(str(root / "photos")).split("all")
    names = [images.name(row) for row in range(len(images))]
    published(tmp_path / "maps", names, shape=(3, 4, 4), classes=3)
    assert main(words(root, tmp_path / "run", "--label-maps", tmp_path / "maps", "--epochs", "1")) == 0
    assert json.loads((tmp_path / "run" / "run.json").read_text())["data"]["label_maps"]["format"] == "published"


def test_folds_share_the_maps(root, tmp_path):
    recipe = Classification(
        data=str(root / "photos"), model=str(root / "student"), label_maps=str(root / "maps"), epochs=1, folds=2,
        input_size=64, workers=0, out=str(tmp_path / "run"), optimisation=Optimisation(lr=1e-3, warmup_epochs=0.5),
    )  # fmt: skip
    assert len(recipe.run(lambda line: None)["folds"]) == 2


def mixup(root, tmp):
    return ["--mixup", "0.2"]


def model_without_auxiliary_head(root, tmp):
    return ["--model", "test_resnet"]


def no_maps(root, tmp):
    return ["--label-maps", tmp]


def maps_of_other_images(root, tmp):
    image_folder(tmp / "others", 10, first=100)
    return ["--data", tmp / "others"]


def maps_of_other_classes(root, tmp):
    stored(tmp / "maps", open_data(str(root / "photos")).split("all"), ("a", "b", "c"))
    return ["--label-maps", tmp / "maps"]


def maps_that_end_early(root, tmp):
    stored(tmp / "maps", open_data(str(root / "photos")).split("all"), COLOURS)
    path = shard_path(tmp / "maps", 3)
    path.write_bytes(path.read_bytes()[:-1])
    return ["--label-maps", tmp / "maps"]


CASES = {
    mixup: r"--mixup does not go with --label-maps, which mixes images by MixToken: leave it out\.",
    model_without_auxiliary_head: r"test_resnet has none, svt_h_s has one\.",
    no_maps: r"holds no label maps: `spectralvision token-labels",
    maps_of_other_images: r"holds label maps of other images \(30 of D, all\) than the 24 to train on",
    maps_of_other_classes: r"label maps of other classes \(a, b, c\) than the images' \(blue, green, red\)",
    maps_that_end_early: r"maps-00003\.safetensors ends early or is damaged .*: the same `.*` command goes on\.",
}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_one_sentence_before_anything_is_written(case, root, tmp_path, capsys):
    more = case(root, tmp_path)
    assert main(words(root, tmp_path / "run", *more)) == 2
    out, err = capsys.readouterr()
    last = err.strip().splitlines()[-1]
    assert out == ""
    assert "Traceback" not in err
    assert re.search(rf"^spectralvision: error: .*{CASES[case]}", last), last
    assert not (tmp_path / "run").exists()


def test_resumed_on_other_maps_is_refused(root, tmp_path, capsys):
    images = open_data(str(root / "photos")).split("all")
    stored(tmp_path / "maps", images, COLOURS, shape=(3, 2, 2))
    command = words(root, tmp_path / "run", "--label-maps", tmp_path / "maps")
    interrupted(command, 4)
    for path in (tmp_path / "maps").iterdir():
        path.unlink()
    (tmp_path / "maps").rmdir()
    stored(tmp_path / "maps", images, COLOURS, shape=(3, 2, 2), teacher="another")
    capsys.readouterr()
    assert main(["train", "--resume", str(tmp_path / "run")]) == 2
    assert "the label maps are not those that" in capsys.readouterr().err


def test_the_commands_of_the_guide_are_taken():
    from spectralvision.cli import VERBS, _parse, _parse_train

    guide = Path(__file__).parents[2] / "docs/guides/token-labels.md"
    commands = [
        shlex.split(line, comments=True) for line in guide.read_text().splitlines() if line[:14] == "spectralvision"
    ]
    assert {words[1] for words in commands} == {"train", "token-labels", "evaluate"}
    for _, verb, *rest in commands:
        _parse_train(rest) if verb == "train" else _parse(VERBS[verb], verb, rest)
