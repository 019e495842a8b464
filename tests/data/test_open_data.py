"""Every kind of data set that --data takes, and the errors for what it does not take."""

import os
import shutil

import numpy as np
import pytest

from spectralvision.data.images import Stream
from spectralvision.data.open_data import open_data
from spectralvision.data.splits import fingerprint, repeat_split, split_train_val
from spectralvision.runs import UserError
from tests.helpers.pictures import color_of, image_folder
from tests.helpers.scenes import coco_folder, mask_folder


def color(data, split, index):
    """Return the class whose color the image has, to compare with its label."""
    return color_of(data.splits[split].image(index))


def test_digits_always_have_the_same_splits():
    data = open_data("digits")
    assert {name: len(images) for name, images in data.splits.items()} == {
        "train": 1259,
        "val": 179,
        "test": 359,
    }
    assert data.hflip == 0
    for images in data.splits.values():
        shares = np.bincount(images.labels, minlength=10) / len(images)
        assert shares.min() > 0.09
        assert shares.max() < 0.11
    names = [images.name(i) for images in data.splits.values() for i in range(len(images))]
    assert len(set(names)) == 1797
    assert data.splits["test"].image(0).size == (8, 8)
    assert (
        max(np.asarray(data.splits["test"].image(0)).ravel()) > 200
    )  # 16 gray levels are scaled to 8 bits


@pytest.mark.parametrize("val", ["val", "valid", "validation"])
def test_folder_with_splits(tmp_path, val):
    image_folder(tmp_path / "train", 4)
    image_folder(tmp_path / val, 2, first=10)
    image_folder(tmp_path / "test", 1, first=20, classes=("red", "blue"))
    data = open_data(str(tmp_path))
    assert data.classes == ("blue", "green", "red")
    assert {name: len(images) for name, images in data.splits.items()} == {
        "train": 12,
        "val": 6,
        "test": 2,
    }
    assert data.held_out() == "test"
    for split, images in data.splits.items():
        assert [color(data, split, i) for i in range(len(images))] == [
            data.classes[k] for k in images.labels
        ]


def test_a_flat_folder_is_split_by_seed_and_name(tmp_path):
    data = open_data(str(image_folder(tmp_path / "photos", 10)))
    assert list(data.splits) == ["all"]
    cut = split_train_val(data, 0.2, 0)
    again = split_train_val(data, 0.2, 0)
    other = split_train_val(data, 0.2, 1)
    assert {name: len(images) for name, images in cut.splits.items()} == {"train": 24, "val": 6}
    assert np.bincount(cut.splits["val"].labels).tolist() == [2, 2, 2]

    def names(data):
        return {data.splits["val"].name(i) for i in range(6)}

    assert names(cut) == names(again) != names(other)
    assert not names(cut) & {cut.splits["train"].name(i) for i in range(24)}
    assert cut.facts["val_split"] | {"fingerprint": ""} == {
        "from": "all",
        "fraction": 0.2,
        "seed": 0,
        "fold": None,
        "fingerprint": "",
    }


def test_every_image_is_in_one_fold(tmp_path):
    for color, number in (("blue", 30), ("green", 3), ("red", 1)):
        image_folder(tmp_path / "photos", number, classes=(color,))
    data = open_data(str(tmp_path / "photos"))
    held_out, sizes = [], []
    for number in range(1, 6):
        cut = split_train_val(data, 0.2, 0, (number, 5))
        val, train = (
            [cut.splits[name].name(i) for i in range(len(cut.splits[name]))]
            for name in ("val", "train")
        )
        assert not set(val) & set(train)
        assert len(val) + len(train) == 34
        assert (
            repeat_split(data, cut.facts).splits["val"].labels.tolist()
            == cut.splits["val"].labels.tolist()
        )
        held_out += val
        sizes.append(len(val))
    assert sorted(held_out) == sorted(
        name for name in data.splits["all"].files if not name.startswith("red")
    )
    assert max(sizes) - min(sizes) <= 1
    with pytest.raises(UserError, match="has its own val split: leave --folds out"):
        split_train_val(cut, 0.2, 0, (1, 5))


