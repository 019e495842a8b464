"""GFNet on ImageNet-1k (Rao et al., NeurIPS 2021, arXiv 2107.00645).

Claim (the authors' repository): top-1 at 224 pixels of 74.6, 78.6, 80.0, 80.7 % for GFNet-Ti, XS,
S, B and 80.1, 81.5, 82.9 % for GFNet-H-Ti, S, B.
Ours: not run.
Stand-in: drop path and 300 epochs are the authors', the other settings those of DeiT, which they
follow.
Hardware: 8 GPUs of 80 GB. Hours: not measured; `--dry-run` estimates them.
Command, one GPU (S: `--model gfnet_s --drop-path 0.15`, B: 0.25, H-S: 0.2, H-B: 0.4):
    spectralvision train gfnet-imagenet --data IMAGENET --accumulate 8
8 GPUs:
    torchrun --nproc-per-node 8 \
        -m spectralvision.cli train gfnet-imagenet --data IMAGENET --out runs/gfnet
2 nodes, on each:
    torchrun --nnodes 2 --nproc-per-node 8 --rdzv-backend c10d --rdzv-endpoint HOST:29400 \
        -m spectralvision.cli train gfnet-imagenet --data IMAGENET --out runs/gfnet
2 nodes under SLURM, one task per GPU:
    srun --nodes 2 --ntasks-per-node 8 \
        spectralvision train gfnet-imagenet --data IMAGENET --out runs/gfnet \
        --devices 8 --num-nodes 2
"""

from dataclasses import dataclass, field
from typing import ClassVar

from spectralvision.data.augmentation import AugmentationConfig
from spectralvision.engine.optimizer_config import OptimizerConfig
from spectralvision.recipes.deit import deit_augmentation, deit_loss, deit_optimizer
from spectralvision.runs import Auto
from spectralvision.tasks.classification.config import ClassificationConfig, LossConfig


def _optimizer() -> OptimizerConfig:
    return deit_optimizer(clip_grad=1.0)


@dataclass(frozen=True, kw_only=True)
class GfnetImagenet(ClassificationConfig):
    """Train GFNet on ImageNet-1k with the settings of DeiT. A stand-in. Published top-1: 74.6,
    78.6, 80.0, 80.7 % for gfnet_ti, xs, s, b; 80.1, 81.5, 82.9 % for gfnet_h_ti, s, b (choose with
    --model). Ours: not run. For larger models add --drop-path: 0.15 for s, 0.25 for b, 0.1, 0.2,
    0.4 for h_ti, h_s, h_b."""

    recipe: ClassVar[str] = "gfnet-imagenet"

    model: str = "gfnet_xs"
    """gfnet_ti, gfnet_xs, gfnet_s or gfnet_b; gfnet_h_ti, gfnet_h_s or gfnet_h_b; any other model
    works too."""
    pretrained: str = "none"
    """Weights to start from: none, published, auto, or the name of weights."""
    epochs: int | Auto = 300
    """Number of epochs."""
    batch_size: int | Auto = 1024
    """Images per update, over all processes and accumulation steps."""
    input_size: int | Auto = 224
    """Side of the square input in pixels."""
    crop_pct: float | None = 0.9
    """Fraction of the shorter side that the center crop keeps in evaluation."""
    optimizer: OptimizerConfig = field(default_factory=_optimizer)
    loss: LossConfig = field(default_factory=deit_loss)
    augmentation: AugmentationConfig = field(default_factory=deit_augmentation)
