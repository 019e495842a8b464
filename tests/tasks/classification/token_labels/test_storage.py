"""Label maps in both formats: the map of each image, and what is rejected."""

import json
import os
import pickle
import re

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from spectralvision.data.images import Subset
from spectralvision.data.open_data import open_data
from spectralvision.data.splits import split_train_val
from spectralvision.runs import UserError
from spectralvision.tasks.classification.token_labels.storage import (
    INDEX,
    open_label_maps,
    ordered_fingerprint,
    read_index,
    shard_path,
)
from tests.helpers.label_maps import write_label_maps, write_published_maps
from tests.helpers.pictures import COLOURS, image_folder

CLASSES = tuple(COLOURS)


@pytest.fixture
def data(tmp_path):
    return open_data(str(image_folder(tmp_path / "photos", 4)))


def names_of(images):
    return [images.name(row) for row in range(len(images))]


def test_each_image_of_any_subset_has_its_own_map(data, tmp_path):
    whole = data.split("all")
    write_label_maps(tmp_path / "maps", whole, CLASSES, shard=5)
    train = split_train_val(data, 0.5, 0).split("train")
    for images, count in ((whole, 12), (train, 6), (Subset(train, [4, 1]), 2)):
        maps = open_label_maps(tmp_path / "maps", images, CLASSES)
        assert len(images) == count
        for index in range(count):
            row = names_of(whole).index(images.name(index))
            values, indices = maps[index]
            assert (values.dtype, indices.dtype) == (torch.float16, torch.int16)
            assert values.shape == indices.shape == (2, 2, 2)
            assert (indices[0] == row % 3).all()
    assert len(pickle.loads(pickle.dumps(maps))[0].values) == 2  # as in a spawned worker
    assert maps.facts()["count"] == 12
    assert str(maps).endswith("maps: top 2 classes at 2 x 2 positions, by T")


def test_the_fingerprint_depends_on_the_order(data):
    images = data.split("all")
    same = Subset(images, range(len(images)))
    reversed_images = Subset(images, np.arange(len(images))[::-1])
    assert ordered_fingerprint(images) == ordered_fingerprint(same)
    assert ordered_fingerprint(images) != ordered_fingerprint(reversed_images)


def other_images(root, images):
    write_label_maps(root / "maps", Subset(images, range(11)), CLASSES)


def other_labels(root, images):
    write_label_maps(root / "maps", images, CLASSES, fingerprint="another")


def other_classes(root, images):
    write_label_maps(root / "maps", images, ("blue", "green", "pink"))


def short_shard(root, images):
    write_label_maps(root / "maps", images, CLASSES)
    path = shard_path(root / "maps", 1)
    path.write_bytes(path.read_bytes()[:-30])


def empty_shard(root, images):
    write_label_maps(root / "maps", images, CLASSES)
    shard_path(root / "maps", 2).write_bytes(b"")


def missing_shards(root, images):
    write_label_maps(root / "maps", images, CLASSES)
    for number in (0, 2):
        shard_path(root / "maps", number).unlink()


def shard_of_other_maps(root, images):
    write_label_maps(root / "maps", images, CLASSES)
    write_label_maps(root / "others", images, CLASSES, shape=(2, 3, 3))
    shard_path(root / "others", 0).replace(shard_path(root / "maps", 0))


def older_index(root, images):
    write_label_maps(root / "maps", images, CLASSES, format="spectralvision label maps 0")


def broken_index(root, images):
    write_label_maps(root / "maps", images, CLASSES)
    (root / "maps" / INDEX).write_text('{"format": "spectralvision label maps 1", "color": "red"}')


def empty_folder(root, images):
    (root / "maps").mkdir()


def published_without_one(root, images):
    write_published_maps(root / "maps", names_of(images)[1:])


def published_of_more_classes(root, images):
    write_published_maps(root / "maps", names_of(images), classes=10)


def published_text_file(root, images):
    write_published_maps(root / "maps", names_of(images), shape=(3, 2, 2), classes=3)
    (root / "maps" / "blue" / "0.pt").write_text("no tensor")


