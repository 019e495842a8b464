"""AFFNet on ImageNet-1k (Huang et al., ICCV 2023, arXiv 2307.14008).

Claim (paper): top-1 at 256 pixels of 73.0 % for AFFNet-ET, 77.0 % for AFFNet-T, 79.8 % for AFFNet.
Ours: not run.
Stand-in: the authors state no settings but 256 pixels, an average of the weights and 8 GPUs, in
CVNets. These are the settings of MobileViT (Mehta & Rastegari, ICLR 2022), its direct ancestor in
CVNets: AdamW, batch 1024, 300 epochs, 3000 updates of warm-up from 2e-4 to 2e-3, cosine to 2e-4,
weight decay 0.01, label smoothing 0.1, average of the weights with momentum 5e-4, batches of 160 to
320 pixels with about the same number of pixels each.
Hardware: 8 GPUs of 40 GB or more. Hours: not measured; `--dry-run` estimates them.
Command, one GPU (AFFNet-T: `--model affnet_t`, AFFNet: `--model affnet`):
    spectralvision train affnet-imagenet --data IMAGENET --accumulate 8
8 GPUs:
    torchrun --nproc-per-node 8 \
        -m spectralvision.cli train affnet-imagenet --data IMAGENET --out runs/affnet
2 nodes, on each:
    torchrun --nnodes 2 --nproc-per-node 8 --rdzv-backend c10d --rdzv-endpoint HOST:29400 \
        -m spectralvision.cli train affnet-imagenet --data IMAGENET --out runs/affnet
2 nodes under SLURM, one task per GPU:
    srun --nodes 2 --ntasks-per-node 8 \
        spectralvision train affnet-imagenet --data IMAGENET --out runs/affnet \
        --devices 8 --num-nodes 2
"""

from dataclasses import dataclass, field
from typing import ClassVar

from spectralvision.data.augmentation import AugmentationConfig
from spectralvision.engine.optimizer_config import OptimizerConfig
from spectralvision.runs import Auto
from spectralvision.tasks.classification.config import ClassificationConfig, LossConfig


def _optimizer() -> OptimizerConfig:
    return OptimizerConfig(
        lr=2e-3,
        lr_base_size=1024,
        weight_decay=0.01,
        warmup_epochs=3,  # about 3000 updates
        warmup_start=0.1,
        min_lr=0.1,
        clip_grad=None,
        ema=0.9995,
    )


def _loss() -> LossConfig:
    return LossConfig(label_smoothing=0.1, class_weights=0.0)


def _augmentation() -> AugmentationConfig:
    return AugmentationConfig(
        hflip=0.5,
        min_scale=0.08,
        auto_augment="none",
        color_jitter=0.0,
        min_size=160,
        max_size=320,
    )


@dataclass(frozen=True, kw_only=True)
class AffnetImagenet(ClassificationConfig):
    """Train AFFNet on ImageNet-1k with the settings of its ancestor MobileViT, as its own are not
    published. Published top-1: 73.0, 77.0, 79.8 % for affnet_et, affnet_t, affnet (choose with
    --model). Ours: not run. A single GPU may need --accumulate."""

    recipe: ClassVar[str] = "affnet-imagenet"

    model: str = "affnet_et"
    """affnet_et, affnet_t or affnet; any other model works too."""
    pretrained: str = "none"
    """Weights to start from: none, published, auto, or the name of weights."""
    epochs: int | Auto = 300
    """Number of epochs."""
    batch_size: int | Auto = 1024
    """Images of the input size per update, over all processes and accumulation steps."""
    input_size: int | Auto = 256
    """Side of the square input in evaluation, in pixels."""
    optimizer: OptimizerConfig = field(default_factory=_optimizer)
    loss: LossConfig = field(default_factory=_loss)
    augmentation: AugmentationConfig = field(default_factory=_augmentation)
