"""Repeated augmentation and batches of several image sizes."""

from collections import Counter

import pytest
import torch

from spectralvision.data.augmentation import AugmentationConfig, SizeRange
from spectralvision.data.images import Stream
from spectralvision.data.loaders import build_train_loader
from spectralvision.data.open_data import open_data
from spectralvision.data.samplers import EpochBatchSampler, EpochSampler, Partition, SampleKey
from spectralvision.data.samples import Samples
from spectralvision.data.transforms import ImageTransform, build_train_transform
from spectralvision.runs import UserError
from tests.data.test_loaders import CONFIG
from tests.helpers.pictures import image_folder

SIZE_RANGE = SizeRange(160, 320, 256)


@pytest.mark.parametrize(("length", "repeats"), [(30, 3), (31, 3), (20, 1), (7, 10)])
def test_repeats_use_each_chosen_image_that_often(length, repeats):
    sampler = EpochSampler(length, 0, repeats)
    seen = set()
    for epoch in range(60):
        sampler.set_epoch(epoch)
        keys = list(sampler)
        assert len(keys) == len(set(keys)) == length
        counts = Counter(key.image for key in keys)
        full, rest = divmod(length, repeats)
        assert sorted(counts.values(), reverse=True) == [repeats] * full + [rest] * bool(rest)
        assert all(
            {key.repeat for key in keys if key.image == image} == set(range(counts[image]))
            for image in counts
        )
        seen |= set(counts)
    assert seen == set(range(length))


def test_variants_of_an_image_differ_and_are_reproducible(tmp_path):
    photos = open_data(str(image_folder(tmp_path / "photos", 2)))
    transform = ImageTransform(build_train_transform(AugmentationConfig().resolve(photos), CONFIG))
    one, two = (Samples(photos.splits["all"], transform, seed=3) for _ in range(2))
    first = one[SampleKey(1, 4, 0)][0]
    second = one[SampleKey(1, 4, 1)][0]
    assert not torch.equal(first, second)
    assert torch.equal(first, one[1, 4][0])
    assert torch.equal(second, two[SampleKey(1, 4, 1)][0])


@pytest.mark.parametrize(
    ("length", "batch_size", "world_size", "steps"), [(3000, 64, 1, 1), (1999, 32, 2, 2)]
)
def test_sizes_use_each_image_once_with_equal_pixels(length, batch_size, world_size, steps):
    smallest = 2 * world_size * steps
    samplers = [
        EpochBatchSampler(
            EpochSampler(length, 0), batch_size, Partition(rank, world_size, steps), SIZE_RANGE
        )
        for rank in range(world_size)
    ]
    orders = set()
    for epoch in (0, 1, 5):
        for sampler in samplers:
            sampler.sampler.set_epoch(epoch)
        ranks = [list(sampler) for sampler in samplers]
        assert {len(rank) for rank in ranks} == {len(samplers[0])}
        shortest = min(map(len, ranks[0]))
        images, sizes = [], []
        for number in range(0, len(samplers[0]), steps):
            numbers = range(number, number + steps)
            keys = [key for rank in ranks for at in numbers for key in rank[at]]
            assert {samplers[0].batch_size_of(at) for at in numbers} == {len(keys)}
            (size,) = {key.size for key in keys}
            is_last = len(images) + len(keys) >= length - smallest
            if not is_last and len(keys) != shortest:
                assert len(keys) * size**2 <= batch_size * 256**2 + smallest / 2 * size**2
            images += [key.image for key in keys]
            sizes.append(size)
        assert len(images) == len(set(images)) > length - smallest
        counts = Counter(sizes)
        assert set(counts) == {160, 192, 224, 256, 288, 320}
        assert max(counts.values()) - min(counts.values()) <= 1
        orders.add(tuple(sizes))
    assert len(orders) == 3  # a different order in each epoch


def test_sizes_resume_at_any_micro_batch():
    def sampler():
        return EpochBatchSampler(
            EpochSampler(500, 7, repeats=3), 16, Partition(1, 2, 2), SIZE_RANGE
        )

    complete = sampler()
    complete.sampler.set_epoch(3)
    third = list(complete)
    resumed = sampler()
    resumed.resume_at(3, 5)
    assert len(third) > 5
    assert list(resumed) == third[5:]
    assert complete.mean_batch_size() == pytest.approx(500 * 2 / len(complete), rel=0.02)


def test_batches_have_their_sizes(tmp_path):
    photos = open_data(str(image_folder(tmp_path / "photos", 10)))
    augmentation = AugmentationConfig(min_size=32, max_size=96, repeats=2).resolve(photos)
    config = CONFIG | {"input_size": (3, 64, 64)}
    transforms = {
        size: ImageTransform(
            build_train_transform(augmentation, config | {"input_size": (3, size, size)})
        )
        for size in augmentation.size_range(64).sizes()
    }
    transform = transforms[64]
    loader = build_train_loader(
        photos.splits["all"],
        transform,
        4,
        0,
        0,
        repeats=2,
        size_range=augmentation.size_range(64),
        sized_transforms=transforms,
    )
    shapes = {tuple(images.shape) for images, _ in loader}
    assert shapes >= {(16, 3, 32, 32), (4, 3, 64, 64), (2, 3, 96, 96)}


def test_a_stream_has_no_images_by_index():
    with pytest.raises(UserError, match="--repeats, --min-size and --max-size"):
        build_train_loader(Stream([]), lambda image, target: (image, target), 4, 0, 0, repeats=2)
