"""Fine-tune pretrained weights on any data set, and on four that papers report.

Claim (the SVT paper, SVT-H-B pretrained on ImageNet): 99.22 % top-1 on CIFAR-10, 91.2 % on
CIFAR-100, 98.9 % on Flowers-102, 93.6 % on Cars.
Ours: not run.
Settings of the four: batch 512, learning rate 1e-4 at that batch and linear in it, weight decay
1e-4, clipping at 1, cosine, mixup and cutmix, as in the sibling code of SVT's authors; the number
of epochs is ours. `finetune` itself has settings of ours, for few images.
Hardware: one GPU. Hours: not measured; `--dry-run` estimates them.
Command, one GPU (RUN: a run folder, hf_hub:OWNER/NAME or timm's name of a model with weights):
    spectralvision train finetune --model RUN --data PHOTOS
    spectralvision train finetune-cifar10 --model RUN --data-dir CIFAR
8 GPUs:
    torchrun --nproc-per-node 8 \
        -m spectralvision.cli train finetune --model RUN --data PHOTOS --out runs/tuned
2 nodes, on each:
    torchrun --nnodes 2 --nproc-per-node 8 --rdzv-backend c10d --rdzv-endpoint HOST:29400 \
        -m spectralvision.cli train finetune --model RUN --data PHOTOS --out runs/tuned
2 nodes under SLURM, one task per GPU:
    srun --nodes 2 --ntasks-per-node 8 \
        spectralvision train finetune --model RUN --data PHOTOS --out runs/tuned \
        --devices 8 --num-nodes 2
"""

from dataclasses import dataclass, field
from typing import ClassVar

from spectralvision.data.augmentation import AugmentationConfig
from spectralvision.engine.optimizer_config import OptimizerConfig
from spectralvision.runs import Auto
from spectralvision.tasks.classification.config import ClassificationConfig, LossConfig


def _optimizer() -> OptimizerConfig:
    """For few images: early layers of large networks change least, the average spans a hundred
    updates."""
    return OptimizerConfig(layer_decay="auto", drop_path=0.1, ema=0.99)


def _loss() -> LossConfig:
    return LossConfig(mixup=0.2, cutmix=0.5)


def _published_optimizer() -> OptimizerConfig:
    return OptimizerConfig(lr=1e-4, lr_base_size=512, weight_decay=1e-4, clip_grad=1.0)


def _published_loss() -> LossConfig:
    return LossConfig(mixup=0.8, cutmix=1.0)


def _published_augmentation() -> AugmentationConfig:
    return AugmentationConfig(hflip=0.5, min_scale=0.08, auto_augment="rand-m9-mstd0.5-inc1")


@dataclass(frozen=True, kw_only=True)
class Finetune(ClassificationConfig):
    """Fine-tune pretrained weights on other images: mixup and cutmix, an average of the weights,
    more epochs for few images, and layer decay for large networks. The settings are ours; nothing
    is claimed for them."""

    recipe: ClassVar[str] = "finetune"
    PRETRAINED_EPOCHS: ClassVar[tuple[int, int]] = (15, 100)

    model: str = field()
    """Run folder, hf_hub:OWNER/NAME, or timm's name of a model with published weights."""
    pretrained: str = "published"
    """Weights to start from, if the model is a plain name: published, those that timm has for it;
    the name of weights, such as cifar10; auto or none."""
    optimizer: OptimizerConfig = field(default_factory=_optimizer)
    loss: LossConfig = field(default_factory=_loss)


@dataclass(frozen=True, kw_only=True)
class FinetuneFlowers102(Finetune):
    """Fine-tune on Flowers-102 (--data: a folder with train and test; train holds the 1020 images
    of the official train and the 1020 of val). Published top-1 on test: 98.9 % for SVT-H-B. Ours:
    not run."""

    recipe: ClassVar[str] = "finetune-flowers102"

    val_fraction: float = 0.05
    """Fraction held out to choose the best epoch; the published result is on test."""
    epochs: int | Auto = 300
    """Number of epochs."""
    batch_size: int | Auto = 512
    """Images per update, over all processes and accumulation steps."""
    input_size: int | Auto = 224
    """Side of the square input in pixels."""
    optimizer: OptimizerConfig = field(default_factory=_published_optimizer)
    loss: LossConfig = field(default_factory=_published_loss)
    augmentation: AugmentationConfig = field(default_factory=_published_augmentation)


@dataclass(frozen=True, kw_only=True)
class FinetuneCars(FinetuneFlowers102):
    """Fine-tune on Stanford Cars (--data: a folder with train and test). Published top-1 on test:
    93.6 % for SVT-H-B. Ours: not run."""

    recipe: ClassVar[str] = "finetune-cars"


@dataclass(frozen=True, kw_only=True)
class FinetuneCifar10(FinetuneFlowers102):
    """Fine-tune on CIFAR-10 at 224 pixels. Published top-1 on test: 99.22 % for SVT-H-B. Ours: not
    run."""

    recipe: ClassVar[str] = "finetune-cifar10"

    data: str = "torch/cifar10"
    """CIFAR-10 by timm's reader, with its files in --data-dir."""
    val_fraction: float = 0.02
    """Fraction held out to choose the best epoch; the published result is on test."""
    epochs: int | Auto = 100
    """Number of epochs."""
    crop_pct: float | None = 1.0
    """Fraction of the shorter side that the center crop keeps in evaluation."""


@dataclass(frozen=True, kw_only=True)
class FinetuneCifar100(FinetuneCifar10):
    """Fine-tune on CIFAR-100 at 224 pixels. Published top-1 on test: 91.2 % for SVT-H-B. Ours: not
    run."""

    recipe: ClassVar[str] = "finetune-cifar100"

    data: str = "torch/cifar100"
    """CIFAR-100 by timm's reader, with its files in --data-dir."""
