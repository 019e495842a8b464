"""Repeated augmentation and batches of several sides: each image as often as promised, the same wherever one begins."""

from collections import Counter

import pytest
import torch

from spectralvision.data.datasets import Stream
from spectralvision.data.loading import Samples, train_loader
from spectralvision.data.opening import open_data
from spectralvision.data.sampling import EpochSampler, Key, PartBatches, Scales, Share
from spectralvision.data.transforms import Augmentation, train_transform
from spectralvision.recipes.labelled import samples
from spectralvision.runs import UserError
from tests.data.test_loading import CONFIG
from tests.pictures import image_folder

SCALES = Scales(160, 320, 256)


@pytest.mark.parametrize(("length", "repeats"), [(30, 3), (31, 3), (20, 1), (7, 10)])
def test_repeats_take_each_chosen_image_so_often(length, repeats):
    sampler, seen = EpochSampler(length, 0, repeats), set()
    for epoch in range(60):
        sampler.set_epoch(epoch)
        keys = list(sampler)
        assert len(keys) == len(set(keys)) == length
        counts = Counter(key.image for key in keys)
        full, rest = divmod(length, repeats)
        assert sorted(counts.values(), reverse=True) == [repeats] * full + [rest] * bool(rest)
        assert all({key.repeat for key in keys if key.image == image} == set(range(counts[image])) for image in counts)
        seen |= set(counts)
    assert seen == set(range(length))


def test_variants_of_an_image_differ_and_repeat_themselves(tmp_path):
    photos = open_data(str(image_folder(tmp_path / "photos", 2)))
    transform = train_transform(Augmentation().resolved(photos), CONFIG)
    one, two = (Samples(photos.splits["all"], transform, seed=3) for _ in range(2))
    first, second = one[Key(1, 4, 0)][0], one[Key(1, 4, 1)][0]
    assert not torch.equal(first, second)
    assert torch.equal(first, one[1, 4][0])
    assert torch.equal(second, two[Key(1, 4, 1)][0])


@pytest.mark.parametrize(("length", "batch", "processes", "portions"), [(3000, 64, 1, 1), (1999, 32, 2, 2)])
def test_scales_take_each_image_once_with_equal_pixels(length, batch, processes, portions):
    least = 2 * processes * portions
    shares = [Share(rank, processes, portions) for rank in range(processes)]
    samplers = [PartBatches(EpochSampler(length, 0), batch, share, SCALES) for share in shares]
    orders = set()
    for epoch in (0, 1, 5):
        for sampler in samplers:
            sampler.sampler.set_epoch(epoch)
        parts = [list(sampler) for sampler in samplers]
        assert {len(part) for part in parts} == {len(samplers[0])}
        seen, sides = [], []
        for number in range(len(samplers[0]) // portions):
            keys = [key for one in parts for at in range(portions) for key in one[number * portions + at]]
            assert {samplers[0].whole(number * portions + at) for at in range(portions)} == {len(keys)}
            (size,) = {key.size for key in keys}
            if len(seen) + len(keys) < length - least and len(keys) != min(map(len, parts[0])):
                assert len(keys) * size**2 <= batch * 256**2 + least / 2 * size**2
            seen, sides = seen + [key.image for key in keys], [*sides, size]
        assert len(seen) == len(set(seen)) > length - least
        counts = Counter(sides)
        assert set(counts) == {160, 192, 224, 256, 288, 320}
        assert max(counts.values()) - min(counts.values()) <= 1
        orders.add(tuple(sides))
    assert len(orders) == 3  # another order in each epoch


def test_scales_go_on_from_any_part():
    share = Share(1, 2, 2)
    batches = PartBatches(EpochSampler(500, 7, repeats=3), 16, share, SCALES)
    batches.sampler.set_epoch(3)
    third = list(batches)
    other = PartBatches(EpochSampler(500, 7, repeats=3), 16, share, SCALES)
    other.go_on(3, 5)
    assert list(other) == third[5:]
    assert batches.mean_length() == pytest.approx(500 * 2 / len(batches), rel=0.02)


def test_batches_come_at_their_sides(tmp_path):
    photos = open_data(str(image_folder(tmp_path / "photos", 10)))
    augmentation = Augmentation(min_size=32, max_size=96, repeats=2).resolved(photos)
    config = CONFIG | {"input_size": (3, 64, 64)}
    transform, kind = samples(augmentation, config, None)
    loader = train_loader(
        photos.splits["all"], transform, 4, 0, 0, kind=kind, repeats=2, scales=augmentation.scales(64)
    )
    shapes = {tuple(images.shape) for images, _ in loader}
    assert shapes >= {(16, 3, 32, 32), (4, 3, 64, 64), (2, 3, 96, 96)}


def test_a_stream_has_no_image_by_its_number():
    with pytest.raises(UserError, match="--repeats, --min-size and --max-size"):
        train_loader(Stream([]), lambda image: image, 4, 0, 0, repeats=2)
