"""Which frequencies a network uses: spectra of its features, and its answers to filtered images.

Frequencies are radial, as a fraction of the Nyquist frequency: 1 is half a cycle per pixel along an
axis, the corners of the spectrum lie at sqrt(2).
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from spectralvision.analysis.layers import maps_of, record_outputs

Kept = Literal["low", "high"]
Predict = Callable[[Tensor], Tensor]
"""From normalized images (B, 3, H, W) to logits (B, K)."""
NUM_BINS = 12
CORNER = 2**0.5


class DepthSpectrum(NamedTuple):
    """Spectra of the features after each block, relative to zero frequency.

    Attributes:
        names: of the blocks, in the network's order.
        frequencies: (F,) centers of the bins, as fractions of the Nyquist frequency.
        log_amplitude: (blocks, F) natural logarithm of the mean amplitude of a bin, minus that of
            the zero frequency; NaN in bins without a frequency of so small a map.
    """

    names: list[str]
    frequencies: Tensor
    log_amplitude: Tensor


def spectrum_by_depth(
    model: Any, run: Callable[[], Any], blocks: Mapping[str, Any]
) -> DepthSpectrum:
    """Return the spectra of the outputs of blocks that are maps of 4 x 4 or more.

    Args:
        model: Tells how tokens and channels-last maps are laid out.
        run: Runs the network once.
        blocks: By name, see `find_blocks`.

    Source: Park & Kim, How do vision transformers work?, ICLR 2022, figure 2.
    """
    maps = {name: maps_of(model, out) for name, out in record_outputs(run, blocks).items()}
    large = {name: one for name, one in maps.items() if one is not None and min(one.shape[2:]) >= 4}
    centers = (torch.arange(NUM_BINS) + 0.5) / NUM_BINS
    rows = [_log_amplitude(features.float()) for features in large.values()]
    empty = torch.empty(0, NUM_BINS)
    return DepthSpectrum(list(large), centers, torch.stack(rows) if rows else empty)


def _log_amplitude(features: Tensor) -> Tensor:
    """Return the log amplitude (F,) of maps (B, C, H, W), relative to zero frequency."""
    amplitude = torch.fft.fft2(features, norm="ortho").abs().mean(dim=(0, 1)).cpu().clamp(min=1e-12)
    radius = radial_frequency(features.shape[-2], features.shape[-1])
    bins = (radius * NUM_BINS).floor().long()
    found = torch.full((NUM_BINS,), torch.nan)
    for number in range(NUM_BINS):
        inside = (bins == number) & (radius > 0)
        if inside.any():
            found[number] = amplitude[inside].mean().log()
    return found - amplitude[0, 0].log()


def radial_frequency(height: int, width: int) -> Tensor:
    """Return the radial frequency (H, W) of each entry of an FFT, as a fraction of Nyquist's."""
    rows, columns = torch.fft.fftfreq(height)[:, None], torch.fft.fftfreq(width)[None, :]
    return 2 * torch.hypot(rows, columns)


def filter_images(images: Tensor, cutoff: float, keep: Kept) -> Tensor:
    """Return images (B, C, H, W) without the frequencies above or below a cutoff.

    The mean of each channel is always kept.
    """
    radius = radial_frequency(images.shape[-2], images.shape[-1]).to(images.device)
    inside = radius <= cutoff if keep == "low" else radius >= cutoff
    inside[0, 0] = True
    return torch.fft.ifft2(torch.fft.fft2(images.float()) * inside).real.to(images.dtype)


def add_noise(
    images: Tensor, low: float, high: float, scale: float, generator: torch.Generator | None = None
) -> Tensor:
    """Add Gaussian noise whose frequencies are between two cutoffs.

    Its standard deviation is `scale` times that of each image.
    """
    noise = torch.randn(images.shape, generator=generator).to(images.device)
    radius = radial_frequency(images.shape[-2], images.shape[-1]).to(images.device)
    band = (radius >= low) & (radius <= high) & (radius > 0)
    noise = torch.fft.ifft2(torch.fft.fft2(noise) * band).real
    wanted, got = (one.std(dim=(1, 2, 3), keepdim=True) for one in (images.float(), noise))
    return images + (scale * wanted / got.clamp(min=1e-12) * noise).to(images.dtype)


class FrequencyCurves(NamedTuple):
    """Accuracy on images with changed frequencies.

    Attributes:
        cutoffs: (F,) as fractions of the Nyquist frequency.
        low: (F,) accuracy with only the frequencies up to the cutoff.
        high: (F,) accuracy with only the frequencies from the cutoff.
        bands: (N, 2) ends of the bands of frequencies that get noise.
        noise: (N,) accuracy with it.
        noise_scale: its standard deviation, relative to that of each image.
        unchanged: accuracy on the images as they are.
        is_agreement: whether the labels are the network's own answers to the images as they are.
    """

    cutoffs: Sequence[float]
    low: list[float]
    high: list[float]
    bands: list[tuple[float, float]]
    noise: list[float]
    noise_scale: float
    unchanged: float
    is_agreement: bool


CUTOFFS = (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0, 1.2)
NOISE_EDGES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.6, 0.8, 1.0, CORNER)


@torch.no_grad()
def frequency_curves(
    predict: Predict,
    batches: Sequence[tuple[Tensor, Tensor | None]],
    cutoffs: Sequence[float] = CUTOFFS,
    noise_scale: float = 0.25,
) -> FrequencyCurves:
    """Return the accuracy on images without low or high frequencies, and with noise in a band.

    Args:
        predict: The network, in evaluation mode.
        batches: Normalized images (B, 3, H, W) and labels (B,); where these are None, the network's
            own answer counts as right.
        cutoffs: Fractions of the Nyquist frequency.
        noise_scale: Standard deviation of the noise, relative to that of each image.
    """
    bands = list(pairwise(NOISE_EDGES))
    hits = torch.zeros(3, max(len(cutoffs), len(bands)))
    unchanged = total = 0
    generator = torch.Generator().manual_seed(0)
    for images, labels in batches:
        own = predict(images).argmax(dim=1)
        truth = own if labels is None else labels.to(own.device)

        def count(changed: Tensor, truth: Tensor = truth) -> int:
            return int((predict(changed).argmax(dim=1) == truth).sum())

        unchanged += int((own == truth).sum())
        total += len(images)
        for number, cutoff in enumerate(cutoffs):
            hits[0, number] += count(filter_images(images, cutoff, "low"))
            hits[1, number] += count(filter_images(images, cutoff, "high"))
        for number, (low, high) in enumerate(bands):
            hits[2, number] += count(add_noise(images, low, high, noise_scale, generator))
    if not total:
        raise ValueError("frequency_curves needs at least one image")
    low, high, noise = (hits / total).tolist()
    return FrequencyCurves(
        cutoffs,
        low[: len(cutoffs)],
        high[: len(cutoffs)],
        bands,
        noise[: len(bands)],
        noise_scale,
        unchanged / total,
        all(labels is None for _, labels in batches),
    )
