"""SVT on ImageNet-1k, with and without token labels.

Patro & Agneeswaran, NeurIPS 2023, arXiv 2311.01310.

Claim (paper): top-1 at 224 pixels of 83.1 % for SVT-H-S; with token labels 84.2 % for SVT-H-S,
85.2 % for SVT-H-B, 85.7 % for SVT-H-L.
Ours: not run.
Hardware: 8 GPUs of 80 GB. Hours: not measured; `--dry-run` estimates them.
Command, one GPU (B: `--model svt_h_b`; L: `--model svt_h_l --drop-path 0.3 --clip-grad 1`):
    spectralvision train svt-imagenet --data IMAGENET --accumulate 8
With token labels, whose maps are made beforehand (docs/guides/token-labels.md):
    spectralvision train svt-imagenet-token-labels --data IMAGENET --label-maps MAPS --accumulate 8
8 GPUs:
    torchrun --nproc-per-node 8 \
        -m spectralvision.cli train svt-imagenet --data IMAGENET --out runs/svt
2 nodes, on each:
    torchrun --nnodes 2 --nproc-per-node 8 --rdzv-backend c10d --rdzv-endpoint HOST:29400 \
        -m spectralvision.cli train svt-imagenet --data IMAGENET --out runs/svt
2 nodes under SLURM, one task per GPU:
    srun --nodes 2 --ntasks-per-node 8 \
        spectralvision train svt-imagenet --data IMAGENET --out runs/svt --devices 8 --num-nodes 2
"""

from dataclasses import dataclass, field, replace
from typing import ClassVar

from spectralvision.data.augmentation import AugmentationConfig
from spectralvision.engine.optimizer_config import OptimizerConfig
from spectralvision.runs import Auto
from spectralvision.tasks.classification.config import ClassificationConfig, LossConfig


def _optimizer() -> OptimizerConfig:
    """AdamW, 1e-3 at batch 1024 and linear in it, cosine to 1e-5, 5 epochs of warm-up from 1e-6."""
    return OptimizerConfig(
        lr=1e-3,
        lr_base_size=1024,
        weight_decay=0.05,
        warmup_epochs=5,
        warmup_start=1e-3,
        min_lr=1e-2,
        clip_grad=None,
        drop_path=0.1,
    )


def _loss() -> LossConfig:
    return LossConfig(label_smoothing=0.1, class_weights=0.0, mixup=0.8, cutmix=1.0)


def _token_label_loss() -> LossConfig:
    return replace(_loss(), mixup=0.0, cutmix=0.0)  # MixToken mixes


def _augmentation() -> AugmentationConfig:
    """The color jitter of 0.4 is timm's, which ignores it where a policy is used."""
    return AugmentationConfig(
        hflip=0.5,
        min_scale=0.08,
        auto_augment="rand-m9-mstd0.5-inc1",
        color_jitter=0.4,
        re_prob=0.25,
        repeats=3,
    )


def _token_label_augmentation() -> AugmentationConfig:
    return replace(_augmentation(), repeats=1)


@dataclass(frozen=True, kw_only=True)
class SvtImagenet(ClassificationConfig):
    """Train SVT on ImageNet-1k without token labels. Published top-1: 83.1 % for svt_h_s. Ours: not
    run. For svt_h_l add --drop-path 0.3 --clip-grad 1. A single GPU needs --accumulate."""

    recipe: ClassVar[str] = "svt-imagenet"

    model: str = "svt_h_s"
    """svt_h_s, svt_h_b or svt_h_l; any other model works too."""
    pretrained: str = "none"
    """Weights to start from: none, published, auto, or the name of weights."""
    epochs: int | Auto = 310
    """Number of epochs."""
    batch_size: int | Auto = 1024
    """Images per update, over all processes and accumulation steps."""
    input_size: int | Auto = 224
    """Side of the square input in pixels."""
    crop_pct: float | None = 0.96
    """Fraction of the shorter side that the center crop keeps in evaluation."""
    optimizer: OptimizerConfig = field(default_factory=_optimizer)
    loss: LossConfig = field(default_factory=_loss)
    augmentation: AugmentationConfig = field(default_factory=_augmentation)


@dataclass(frozen=True, kw_only=True)
class SvtImagenetTokenLabels(SvtImagenet):
    """Train SVT on ImageNet-1k with token labels (Jiang et al., 2021). Published top-1: 84.2, 85.2,
    85.7 % for svt_h_s, svt_h_b, svt_h_l (choose with --model; for svt_h_l add --drop-path 0.3
    --clip-grad 1). Ours: not run."""

    recipe: ClassVar[str] = "svt-imagenet-token-labels"

    label_maps: str | None = field()
    """Folder of label maps for these images, from `spectralvision token-labels` or as published."""
    loss: LossConfig = field(default_factory=_token_label_loss)
    augmentation: AugmentationConfig = field(default_factory=_token_label_augmentation)
