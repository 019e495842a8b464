"""Filters by learned spectra on one image, channel by channel, from the papers' equations."""

import numpy as np

from tests.reference.fourier import irfft2, rfft2


def global_filter(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """x (C, H, W), weight (2, C, H, W // 2 + 1) -> (C, H, W)."""
    masks = weight[0] + 1j * weight[1]
    pairs = zip(x, masks, strict=True)
    return np.stack([irfft2(mask * rfft2(channel), x.shape[-1]) for channel, mask in pairs])


def dynamic_filter(z: np.ndarray, mixture: np.ndarray, spectra: np.ndarray) -> np.ndarray:
    """z (C, H, W), mixture (F, C), spectra (2, F, H, W // 2 + 1) -> (C, H, W)."""
    out = []
    for c, channel in enumerate(z):
        mask = np.zeros(spectra.shape[2:], complex)
        for f in range(len(mixture)):
            mask += mixture[f, c] * (spectra[0, f] + 1j * spectra[1, f])
        out.append(irfft2(mask * rfft2(channel), z.shape[-1]))
    return np.stack(out)
