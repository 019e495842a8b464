"""A teacher's maps: their content, resumed after a cut, and what ends in a sentence."""

import errno
import json
import os
import re

import pytest
import torch
from safetensors.torch import load_file

from spectralvision.cli import main
from spectralvision.data import label_maps as stored
from spectralvision.data.label_maps import open_label_maps, shard_path
from spectralvision.data.opening import open_data
from spectralvision.data.transforms import eval_transform
from spectralvision.runs import UserError
from spectralvision.tasks import label_maps
from spectralvision.tasks.inference import Inference
from spectralvision.tasks.label_maps import make_label_maps
from spectralvision.tasks.loading import data_config, load_model
from tests.label_maps import teacher
from tests.pictures import COLOURS, image_folder

ENGINE = Inference(batch_size=3, workers=0, device="cpu")


@pytest.fixture(autouse=True)
def _small_shards(monkeypatch):
    monkeypatch.setattr(label_maps, "SHARD", 4)


@pytest.fixture
def photos(tmp_path):
    return image_folder(tmp_path / "photos", 5)  # 15 images: shards of 4, 4, 4, 3


def words(root, *more):
    return [str(word) for word in (
        "token-labels", "--teacher", root / "teacher", "--data", root / "photos", "--out", root / "maps",
        "--batch-size", "3", "--workers", "0", "--device", "cpu", *more
    )]  # fmt: skip


def shards(folder):
    return {path.name: load_file(path) for path in sorted(folder.glob("*.safetensors"))}


def assert_same(one, other):
    assert list(one) == list(other)
    for name in one:
        assert all(torch.equal(one[name][key], other[name][key]) for key in ("values", "indices"))


def test_maps_are_the_teachers_probabilities_over_the_whole_image(photos, tmp_path):
    run = teacher(tmp_path / "teacher")
    data = open_data(str(photos))
    result = make_label_maps(str(run), data, tmp_path / "maps", engine=ENGINE)
    assert (result["images"], result["labelled"], result["unreadable"]) == (15, 15, [])
    assert result["shape"] == [3, 2, 2]
    images, model = data.split("all"), load_model(str(run)).eval()
    maps = open_label_maps(tmp_path / "maps", images, data.classes)
    transform = eval_transform(data_config(model) | {"crop_pct": 1.0, "crop_mode": "squash"})
    hits = 0
    for row in range(15):
        with torch.no_grad():
            features = model.forward_features(transform(images.image(row))[None])
            logits = model.fc(features.movedim(1, -1))[0].movedim(-1, 0)  # (3, 2, 2)
        values, indices = maps[row]
        dense = torch.zeros(3, 2, 2).scatter(0, indices.long(), values.float())
        torch.testing.assert_close(dense, logits.softmax(0), atol=1e-3, rtol=0)
        hits += int(dense.mean((1, 2)).argmax()) == images.labels[row]
    assert result["agreement"] == pytest.approx(hits / 15)


def test_the_whole_image_is_seen_whatever_its_proportions(tmp_path):
    from PIL import Image

    run = teacher(tmp_path / "teacher", classes=("a", "b"))
    for name in "ab":
        (tmp_path / "wide" / name).mkdir(parents=True)
        wide = Image.new("RGB", (160, 40), "black")
        wide.paste((255, 255, 255), (0, 0, 40, 40))  # the left quarter, which a centre crop would not show
        wide.save(tmp_path / "wide" / name / "1.png")
    seen = []
    true = label_maps.PositionHead.forward
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(label_maps.PositionHead, "forward", lambda self, x: seen.append(x) or true(self, x))
        make_label_maps(str(run), open_data(str(tmp_path / "wide")), tmp_path / "maps", engine=ENGINE)
    columns = seen[-1][0].mean((0, 1))
    assert columns.shape == (64,)
    assert (columns[:14] > columns[20:].max() + 1).all()


def test_a_teacher_with_more_classes_in_another_order(photos, tmp_path):
    run = teacher(tmp_path / "teacher", classes=("red", "pink", "blue", "grey", "green", "white", "black"))
    data = open_data(str(photos))
    make_label_maps(str(run), data, tmp_path / "maps", engine=ENGINE)
    model = load_model(str(run)).eval()
    image = eval_transform(data_config(model) | {"crop_pct": 1.0, "crop_mode": "squash"})(data.split("all").image(7))
    with torch.no_grad():
        logits = model.fc(model.forward_features(image[None]).movedim(1, -1))[0].movedim(-1, 0)
    values, indices = open_label_maps(tmp_path / "maps", data.split("all"), data.classes)[7]
    dense = torch.zeros(3, 2, 2).scatter(0, indices.long(), values.float())
    torch.testing.assert_close(dense, logits[[2, 4, 0]].softmax(0), atol=1e-3, rtol=0)  # blue, green, red


