"""Dynamic filter: the token mixer of DFFormer (Tatsunami & Taki, AAAI 2024, arXiv 2303.03932).

    a = softmax over the spectra of M(mean over positions of x)                               (1)
    z = act(P1 x)                                                                             (2)
    y = P2 F(z, a)                                                                            (3)

P1 widens the channels, P2 narrows them, M is a network of two layers, and F is the filter by the
mixture a of learned spectra, whose equations are in `ops/dynamic_filter.py`. Here are the
parameters.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

import torch
from timm.models.metaformer import StarReLU
from torch import Tensor, nn

from spectralvision.mixers.sized_weights import Resize, SizedWeights
from spectralvision.ops.checks import check_real_maps
from spectralvision.ops.dynamic_filter import dynamic_filter
from spectralvision.ops.resize_spectrum import resize_spectrum

REDUCTION = 4  # of the channels, in the hidden layer of M


class DynamicFilter(SizedWeights):
    """Global token mixing by input-dependent mixtures of learned spectra, for maps of any size.

    Maps (B, C, H, W) to the same shape. The filter is computed in float32 (float64 for float64
    input), also under autocast; the result has the dtype of x. The spectra belong to a map size;
    for maps of another size they are interpolated, see `ops/resize_spectrum.py`.

    Args:
        dim: number of channels C.
        resolution: (H, W) of the maps that the spectra belong to.
        num_filters: number of spectra.
        expansion: channels of z per channel of x.
        act_layer: activation after P1 and in M.

    Raises:
        ValueError: dim, the resolution or num_filters is not positive.
    """

    resizes: ClassVar[dict[str, Resize]] = {"spectra": resize_spectrum}

    def __init__(
        self,
        dim: int,
        resolution: tuple[int, int] = (14, 14),
        num_filters: int = 4,
        expansion: int = 2,
        act_layer: Callable[..., nn.Module] | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        if dim < 1 or num_filters < 1 or expansion < 1:
            raise ValueError(
                "dim, num_filters and expansion must be positive, got "
                f"{dim}, {num_filters} and {expansion}"
            )
        act = act_layer or partial(StarReLU, device=device, dtype=dtype)
        self.dim, self.num_filters = dim, num_filters
        self.resolution = height, width = self.round_resolution(resolution)
        hidden, wide = max(1, dim // REDUCTION), expansion * dim
        factory: dict[str, Any] = {"bias": False, "device": device, "dtype": dtype}
        self.mixture = nn.Sequential()
        self.mixture.fc1 = nn.Linear(dim, hidden, **factory)
        self.mixture.act = act()
        self.mixture.fc2 = nn.Linear(hidden, num_filters * wide, **factory)
        self.expand = nn.Conv2d(dim, wide, 1, **factory)
        self.act = act()
        self.spectra = nn.Parameter(
            torch.empty(2, num_filters, height, width // 2 + 1, device=device, dtype=dtype)
        )
        self.project = nn.Conv2d(wide, dim, 1, **factory)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the spectra from a normal distribution of standard deviation 0.02."""
        nn.init.normal_(self.spectra, std=0.02)

    def no_weight_decay(self) -> set[str]:
        """Return the names of the parameters that take no weight decay: the spectra."""
        return {"spectra"}

    def forward(self, x: Tensor) -> Tensor:
        """Filter maps (B, C, H, W), equations (1) to (3)."""
        check_real_maps(x, "DynamicFilter", ndim=4)
        z = self.act(self.expand(x))  # (2)
        spectra = self.weights_for((x.shape[-2], x.shape[-1]))["spectra"]
        return self.project(dynamic_filter(z, self.mixture_weights(x), spectra))  # (3)

    def mixture_weights(self, x: Tensor) -> Tensor:
        """Return the weights a (B, F, C') of the spectra, equation (1), for maps x."""
        weights = self.mixture(x.mean(dim=(2, 3))).unflatten(1, (self.num_filters, -1))
        return weights.softmax(dim=1)  # (1)

    def extra_repr(self) -> str:
        return f"{self.dim}, resolution={self.resolution}, num_filters={self.num_filters}"
