"""vHeat on ImageNet-1k (Wang et al., CVPR 2025, arXiv 2405.16555).

Claim (paper): top-1 at 224 pixels of 82.2, 83.6, 83.9 % for vHeat-T, S, B.
Ours: not run.
Stand-in: drop path is the authors'; the other settings are those of Swin (Liu et al., 2021), which
are DeiT's with 20 epochs of warm-up, clipping at 5 and an average of the weights.
Hardware: 8 GPUs of 80 GB. Hours: not measured; `--dry-run` estimates them.
Command, one GPU (S: `--model vheat_s --drop-path 0.3`, B: `--model vheat_b --drop-path 0.5`):
    spectralvision train vheat-imagenet --data IMAGENET --accumulate 8
8 GPUs:
    torchrun --nproc-per-node 8 \
        -m spectralvision.cli train vheat-imagenet --data IMAGENET --out runs/vheat
2 nodes, on each:
    torchrun --nnodes 2 --nproc-per-node 8 --rdzv-backend c10d --rdzv-endpoint HOST:29400 \
        -m spectralvision.cli train vheat-imagenet --data IMAGENET --out runs/vheat
2 nodes under SLURM, one task per GPU:
    srun --nodes 2 --ntasks-per-node 8 \
        spectralvision train vheat-imagenet --data IMAGENET --out runs/vheat \
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
    return deit_optimizer(warmup_epochs=20, drop_path=0.1, clip_grad=5.0, ema=0.9999)


@dataclass(frozen=True, kw_only=True)
class VheatImagenet(ClassificationConfig):
    """Train vHeat on ImageNet-1k with the settings of Swin. A stand-in. Published top-1: 82.2,
    83.6, 83.9 % for vheat_t, vheat_s, vheat_b. Ours: not run. For vheat_s add --drop-path 0.3, for
    vheat_b 0.5."""

    recipe: ClassVar[str] = "vheat-imagenet"

    model: str = "vheat_t"
    """vheat_t, vheat_s or vheat_b; any other model works too."""
    pretrained: str = "none"
    """Weights to start from: none, published, auto, or the name of weights."""
    epochs: int | Auto = 300
    """Number of epochs."""
    batch_size: int | Auto = 1024
    """Images per update, over all processes and accumulation steps."""
    input_size: int | Auto = 224
    """Side of the square input in pixels."""
    crop_pct: float | None = 0.875
    """Fraction of the shorter side that the center crop keeps in evaluation."""
    optimizer: OptimizerConfig = field(default_factory=_optimizer)
    loss: LossConfig = field(default_factory=deit_loss)
    augmentation: AugmentationConfig = field(default_factory=deit_augmentation)
