"""Bad input to `train`: one sentence, exit code 2, and nothing lost."""

import errno
import io
import json
import os
import pickle
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image

from spectralvision.cli import main
from spectralvision.data.image_files import MAX_PIXELS
from spectralvision.engine.model_io import load_model
from spectralvision.tasks.classification import module as classification
from tests.helpers.pictures import encoded, image_folder, picture

BATCH = 8  # of 24 training images: three updates an epoch
WORDS = ["--model", "test_resnet", "--epochs", "2", "--batch-size", str(BATCH), "--workers", "0"]


class Hostile:
    """Makes a folder when unpickled as code."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


def train(*words):
    return main(["train", *map(str, words)])


def photos(root, per_class=10, **options):
    return image_folder(root / "photos", per_class, **options)


def started(root):
    """Words that train on ten images a class into root/run."""
    return ["--data", photos(root), *WORDS, "--out", root / "run"]


def before_update(number, action):
    """A training step of the classifier that begins with `action` before an update, from 0."""
    training_step = classification.Classifier.training_step

    def step(module, batch, step):
        if step.update == number:
            action(step)
        return training_step(module, batch, step)

    return step


def interrupt(step):
    raise KeyboardInterrupt


def unfinished(root):
    """A run that was interrupted in its second epoch, after a batch of it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(classification.Classifier, "training_step", before_update(4, interrupt))
        assert train(*started(root)) == 130
    return root / "run"


def empty_class(root, patch):
    (photos(root) / "amber").mkdir()
    return ["--data", root / "photos"]


def one_class(root, patch):
    return ["--data", photos(root, classes=("red",))]


def class_without_a_good_image(root, patch):
    for file in (photos(root) / "red").iterdir():
        file.write_bytes(b"")
    return ["--data", root / "photos", *WORDS]


def no_good_image_in_val(root, patch):
    image_folder(root / "data" / "train", 4)
    for file in image_folder(root / "data" / "val", 1).glob("*/*"):
        file.write_text("no image")
    return ["--data", root / "data", *WORDS]


def folder_taken(root, patch):
    (root / "run").mkdir()
    (root / "run" / "notes.txt").write_text("mine")
    return started(root)


def loss_not_finite(root, patch):
    training_step = classification.Classifier.training_step

    def spoiled(module, batch, step):
        values = training_step(module, batch, step)
        factor = float("nan") if step.update == 4 else 1.0
        return values | {"loss": values["loss"] * factor}

    patch.setattr(classification.Classifier, "training_step", spoiled)
    return started(root)


def limit_batches(patch, fits):
    """Training on more than `fits` images at once runs out of memory from now on."""
    model = type(timm.create_model("test_resnet"))
    forward = model.forward

    def limited(self, x):
        if len(x) > fits and self.training:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return forward(self, x)

    patch.setattr(model, "forward", limited)


def memory_small(root, patch, fits=4):
    limit_batches(patch, fits)
    return started(root)


def memory_none(root, patch):
    return memory_small(root, patch, fits=1)


def memory_lost(root, patch):
    """The trial steps and the first epoch fit."""
    step = before_update(3, lambda step: limit_batches(patch, 2))
    patch.setattr(classification.Classifier, "training_step", step)
    return started(root)


def disk_full(root, patch):
    write, calls = Path.write_bytes, []

    def full(path, content):
        calls.append(path)
        if len(calls) > 2:  # the start and an epoch have gone well
            write(path, bytes(content)[:100])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(path, content)

    words = started(root)
    patch.setattr(Path, "write_bytes", full)
    return words


def resume_with_settings(root, patch):
    return ["--resume", unfinished(root), "--epochs", "3"]


def resume_nothing(root, patch):
    return ["--resume", root / "nothing"]


def resume_without_checkpoint(root, patch):
    shutil.rmtree(unfinished(root) / "checkpoints")
    return ["--resume", root / "run"]


def resume_truncated(root, patch):
    path = unfinished(root) / "checkpoints" / "last.ckpt"
    path.write_bytes(path.read_bytes()[:5000])
    return ["--resume", root / "run"]


def resume_hostile(root, patch):
    torch.save(
        {"state_dict": Hostile(root / "pwned")}, unfinished(root) / "checkpoints" / "last.ckpt"
    )
    return ["--resume", root / "run"]


