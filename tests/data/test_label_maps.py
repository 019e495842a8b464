"""Both formats: what comes out for an image, and what is refused."""

import os
import pickle
import re

import numpy as np
import pytest
import torch

from spectralvision.data.datasets import Subset, carve
from spectralvision.data.label_maps import INDEX, fingerprint, open_label_maps, read_index, shard_path
from spectralvision.data.opening import open_data
from spectralvision.runs import UserError
from tests.label_maps import published, stored
from tests.pictures import COLOURS, image_folder

CLASSES = tuple(COLOURS)


@pytest.fixture
def data(tmp_path):
    return open_data(str(image_folder(tmp_path / "photos", 4)))


def named(images):
    return [images.name(row) for row in range(len(images))]


def test_each_image_finds_its_own_map_in_whatever_part(data, tmp_path):
    whole = data.split("all")
    stored(tmp_path / "maps", whole, CLASSES, shard=5)
    train = carve(data, 0.5, 0).split("train")
    for images in (whole, train, Subset(train, [4, 1])):
        maps = open_label_maps(tmp_path / "maps", images, CLASSES)
        for index in range(len(images)):
            row = named(whole).index(images.name(index))
            values, indices = maps[index]
            assert (values.dtype, indices.dtype) == (torch.float16, torch.int16)
            assert values.shape == indices.shape == (2, 2, 2)
            assert (indices[0] == row % 3).all()
    assert len(pickle.loads(pickle.dumps(maps))[0].values) == 2  # to a worker that is spawned
    assert maps.facts()["count"] == 12
    assert str(maps).endswith("the best 2 classes at 2 x 2 positions, by T")


def test_order_counts_in_a_fingerprint(data):
    images = data.split("all")
    turned = Subset(images, np.arange(len(images))[::-1])
    assert fingerprint(images) == fingerprint(Subset(images, range(len(images)))) != fingerprint(turned)


def other_images(root, images):
    stored(root / "maps", Subset(images, range(11)), CLASSES)


def other_labels(root, images):
    stored(root / "maps", images, CLASSES, fingerprint="another")


def other_classes(root, images):
    stored(root / "maps", images, ("blue", "green", "pink"))


def short_shard(root, images):
    stored(root / "maps", images, CLASSES)
    path = shard_path(root / "maps", 1)
    path.write_bytes(path.read_bytes()[:-30])


def empty_shard(root, images):
    stored(root / "maps", images, CLASSES)
    shard_path(root / "maps", 2).write_bytes(b"")


def missing_shards(root, images):
    stored(root / "maps", images, CLASSES)
    for number in (0, 2):
        shard_path(root / "maps", number).unlink()


def shard_of_others(root, images):
    stored(root / "maps", images, CLASSES)
    stored(root / "others", images, CLASSES, shape=(2, 3, 3))
    shard_path(root / "others", 0).replace(shard_path(root / "maps", 0))


def older_index(root, images):
    stored(root / "maps", images, CLASSES, format="spectralvision label maps 0")


def broken_index(root, images):
    stored(root / "maps", images, CLASSES)
    (root / "maps" / INDEX).write_text('{"format": "spectralvision label maps 1", "colour": "red"}')


def nothing(root, images):
    (root / "maps").mkdir()


def published_missing(root, images):
    published(root / "maps", named(images)[1:])


def published_classes(root, images):
    published(root / "maps", named(images), classes=10)


def published_text(root, images):
    published(root / "maps", named(images), shape=(3, 2, 2), classes=3)
    (root / "maps" / "blue" / "0.pt").write_text("no tensor")


def published_other_shape(root, images):
    published(root / "maps", named(images), shape=(3, 2, 2), classes=3)
    torch.save(torch.zeros(5, 3, 3), root / "maps" / "blue" / "0.pt")


