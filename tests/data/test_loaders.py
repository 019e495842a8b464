"""Samples and batches are functions of (seed, epoch, index), for any workers and ranks."""

import random

import numpy as np
import pytest
import torch

from spectralvision.data.augmentation import AugmentationConfig
from spectralvision.data.images import Stream, Subset, WrappedImages, estimate_median_side
from spectralvision.data.loaders import (
    build_eval_loader,
    build_inference_loader,
    build_train_loader,
    plan_eval_batches,
    split_into_batches,
)
from spectralvision.data.open_data import open_data
from spectralvision.data.samplers import SINGLE_PROCESS, EpochBatchSampler, EpochSampler, Partition
from spectralvision.data.samples import Samples
from spectralvision.data.seeding import temporary_seed
from spectralvision.data.transforms import (
    ImageTransform,
    build_eval_transform,
    build_train_transform,
)
from spectralvision.data.workers import choose_num_workers
from spectralvision.runs import UserError
from tests.helpers.pictures import image_folder

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


def test_temporary_seed_depends_on_its_key_and_restores_the_generators():
    def draw():
        return random.random(), np.random.rand(), torch.rand(1).item()

    def seed_all():
        random.seed(1)
        np.random.seed(1)
        torch.manual_seed(1)

    seed_all()
    with temporary_seed(3, 4):
        first = draw()
    after = draw()
    seed_all()
    assert draw() == after
    with temporary_seed(3, 4):
        assert draw() == first
    with temporary_seed(4, 3):
        assert draw() != first


def test_batches_do_not_depend_on_workers_or_history(photos):
    transform = ImageTransform(build_train_transform(AugmentationConfig().resolve(photos), CONFIG))

    def loader(workers, seed=0):
        return build_train_loader(photos.splits["all"], transform, 4, seed, workers)

    alone = loader(0)
    workers = loader(2)
    first = epoch_of(alone, 0)
    second = epoch_of(alone, 1)
    assert not torch.equal(first, second)
    assert torch.equal(epoch_of(workers, 1), second)  # epoch 0 was not loaded before
    torch.manual_seed(99)
    assert torch.equal(epoch_of(alone, 0), first)
    assert not torch.equal(epoch_of(loader(0, seed=1), 0), first)


def test_a_sample_does_not_depend_on_the_order(photos):
    transform = ImageTransform(build_train_transform(AugmentationConfig().resolve(photos), CONFIG))
    samples = Samples(photos.splits["all"], transform, seed=7)
    backwards = [samples[(2, index)][0] for index in reversed(range(5))]
    assert all(torch.equal(samples[(2, 4 - i)][0], image) for i, image in enumerate(backwards))


def test_an_epoch_has_every_index_once_in_its_own_order():
    sampler = EpochSampler(50, seed=0)
    first = list(sampler)
    sampler.set_epoch(1)
    second = list(sampler)
    assert (
        sorted(key.image for key in first) == sorted(key.image for key in second) == list(range(50))
    )
    assert [key.image for key in first] != [key.image for key in second]
    assert {key.epoch for key in second} == {1}


@pytest.mark.parametrize(
    ("length", "batch_size", "world_size", "steps"), [(29, 8, 2, 1), (32, 8, 2, 2), (60, 24, 3, 2)]
)
def test_micro_batches_make_the_batch(length, batch_size, world_size, steps):
    """All micro-batches together are the batches of one process; mixup pairs stay together."""

    def sampler(partition=SINGLE_PROCESS):
        return EpochBatchSampler(EpochSampler(length, 0), batch_size, partition)

    complete = list(sampler())
    ranks = [list(sampler(Partition(rank, world_size, steps))) for rank in range(world_size)]
    assert len(complete) > 1
    assert {len(rank) for rank in ranks} == {len(complete) * steps}
    for number, batch in enumerate(complete):
        numbers = range(number * steps, (number + 1) * steps)
        micro_batches = [rank[at] for rank in ranks for at in numbers]
        assert sorted(key for micro_batch in micro_batches for key in micro_batch) == sorted(batch)
        pair_of = dict(zip(batch, reversed(batch), strict=True))
        for micro_batch in micro_batches:
            assert [pair_of[key] for key in micro_batch] == micro_batch[::-1]
        partition = Partition(0, world_size, steps)
        assert [sampler(partition).batch_size_of(at) for at in numbers] == [len(batch)] * steps


