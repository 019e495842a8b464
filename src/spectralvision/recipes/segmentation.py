"""AFFNet with DeepLabv3 on ADE20K and Pascal VOC (Huang et al., ICCV 2023, arXiv 2307.14008).

Claim (paper): mean IoU on ADE20K of 33.0 % for AFFNet-ET, 36.9 % for AFFNet-T, 38.4 % for AFFNet;
on Pascal VOC 2012 of 76.1, 77.8 and 80.5 %; at output stride 8, from weights trained on ImageNet.
Ours: not run.
Stand-in: the paper states the decoder but not the settings of training. These are settings that the
authors' code base uses for ADE20K: AdamW, weight decay 0.05, 120 epochs, batch 16, 500 updates of
warm-up, cosine from 1.25e-4 to 2.5e-7 with ten times the rate for the head, gradient norm 10, crops
of 512 pixels from a shorter side of 256 to 768, flips, photometric distortion, rotation by up to 10
degrees, average of the weights with momentum 5e-4. Pascal VOC has the same settings here.
Hardware: 1 GPU of 40 GB or more. Hours: not measured; `--dry-run` estimates them.
Command, one GPU (RUN is a run folder or hf_hub:OWNER/NAME with the weights to start from):
    spectralvision train affnet-ade20k --data ADE20K --model RUN
    spectralvision train affnet-voc --data VOC2012 --model RUN
8 GPUs:
    torchrun --nproc-per-node 8 \
        -m spectralvision.cli train affnet-ade20k --data ADE20K --model RUN --out runs/ade20k
2 nodes, on each:
    torchrun --nnodes 2 --nproc-per-node 8 --rdzv-backend c10d --rdzv-endpoint HOST:29400 \
        -m spectralvision.cli train affnet-ade20k --data ADE20K --model RUN --out runs/ade20k
2 nodes under SLURM, one task per GPU:
    srun --nodes 2 --ntasks-per-node 8 \
        spectralvision train affnet-ade20k --data ADE20K --model RUN --out runs/ade20k \
        --devices 8 --num-nodes 2
"""

from dataclasses import dataclass, field
from typing import ClassVar

from spectralvision.engine.optimizer_config import OptimizerConfig
from spectralvision.runs import Auto
from spectralvision.tasks.segmentation.config import (
    AugmentationConfig,
    Decoder,
    LossConfig,
    SegmentationConfig,
)

UPDATES_PER_EPOCH_ADE20K = 20_210 / 16


def _optimizer() -> OptimizerConfig:
    return OptimizerConfig(
        lr=1.25e-3,
        lr_base_size=16,
        backbone_lr=0.1,
        weight_decay=0.05,
        warmup_epochs=round(500 / UPDATES_PER_EPOCH_ADE20K, 2),
        warmup_start=1e-3,
        min_lr=0.002,
        clip_grad=10.0,
        ema=0.9995,
    )


def _augmentation() -> AugmentationConfig:
    return AugmentationConfig(
        hflip=0.5, min_scale=0.5, max_scale=1.5, distortion=0.5, rotation=10.0
    )


@dataclass(frozen=True, kw_only=True)
class AffnetAde20k(SegmentationConfig):
    """Train AFFNet with DeepLabv3 on ADE20K. A stand-in: the authors state no settings. Published
    mean IoU: 33.0, 36.9, 38.4 % for affnet_et, affnet_t, affnet. Ours: not run."""

    recipe: ClassVar[str] = "affnet-ade20k"

    model: str = "affnet_t"
    """affnet_et, affnet_t or affnet; a run folder or hf_hub:OWNER/NAME starts from its weights."""
    pretrained: str = "none"
    """Weights to start from: none, published, auto, or the name of weights."""
    decoder: Decoder = "deeplabv3"
    """Decoder; deeplabv3 is that of the paper."""
    output_stride: int | Auto = 8
    """Output stride of the backbone."""
    epochs: int | Auto = 120
    """Number of epochs."""
    batch_size: int | Auto = 16
    """Images per update, over all processes and accumulation steps."""
    input_size: int | Auto = 512
    """Side of the square training crops in pixels."""
    optimizer: OptimizerConfig = field(default_factory=_optimizer)
    loss: LossConfig = field(default_factory=LossConfig)
    augmentation: AugmentationConfig = field(default_factory=_augmentation)


@dataclass(frozen=True, kw_only=True)
class AffnetVoc(AffnetAde20k):
    """Train AFFNet with DeepLabv3 on Pascal VOC 2012, with the settings of affnet-ade20k. A
    stand-in: the authors state no settings. Published mean IoU: 76.1, 77.8, 80.5 % for affnet_et,
    affnet_t, affnet. Ours: not run."""

    recipe: ClassVar[str] = "affnet-voc"
