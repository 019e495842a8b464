"""A classifier's head at each position of its last feature map.

At a position the head sees what it would see for an image that looks like this everywhere. A head
that pools gives the same for one such position as for a whole map of them; a model whose head does
not is rejected.
"""

import math

import torch
from torch import Tensor, nn

from spectralvision.runs import UserError

TOLERANCE = 1e-3
"""Of logits at one position against logits of a whole map of it."""


class DenseHead(nn.Module):
    """The head of a timm classifier at each position: (B, 3, H, W) -> (B, num_classes, h, w).

    Raises:
        UserError: At construction, for a model without feature map, or whose head depends on the
            position.
    """

    def __init__(self, model: nn.Module, name: str, size: tuple[int, int]) -> None:
        super().__init__()
        self.model, self.name = model.eval(), name
        self.num_prefix_tokens = int(getattr(model, "num_prefix_tokens", 0))
        problem = self._find_problem(size)
        if problem:
            raise UserError(
                f"{name} cannot label positions ({problem}): use a teacher that pools a feature "
                "map, such as resnet50."
            )

    def forward(self, images: Tensor) -> Tensor:
        features = self._features(images)
        batch, height, width, _ = features.shape
        logits = self._head(features.flatten(0, 2))
        return logits.unflatten(0, (batch, height, width)).movedim(-1, 1)

    def _features(self, images: Tensor) -> Tensor:
        """Return (B, h, w, C) of a map, a channels-last map, or the tokens of a square."""
        x = self.model.forward_features(images)  # type: ignore[operator]
        channels = self.model.num_features
        if x.ndim == 3:
            self.layout = "tokens"
            number = x.shape[1] - self.num_prefix_tokens
            side = math.isqrt(number)
            if side * side != number:
                raise ValueError(f"its {number} tokens do not form a square")
            return x[:, self.num_prefix_tokens :].unflatten(1, (side, side))
        self.layout = "map" if x.shape[1] == channels else "channels last"
        return x.movedim(1, -1) if self.layout == "map" else x

    def _head(self, x: Tensor, size: int = 1) -> Tensor:
        """(P, C) positions -> (P, num_classes), for maps of size x size equal positions."""
        if self.layout == "tokens":  # prefix tokens too: heads read the class token or the mean
            x = x.unsqueeze(1).expand(-1, self.num_prefix_tokens + size * size, -1)
        elif self.layout == "map":
            x = x[:, :, None, None].expand(-1, -1, size, size)
        else:
            x = x[:, None, None].expand(-1, size, size, -1)
        logits: Tensor = self.model.forward_head(x)  # type: ignore[operator]
        return logits

    @torch.no_grad()
    def _find_problem(self, size: tuple[int, int]) -> str | None:
        """Return why the head cannot be applied at one position, or gives something else there."""
        generator = torch.Generator().manual_seed(0)
        images = torch.rand(1, 3, *size, generator=generator)
        try:
            features = self._features(images)
            positions = features.flatten(0, 2)[:4]
            alone = self._head(positions)
            whole = self._head(positions, features.shape[1])
        except Exception as error:  # models fail in many ways on what they are not made for
            return " ".join(str(error).split())[:200] or type(error).__name__
        if alone.ndim != 2 or alone.shape[1] != self.model.num_classes:
            return f"its head returns shape {tuple(alone.shape)}"
        is_equal = torch.allclose(alone, whole, atol=TOLERANCE, rtol=TOLERANCE)
        return None if is_equal else "its head depends on the position"
