"""Images of any size, several scales, mirror images, windows, against plain computations."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from spectralvision.runs import UserError
from spectralvision.tasks.segmentation import views
from spectralvision.tasks.segmentation.options import ViewOptions
from spectralvision.tasks.segmentation.transforms import SizedImage
from spectralvision.tasks.segmentation.views import Viewer, classes_at, run, windows


class Local(nn.Module):
    """Logits of a pixel that depend on its color and row only."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x) * 3


@pytest.fixture
def model():
    torch.manual_seed(0)
    return Local().eval()


def image(height: int, width: int) -> SizedImage:
    return SizedImage(torch.randn(3, height, width), torch.tensor([2 * height, 2 * width]))


def test_images_of_many_sizes_are_run_as_alone(model):
    images = [image(8, 10), image(7, 9), image(8, 10), image(10, 8)]
    found = run(model, images)
    assert len(found) == 4
    for one, logits in zip(images, found, strict=True):
        torch.testing.assert_close(logits, model(one.pixels[None])[0])


def test_one_view_gives_logits(model):
    one = image(9, 7)
    found = Viewer(model, ViewOptions())([one])[0]
    torch.testing.assert_close(found, model(one.pixels[None])[0])


def test_scales_and_mirror_images_are_averaged(model):
    one = image(12, 16)
    pixels = one.pixels[None]
    expected = []
    for scale in (0.5, 1.0):
        size = (round(12 * scale), round(16 * scale))
        view = interpolate(pixels, size, mode="bilinear", align_corners=False, antialias=True)
        for mirrored in (False, True):
            logits = model(view.flip(-1) if mirrored else view)
            logits = interpolate(logits, (12, 16), mode="bilinear", align_corners=False)
            logits = logits.flip(-1) if mirrored else logits
            expected.append(logits.softmax(dim=1))
    found = Viewer(model, ViewOptions(scales=(0.5, 1.0), flip=True))([one])[0]
    torch.testing.assert_close(found.exp(), sum(expected)[0] / 4)


def test_a_window_gives_the_logits_of_a_local_model(model):
    """Whatever window a pixel is in, its logits are the same."""
    one = image(50, 70)
    found = Viewer(model, ViewOptions(window=32))([one])[0]
    torch.testing.assert_close(found.exp(), model(one.pixels[None])[0].softmax(dim=0))


@pytest.mark.parametrize(("height", "width", "side"), [(50, 70, 32), (32, 32, 32), (20, 90, 32)])
def test_windows_cover_every_pixel_and_stay_inside(height, width, side):
    count = torch.zeros(height, width)
    for rows, columns in windows(height, width, side):
        assert 0 <= rows.start < rows.stop <= height
        assert rows.stop - rows.start == min(side, height)
        assert columns.stop - columns.start == min(side, width)
        count[rows, columns] += 1
    assert count.min() >= 1


@pytest.mark.parametrize("max_values", [1, 9 * 11 * 2, 2**26])
def test_classes_at_another_size_in_chunks(monkeypatch, max_values):
    monkeypatch.setattr(views, "MAX_VALUES", max_values)
    scores = torch.randn(7, 4, 5)
    whole = interpolate(scores[None], (9, 11), mode="bilinear", align_corners=False)[0]
    assert torch.equal(classes_at(scores, (9, 11)), whole.argmax(dim=0))
    assert torch.equal(classes_at(scores, (4, 5)), scores.argmax(dim=0))


def test_options_are_checked():
    with pytest.raises(UserError, match="--window 8 should be between 32"):
        ViewOptions(window=8).check()
    with pytest.raises(UserError, match="--scales 0 should be between"):
        ViewOptions(scales=(1.0, 0.0)).check()
