"""Crops of known maps give known targets; pixels are those of the image transform."""

import numpy as np
import pytest
import torch

from spectralvision.data.augmentation import AugmentationConfig
from spectralvision.data.images import ArrayImages
from spectralvision.data.loaders import build_train_loader
from spectralvision.data.seeding import temporary_seed
from spectralvision.data.transforms import build_train_transform
from spectralvision.tasks.classification.token_labels.storage import LabelMap, LabelMaps
from spectralvision.tasks.classification.token_labels.targets import (
    LabelMapImages,
    Labels,
    TokenLabelTarget,
    TokenLabelTransform,
    crop_maps,
    make_targets,
    scatter_to_classes,
)
from tests.helpers.pictures import picture
from tests.helpers.tolerances import SINGLE
from tests.reference import token_labels as reference

CONFIG = {
    "input_size": (3, 32, 32),
    "interpolation": "bilinear",
    "mean": (0, 0, 0),
    "std": (1, 1, 1),
}


TARGET = TokenLabelTarget(
    2, LabelMap(torch.rand(1, 3, 3).half(), torch.tensor([[[0, 1, 2]] * 3]).short())
)


def augmentation(**fields):
    return AugmentationConfig(
        **({"hflip": 0.5, "min_scale": 0.2, "auto_augment": "none", "color_jitter": 0.0} | fields)
    )


def labels(values, indices, box=(0, 0, 1, 1), flipped=False):
    """A batch of one."""
    values, indices = torch.as_tensor(values).half(), torch.as_tensor(indices).short()
    return Labels(
        values[None],
        indices[None],
        torch.tensor([box], dtype=torch.float32),
        torch.tensor([flipped]),
    )


@pytest.mark.parametrize(
    ("box", "flipped", "tokens"),
    [
        ((0, 0, 1, 1), False, [0, 1, 2, 3]),
        ((0, 0, 1, 1), True, [1, 0, 3, 2]),
        ((0.5, 0, 1, 1), False, [1, 1, 3, 3]),  # the right half
        ((0, 0.5, 1, 1), True, [3, 2, 3, 2]),  # the lower half, mirrored
        ((0.5, 0.5, 1, 1), True, [3, 3, 3, 3]),
    ],
)
def test_a_crop_of_a_known_map_gives_the_known_targets(box, flipped, tokens):
    """8 x 8 positions with a class per quadrant: 0 and 1 above, 2 and 3 below; 2 x 2 tokens."""
    quarters = torch.tensor([[0, 1], [2, 3]]).repeat_interleave(4, 0).repeat_interleave(4, 1)[None]
    targets = make_targets(
        labels(torch.ones(1, 8, 8), quarters, box, flipped), 4, (2, 2), logits=False
    )
    sure = torch.eye(4)[tokens]
    assert torch.equal(targets.tokens[0], sure)
    assert torch.equal(targets.image[0], sure.mean(0))


def test_a_crop_by_hand():
    """The right half of two positions has one sample, at the center of the second position."""
    values, indices = torch.tensor([[[0.75, 0.5]]]), torch.tensor([[[0, 1]]])
    right = make_targets(labels(values, indices, (0.5, 0, 1, 1)), 2, (1, 1), logits=False)
    assert right.tokens[0, 0].tolist() == [
        0.25,
        0.75,
    ]  # 0.5 for class 1; the missing half is spread evenly
    whole = make_targets(labels(values, indices), 2, (1, 1), logits=False)
    assert whole.image[0].tolist() == pytest.approx([0.375 + 0.1875, 0.25 + 0.1875])
    logits = make_targets(labels([[[3.0, 2.0]]], indices, (0.5, 0, 1, 1)), 2, (1, 1), logits=True)
    assert logits.tokens[0, 0].tolist() == pytest.approx(
        torch.tensor([0.0, 2.0]).softmax(0).tolist()
    )


