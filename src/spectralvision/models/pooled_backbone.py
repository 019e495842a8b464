"""The base class of backbones whose head classifies the mean of the last map."""

from typing import Any

import torch
from timm.layers import trunc_normal_
from torch import Tensor, nn

from spectralvision.models.backbone import SpectralBackbone, absolute_indices


class PooledBackbone(SpectralBackbone):
    """Stem, stages, norm, mean over the positions, dropout, classifier.

    A subclass sets the attributes below, besides those of `SpectralBackbone`, in its constructor.

    Attributes:
        norm: Of the last map, before the mean.
        head: The classifier, (B, C) -> (B, num_classes).
        head_drop: Dropout before it.
        global_pool: "avg", or "" to leave out mean and classifier.
    """

    norm: nn.Module
    head: nn.Module
    head_drop: nn.Module
    global_pool: str
    num_classes: int
    num_features: int
    head_hidden_size: int

    def forward_final(self, x: Tensor) -> Tensor:
        """Normalize the last stage's map (B, C, h, w)."""
        return self.norm(x)

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """Compute logits (B, num_classes), or pooled features (B, C) with `pre_logits`."""
        pooled = self.pool(x) if self.global_pool == "avg" else x
        if pre_logits or self.num_classes == 0:
            return pooled
        return self.head(self.head_drop(pooled))

    def pool(self, x: Tensor) -> Tensor:
        """Return the features (B, C) of the last map."""
        return x.mean(dim=(2, 3))

    def build_head(self, num_classes: int, **factory: Any) -> nn.Module:
        """Build the classifier; 0 classes for none."""
        if num_classes == 0:
            return nn.Identity()
        return nn.Linear(self.num_features, num_classes, **factory)

    def prune_intermediate_layers(
        self, indices: int | list[int] = 1, prune_norm: bool = False, prune_head: bool = True
    ) -> list[int]:
        """Drop what the feature maps in `indices` do not need; return the indices from 0."""
        take = absolute_indices(len(self.stages), indices)
        last = max(take)
        self.stages = self.stages[: last + 1]
        if prune_norm or last + 1 < len(self.feature_info):
            self.norm = nn.Identity()
            self.num_features = self.head_hidden_size = self.feature_info[last]["num_chs"]
            prune_head = True
        if prune_head:
            self.reset_classifier(0, "")
        return take

    @torch.jit.ignore
    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        """Return timm's layer groups, for layer-wise learning rate decay."""
        if coarse or not hasattr(self.stages[0], "blocks"):
            return {"stem": r"^stem", "blocks": [(r"^stages\.(\d+)", None), (r"^norm", (9999,))]}
        blocks = [
            (r"^stages\.(\d+)\.(?:downsample|embedding)", (0,)),
            (r"^stages\.(\d+)\.blocks\.(\d+)", None),
            (r"^norm", (9999,)),
        ]
        return {"stem": r"^stem", "blocks": blocks}

    @torch.jit.ignore
    def get_classifier(self) -> nn.Module:
        """Return the classifier."""
        return self.head

    def reset_classifier(
        self,
        num_classes: int,
        global_pool: str | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        """Replace the classifier by a new one; 0 classes for none."""
        weight = next(self.stem.parameters())
        if global_pool is not None:
            self.global_pool = check_pool(global_pool, type(self).__name__)
        self.num_classes = num_classes
        self.head = self.build_head(
            num_classes, device=device or weight.device, dtype=dtype or weight.dtype
        )
        self.head.apply(init_linear)


def check_pool(global_pool: str, model: str) -> str:
    """Return "avg" or ""; raise `ValueError` for another pooling."""
    if global_pool not in ("avg", ""):
        raise ValueError(f"global_pool of {model} must be 'avg' or '', got {global_pool!r}")
    return global_pool


def init_linear(module: nn.Module) -> None:
    """Initialize linear layers and 1x1 convolutions as vision transformers do."""
    is_pointwise = isinstance(module, nn.Conv2d) and module.kernel_size == (1, 1)
    if isinstance(module, nn.Linear) or is_pointwise:
        trunc_normal_(module.weight, std=0.02)  # type: ignore[arg-type]
        if module.bias is not None:
            nn.init.zeros_(module.bias)  # type: ignore[arg-type]