@pytest.mark.parametrize("cut", ["interrupted", "missing", "short"])
def test_labelling_goes_on_where_it_stopped(cut, photos, tmp_path, monkeypatch, capsys):
    teacher(tmp_path / "teacher")
    whole = make_label_maps(str(tmp_path / "teacher"), open_data(str(photos)), tmp_path / "whole", engine=ENGINE)
    if cut == "interrupted":
        write, calls = label_maps.write_shard, []

        def interrupted(path, *tensors):
            calls.append(path)
            if len(calls) == 3:
                raise KeyboardInterrupt
            write(path, *tensors)

        with monkeypatch.context() as patch:
            patch.setattr(label_maps, "write_shard", interrupted)
            assert main(words(tmp_path)) == 130
        assert "interrupted; 8 of 15 label maps are in" in capsys.readouterr().err
        again = 7
    else:
        assert main(words(tmp_path)) == 0
        path = shard_path(tmp_path / "maps", 1)
        path.unlink() if cut == "missing" else path.write_bytes(path.read_bytes()[:-5])
        again = 4
    capsys.readouterr()
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "maps").glob("maps-*") if "00001" not in path.name}
    assert main(words(tmp_path, "--json")) == 0
    assert json.loads(capsys.readouterr().out)["labelled"] == again
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())
    assert_same(shards(tmp_path / "maps"), shards(tmp_path / "whole"))
    assert main(words(tmp_path, "--json")) == 0  # nothing left
    result = json.loads(capsys.readouterr().out)
    assert (result["labelled"], result["agreement"]) == (0, None)
    assert result["shape"] == whole["shape"]


def test_what_the_command_says(photos, tmp_path, capsys):
    teacher(tmp_path / "teacher")
    (photos / "red" / "broken.png").write_bytes(b"")
    assert main(words(tmp_path)) == 1
    out, err = capsys.readouterr()
    lines = {line.split()[0]: line for line in out.splitlines()}
    assert "16 (photos, all), 15 labelled now" in lines["images"]
    assert "2 x 2 positions, the best 3 of 3 classes" in lines["map"]
    assert f"--model svt_h_s --label-maps {tmp_path / 'maps'}" in lines["next"]
    assert "1 could not be read, and have no map:" in err
    assert "broken.png" in err
    assert not list(tmp_path.rglob(".*"))


def unknown_teacher(root, patch):
    return ["--teacher", "no_such_model"]


def teacher_without_weights(root, patch):
    return ["--teacher", "svt_h_s"]


def other_classes(root, patch):
    teacher(root / "other", classes=("red", "green", "crimson"))
    return ["--teacher", root / "other"]


def other_number_of_classes(root, patch):
    teacher(root / "other", classes=("red", "green"))
    config = json.loads((root / "other" / "config.json").read_text())
    (root / "other" / "config.json").write_text(json.dumps({k: v for k, v in config.items() if k != "label_names"}))
    return ["--teacher", root / "other"]


def begun_by_another(root, patch):
    teacher(root / "other", name="test_byobnet")
    assert main(words(root)) == 0
    return ["--teacher", root / "other"]


def begun_of_other_images(root, patch):
    assert main(words(root)) == 0
    image_folder(root / "more", 6)
    return ["--data", root / "more"]


def folder_taken(root, patch):
    (root / "maps").mkdir()
    (root / "maps" / "notes.txt").write_text("mine")
    return []


def no_split(root, patch):
    return ["--split", "test"]


def disk_full(root, patch):
    from pathlib import Path

    write, calls = Path.write_bytes, []

    def full(path, content):
        calls.append(path)
        if len(calls) > 2:
            write(path, bytes(content)[:100])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(path, content)

    patch.setattr(stored.Path, "write_bytes", full)
    return []


def reader_dies(root, patch):
    true = label_maps.attempt_loader

    def dying(*args):
        yield from list(true(*args))[:2]
        raise RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed.")

    patch.setattr(label_maps, "attempt_loader", dying)
    return []


CASES = {
    unknown_teacher: r"no_such_model is neither a run folder nor the name of a model",
    teacher_without_weights: r"no ImageNet weights of svt_h_s come with spectralvision",
    other_classes: r"photos has 1 class that .*other does not know \(blue\)",
    other_number_of_classes: r"photos has 3 classes, and .*other has 2\.",
    begun_by_another: r"maps holds label maps by .*teacher of photos \(all\), begun with another teacher: name another",
    begun_of_other_images: r"maps holds label maps by .* of photos \(all\), begun with another data: name another",
    folder_taken: r"maps exists and is not an empty folder: name another with --out\.",
    no_split: r"photos has no split 'test'",
    disk_full: r"the disk is full \(.*\); 8 of 15 label maps are in .*maps, and the same `.*` command goes on\.",
    reader_dies: r"a process that reads images has died \(.*\); 4 of 15 label maps are in .*maps, and the same",
}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_one_sentence_and_what_is_written_stays(case, photos, tmp_path, monkeypatch, capsys):
    teacher(tmp_path / "teacher")
    with monkeypatch.context() as patch:
        more = case(tmp_path, patch)
        before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
        capsys.readouterr()
        assert main(words(tmp_path, *more)) == 2
    out, err = capsys.readouterr()
    last = err.strip().splitlines()[-1]
    assert out == ""
    assert "Traceback" not in err
    assert re.search(rf"^spectralvision: error: .*{CASES[case]}", last), last
    assert all(path.read_bytes() == content for path, content in before.items())
    assert not list(tmp_path.rglob(".*"))
    if case in (disk_full, reader_dies):
        assert main(words(tmp_path)) == 0  # the cause is gone


def test_a_teacher_that_was_trained_on_is_another_one(photos, tmp_path):
    from spectralvision.tasks.loading import save_model

    run = teacher(tmp_path / "teacher")
    data = open_data(str(photos))
    make_label_maps(str(run), data, tmp_path / "maps", engine=ENGINE)
    model = load_model(str(run))
    with torch.no_grad():
        model.fc.weight.add_(1)
    save_model(model, run)
    with pytest.raises(UserError, match="begun with another weights"):
        make_label_maps(str(run), data, tmp_path / "maps", engine=ENGINE)


def test_colours_are_the_classes():
    assert sorted(COLOURS) == list(COLOURS)  # the order of folders, which the tests above count on
