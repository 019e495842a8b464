"""Batches: the randomness of a sample is a function of (seed, epoch, index)."""

import random

import numpy as np
import pytest
import torch

from spectralvision.data.loading import (
    EpochSampler,
    Samples,
    eval_loader,
    median_side,
    num_workers,
    seeded,
    train_loader,
)
from spectralvision.data.opening import open_data
from spectralvision.data.transforms import Augmentation, eval_transform, train_transform
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
    assert sorted(index for _, index in first) == sorted(index for _, index in second) == list(range(50))
    assert [i for _, i in first] != [i for _, i in second]
    assert {epoch for epoch, _ in second} == {1}


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
