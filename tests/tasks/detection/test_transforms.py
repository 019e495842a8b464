"""Transforms: sizes, and objects that follow their image."""

import numpy as np
import pytest
import torch
from PIL import Image

from spectralvision.data.seeding import temporary_seed
from spectralvision.tasks.detection.config import DetectionAugmentation
from spectralvision.tasks.detection.detector import DetectorSettings
from spectralvision.tasks.detection.transforms import EvalTransform, TrainTransform
from tests.helpers.detection import no_objects, objects_of
from tests.helpers.scenes import box_of, scene

PREPROCESSING = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0), "interpolation": "bilinear"}
PLAIN = DetectionAugmentation(hflip=0.0, min_scale=1.0, max_scale=1.0, color_jitter=0.0)


def settings(kind="fcos", size=96, longest=200):
    return DetectorSettings(
        detector=kind, num_classes=2, fpn_channels=64, input_size=size, max_size=longest
    )


def colored(pixels):
    """Return where a picture is not background: red or green."""
    return pixels[:2].amax(dim=0) > 0.45


@pytest.mark.parametrize(
    ("size", "expected"),
    [((48, 64), (96, 128)), ((48, 480), (20, 200)), ((480, 47), (200, 20)), ((1, 900), (1, 200))],
)
def test_sides(size, expected):
    transform = EvalTransform(settings(), PREPROCESSING)
    image, target = transform(Image.new("RGB", size[::-1]), 5)
    assert image.pixels.shape == (3, *expected)
    assert image.size == size
    assert target == 5
    square = EvalTransform(settings("ssdlite"), PREPROCESSING)
    assert square(Image.new("RGB", size[::-1]), 0)[0].pixels.shape == (3, 96, 96)


def test_pixels_are_normalized():
    values = {"mean": (0.5, 0.0, 0.0), "std": (0.25, 1.0, 1.0), "interpolation": "bicubic"}
    transform = EvalTransform(settings(), values)
    pixels = transform(Image.new("RGB", (64, 48), (255, 0, 51)), 0)[0].pixels
    assert pixels[:, 5, 5].tolist() == pytest.approx([2.0, 0.0, 0.2], abs=1e-6)


def test_without_augmentation_objects_are_only_resized():
    image, objects = scene(2)[0], objects_of(2)
    sized, target = TrainTransform(settings(), PREPROCESSING, PLAIN, with_masks=True)(
        image, objects
    )
    assert sized.pixels.shape == (3, 96, 128)
    torch.testing.assert_close(target["boxes"], 2 * torch.from_numpy(objects.boxes))
    assert target["labels"].tolist() == objects.labels.tolist()
    for mask, (_, original) in zip(target["masks"], scene(2)[1], strict=True):
        assert np.array_equal(mask.numpy()[::2, ::2], original)


@pytest.mark.parametrize("kind", ["fcos", "ssdlite"])
@pytest.mark.parametrize("seed", range(12))
def test_boxes_and_masks_follow_the_pixels(kind, seed):
    """Whatever is drawn, the objects are where their colors are."""
    augmentation = DetectionAugmentation(hflip=0.5, min_scale=0.5, max_scale=2.0, color_jitter=0)
    transform = TrainTransform(settings(kind), PREPROCESSING, augmentation, with_masks=True)
    with temporary_seed(seed):
        image, target = transform(scene(5)[0], objects_of(5))
    height, width = image.pixels.shape[-2:]
    assert (height, width) == (96, 96) or (kind == "fcos" and height <= 96 and width <= 128)
    inside = target["masks"].bool().any(dim=0)
    covered = colored(image.pixels)
    padding = (image.pixels == 0).all(dim=0)
    assert inside.any()
    assert ((inside != covered) & ~padding).float().mean() < 0.03
    for box, mask in zip(target["boxes"], target["masks"], strict=True):
        assert np.abs(np.array(box_of(mask.numpy())) - box.numpy()).max() <= 1.5


def test_crops_leave_out_what_they_do_not_show():
    augmentation = DetectionAugmentation(hflip=0.0, min_scale=3.0, max_scale=3.0, color_jitter=0)
    transform = TrainTransform(settings(), PREPROCESSING, augmentation)
    counts = []
    for seed in range(10):
        with temporary_seed(seed):
            image, target = transform(scene(5)[0], objects_of(5))
        assert image.pixels.shape == (3, 96, 128)
        boxes = target["boxes"]
        assert len(boxes) == len(target["labels"])
        assert ((boxes[:, 2:] - boxes[:, :2]) >= 1).all()
        assert (boxes >= 0).all()
        assert (boxes <= torch.tensor([128, 96, 128, 96])).all()
        counts.append(len(boxes))
    assert min(counts) < 3


def test_flips():
    always = DetectionAugmentation(hflip=1.0, min_scale=1, max_scale=1, color_jitter=0)
    objects = objects_of(2)
    _, target = TrainTransform(settings(), PREPROCESSING, always)(scene(2)[0], objects)
    expected = 2 * (64 - objects.boxes[:, [2, 0]])
    assert target["boxes"][:, [0, 2]].tolist() == expected.tolist()


def test_crowds_and_images_without_objects():
    transform = TrainTransform(settings(), PREPROCESSING, PLAIN, with_masks=True)
    image = scene(2)[0]
    assert len(objects_of(2).labels) == 3
    crowd = objects_of(2)._replace(is_crowd=np.array([False, True, False]))
    assert len(transform(image, crowd)[1]["boxes"]) == 2
    target = transform(image, no_objects())[1]
    assert target["boxes"].shape == (0, 4)
    assert target["masks"].shape == (0, 96, 128)
    assert target["labels"].dtype == torch.int64


def test_a_sample_depends_on_the_generators_alone():
    transform = TrainTransform(settings(), PREPROCESSING, DetectionAugmentation(hflip=0.5))
    samples = []
    for _ in range(2):
        with temporary_seed(7):
            samples.append(transform(scene(5)[0], objects_of(5)))
    assert torch.equal(samples[0][0].pixels, samples[1][0].pixels)
    assert torch.equal(samples[0][1]["boxes"], samples[1][1]["boxes"])
