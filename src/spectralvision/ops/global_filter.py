"""Global filter: the token mixer of GFNet (Rao et al., NeurIPS 2021, arXiv 2107.00645).

    X = rfft2(x)                                                                              (1)
    y = irfft2(K * X)                                                                         (2)

K is a learned half-spectrum for each channel, not Hermitian on columns 0 and W / 2: the inverse is
that of `ops/fourier.py`. By the convolution theorem (2) is a circular convolution of each channel
with a kernel as large as x, irfft2(K) / sqrt(H W).
Letters: B batch, C channels, H W rows and columns, U V frequencies.
"""

from torch import Tensor

from spectralvision.ops.chunking import chunked_groups
from spectralvision.ops.complex_linear import Parts
from spectralvision.ops.empty_batch import accept_empty_batch
from spectralvision.ops.fourier import fourier_filter
from spectralvision.ops.precision import float32_island

CHUNK_ELEMENTS = 160 << 10  # of x: 640 KiB in float32, and what is computed from them


@chunked_groups(CHUNK_ELEMENTS, {"weight": 1})
@accept_empty_batch
@float32_island
def global_filter(x: Tensor, weight: Tensor) -> Tensor:
    """Filter maps x by learned spectra, equations (1) and (2).

    Args:
        x: (B, C, H, W), any H and W.
        weight: K, (2, C, H, W // 2 + 1), real and imaginary part.

    Returns:
        (B, C, H, W), in the dtype of x; computed in float32, or float64 for float64 input.
    """

    def mask(re: Tensor, im: Tensor) -> Parts:
        return weight[0], weight[1]

    return fourier_filter(x, mask)  # (1) (2)
