"""Modules with weights that belong to a map size, and are resized for maps of another size."""

from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor, nn

from spectralvision.ops.torchscript import reject_torchscript

Size = tuple[int, int]
Resize = Callable[[Tensor, Size], Tensor]


class SizedWeights(nn.Module):
    """A module whose weights in `resizes` belong to maps of one size, `resolution`.

    Attributes:
        resizes: For each such weight the function that resizes it, (weight, (H, W)) -> weight.
        resolution: (H, W) of the maps that the weights belong to.
    """

    resizes: ClassVar[dict[str, Resize]]
    resolution: Size
    __prepare_scriptable__ = reject_torchscript

    def set_input_size(self, resolution: Size) -> None:
        """Make the interpolation of the weights to another resolution (H, W) permanent."""
        with torch.no_grad():
            resized = self.weights_for(resolution)
        for name, value in resized.items():
            old = getattr(self, name)
            setattr(self, name, nn.Parameter(value.to(old.dtype), requires_grad=old.requires_grad))
        self.resolution = self.round_resolution(resolution)

    def weights_for(self, resolution: Size) -> dict[str, Tensor]:
        """Return the weights that belong to a map size, for `resolution`, by name."""
        resolution = self.round_resolution(resolution)
        weights = {name: getattr(self, name) for name in self.resizes if hasattr(self, name)}
        if resolution == self.resolution:
            return weights
        return {name: self.resizes[name](weight, resolution) for name, weight in weights.items()}

    def resize_weight(self, name: str, weight: Tensor) -> Tensor:
        """Return a weight of another resolution, e.g. from a checkpoint, resized to the own one."""
        if name not in self.resizes:
            return weight
        own = getattr(self, name)
        if weight.ndim != own.ndim or weight.shape[1:] == own.shape[1:]:
            return weight
        return self.resizes[name](weight, self.resolution).to(weight.dtype)

    def round_resolution(self, resolution: Size) -> Size:
        """Return the resolution of the weights for maps of a resolution.

        Raises:
            ValueError: A side is not positive.
        """
        height, width = resolution
        if height < 1 or width < 1:
            raise ValueError(f"a resolution must be two positive sides (H, W), got {resolution}")
        return height, width
