"""Global filter: the token mixer of GFNet (Rao et al., NeurIPS 2021, arXiv 2107.00645).

The equations are in `ops/global_filter.py`; here are the parameters.
"""

from typing import ClassVar

import torch
from torch import Tensor, nn

from spectralvision.mixers.sized_weights import Resize, SizedWeights
from spectralvision.ops.fourier import irfft2
from spectralvision.ops.global_filter import global_filter
from spectralvision.ops.precision import no_autocast, working_dtype
from spectralvision.ops.resize_spectrum import resize_spectrum


class GlobalFilter(SizedWeights):
    """Global token mixing by a learned spectrum for each channel, for maps of any size.

    Maps (B, C, H, W) to the same shape. Computed in float32 (float64 for float64 input), also under
    autocast; the result has the dtype of x. The spectra belong to a map size; for maps of another
    size they are interpolated, see `ops/resize_spectrum.py`.

    Args:
        dim: number of channels C.
        resolution: (H, W) of the maps that the spectra belong to.

    Raises:
        ValueError: dim or the resolution is not positive.
    """

    resizes: ClassVar[dict[str, Resize]] = {"weight": resize_spectrum}

    def __init__(
        self,
        dim: int,
        resolution: tuple[int, int] = (14, 14),
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        if dim < 1:
            raise ValueError(f"dim must be positive, got {dim}")
        self.dim = dim
        self.resolution = height, width = self.round_resolution(resolution)
        self.weight = nn.Parameter(
            torch.empty(2, dim, height, width // 2 + 1, device=device, dtype=dtype)
        )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the spectra from a normal distribution of standard deviation 0.02."""
        nn.init.normal_(self.weight, std=0.02)

    def no_weight_decay(self) -> set[str]:
        """Return the names of the parameters that take no weight decay."""
        return {"weight"}

    def forward(self, x: Tensor) -> Tensor:
        """Filter maps (B, C, H, W), equations (1) and (2)."""
        return global_filter(x, self.weights_for((x.shape[-2], x.shape[-1]))["weight"])

    def kernel(self, resolution: tuple[int, int] | None = None) -> Tensor:
        """Return the kernel (C, H, W) of the circular convolution, with its origin at [0, 0]."""
        height, width = resolution or self.resolution
        weight = self.weights_for((height, width))["weight"]
        with no_autocast(weight):
            re, im = weight.to(working_dtype(weight.dtype)).unbind(0)
            return irfft2(re, im, (height, width)) / (height * width) ** 0.5

    def extra_repr(self) -> str:
        return f"{self.dim}, resolution={self.resolution}"