@pytest.mark.parametrize("shape", [(2, 2), (5, 9), (18, 18)])
@pytest.mark.parametrize("grid", [(1, 1), (2, 2), (7, 7), (3, 5)])
def test_crop_equals_the_slow_twin(shape, grid):
    rng = np.random.default_rng(0)
    values = rng.random((2, 3, *shape)).astype(np.float16)
    indices = rng.permuted(np.broadcast_to(np.arange(6)[:, None, None], (2, 6, *shape)), axis=1)[
        :, :3
    ]
    boxes = np.array([[0.1, 0.2, 0.75, 0.9], [0.0, 0.31, 0.4, 1.0]], dtype=np.float32)
    flipped = np.array([False, True])
    maps = scatter_to_classes(
        torch.from_numpy(values), torch.from_numpy(indices.astype(np.int16)), 6
    )
    fast = crop_maps(maps, torch.from_numpy(boxes), torch.from_numpy(flipped), grid)
    for i in range(2):
        slow = reference.cut(
            values[i].astype(float), indices[i], 6, boxes[i].astype(float), flipped[i], grid
        )
        torch.testing.assert_close(
            fast[i].double(), torch.from_numpy(slow.copy()), atol=SINGLE, rtol=0
        )


@pytest.mark.parametrize(
    "fields", [{}, {"hflip": 0.0}, {"auto_augment": "rand-m7-mstd0.5-inc1", "re_prob": 0.5}]
)
def test_pixels_are_those_of_the_plain_transform(fields):
    plain = build_train_transform(augmentation(**fields), CONFIG)
    joint = TokenLabelTransform(augmentation(**fields), CONFIG)
    for seed in range(12):
        with temporary_seed(seed):
            expected = plain(picture("red", seed, 40))
        with temporary_seed(seed):
            pixels, target = joint(picture("red", seed, 40), TARGET)
        assert torch.equal(pixels, expected)
        assert target.label == TARGET.label
        assert torch.equal(target.maps.values, TARGET.maps.values)
        assert torch.equal(target.maps.indices, TARGET.maps.indices)
        left, top, right, bottom = target.maps.box.tolist()
        assert 0 <= left < right <= 1
        assert 0 <= top < bottom <= 1


def ramp(width, height):
    """Red grows from left to right and green from top to bottom, so pixels show their position."""
    x, y = np.meshgrid(np.arange(width) / width * 255, np.arange(height) / height * 255)
    from PIL import Image

    return Image.fromarray(np.stack([x, y, 0 * x], -1).astype(np.uint8))


def test_the_box_is_the_crop_of_the_pixels():
    joint = TokenLabelTransform(augmentation(), CONFIG)
    seen = set()
    for seed in range(20):
        with temporary_seed(seed):
            pixels, target = joint(ramp(200, 120), TARGET)
        view = target.maps
        red, green = pixels[0].mean(0), pixels[1].mean(1)  # along x, along y
        left, top, right, bottom = view.box.tolist()
        first, last = (red[-1], red[0]) if view.flipped else (red[0], red[-1])
        assert [first, last, green[0], green[-1]] == pytest.approx(
            [left, right, top, bottom], abs=0.04
        )
        seen.add(bool(view.flipped))
    assert seen == {True, False}


class Numbered(LabelMaps):
    """Image i has class i % 3 everywhere."""

    logits = False

    def __getitem__(self, index):
        return LabelMap(torch.ones(1, 2, 2).half(), torch.full((1, 2, 2), index % 3).short())

    def facts(self):
        return {}


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_have_the_map_of_each_image_and_are_reproducible(workers):
    images = ArrayImages(np.zeros((10, 12, 12), np.uint8), np.arange(10) % 3, "zeros")

    def read():
        transform = TokenLabelTransform(augmentation(), CONFIG)
        with_maps = LabelMapImages(images, Numbered())
        return list(build_train_loader(with_maps, transform, 4, 0, workers))

    batches, again = read(), read()
    assert [len(batch[0]) for batch in batches] == [4, 4, 2]
    for (pixels, (numbers, maps)), (pixels2, (_, maps2)) in zip(batches, again, strict=True):
        assert torch.equal(maps.indices[:, 0, 0, 0], numbers)
        assert torch.equal(pixels, pixels2)
        assert all(torch.equal(one, two) for one, two in zip(maps, maps2, strict=True))
        assert maps.box.shape == (len(pixels), 4)
        assert maps.flipped.dtype == torch.bool
