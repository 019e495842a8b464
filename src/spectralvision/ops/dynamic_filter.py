"""Dynamic filter: the spectral part of DFFormer's token mixer (Tatsunami & Taki, AAAI 2024,
arXiv 2303.03932).

    K[b, c, u, v] = sum_f  a[b, f, c] S[f, u, v]        a mixture for each image and channel  (1)
    y = irfft2(K * rfft2(z))                                                                  (2)

S are a few learned half-spectra that all channels share, not Hermitian on columns 0 and W / 2: the
inverse is that of `ops/fourier.py`. The weights a of the mixture come from the image.
Letters: B batch, C channels, F spectra, H W rows and columns, U V frequencies.
"""

from torch import Tensor

from spectralvision.ops.chunking import chunked_groups
from spectralvision.ops.complex_linear import Parts
from spectralvision.ops.empty_batch import accept_empty_batch
from spectralvision.ops.fourier import fourier_filter
from spectralvision.ops.precision import float32_island
from spectralvision.ops.products import matmul

CHUNK_ELEMENTS = 160 << 10  # of z: 640 KiB in float32, and what is computed from them


@chunked_groups(CHUNK_ELEMENTS, {"mixture": 2}, batched=("mixture",))
@accept_empty_batch
@float32_island
def dynamic_filter(z: Tensor, mixture: Tensor, spectra: Tensor) -> Tensor:
    """Filter maps z by mixtures of spectra, equations (1) and (2).

    Args:
        z: (B, C, H, W), any H and W.
        mixture: a, (B, F, C).
        spectra: S, (2, F, H, W // 2 + 1), real and imaginary part.

    Returns:
        (B, C, H, W), in the dtype of z; computed in float32, or float64 for float64 input.
    """
    weights = mixture.transpose(-2, -1)  # (B, C, F)

    def mix(spectrum: Tensor) -> Tensor:
        return matmul(weights, spectrum.flatten(1)).unflatten(-1, spectrum.shape[1:])  # (1)

    def mask(re: Tensor, im: Tensor) -> Parts:
        return mix(spectra[0]), mix(spectra[1])

    return fourier_filter(z, mask)  # (2)
