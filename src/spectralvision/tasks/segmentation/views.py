"""Run a model on images of any size: several scales, mirrored, or through a sliding window."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from spectralvision.tasks.segmentation.options import ViewOptions
from spectralvision.tasks.segmentation.segmenter import resize
from spectralvision.tasks.segmentation.transforms import SizedImage

WINDOW_STEP = 2 / 3
"""Step of the window, relative to its side."""
MAX_VALUES = 2**26
"""Scores that are resized at once."""


def run(model: nn.Module, images: Sequence[SizedImage]) -> list[Tensor]:
    """Return the (K, h, w) logits of each image; those of equal size are run together."""
    logits: dict[int, Tensor] = {}
    sizes = [tuple(image.pixels.shape) for image in images]
    for size in dict.fromkeys(sizes):
        indices = [index for index, one in enumerate(sizes) if one == size]
        outputs = model(torch.stack([images[index].pixels for index in indices]))
        logits |= zip(indices, outputs, strict=True)
    return [logits[index] for index in range(len(images))]


class Viewer(nn.Module):
    """Images -> (K, h, w) scores of each, whose largest is the class of a pixel.

    With one view the scores are logits, with several the logarithms of the mean probabilities.
    """

    def __init__(self, model: nn.Module, options: ViewOptions) -> None:
        super().__init__()
        self.model, self.options = model, options

    def forward(self, images: Sequence[SizedImage]) -> list[Tensor]:
        options = self.options
        if options.scales == (1.0,) and not options.flip and options.window is None:
            return run(self.model, images)
        return [self._view(image.pixels[None])[0] for image in images]

    def _view(self, image: Tensor) -> Tensor:
        """Return the scores of (1, 3, h, w)."""
        size = image.shape[-2:]
        views: list[Tensor] = []
        for scale in self.options.scales:
            scaled = [max(1, round(side * scale)) for side in size]
            view = interpolate(image, scaled, mode="bilinear", align_corners=False, antialias=True)
            views.append(self._probabilities(view, size))
            if self.options.flip:
                views.append(self._probabilities(view.flip(-1), size).flip(-1))
        return torch.stack(views).mean(dim=0).clamp_min(1e-12).log()

    def _probabilities(self, view: Tensor, size: Sequence[int]) -> Tensor:
        logits = self._slide(view) if self.options.window else self.model(view)
        return resize(logits.float(), size).softmax(dim=1)

    def _slide(self, view: Tensor) -> Tensor:
        """Return the mean logits of all windows over (1, 3, h, w)."""
        total, count = torch.zeros(()), torch.zeros(())
        height, width = view.shape[-2:]
        for rows, columns in windows(height, width, int(self.options.window or 0)):
            logits = self.model(view[..., rows, columns]).float()
            if total.ndim == 0:
                total = logits.new_zeros(1, logits.shape[1], height, width)
                count = logits.new_zeros(1, 1, height, width)
            total[..., rows, columns] += logits
            count[..., rows, columns] += 1
        return total / count


def windows(height: int, width: int, side: int) -> Iterator[tuple[slice, slice]]:
    """Yield the rows and columns of windows that cover an image; the last ones end at its edge."""
    step = max(1, int(side * WINDOW_STEP))

    def starts(length: int) -> list[int]:
        last = max(length - side, 0)
        return [*range(0, last, step), last]

    for top in starts(height):
        for left in starts(width):
            yield slice(top, min(top + side, height)), slice(left, min(left + side, width))


def classes_at(scores: Tensor, size: Sequence[int]) -> Tensor:
    """Return the (H, W) int64 classes of (K, h, w) scores, resized without holding all of them."""
    if tuple(scores.shape[-2:]) == tuple(size):
        return scores.argmax(dim=0)
    step = max(1, MAX_VALUES // (size[0] * size[1]))
    best: Tensor | None = None
    classes = torch.zeros(tuple(size), dtype=torch.int64, device=scores.device)
    for start in range(0, len(scores), step):
        chunk = resize(scores[None, start : start + step].float(), size)[0]
        values, indices = chunk.max(dim=0)
        if best is None:
            best, classes = values, indices
            continue
        is_better = values > best
        classes = torch.where(is_better, indices + start, classes)
        best = torch.where(is_better, values, best)
    return classes