def test_the_split_of_a_run_is_repeated_on_its_own_data_only(tmp_path):
    data = open_data(str(image_folder(tmp_path / "mine", 10)))
    facts = split_train_val(data, 0.3, 5).facts
    assert len(repeat_split(data, facts).splits["val"]) == 9
    moved = open_data(str((tmp_path / "mine").rename(tmp_path / "moved")))
    assert len(repeat_split(moved, facts).splits["val"]) == 9
    older = {"val_carved": facts["val_split"]}  # its name in older runs
    assert len(repeat_split(moved, older).splits["val"]) == 9
    others = open_data(str(image_folder(tmp_path / "others", 11)))
    assert list(repeat_split(others, facts).splits) == ["all"]
    assert fingerprint(moved.splits["all"]) != fingerprint(others.splits["all"])


def test_a_class_with_one_image_stays_in_training(tmp_path):
    image_folder(tmp_path, 4, classes=("red",))
    image_folder(tmp_path, 1, classes=("blue",))
    val = split_train_val(open_data(str(tmp_path)), 0.2, 0).splits["val"]
    assert val.labels.tolist() == [1]


def test_labels_follow_the_class_names_of_the_model(tmp_path):
    data = open_data(str(image_folder(tmp_path, 2, classes=("red", "blue"))))
    mapped = data.reorder_classes(["red", "green", "blue"], "the run")
    assert mapped.classes == ("red", "green", "blue")
    assert [color(mapped, "all", i) for i in range(4)] == [
        mapped.classes[k] for k in mapped.splits["all"].labels
    ]
    with pytest.raises(UserError, match=r"1 class that the run does not know \(blue\)"):
        data.reorder_classes(["red", "green"], "the run")


@pytest.mark.parametrize(
    ("build", "sentence"),
    [
        (lambda root: root.joinpath("empty").mkdir(), "contains no images and no parquet shards"),
        (
            lambda root: image_folder(root / "data", 0),
            r"contains no images: add some, or remove the folder",
        ),
        (
            lambda root: root.joinpath("a.rar").write_text(""),
            "is a file of another kind: --data takes",
        ),
        (lambda root: None, "does not exist: --data takes"),
    ],
)
def test_missing_data_is_one_sentence(tmp_path, build, sentence):
    build(tmp_path)
    target = next(iter(tmp_path.iterdir()), tmp_path / "nowhere")
    with pytest.raises(UserError, match=sentence):
        open_data(str(target))


def test_images_without_class_folders_and_unknown_classes(tmp_path):
    image_folder(tmp_path / "train", 2)
    with pytest.raises(UserError, match="2 images but no class folders"):
        open_data(str(tmp_path / "train" / "red"))
    image_folder(tmp_path / "val", 1)
    (tmp_path / "val" / "red").rename(tmp_path / "val" / "pink")
    with pytest.raises(UserError, match="the class 'pink' in val, but not in train"):
        open_data(str(tmp_path))
    with pytest.raises(UserError, match="no split 'dev': it has train, val"):
        open_data("digits").__class__("d", ("a",), {"train": None, "val": None}).split("dev")


def test_timm_readers_by_index(tmp_path, monkeypatch):
    from torchvision.datasets import CIFAR10

    class Pretend(CIFAR10):
        def __init__(self, root, train, download):
            self.classes, self.targets = ["cat", "dog"], [0, 1, 1] if train else [1]
            self.transform = self.target_transform = None
            self.data = np.full((len(self.targets), 32, 32, 3), 50, np.uint8)

    monkeypatch.setitem(
        __import__("timm.data.dataset_factory", fromlist=["_"])._TORCH_BASIC_DS, "cifar10", Pretend
    )
    data = open_data("torch/cifar10", str(tmp_path))
    assert data.classes == ("cat", "dog")
    assert {name: images.labels.tolist() for name, images in data.splits.items()} == {
        "train": [0, 1, 1],
        "test": [1],
    }
    assert data.splits["train"].image(0).getpixel((0, 0)) == (50, 50, 50)


def test_timm_readers_that_fail(tmp_path):
    with pytest.raises(UserError, match=r"torch/cifar10 cannot be opened in .*--data-dir"):
        open_data("torch/cifar10", str(tmp_path))
    with pytest.raises(UserError, match="torch/nothing is not a data set that timm reads"):
        open_data("torch/nothing")
    image_folder(tmp_path / "train", 1)
    assert list(open_data("torch/image_folder", str(tmp_path)).splits) == ["train"]


