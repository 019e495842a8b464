"""DFFormer and CDFFormer on ImageNet-1k (Tatsunami & Taki, AAAI 2024, arXiv 2303.03932).

Claim (the paper's abstract): top-1 at 224 pixels of 85.0 % for CDFFormer-B36.
Ours: not run.
Stand-in: drop path 0.2 is that of the released command for S18 (not known for the others); the
other settings are those of DeiT.
Hardware: 8 GPUs of 80 GB. Hours: not measured; `--dry-run` estimates them.
Command, one GPU (CDFFormer-B36: `--model cdfformer_b36`):
    spectralvision train dfformer-imagenet --data IMAGENET --accumulate 8
8 GPUs:
    torchrun --nproc-per-node 8 \
        -m spectralvision.cli train dfformer-imagenet --data IMAGENET --out runs/dfformer
2 nodes, on each:
    torchrun --nnodes 2 --nproc-per-node 8 --rdzv-backend c10d --rdzv-endpoint HOST:29400 \
        -m spectralvision.cli train dfformer-imagenet --data IMAGENET --out runs/dfformer
2 nodes under SLURM, one task per GPU:
    srun --nodes 2 --ntasks-per-node 8 \
        spectralvision train dfformer-imagenet --data IMAGENET --out runs/dfformer \
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
    return deit_optimizer(drop_path=0.2)


@dataclass(frozen=True, kw_only=True)
class DfformerImagenet(ClassificationConfig):
    """Train DFFormer on ImageNet-1k with the settings of DeiT. A stand-in: of the authors' settings
    only the drop path of dfformer_s18 is used. Published top-1: 85.0 % for cdfformer_b36. Ours: not
    run."""

    recipe: ClassVar[str] = "dfformer-imagenet"

    model: str = "dfformer_s18"
    """dfformer_s18 to b36, cdfformer_s18 to b36 or gfformer_s18; any other model works too."""
    pretrained: str = "none"
    """Weights to start from: none, published, auto, or the name of weights."""
    epochs: int | Auto = 300
    """Number of epochs."""
    batch_size: int | Auto = 1024
    """Images per update, over all processes and accumulation steps."""
    input_size: int | Auto = 224
    """Side of the square input in pixels."""
    crop_pct: float | None = 1.0
    """Fraction of the shorter side that the center crop keeps in evaluation."""
    optimizer: OptimizerConfig = field(default_factory=_optimizer)
    loss: LossConfig = field(default_factory=deit_loss)
    augmentation: AugmentationConfig = field(default_factory=deit_augmentation)