def test_a_batch_too_small_for_its_micro_batches_is_dropped():
    assert [len(batch) for batch in EpochBatchSampler(EpochSampler(17, 0), 8)] == [8, 8]
    assert [
        len(batch) for batch in EpochBatchSampler(EpochSampler(19, 0), 8, Partition(1, 2, 1))
    ] == [4, 4]
    assert [
        len(batch) for batch in EpochBatchSampler(EpochSampler(20, 0), 8, Partition(1, 2, 1))
    ] == [
        4,
        4,
        2,
    ]


def test_resuming_at_a_batch_skips_those_before_it():
    batches = EpochBatchSampler(EpochSampler(20, 0), 4)
    batches.sampler.set_epoch(3)
    third = list(batches)[2:]
    batches.sampler.set_epoch(4)
    fourth = list(batches)
    batches.resume_at(3, 2)
    assert list(batches) == third
    assert len(batches) == 5
    batches.sampler.set_epoch(4)
    assert list(batches) == fourth


@pytest.mark.parametrize(("batch_size", "world_size"), [(5, 2), (4, 3), (64, 2), (1, 4)])
@pytest.mark.parametrize("build", [build_eval_loader, build_inference_loader])
def test_evaluation_on_several_ranks_uses_each_image_once(photos, batch_size, world_size, build):
    images = photos.splits["all"]
    transform = ImageTransform(build_eval_transform(CONFIG))
    loaders = [
        build(images, transform, batch_size, 0, Partition(rank, world_size))
        for rank in range(world_size)
    ]
    assert len({len(loader) for loader in loaders}) == 1
    batches = [batch for loader in loaders for batch in loader.batch_sampler]
    assert sorted(index for batch in batches for index in batch) == list(range(len(images)))
    assert all(0 < len(batch) <= max(batch_size, 2) for batch in batches)
    with pytest.raises(UserError, match="18 images cannot be evaluated by 19 processes"):
        build(images, transform, batch_size, 0, Partition(0, 19))


def test_evaluation_is_in_order_and_complete(photos):
    loader = build_eval_loader(
        photos.splits["all"], ImageTransform(build_eval_transform(CONFIG)), 5, 0
    )
    labels = torch.cat([labels for _, labels in loader])
    assert labels.tolist() == photos.splits["all"].labels.tolist()


def test_digits_are_never_flipped(photos):
    digits = open_data("digits")
    assert AugmentationConfig().resolve(digits).hflip == 0
    assert AugmentationConfig().resolve(photos).hflip == 0.5
    assert AugmentationConfig(hflip=0.25).resolve(digits).hflip == 0.25
    steps = [
        type(step).__name__
        for step in build_train_transform(AugmentationConfig().resolve(digits), CONFIG).transforms
    ]
    assert "RandomHorizontalFlip" not in steps
    steps = [
        type(step).__name__
        for step in build_train_transform(AugmentationConfig().resolve(photos), CONFIG).transforms
    ]
    assert "RandomHorizontalFlip" in steps
    assert "RandAugment" in steps


def test_sides_and_workers(photos):
    assert estimate_median_side(photos.splits["all"]) == 24
    assert estimate_median_side(open_data("digits").split("train")) == 8
    assert choose_num_workers(open_data("digits").split("train")) == 0
    assert choose_num_workers(photos.splits["all"]) >= 1
    assert choose_num_workers(photos.splits["all"], 3) == 3


class BoxedImages(WrappedImages):
    """The target is a class and a box, as in detection."""

    def __init__(self, base):
        super().__init__(base, base.labels)

    def target(self, index):
        return {"label": int(self.labels[index]), "box": torch.full((4,), float(index))}


def draw_with_image(image, target):
    """A random transform that changes the image and the target alike."""
    draw = torch.rand(())
    return torch.full((3, 2, 2), float(draw)), {**target, "draw": draw}


