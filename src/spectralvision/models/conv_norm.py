"""Convolution, batch norm and activation, as one layer that can be fused."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights


def absorb_affine(norm: nn.Module, conv: nn.Conv2d) -> nn.Module:
    """Move scale and shift of a group norm into the 1x1 convolution after it; return the rest.

    Any other norm, or one without scale and shift, is returned as it is. The convolution has a
    bias.
    """
    if not isinstance(norm, nn.GroupNorm) or not norm.affine:
        return norm
    assert conv.kernel_size == (1, 1)
    assert conv.groups == 1
    assert conv.bias is not None
    weight = conv.weight.detach()
    conv.bias = nn.Parameter(conv.bias.detach() + weight[..., 0, 0] @ norm.bias.detach())
    conv.weight = nn.Parameter(weight * norm.weight.detach()[:, None, None])
    rest = nn.GroupNorm(norm.num_groups, norm.num_channels, norm.eps, affine=False)
    return rest.train(norm.training)


def chain_pointwise(first: nn.Conv2d, second: nn.Conv2d, start: int) -> None:
    """Make the inputs of a 1x1 convolution from channel `start` on those of the one before it."""
    assert first.bias is not None
    assert second.bias is not None
    before, after = second.weight.detach()[..., 0, 0].split([start, first.out_channels], dim=1)
    second.bias = nn.Parameter(second.bias.detach() + after @ first.bias.detach())
    merged = torch.cat([before, after @ first.weight.detach()[..., 0, 0]], dim=1)
    second.weight = nn.Parameter(merged[..., None, None])


class ConvBatchNormAct(nn.Module):
    """Convolution without bias, batch norm, activation (`act_layer=None` for none).

    Unlike timm's `ConvNormAct`, its parts are named `conv`, `norm` and `act`, and `fuse` folds the
    norm into the convolution.
    """

    def __init__(
        self,
        in_chans: int,
        out_chans: int,
        kernel_size: int,
        stride: int = 1,
        dilation: int = 1,
        groups: int = 1,
        act_layer: Callable[..., nn.Module] | None = nn.SiLU,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        factory: dict[str, Any] = {"device": device, "dtype": dtype}
        self.conv = nn.Conv2d(
            in_chans,
            out_chans,
            kernel_size,
            stride=stride,
            padding=dilation * (kernel_size // 2),
            dilation=dilation,
            groups=groups,
            bias=False,
            **factory,
        )
        self.norm = nn.BatchNorm2d(out_chans, **factory)
        self.act = act_layer() if act_layer else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.norm(self.conv(x)))

    def fuse(self) -> nn.Module:
        """Return the same function for evaluation, with the norm folded into the convolution."""
        norm, conv = self.norm, self.conv
        assert norm.running_mean is not None
        assert norm.running_var is not None
        conv.weight, conv.bias = fuse_conv_bn_weights(
            conv.weight, None, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
        )
        return nn.Sequential(conv, self.act).train(self.training)
