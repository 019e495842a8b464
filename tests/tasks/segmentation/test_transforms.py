"""Image and class map stay together; crops, scales and sizes."""

import numpy as np
import pytest
import torch
from PIL import Image

from spectralvision.data.masks import IGNORED, ClassMap
from spectralvision.data.seeding import temporary_seed
from spectralvision.runs import UserError
from spectralvision.tasks.segmentation.config import AugmentationConfig
from spectralvision.tasks.segmentation.transforms import EvalTransform, TrainTransform

PLAIN = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0), "interpolation": "bilinear"}
PREPROCESSING = {"mean": (0.5, 0.4, 0.3), "std": (0.2, 0.3, 0.4), "interpolation": "bicubic"}


def sample(height=40, width=60):
    """Return an image whose red channel is 100 times its class."""
    classes = np.zeros((height, width), np.int16)
    classes[: height // 2, : width // 3] = 1
    classes[height // 2 :, width // 2 :] = 2
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[..., 0] = 100 * classes
    return Image.fromarray(pixels), ClassMap(classes, "a.png")


def agree(pixels, classes):
    """Return the fraction of valid pixels whose red channel fits their class."""
    valid = classes != IGNORED
    assert valid.any()
    return float(((pixels[0] * 255 / 100).round() == classes)[valid].float().mean())


@pytest.mark.parametrize("rotation", [0.0, 30.0])
def test_crops_of_image_and_mask_agree(rotation):
    settings = AugmentationConfig(distortion=0.0, rotation=rotation)
    transform = TrainTransform(settings, 32, 32, PLAIN)
    seen = set()
    for seed in range(20):
        with temporary_seed(seed):
            pixels, classes = transform(*sample())
        assert pixels.shape == (3, 32, 32)
        assert classes.shape == (32, 32)
        assert classes.dtype == torch.int64
        assert agree(pixels, classes) > 0.85  # borders are interpolated
        seen |= set(classes.unique().tolist())
    assert seen == {IGNORED, 0, 1, 2}


def test_what_is_outside_of_the_image_is_ignored():
    settings = AugmentationConfig(min_scale=0.5, max_scale=0.5, distortion=0.0, hflip=0.0)
    pixels, classes = TrainTransform(settings, 64, None, PREPROCESSING)(*sample())
    assert (classes[20:] == IGNORED).all()
    assert (classes[:, 30:] == IGNORED).all()
    assert (classes[:20, :30] != IGNORED).all()
    assert pixels[:, 20:].abs().max() < 0.02  # the mean color


def test_long_strips_are_limited():
    """A strip of 1000 x 1 pixels would have 256,000 pixels on its longer side."""
    pixels, _ = EvalTransform(64, PLAIN)(*sample(1, 1000))
    assert pixels.pixels.shape == (3, 1, 512)
    pixels, _ = EvalTransform(64, PLAIN)(*sample(10, 60))
    assert pixels.pixels.shape == (3, 64, 384)
    settings = AugmentationConfig(min_scale=2.0, max_scale=2.0)
    assert TrainTransform(settings, 64, 64, PLAIN)(*sample(1, 1000))[0].shape == (3, 64, 64)


def test_a_sample_depends_on_the_seed_alone():
    transform = TrainTransform(AugmentationConfig(rotation=10.0), 32, 32, PLAIN)
    found = []
    for seed in (1, 2, 1):
        with temporary_seed(seed):
            found.append(transform(*sample())[0])
    assert torch.equal(found[0], found[2])
    assert not torch.equal(found[0], found[1])


def test_evaluation_keeps_the_mask_and_the_size_of_the_image():
    image, target = sample()
    inputs, classes = EvalTransform(20, PREPROCESSING)(image, target)
    assert inputs.pixels.shape == (3, 20, 30)
    assert inputs.size.tolist() == [40, 60]
    assert np.array_equal(classes.numpy(), target.classes)
    whole, _ = EvalTransform(None, PREPROCESSING)(image, target)
    expected = (np.asarray(image).transpose(2, 0, 1) / 255 - 0.5) / 0.2
    np.testing.assert_allclose(whole.pixels[0], expected[0], atol=1e-6)


def test_a_label_that_is_no_class_map_is_passed_on():
    assert EvalTransform(20, PLAIN)(sample()[0], 7)[1] == 7


def test_a_mask_of_another_size_is_named():
    image, target = sample()
    other = ClassMap(target.classes[:30], "b.png")
    for transform in (EvalTransform(20, PLAIN), TrainTransform(AugmentationConfig(), 8, 8, PLAIN)):
        with pytest.raises(UserError, match=r"b\.png has 60 x 30 pixels, but its image 60 x 40"):
            transform(image, other)
