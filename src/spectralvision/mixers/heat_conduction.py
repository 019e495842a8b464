"""Heat conduction: the token mixer of vHeat (Wang et al., CVPR 2025, arXiv 2405.16555).

    z, g = halves of L(depthwise conv(x))                                                     (1)
    k = relu(Lk(E))                                                                           (2)
    y = Lo(norm(heat(z, k)) * silu(g))                                                        (3)

E is a learned embedding of the frequencies; in vHeat the blocks of a stage share one. The equations
of the heat are in `ops/heat_conduction.py`; here are the parameters.
"""

from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from timm.layers import LayerNorm2d, trunc_normal_
from torch import Tensor, nn

from spectralvision.mixers.sized_weights import Resize, SizedWeights
from spectralvision.ops.checks import check_real_maps
from spectralvision.ops.heat_conduction import heat_conduction, heat_decay
from spectralvision.ops.precision import no_autocast, working_dtype
from spectralvision.ops.resize_spectrum import resize_frequency_embedding
from spectralvision.ops.torchscript import reject_torchscript


class FrequencyEmbedding(SizedWeights):
    """The embedding E of the frequencies of maps of a size: () -> (C, H, W).

    For maps of another size it is padded with zeros or cut, see `ops/resize_spectrum.py`.

    Args:
        dim: number of channels C.
        resolution: (H, W) of the maps that it belongs to.
    """

    resizes: ClassVar[dict[str, Resize]] = {"weight": resize_frequency_embedding}

    def __init__(self, dim: int, resolution: tuple[int, int], **factory: Any) -> None:
        super().__init__()
        self.resolution = height, width = self.round_resolution(resolution)
        self.weight = nn.Parameter(torch.empty(dim, height, width, **factory))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw it from a truncated normal distribution of standard deviation 0.02."""
        trunc_normal_(self.weight, std=0.02)

    def no_weight_decay(self) -> set[str]:
        """Return the names of the parameters that take no weight decay."""
        return {"weight"}

    def forward(self, resolution: tuple[int, int]) -> Tensor:
        """Return E for maps of a resolution (H, W)."""
        return self.weights_for(resolution)["weight"]


class HeatConduction(nn.Module):
    """Global token mixing by the heat equation, for maps of any size.

    Maps (B, C, H, W) to the same shape. The conduction is computed in float32 (float64 for float64
    input), also under autocast; the result has the dtype of x.

    Args:
        dim: number of channels C.
        resolution: (H, W) of the maps that the mixer's own embedding of the frequencies belongs to;
            None: it has none, and `forward` takes one.

    Raises:
        ValueError: dim or the resolution is not positive.
    """

    decay: Tensor | None
    __prepare_scriptable__ = reject_torchscript

    def __init__(
        self,
        dim: int,
        resolution: tuple[int, int] | None = (14, 14),
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        if dim < 1:
            raise ValueError(f"dim must be positive, got {dim}")
        factory: dict[str, Any] = {"device": device, "dtype": dtype}
        self.dim = dim
        self.embedding: FrequencyEmbedding | None = None
        if resolution is not None:
            self.embedding = FrequencyEmbedding(dim, resolution, **factory)
        self.conv = nn.Conv2d(dim, dim, 3, padding=1, groups=dim, **factory)
        self.linear = nn.Conv2d(dim, 2 * dim, 1, **factory)
        self.diffusivity = nn.Linear(dim, dim, **factory)
        self.norm = LayerNorm2d(dim, eps=1e-5, **factory)
        self.project = nn.Conv2d(dim, dim, 1, **factory)
        self.register_buffer("decay", None, persistent=False)

    def forward(self, x: Tensor, embedding: Tensor | None = None) -> Tensor:
        """Mix maps (B, C, H, W), equations (1) to (3); E (C, H, W) if the mixer has none."""
        check_real_maps(x, "HeatConduction", ndim=4)
        z, g = self.linear(self.conv(x)).chunk(2, dim=1)  # (1)
        y = heat_conduction(z, self.decay_for((x.shape[-2], x.shape[-1]), embedding))  # (2)
        return self.project(self.norm(y) * F.silu(g))  # (3)

    def decay_for(self, resolution: tuple[int, int], embedding: Tensor | None = None) -> Tensor:
        """Return the decay (C, H, W) of each frequency, equation (2), in the working dtype.

        It is the constant of `fold`, if that is for this resolution.

        Raises:
            ValueError: the mixer has no embedding, and none is passed.
        """
        if self.decay is not None and tuple(self.decay.shape[-2:]) == tuple(resolution):
            return self.decay
        if embedding is None:
            if self.embedding is None:
                raise ValueError("this HeatConduction has no embedding of its own: pass one")
            embedding = self.embedding(resolution)
        with no_autocast(embedding):
            dtype = working_dtype(embedding.dtype)
            weight, bias = self.diffusivity.weight.to(dtype), self.diffusivity.bias.to(dtype)
            k = F.linear(embedding.to(dtype).permute(1, 2, 0), weight, bias).relu()  # (2)
            return heat_decay(k.permute(2, 0, 1).contiguous())

    def fold(self, embedding: Tensor) -> None:
        """Keep the decay for an embedding as a constant, for inference at its resolution."""
        self.decay = None
        resolution = (embedding.shape[-2], embedding.shape[-1])
        with torch.no_grad():
            self.decay = self.decay_for(resolution, embedding)

    def fuse(self) -> nn.Module:
        """Fold the decay for the own embedding, if there is one."""
        if self.embedding is not None:
            self.fold(self.embedding.weight)
        return self

    def set_input_size(self, resolution: tuple[int, int]) -> None:
        """Forget the folded decay, which is of another resolution."""
        self.decay = None

    def extra_repr(self) -> str:
        return f"{self.dim}"