def published_with_another_shape(root, images):
    write_published_maps(root / "maps", names_of(images), shape=(3, 2, 2), classes=3)
    torch.save(torch.zeros(5, 3, 3), root / "maps" / "blue" / "0.pt")


def write_wrong_shard(root, images, change):
    """Replace shard 0 by one without a digest, as earlier versions wrote, after `change`."""
    write_label_maps(root / "maps", images, CLASSES)
    path = shard_path(root / "maps", 0)
    maps = load_file(path)
    change(maps["values"], maps["indices"])
    save_file(maps, path)


def class_too_large(root, images):
    write_wrong_shard(root, images, lambda values, indices: indices[1, 0].fill_(3))


def class_negative(root, images):
    write_wrong_shard(root, images, lambda values, indices: indices[1, 0].fill_(-2))


def probability_negative(root, images):
    write_wrong_shard(root, images, lambda values, indices: values[1, 0].fill_(-60000))


def probability_nan(root, images):
    write_wrong_shard(root, images, lambda values, indices: values[1, 0].fill_(torch.nan))


def probabilities_too_large(root, images):
    write_wrong_shard(root, images, lambda values, indices: values[1].fill_(0.75))


def shard_replaced(root, images):
    write_label_maps(root / "maps", images, CLASSES)
    shard_path(root / "maps", 1).replace(shard_path(root / "maps", 0))
    write_label_maps(root / "others", images, CLASSES)
    shard_path(root / "others", 1).replace(shard_path(root / "maps", 1))


def write_index(root, images, **fields):
    write_label_maps(root / "maps", images, CLASSES)
    path = root / "maps" / INDEX
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def shard_of_no_images(root, images):
    write_index(root, images, shard=0)


def count_of_text(root, images):
    write_index(root, images, count="12")


def shape_too_short(root, images):
    write_index(root, images, shape=[2, 2])


def published_nan(root, images):
    write_published_maps(root / "maps", names_of(images), shape=(3, 2, 2), classes=3)
    torch.save(torch.full((2, 3, 2, 2), torch.nan).half(), root / "maps" / "blue" / "0.pt")


def published_empty(root, images):
    write_published_maps(root / "maps", names_of(images), shape=(3, 2, 2), classes=3)
    torch.save(torch.zeros(2, 0, 2, 2).half(), root / "maps" / "blue" / "0.pt")