def test_a_transform_gets_the_target_and_may_change_it(photos):
    images = Subset(BoxedImages(photos.splits["all"]), [7, 3, 11])
    samples = Samples(images, draw_with_image, seed=4)
    pixels, target = samples[(2, 1)]
    assert target["box"].tolist() == [3.0] * 4
    assert target["label"] == photos.splits["all"].labels[3]
    assert torch.equal(pixels, torch.full((3, 2, 2), float(target["draw"])))
    assert torch.equal(samples[(2, 1)][0], pixels)
    assert not torch.equal(samples[(3, 1)][0], pixels)
    (batch, targets) = next(iter(build_train_loader(images, draw_with_image, 3, 4, 0)))
    assert batch.shape == (3, 3, 2, 2)
    assert sorted(targets["box"][:, 0].tolist()) == [3.0, 7.0, 11.0]


def test_a_collate_function_makes_the_batch(photos):
    def collate(samples):
        return [pixels for pixels, _ in samples], [target for _, target in samples]

    images = BoxedImages(photos.splits["all"])
    loaders = [
        build_train_loader(images, draw_with_image, 6, 0, 0, collate=collate),
        build_eval_loader(images, draw_with_image, 6, 0, collate=collate),
    ]
    for loader in loaders:
        pixels, targets = next(iter(loader))
        assert len(pixels) == len(targets) == 6
        assert {target["box"].shape for target in targets} == {(4,)}
    batch = next(iter(build_inference_loader(images, draw_with_image, 6, 0, collate=collate)))
    assert [target["box"][0] for target in batch.targets] == batch.rows == list(range(6))


@pytest.mark.parametrize("workers", [0, 2])
def test_inference_lists_the_images_that_cannot_be_read(tmp_path, workers):
    folder = image_folder(tmp_path / "photos", 4)
    for name in ("blue/1.png", "red/0.png", "red/1.png", "red/2.png", "red/3.png"):
        (folder / name).write_bytes(b"")
    images = open_data(str(folder)).splits["all"]
    transform = ImageTransform(build_eval_transform(CONFIG))
    batches = list(build_inference_loader(images, transform, 4, workers))
    assert [batch.rows for batch in batches] == [[0, 2, 3], [4, 5, 6, 7], []]
    assert [[row for row, _ in batch.failures] for batch in batches] == [[1], [], [8, 9, 10, 11]]
    assert all("an empty file" in reason for batch in batches for _, reason in batch.failures)
    for batch in batches[:2]:
        assert batch.images.shape == (len(batch.rows), 3, 32, 32)
        assert batch.targets.tolist() == images.labels[batch.rows].tolist()
        expected = torch.stack([transform(images.image(row), None)[0] for row in batch.rows])
        assert torch.equal(batch.images, expected)
    assert len(batches[2].images) == 0
    assert batches[2].targets is None
    chosen = build_inference_loader(images, transform, 4, workers, batches=[[3, 1], [7]])
    assert [batch.rows for batch in chosen] == [[3], [7]]


def test_inference_on_a_stream(photos):
    images = photos.splits["all"]
    stream = Stream([(images.image(index), index % 3) for index in range(7)])
    loader = build_inference_loader(stream, ImageTransform(build_eval_transform(CONFIG)), 3, 0)
    batches = list(loader)
    assert [batch.rows for batch in batches] == [[0, 1, 2], [3, 4, 5], [6]]
    assert torch.cat([batch.targets for batch in batches]).tolist() == [0, 1, 2, 0, 1, 2, 0]
    with pytest.raises(UserError, match="a stream cannot be divided among several processes"):
        build_inference_loader(stream, draw_with_image, 3, 0, Partition(0, 2))


def test_eval_batches_of_a_single_rank_are_consecutive():
    assert list(map(list, plan_eval_batches(7, 3))) == [[0, 1, 2], [3, 4, 5], [6]]
    assert split_into_batches(range(4, 9), 2) == [range(4, 6), range(6, 8), range(8, 9)]
