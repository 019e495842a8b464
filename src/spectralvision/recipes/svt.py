"""SVT on ImageNet-1k (Patro & Agneeswaran, NeurIPS 2023, arXiv 2311.01310), plain and with token labels.

Claim (the paper): top-1 at 224 pixels of 83.1 % for SVT-H-S; with token labels 84.2 % for SVT-H-S, 85.2 % for SVT-H-B,
85.7 % for SVT-H-L.
Ours: not run.
Hardware and hours: 8 GPUs of 80 GB; hours not measured, `--dry-run` projects them.
Command, one GPU (B: `--model svt_h_b`; L: `--model svt_h_l --drop-path 0.3 --clip-grad 1`):
    spectralvision train svt-imagenet --data IMAGENET --accumulate 8
With token labels, whose maps another command makes beforehand (docs/guides/token-labels.md):
    spectralvision train svt-imagenet-token-labels --data IMAGENET --label-maps MAPS --accumulate 8
8 GPUs:
    torchrun --nproc-per-node 8 -m spectralvision.cli train svt-imagenet --data IMAGENET --out runs/svt
2 nodes, on each:
    torchrun --nnodes 2 --nproc-per-node 8 --rdzv-backend c10d --rdzv-endpoint HOST:29400 \
        -m spectralvision.cli train svt-imagenet --data IMAGENET --out runs/svt
2 nodes under SLURM, one task a GPU:
    srun --nodes 2 --ntasks-per-node 8 \
        spectralvision train svt-imagenet --data IMAGENET --out runs/svt --devices 8 --num-nodes 2
"""

from dataclasses import dataclass, field, replace

from spectralvision.data.transforms import Augmentation
from spectralvision.recipes.classification import Classification
from spectralvision.tasks.engine import Auto
from spectralvision.tasks.optimisation import Optimisation


def _optimisation() -> Optimisation:
    """AdamW, 1e-3 at batch 1024 and linear in it, cosine to 1e-5, 5 epochs of warm-up from 1e-6."""
    return Optimisation(
        lr=1e-3,
        lr_base_size=1024,
        weight_decay=0.05,
        warmup_epochs=5,
        warmup_start=1e-3,
        min_lr=1e-2,
        clip_grad=None,
        label_smoothing=0.1,
        class_weights=0.0,
        mixup=0.8,
        cutmix=1.0,
        drop_path=0.1,
    )


def _token_optimisation() -> Optimisation:
    return replace(_optimisation(), mixup=0.0, cutmix=0.0)  # MixToken mixes


def _augmentation() -> Augmentation:
    """The colour jitter of 0.4 is timm's, which leaves it out where a policy is used."""
    return Augmentation(
        hflip=0.5, min_scale=0.08, auto_augment="rand-m9-mstd0.5-inc1", color_jitter=0.4, re_prob=0.25, repeats=3
    )


def _token_augmentation() -> Augmentation:
    return replace(_augmentation(), repeats=1)


@dataclass(frozen=True, kw_only=True)
class SvtImagenet(Classification):
    """SVT on ImageNet-1k without token labels. The claim: 83.1 % top-1 for svt_h_s. Ours: not run. --model svt_h_b is
    larger; svt_h_l takes --drop-path 0.3 --clip-grad 1 as well. One GPU needs --accumulate."""

    model: str = "svt_h_s"
    """svt_h_s, svt_h_b or svt_h_l; any other model is taken too."""
    epochs: int | Auto = 310
    """Passes over the training images."""
    batch_size: int | Auto = 1024
    """Images an update, over all processes and portions together."""
    input_size: int | Auto = 224
    """Side of the square input in pixels."""
    crop_pct: float | None = 0.96
    """Share of the shorter side that the centre crop keeps where images are judged."""
    optimisation: Optimisation = field(default_factory=_optimisation)
    augmentation: Augmentation = field(default_factory=_augmentation)


@dataclass(frozen=True, kw_only=True)
class SvtImagenetTokenLabels(SvtImagenet):
    """SVT on ImageNet-1k with token labels (Jiang et al., 2021). The claim: 84.2, 85.2, 85.7 % top-1 for svt_h_s,
    svt_h_b, svt_h_l, of which --model chooses; svt_h_l takes --drop-path 0.3 --clip-grad 1 as well. Ours: not run."""

    label_maps: str | None = field()
    """Label maps of these images, by `spectralvision token-labels` or as published."""
    optimisation: Optimisation = field(default_factory=_token_optimisation)
    augmentation: Augmentation = field(default_factory=_token_augmentation)