def resume_on_other_images(root, patch):
    picture("red", 99).save(unfinished(root).parent / "photos" / "red" / "99.png")
    return ["--resume", root / "run"]


def resume_older(root, patch):
    path = unfinished(root) / "run.json"
    record = json.loads(path.read_text())
    path.write_text(json.dumps(record | {"config": record["config"] | {"color": "red"}}))
    return ["--resume", root / "run"]


def model_truncated(root, patch):
    weights = unfinished(root) / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    return ["--data", root / "photos", "--model", root / "run", "--out", root / "other"]


def model_hostile(root, patch):
    (unfinished(root) / "model.safetensors").unlink()
    torch.save({"state_dict": Hostile(root / "pwned")}, root / "run" / "pytorch_model.bin")
    return ["--data", root / "photos", "--model", root / "run", "--out", root / "other"]


def model_is_a_file(root, patch):
    (root / "weights.pt").write_bytes(pickle.dumps(Hostile(root / "pwned")))
    return ["--data", photos(root), "--model", root / "weights.pt"]


def unknown_option(root, patch):
    return ["--data", "digits", "--epoch", "3"]


RESTART = r"start a new run from its best weights with --model ROOT/run\."
BEST = r"the best weights so far are in ROOT/run"
CASES = {
    empty_class: r"ROOT/photos/amber contains no images: add some, or remove the folder\.",
    one_class: r"photos has one class \(red\), but at least two classes are required\.",
    class_without_a_good_image: r"photos has no readable training image of the class 'red' "
    r"\(red/\d\.png: an empty file\): add some\.",
    no_good_image_in_val: r"data has no readable image in val \(blue/0\.png: no image format\): "
    r"add some\.",
    folder_taken: r"ROOT/run exists and is not an empty folder: name another with --out\.",
    loss_not_finite: r"loss is NaN or infinite at step 5, in epoch 2: a lower --lr or "
    rf"--precision 32 may help; {BEST}\.",
    memory_small: r"a batch of 8 does not fit into the memory of cpu, but 4 does: use "
    r"--batch-size 4 or --accumulate\.",
    memory_none: r"not even a batch of 2 fits into the memory of cpu: use a smaller --input-size "
    r"or a smaller --model\.",
    memory_lost: r"a batch of 8 does not fit into the memory of cpu, but 2 does: use "
    rf"--batch-size 2 or --accumulate; {BEST}\.",
    disk_full: r"the disk is full \(\[Errno 28\] No space left on device\): free some space; "
    rf"{BEST}; `spectralvision train --resume ROOT/run` resumes it\.",
    resume_with_settings: r"train --resume uses the settings of the run: remove --epochs\.",
    resume_nothing: r"ROOT/nothing is not a run folder: --resume takes one that "
    r"`spectralvision train` started\.",
    resume_without_checkpoint: rf"ROOT/run has no checkpoint to resume from: {RESTART}",
    resume_truncated: rf"ROOT/run/checkpoints/last\.ckpt cannot be read \(.+\): {RESTART}",
    resume_hostile: r"ROOT/run/checkpoints/last\.ckpt cannot be read \(.*[Ww]eights.only.*\): "
    rf"{RESTART}",
    resume_on_other_images: r"photos holds other images than ROOT/run was trained on: start a new "
    r"run\.",
    resume_older: r"ROOT/run/run\.json has no settings of this version \(.*'color'\)\.",
    model_truncated: r"the weights in ROOT/run cannot be used \(.*header.*\)\.",
    model_hostile: r"the weights in ROOT/run cannot be used \(.*posix\.mkdir.*\)\.",
    model_is_a_file: r"ROOT/weights\.pt is a file: --model takes a run folder or the name of a "
    r"model\.",
    unknown_option: r"train has no option --epoch: did you mean --epochs\?",
}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_one_sentence_and_nothing_lost(case, tmp_path, monkeypatch, capsys):
    words = case(tmp_path, monkeypatch)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()
    assert train(*words) == 2
    out, err = capsys.readouterr()
    last = err.strip().splitlines()[-1]
    assert out == ""
    assert "Traceback" not in err
    sentence = CASES[case].replace("ROOT", re.escape(str(tmp_path)))
    assert re.fullmatch(f"spectralvision: error: {sentence}", last), last
    assert before or case in (unknown_option, resume_nothing)
    assert all(path.read_bytes() == content for path, content in before.items())
    assert not (tmp_path / "pwned").exists()  # what a hostile file would have made
    assert not (tmp_path / "runs").exists()
    assert not list(tmp_path.rglob(".*"))


