"""How exactly the bare transforms of the mixers invert, in float32."""

from collections.abc import Callable

import torch
from torch import Tensor

from spectralvision.ops import dct2, dtcwt2d, idct2, idtcwt2d, irfft2, rfft2
from spectralvision.ops.haar import haar2d, ihaar2d

NUM_MAPS = 8


def _fourier(x: Tensor) -> Tensor:
    return irfft2(*rfft2(x), (x.shape[-2], x.shape[-1]))


def _wavelet(x: Tensor) -> Tensor:
    return idtcwt2d(dtcwt2d(x, 1), size=(x.shape[-2], x.shape[-1]))


def _haar(x: Tensor) -> Tensor:
    return ihaar2d(haar2d(x), (x.shape[-2], x.shape[-1]))


TRANSFORMS: dict[str, Callable[[Tensor], Tensor]] = {
    "Fourier": _fourier,
    "cosine": lambda x: idct2(dct2(x)),
    "dual-tree wavelet": _wavelet,
    "Haar wavelet": _haar,
}
"""Transform and inverse."""


def round_trip_errors(side: int) -> dict[str, float]:
    """Return the largest error of each transform and its inverse on random maps (side, side).

    The maps have unit variance and are float32.
    """
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1, NUM_MAPS, side, side, generator=generator)
    with torch.no_grad():
        return {name: float((one(x) - x).abs().max()) for name, one in TRANSFORMS.items()}
