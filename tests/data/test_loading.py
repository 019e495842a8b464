"""Batches: the randomness of a sample is a function of (seed, epoch, index)."""

import random

import numpy as np
import pytest
import torch

from spectralvision.data.loading import (
    Samples,
    eval_loader,
    median_side,
    num_workers,
    seeded,
    train_loader,
)
from spectralvision.data.opening import open_data
from spectralvision.data.sampling import EpochSampler, PartBatches, Share
from spectralvision.data.transforms import Augmentation, eval_transform, train_transform
from spectralvision.runs import UserError
from tests.pictures import image_folder

CONFIG = {
    "input_size": (3, 32, 32),
    "interpolation": "bilinear",
    "mean": (0.0, 0.0, 0.0),
    "std": (1.0, 1.0, 1.0),
    "crop_pct": 1.0,
    "crop_mode": "center",
}


@pytest.fixture
def photos(tmp_path):
    return open_data(str(image_folder(tmp_path / "photos", 6)))


def epoch_of(loader, epoch):
    loader.batch_sampler.sampler.set_epoch(epoch)
    return torch.cat([images for images, _ in loader])


def test_seeded_is_a_function_of_its_key_and_leaves_no_trace():
    def draw():
        return random.random(), np.random.rand(), torch.rand(1).item()

    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    with seeded(3, 4):
        first = draw()
    after = draw()
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    assert draw() == after
    with seeded(3, 4):
        assert draw() == first
    with seeded(4, 3):
        assert draw() != first


def test_batches_do_not_depend_on_workers_or_history(photos):
    transform = train_transform(Augmentation().resolved(photos), CONFIG)

    def loader(workers, seed=0):
        return train_loader(photos.splits["all"], transform, 4, seed, workers)

    alone, workers = loader(0), loader(2)
    first, second = epoch_of(alone, 0), epoch_of(alone, 1)
    assert not torch.equal(first, second)
    assert torch.equal(epoch_of(workers, 1), second)  # without having gone through epoch 0
    torch.manual_seed(99)
    assert torch.equal(epoch_of(alone, 0), first)
    assert not torch.equal(epoch_of(loader(0, seed=1), 0), first)


def test_a_sample_is_the_same_wherever_it_comes_in_the_order(photos):
    samples = Samples(photos.splits["all"], train_transform(Augmentation().resolved(photos), CONFIG), seed=7)
    backwards = [samples[(2, index)][0] for index in reversed(range(5))]
    assert all(torch.equal(samples[(2, 4 - i)][0], image) for i, image in enumerate(backwards))


def test_every_index_once_and_every_epoch_anew():
    sampler = EpochSampler(50, seed=0)
    first = list(sampler)
    sampler.set_epoch(1)
    second = list(sampler)
    assert sorted(key.image for key in first) == sorted(key.image for key in second) == list(range(50))
    assert [key.image for key in first] != [key.image for key in second]
    assert {key.epoch for key in second} == {1}


@pytest.mark.parametrize(("length", "batch", "processes", "portions"), [(29, 8, 2, 1), (32, 8, 2, 2), (60, 24, 3, 2)])
def test_parts_make_the_batch(length, batch, processes, portions):
    """All parts together are the batches of one process; what mixup pairs stays together."""
    whole = list(PartBatches(EpochSampler(length, 0), batch))
    parts = [list(PartBatches(EpochSampler(length, 0), batch, Share(r, processes, portions))) for r in range(processes)]
    assert {len(one) for one in parts} == {len(whole) * portions}
    for number, images in enumerate(whole):
        mine = [one[number * portions + portion] for one in parts for portion in range(portions)]
        assert sorted(key for part in mine for key in part) == sorted(images)
        mirror = dict(zip(images, reversed(images), strict=True))
        assert all(mirror[key] == other for part in mine for key, other in zip(part, reversed(part), strict=True))
        sampler = PartBatches(EpochSampler(length, 0), batch, Share(0, processes, portions))
        assert all(sampler.whole(number * portions + portion) == len(images) for portion in range(portions))


def test_a_batch_too_small_for_its_parts_is_left_out():
    assert [len(batch) for batch in PartBatches(EpochSampler(17, 0), 8)] == [8, 8]
    assert [len(batch) for batch in PartBatches(EpochSampler(19, 0), 8, Share(1, 2, 1))] == [4, 4]
    assert [len(batch) for batch in PartBatches(EpochSampler(20, 0), 8, Share(1, 2, 1))] == [4, 4, 2]


def test_going_on_from_a_batch_reads_none_before_it():
    batches = PartBatches(EpochSampler(20, 0), 4)
    batches.sampler.set_epoch(3)
    third = list(batches)[2:]
    batches.sampler.set_epoch(4)
    fourth = list(batches)
    batches.go_on(3, 2)
    assert list(batches) == third
    assert len(batches) == 5
    batches.sampler.set_epoch(4)
    assert list(batches) == fourth


@pytest.mark.parametrize(("batch", "processes"), [(5, 2), (4, 3), (64, 2), (1, 4)])
def test_evaluation_over_processes_takes_each_image_once(photos, batch, processes):
    images, transform = photos.splits["all"], eval_transform(CONFIG)
    loaders = [eval_loader(images, transform, batch, 0, Share(rank, processes)) for rank in range(processes)]
    assert len({len(loader) for loader in loaders}) == 1
    indices = [index for loader in loaders for part in loader.batch_sampler for index in part]
    assert sorted(indices) == list(range(len(images)))
    assert all(0 < len(part) <= max(batch, 2) for loader in loaders for part in loader.batch_sampler)
    with pytest.raises(UserError, match="18 images cannot be judged by 19 processes"):
        eval_loader(images, transform, batch, 0, Share(0, 19))


def test_evaluation_is_in_order_and_complete(photos):
    loader = eval_loader(photos.splits["all"], eval_transform(CONFIG), 5, 0)
    labels = torch.cat([labels for _, labels in loader])
    assert labels.tolist() == photos.splits["all"].labels.tolist()


def test_digits_are_never_mirrored(photos):
    digits = open_data("digits")
    assert Augmentation().resolved(digits).hflip == 0
    assert Augmentation().resolved(photos).hflip == 0.5
    assert Augmentation(hflip=0.25).resolved(digits).hflip == 0.25
    steps = [type(step).__name__ for step in train_transform(Augmentation().resolved(digits), CONFIG).transforms]
    assert "RandomHorizontalFlip" not in steps
    steps = [type(step).__name__ for step in train_transform(Augmentation().resolved(photos), CONFIG).transforms]
    assert "RandomHorizontalFlip" in steps
    assert "RandAugment" in steps


def test_sides_and_workers(photos):
    assert median_side(photos.splits["all"]) == 24
    assert median_side(open_data("digits").split("train")) == 8
    assert num_workers(open_data("digits").split("train")) == 0
    assert num_workers(photos.splits["all"]) >= 1
    assert num_workers(photos.splits["all"], 3) == 3
