"""Any model with trained weights on any data set, and four data sets that papers report.

Claim (the SVT paper, SVT-H-B trained on ImageNet): 99.22 % top-1 on CIFAR-10, 91.2 % on CIFAR-100, 98.9 % on
Flowers-102, 93.6 % on Cars.
Ours: not run.
Settings of the four: batch 512, learning rate 1e-4 at that batch and linear in it, weight decay 1e-4, clipping at 1,
cosine, mixup and cutmix, as in the sibling code of SVT's authors; the number of epochs is ours. `finetune` itself has
settings of ours, for few images.
Hardware and hours: one GPU; hours not measured, `--dry-run` projects them.
Command, one GPU (RUN: a run folder, hf_hub:OWNER/NAME or timm's name of a model with weights):
    spectralvision train finetune --model RUN --data PHOTOS
    spectralvision train finetune-cifar10 --model RUN --data-dir CIFAR
8 GPUs:
    torchrun --nproc-per-node 8 -m spectralvision.cli train finetune --model RUN --data PHOTOS --out runs/tuned
2 nodes, on each:
    torchrun --nnodes 2 --nproc-per-node 8 --rdzv-backend c10d --rdzv-endpoint HOST:29400 \
        -m spectralvision.cli train finetune --model RUN --data PHOTOS --out runs/tuned
2 nodes under SLURM, one task a GPU:
    srun --nodes 2 --ntasks-per-node 8 \
        spectralvision train finetune --model RUN --data PHOTOS --out runs/tuned --devices 8 --num-nodes 2
"""

from dataclasses import dataclass, field
from typing import ClassVar

from spectralvision.data.transforms import Augmentation
from spectralvision.recipes.classification import Classification
from spectralvision.tasks.engine import Auto
from spectralvision.tasks.optimisation import Optimisation


def _gentle() -> Optimisation:
    """For few images: early layers move least, and the average forgets within a hundred updates."""
    return Optimisation(layer_decay=0.75, mixup=0.2, cutmix=0.5, drop_path=0.1, ema=0.99)


def _published() -> Optimisation:
    return Optimisation(lr=1e-4, lr_base_size=512, weight_decay=1e-4, clip_grad=1.0, mixup=0.8, cutmix=1.0)


def _published_augmentation() -> Augmentation:
    return Augmentation(hflip=0.5, min_scale=0.08, auto_augment="rand-m9-mstd0.5-inc1")


@dataclass(frozen=True, kw_only=True)
class Finetune(Classification):
    """Goes on from trained weights on other images: layer decay, mixup and cutmix, an average of the weights, and more
    epochs where the images are few. The settings are ours; nothing is claimed for them."""

    TRAINED_EPOCHS: ClassVar[tuple[int, int]] = (15, 100)

    model: str = field()
    """A run folder or hf_hub:OWNER/NAME, or timm's name of a model, of which the published weights are taken."""
    pretrained: bool = True
    """Start from the published weights, where the model is a plain name."""
    optimisation: Optimisation = field(default_factory=_gentle)


@dataclass(frozen=True, kw_only=True)
class FinetuneFlowers102(Finetune):
    """Flowers-102 (--data: a folder with train and test; train holds the 1020 images of the official train and the 1020
    of val). The claim: 98.9 % top-1 on test for SVT-H-B. Ours: not run."""

    val_fraction: float = 0.05
    """Share held out to choose the best epoch; the claim is about test."""
    epochs: int | Auto = 300
    """Passes over the training images."""
    batch_size: int | Auto = 512
    """Images an update, over all processes and portions together."""
    input_size: int | Auto = 224
    """Side of the square input in pixels."""
    optimisation: Optimisation = field(default_factory=_published)
    augmentation: Augmentation = field(default_factory=_published_augmentation)


@dataclass(frozen=True, kw_only=True)
class FinetuneCars(FinetuneFlowers102):
    """Stanford Cars (--data: a folder with train and test). The claim: 93.6 % top-1 on test for SVT-H-B.
    Ours: not run."""


@dataclass(frozen=True, kw_only=True)
class FinetuneCifar10(FinetuneFlowers102):
    """CIFAR-10 at 224 pixels. The claim: 99.22 % top-1 on test for SVT-H-B. Ours: not run."""

    data: str = "torch/cifar10"
    """By timm's reader, with its files in --data-dir."""
    val_fraction: float = 0.02
    """Share held out to choose the best epoch; the claim is about test."""
    epochs: int | Auto = 100
    """Passes over the training images."""
    crop_pct: float | None = 1.0
    """Share of the shorter side that the centre crop keeps where images are judged."""


@dataclass(frozen=True, kw_only=True)
class FinetuneCifar100(FinetuneCifar10):
    """CIFAR-100 at 224 pixels. The claim: 91.2 % top-1 on test for SVT-H-B. Ours: not run."""

    data: str = "torch/cifar100"
    """By timm's reader, with its files in --data-dir."""
