"""A classifier's head at each position of its last feature map.

At a position the head sees what it would see of an image that looks like that everywhere. A head that pools says the
same of one such position as of a whole map of them; that is tried, and a model that does not is refused.
"""

import math

import torch
from torch import Tensor, nn

from spectralvision.runs import UserError


class PositionHead(nn.Module):
    """(B, 3, H, W) images -> (B, num_classes, h, w) logits, the head of a timm classifier at each position.

    Raises:
        UserError: At construction, a model without feature map, or one whose head is not the same at every position.
    """

    def __init__(self, model: nn.Module, name: str, size: tuple[int, int]) -> None:
        super().__init__()
        self.model, self.name = model.eval(), name
        self.prefix = int(getattr(model, "num_prefix_tokens", 0))
        why = self._problem(size)
        if why:
            raise UserError(
                f"{name} cannot label positions ({why}): take a teacher that pools a map, such as resnet50."
            )

    def forward(self, images: Tensor) -> Tensor:
        features = self._features(images)
        batch, height, width, _ = features.shape
        logits = self._head(features.flatten(0, 2))
        return logits.unflatten(0, (batch, height, width)).movedim(-1, 1)

    def _features(self, images: Tensor) -> Tensor:
        """(B, h, w, C), whatever layout the model has: map, channels-last map, or tokens of a square."""
        x = self.model.forward_features(images)  # type: ignore[operator]
        channels = self.model.num_features
        if x.ndim == 3:
            self.layout, number = "tokens", x.shape[1] - self.prefix
            side = math.isqrt(number)
            if side * side != number:
                raise ValueError(f"its {number} tokens are no square")
            return x[:, self.prefix :].unflatten(1, (side, side))
        self.layout = "map" if x.shape[1] == channels else "channels last"
        return x.movedim(1, -1) if self.layout == "map" else x

    def _head(self, x: Tensor, size: int = 1) -> Tensor:
        """(P, C) positions -> (P, num_classes): of an image that is the same at all of size x size positions."""
        if self.layout == "tokens":  # prefix tokens, too: heads read the class token, or the mean of the others
            x = x.unsqueeze(1).expand(-1, self.prefix + size * size, -1)
        elif self.layout == "map":
            x = x[:, :, None, None].expand(-1, -1, size, size)
        else:
            x = x[:, None, None].expand(-1, size, size, -1)
        logits: Tensor = self.model.forward_head(x)  # type: ignore[operator]
        return logits

    @torch.no_grad()
    def _problem(self, size: tuple[int, int]) -> str | None:
        """Why the head cannot be applied at a single position, or is another one there than over a whole map."""
        generator = torch.Generator().manual_seed(0)
        images = torch.rand(1, 3, *size, generator=generator)
        try:
            features = self._features(images)
            positions = features.flatten(0, 2)[:4]
            alone, whole = self._head(positions), self._head(positions, features.shape[1])
        except Exception as error:  # models fail in many ways on what they are not made for
            return " ".join(str(error).split())[:200] or type(error).__name__
        if alone.ndim != 2 or alone.shape[1] != self.model.num_classes:
            return f"its head gives {tuple(alone.shape)}"
        return None if torch.allclose(alone, whole, atol=1e-3, rtol=1e-3) else "its head depends on the position"