class Hostile:
    """Create a folder when unpickled as code."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


def published_hostile_file(root, images):
    write_published_maps(root / "maps", names_of(images), shape=(3, 2, 2), classes=3)
    torch.save(Hostile(root / "pwned"), root / "maps" / "blue" / "0.pt")


RESUME = "the same `spectralvision token-labels` command generates what is missing"
CASES = {
    class_too_large: rf"maps-00000\.safetensors has class 3, but .* 3 classes: {RESUME}\.$",
    class_negative: rf"maps-00000\.safetensors has class -2, but .* 3 classes: {RESUME}\.$",
    probability_negative: rf"maps-00000\.safetensors has a probability of -60000: {RESUME}\.$",
    probability_nan: rf"maps-00000\.safetensors has a probability of nan: {RESUME}\.$",
    probabilities_too_large: rf"00000\.safetensors has .* that add up to 1\.5: {RESUME}\.$",
    shard_replaced: rf"00000\.safetensors is damaged or of other maps \(.*\): {RESUME}\.$",
    shard_of_no_images: r"json cannot be used \(count 12, shard 0, .*\): generate the maps again",
    count_of_text: r"label_maps\.json cannot be used \(count 12, .*\): generate the maps again",
    shape_too_short: r"label_maps\.json cannot be used \(.* shape \[2, 2\]\): generate the maps",
    published_nan: r"blue/0\.pt has a value that is NaN or infinite\.$",
    published_empty: r"blue/0\.pt is not a label map: it should contain one tensor",
    other_images: (
        r"maps has label maps of other images \(11 of D, all\) than the 12 training images: "
        r"`.*` generates new ones\.$"
    ),
    other_labels: r"maps has label maps of other images \(12 of D, all\) than the 12",
    other_classes: (
        r"label maps of other classes \(blue, green, pink\) than the images "
        r"\(blue, green, red\): `.*` generates new ones\.$"
    ),
    short_shard: rf"maps-00001\.safetensors is truncated or damaged \(.*\): {RESUME}\.$",
    empty_shard: rf"maps-00002\.safetensors is truncated or damaged \(.*\): {RESUME}\.$",
    missing_shards: (rf"maps-00000\.safetensors is missing \(1 more cannot be used\): {RESUME}\.$"),
    shard_of_other_maps: (
        rf"maps-00000\.safetensors does not contain 4 maps of \[2, 2, 2\]: {RESUME}\.$"
    ),
    older_index: (
        r"label_maps\.json was written by another version \('spectralvision label maps 0'\): "
        r"generate the maps again\.$"
    ),
    broken_index: r"label_maps\.json cannot be used \(.*color.*\): generate the maps again\.$",
    empty_folder: r"maps has no label maps: `spectralvision token-labels .*` generates them\.$",
    published_without_one: (
        r"maps has no label map for 1 of the 12 training images \(blue/0\.png\)"
    ),
    published_of_more_classes: r"has class [3-9], but the images have 3 classes\.$",
    published_text_file: r"blue/0\.pt cannot be read as a label map \(",
    published_with_another_shape: r"blue/0\.pt is not a label map: it should contain one tensor",
    published_hostile_file: r"blue/0\.pt cannot be read as a label map \(",
}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_maps_that_do_not_fit_are_rejected_in_one_sentence(case, data, tmp_path):
    case(tmp_path, data.split("all"))
    with pytest.raises(UserError) as caught:
        open_label_maps(tmp_path / "maps", data.split("all"), CLASSES)
    assert re.search(CASES[case], str(caught.value)), str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "pwned").exists()


def test_an_image_without_a_map_is_an_error(data, tmp_path):
    write_label_maps(tmp_path / "maps", data.split("all"), CLASSES)
    path = shard_path(tmp_path / "maps", 0)
    tensors = load_file(path)
    tensors["values"][1] = 0
    save_file(tensors, path)
    maps = open_label_maps(tmp_path / "maps", data.split("all"), CLASSES)
    assert maps[0].values.any()
    sentence = rf"has no map of an image that could not be read .*: delete it, and {RESUME}\.$"
    with pytest.raises(UserError, match=sentence):
        maps[1]


def test_a_shard_that_disappears_during_training_is_an_error(data, tmp_path):
    write_label_maps(tmp_path / "maps", data.split("all"), CLASSES)
    maps = open_label_maps(tmp_path / "maps", data.split("all"), CLASSES)
    assert maps[0].values.any()
    for number in range(3):
        shard_path(tmp_path / "maps", number).unlink()
    sentence = rf"maps-00001\.safetensors cannot be read \(.*\): {RESUME}\.$"
    with pytest.raises(UserError, match=sentence):
        maps[4]


def test_the_published_format(data, tmp_path):
    images = data.split("all")
    folder = tmp_path / "maps"
    write_published_maps(folder, names_of(images), classes=3, shape=(3, 4, 4))
    (folder / "train").mkdir()
    (folder / "red").rename(folder / "train" / "red")  # class folders may be deeper
    (folder / "blue" / "2.pt").rename(folder / "blue" / "2.pth")
    maps = open_label_maps(folder, images, CLASSES)
    assert maps.logits
    values, indices = maps[2]
    logits = torch.randn(3, 4, 4, generator=torch.Generator().manual_seed(2))
    dense = torch.zeros(3, 4, 4).scatter(0, indices.long(), values.float())
    assert torch.equal(dense, logits.half().float())
    assert str(maps).endswith("maps: top 3 classes at 4 x 4 positions, in the published format")


def test_the_index_is_read_back(data, tmp_path):
    index = write_label_maps(tmp_path / "maps", data.split("all"), CLASSES)
    assert read_index(tmp_path / "maps") == index
    assert [len(index.rows(number)) for number in range(index.num_shards())] == [4, 4, 4]