@pytest.mark.parametrize("case", [loss_not_finite, memory_lost, disk_full])
def test_a_mishap_in_training_keeps_the_epoch_before(case, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        assert train(*case(tmp_path, patch)) == 2
    run = tmp_path / "run"
    record = json.loads((run / "run.json").read_text())
    assert record["status"] == "failed"
    assert "the best weights so far are in" in record["error"]
    checkpoint = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    assert checkpoint["position"]["updates"] == 3
    assert all(weight.isfinite().all() for weight in load_model(str(run)).state_dict().values())
    assert train("--resume", run) == 0  # the cause is gone
    assert json.loads((run / "run.json").read_text())["results"]["epochs"] == 2


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("--lr -1", "--lr -1.0 should be greater than 0, at most 10."),
        ("--lr nan", "--lr nan should be a number, auto or find."),
        ("--label-smoothing 3", "--label-smoothing 3.0 should be between 0 and 0.99."),
        ("--weight-decay -1", "--weight-decay -1.0 should be between 0 and 100."),
        ("--hflip 7", "--hflip 7.0 should be between 0 and 1."),
        ("--ema 2", "--ema 2.0 should be between 0 and 1."),
        ("--workers -1", "--workers -1 should be between 0 and 1024."),
        ("--seed -1", "--seed -1 should be between 0 and 4294967295."),
        ("--input-size -64", "--input-size -64 should be between 1 and 8192."),
        ("--folds 1", "--folds 1 should be between 2 and 1000000."),
        ("--epochs abc", "--epochs abc should be a whole number or auto."),
        ("--opt adamww", "--opt adamww does not exist: did you mean .*adamw.*"),
        ("--sched cosinus", "--sched cosinus does not exist: did you mean cosine?"),
        ("--auto-augment foo", "--auto-augment foo .*"),
        (
            "--warmup-epochs 9 --epochs 2",
            "--warmup-epochs 9 should be less than --epochs, which is 2.",
        ),
        ("--num-classes 4", "photos has 3 classes: leave out --num-classes 4."),
        (
            "--device cuda",
            "--device cuda: this machine has no such device, or torch does not find it; use "
            "--device cpu.",
        ),
    ],
)
def test_values_that_cannot_work(words, sentence, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert train("--data", photos(tmp_path, 4), "--model", "test_resnet", *words.split()) == 2
    out, err = capsys.readouterr()
    assert out == ""
    pattern = re.escape(sentence).replace(r"\.\*", ".*")
    assert re.fullmatch(f"spectralvision: error: {pattern}", err.splitlines()[-1]), err
    assert not (tmp_path / "runs").exists()


def bomb():
    """A PNG of zeros that says it has more pixels than are allowed."""
    side = int(MAX_PIXELS**0.5) + 1
    return encoded(Image.new("1", (side, side)))


def animated():
    file = io.BytesIO()
    picture("red", 1).save(file, "GIF", save_all=True, append_images=[picture("blue", 2)])
    return file.getvalue()


GOOD = {
    "grey.png": lambda: encoded(picture("red", 1).convert("L")),
    "cmyk.jpg": lambda: encoded(picture("red", 2).convert("CMYK"), "JPEG"),
    "deep.png": lambda: encoded(Image.fromarray(np.full((9, 9), 40000, np.uint16))),
    "palette.png": lambda: encoded(picture("red", 3).convert("P")),
    "clear.png": lambda: encoded(picture("red", 4).convert("RGBA")),
    "moving.gif": animated,
    "wide.tif": lambda: encoded(Image.fromarray(np.full((9, 9), np.nan, np.float32)), "TIFF"),
}
BAD = {
    "empty.jpg": (lambda: b"", "an empty file"),
    "text.png": (lambda: b"no image at all", "no image format"),
    "short.jpg": (lambda: encoded(picture("red", 5, 64), "JPEG")[:-300], "truncated"),
    "short.png": (lambda: encoded(picture("red", 6, 64))[:-300], ""),
    "broken.png": (lambda: encoded(picture("red", 7, 64)).replace(b"IDAT", b"IDAR"), ""),
    "huge.png": (bomb, "more than 179 million pixels"),
}


def test_bad_images_among_good_are_left_out_counted_and_named(tmp_path, capsys):
    folder = image_folder(tmp_path / "data" / "train", 4).parent
    image_folder(folder / "val", 2, first=20)
    for name, make in GOOD.items():
        (folder / "train" / "red" / name).write_bytes(make())
    for name, (make, _) in BAD.items():
        (folder / "train" / "red" / name).write_bytes(make())
    image_folder(folder / "test", 1, first=40)
    (folder / "test" / "blue" / "twin.png").write_bytes(
        (folder / "val" / "blue" / "20.png").read_bytes()
    )
    (folder / "val" / "blue" / "torn.png").write_bytes(b"")
    (folder / "val" / "red" / "twin.png").write_bytes(
        (folder / "train" / "red" / "2.png").read_bytes()
    )
    assert (
        train("--data", folder, *WORDS[:-1], "2", "--epochs", "1", "--out", tmp_path / "run") == 0
    )
    err = capsys.readouterr().err
    assert "skip   7 images that cannot be read: red/broken.png (" in err
    assert "and 2 more" in err
    assert (
        "note   1 image of val also in train, which makes val top-1 too high: "
        "red/2.png = red/twin.png\n" in err
    )
    assert (
        "note   1 image of test also in val, which makes test top-1 too high: "
        "blue/20.png = blue/twin.png\n" in err
    )
    data = json.loads((tmp_path / "run" / "run.json").read_text())["data"]
    assert data["images"] == {"train": 12 + len(GOOD), "val": 7, "test": 4}
    found = {Path(one["image"]).name: one["reason"] for one in data["skipped"]}
    assert set(found) == {*BAD, "torn.png"}
    assert all(reason in found[name] and found[name] for name, (_, reason) in BAD.items())
    assert data["in_two_splits"] == [
        {"splits": ["train", "val"], "count": 1, "images": [["red/2.png", "red/twin.png"]]},
        {"splits": ["val", "test"], "count": 1, "images": [["blue/20.png", "blue/twin.png"]]},
    ]


def test_few_and_uneven_images_are_said(tmp_path, capsys):
    image_folder(tmp_path / "photos", 20, classes=("red",))
    image_folder(tmp_path / "photos", 3, classes=("blue",))
    assert train("--data", tmp_path / "photos", "--model", "test_resnet", "--dry-run") == 0
    err = capsys.readouterr().err
    assert "note   5 images in val: one more correct image changes top-1 by 20.0%\n" in err
    assert "note   classes are imbalanced: 16 images of red, 2 of blue in train" in err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--auto-augment", "randaug"], "is not a timm policy"),
        (["--auto-augment", "rand-m9-x1"], "is not a timm policy"),
        (["--opt", "fusedadam"], "--opt fusedadam does not work here"),
        (["--strategy", "foo"], "cannot start training with these settings: "),
        (
            ["--model", "vit_tiny_patch16_224", "--min-size", "160", "--max-size", "224"],
            "choose another --min-size.",
        ),
    ],
)
def test_words_that_begin_well(tmp_path, capsys, words, sentence):
    assert train(*started(tmp_path), *words) == 2
    assert sentence in capsys.readouterr().err


def test_torchrun_with_another_number_of_processes(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert train(*started(tmp_path), "--devices", "1") == 2
    assert (
        "torchrun has started 2 processes, but the settings ask for 1: give --devices and "
        "--num-nodes the numbers of torchrun." in capsys.readouterr().err
    )


def test_one_run_by_two_names(tmp_path, capsys):
    run = tmp_path / "run"
    assert train(*started(tmp_path)) == 0
    capsys.readouterr()
    answers = []
    for name in (str(run), f"local-dir:{run}"):
        assert (
            main(["evaluate", "--model", name, "--data", str(tmp_path / "photos"), "--json"]) == 0
        )
        answers.append(json.loads(capsys.readouterr().out))
    same = ("images", "top1", "split", "seen_in_training")
    assert [answers[0][key] for key in same] == [answers[1][key] for key in same]
    assert answers[0]["images"] < 30