class Hostile:
    """Makes a folder when unpickled as code."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


def published_hostile(root, images):
    published(root / "maps", named(images), shape=(3, 2, 2), classes=3)
    torch.save(Hostile(root / "pwned"), root / "maps" / "blue" / "0.pt")


CASES = {
    other_images: r"maps holds label maps of other images \(11 of D, all\) than the 12 to train on: `.*` makes maps",
    other_labels: r"maps holds label maps of other images \(12 of D, all\) than the 12",
    other_classes: r"label maps of other classes \(blue, green, pink\) than the images' \(blue, green, red\): `",
    short_shard: r"maps-00001\.safetensors ends early or is damaged \(.*\): the same `.*` command goes on\.",
    empty_shard: r"maps-00002\.safetensors ends early or is damaged",
    missing_shards: r"maps-00000\.safetensors is missing \(and 1 more shards\): the same",
    shard_of_others: r"maps-00000\.safetensors does not hold 4 maps of \[2, 2, 2\]: the same",
    older_index: r"label_maps\.json is not of this version \('spectralvision label maps 0'\): make the maps anew\.",
    broken_index: r"label_maps\.json cannot be used \(.*colour.*\): make the maps anew\.",
    nothing: r"maps holds no label maps: `spectralvision token-labels .*` makes them\.",
    published_missing: r"maps has no label map for 1 of the 12 images to train on \(blue/0\.png\)",
    published_classes: r"names class \d, and the images have 3 classes\.",
    published_text: r"blue/0\.pt cannot be read as a label map \(",
    published_other_shape: r"blue/0\.pt is not a label map: it should hold one tensor",
    published_hostile: r"blue/0\.pt cannot be read as a label map \(",
}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_maps_that_do_not_fit_are_refused_in_a_sentence(case, data, tmp_path):
    case(tmp_path, data.split("all"))
    with pytest.raises(UserError) as caught:
        open_label_maps(tmp_path / "maps", data.split("all"), CLASSES)
    assert re.search(CASES[case], str(caught.value)), str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "pwned").exists()


def test_an_image_without_a_map_is_told(data, tmp_path):
    from safetensors.torch import load_file, save_file

    stored(tmp_path / "maps", data.split("all"), CLASSES)
    path = shard_path(tmp_path / "maps", 0)
    tensors = load_file(path)
    tensors["values"][1] = 0
    save_file(tensors, path)
    maps = open_label_maps(tmp_path / "maps", data.split("all"), CLASSES)
    assert maps[0].values.any()
    with pytest.raises(UserError, match=r"has no map of an image that could not be read .*: delete it, and the same"):
        maps[1]


def test_a_shard_that_goes_in_training_is_told(data, tmp_path):
    stored(tmp_path / "maps", data.split("all"), CLASSES)
    maps = open_label_maps(tmp_path / "maps", data.split("all"), CLASSES)
    assert maps[0].values.any()
    for number in range(3):
        shard_path(tmp_path / "maps", number).unlink()
    with pytest.raises(UserError, match=r"maps-00001\.safetensors cannot be read \(.*\): the same"):
        maps[4]


def test_the_published_format(data, tmp_path):
    images = data.split("all")
    published(tmp_path / "maps", named(images), classes=3, shape=(3, 4, 4))
    (tmp_path / "maps" / "red").rename(tmp_path / "maps" / "deeper")  # class folders may lie deeper
    (tmp_path / "maps" / "train").mkdir()
    (tmp_path / "maps" / "deeper").rename(tmp_path / "maps" / "train" / "red")
    (tmp_path / "maps" / "blue" / "2.pt").rename(tmp_path / "maps" / "blue" / "2.pth")
    maps = open_label_maps(tmp_path / "maps", images, CLASSES)
    assert maps.logits
    values, indices = maps[2]
    logits = torch.randn(3, 4, 4, generator=torch.Generator().manual_seed(2))
    assert torch.equal(torch.zeros(3, 4, 4).scatter(0, indices.long(), values.float()), logits.half().float())
    assert "3 classes at 4 x 4 positions, as published" in str(maps)


def test_an_index_comes_back(data, tmp_path):
    index = stored(tmp_path / "maps", data.split("all"), CLASSES)
    assert read_index(tmp_path / "maps") == index
    assert [len(index.rows(number)) for number in range(index.num_shards())] == [4, 4, 4]