def test_streams(monkeypatch):
    import timm.data
    from timm.data.dataset import IterableImageDataset

    from tests.helpers.pictures import picture

    class Reader(list):
        pass

    def create_dataset(name, root, split, **options):
        if split == "test":
            raise RuntimeError("no such split")
        return IterableImageDataset(
            root, reader=Reader([(picture("red", 0), 2), (picture("blue", 1), 0)])
        )

    with pytest.raises(
        UserError, match="wds/shards needs webdataset: run `pip install webdataset`"
    ):
        open_data("wds/shards", "somewhere")
    monkeypatch.setattr(timm.data, "create_dataset", create_dataset)
    monkeypatch.setattr("spectralvision.data.timm_readers.find_spec", lambda name: True)
    with pytest.raises(UserError, match="give --num-classes"):
        open_data("wds/shards", "somewhere")
    data = open_data("wds/shards", "somewhere", num_classes=3)
    assert list(data.splits) == ["train", "val"]
    assert isinstance(data.splits["train"], Stream)
    assert [label for _, label in data.splits["train"]] == [2, 0]
    with pytest.raises(UserError, match="cannot be divided"):
        split_train_val(data.__class__("s", data.classes, {"train": data.splits["train"]}), 0.2, 0)


def test_class_names_are_matched_in_either_form_of_unicode(tmp_path):
    composed, decomposed = "caf\u00e9", "cafe\u0301"
    image_folder(tmp_path / "train", 3)
    image_folder(tmp_path / "val", 2, first=9)
    (tmp_path / "train" / "blue").rename(tmp_path / "train" / decomposed)
    (tmp_path / "val" / "blue").rename(tmp_path / "val" / composed)
    data = open_data(str(tmp_path))
    assert data.classes == (composed, "green", "red")
    for split, size in (("train", 3), ("val", 2)):
        images = data.split(split)
        assert images.labels.tolist() == [0] * size + [1] * size + [2] * size
        assert images.image(0).size == (24, 24)
    (tmp_path / "val" / decomposed).mkdir()
    (tmp_path / "val" / composed / "9.png").rename(tmp_path / "val" / decomposed / "8.png")
    assert open_data(str(tmp_path)).split("val").labels.tolist() == [0, 0, 1, 1, 2, 2]
    for known in (composed, decomposed):  # models of this and of other versions
        classes = ["red", known, "green"]
        reordered = data.reorder_classes(classes, "the model")
        assert reordered.classes == tuple(classes)
        assert reordered.split("val").labels.tolist() == [1, 1, 2, 2, 0, 0]


def test_file_and_class_names_that_are_not_utf8_can_be_divided(tmp_path):
    folder = os.fsencode(image_folder(tmp_path / "latin", 4))
    os.rename(folder + b"/blue/0.png", folder + b"/blue/caf\xe9.png")
    os.rename(folder + b"/blue", folder + b"/bl\xfc")
    data = split_train_val(open_data(str(tmp_path / "latin")), 0.25, 0)
    assert data.classes == ("bl\udcfc", "green", "red")
    assert [len(data.split(split)) for split in ("train", "val")] == [9, 3]
    assert fingerprint(data.split("train")) != fingerprint(data.split("val"))
    assert data.split("train").image(0).size == (24, 24)


def test_data_of_other_tasks_is_not_classified(tmp_path):
    """Folders of images and of their annotations are no classes."""
    masks = mask_folder(tmp_path / "masks", 2, 2)
    sentence = "train has images and masks, not a folder per class: `spectralvision train segmenta"
    with pytest.raises(UserError, match=sentence):
        open_data(str(masks))
    shutil.make_archive(str(tmp_path / "packed"), "zip", masks)
    with pytest.raises(UserError, match=sentence):
        open_data(str(tmp_path / "packed.zip"))
    with pytest.raises(UserError, match="coco has annotations of objects: `spectralvision train"):
        open_data(str(coco_folder(tmp_path / "coco")))
    coco = coco_folder(tmp_path / "other")
    (coco / "images").rename(coco / "train2017")
    with pytest.raises(UserError, match="other has annotations of objects: `spectralvision train"):
        open_data(str(coco))
    image_folder(tmp_path / "photos", 2, classes=("red", "blue"))
    (tmp_path / "photos" / "red").rename(tmp_path / "photos" / "images")
    (tmp_path / "photos" / "blue").rename(tmp_path / "photos" / "mask_on")
    assert open_data(str(tmp_path / "photos")).classes == ("images", "mask_on")
