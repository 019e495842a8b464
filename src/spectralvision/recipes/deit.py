"""Settings of DeiT (Touvron et al., 2021), which many ImageNet trainings since then start from."""

from spectralvision.data.augmentation import AugmentationConfig
from spectralvision.engine.optimizer_config import OptimizerConfig
from spectralvision.tasks.classification.config import LossConfig


def deit_optimizer(
    warmup_epochs: float = 5,
    drop_path: float = 0.0,
    clip_grad: float | None = None,
    ema: float | None = None,
) -> OptimizerConfig:
    """AdamW, 1e-3 at batch 1024 and linear in it, cosine to 1e-5, warm-up from 1e-6."""
    return OptimizerConfig(
        lr=1e-3,
        lr_base_size=1024,
        weight_decay=0.05,
        warmup_epochs=warmup_epochs,
        warmup_start=1e-3,
        min_lr=1e-2,
        clip_grad=clip_grad,
        drop_path=drop_path,
        ema=ema,
    )


def deit_loss() -> LossConfig:
    """Label smoothing of 0.1, mixup of 0.8, cutmix of 1."""
    return LossConfig(label_smoothing=0.1, class_weights=0.0, mixup=0.8, cutmix=1.0)


def deit_augmentation(repeats: int = 1) -> AugmentationConfig:
    """RandAugment and random erasing; timm ignores the color jitter where a policy is used."""
    return AugmentationConfig(
        hflip=0.5,
        min_scale=0.08,
        auto_augment="rand-m9-mstd0.5-inc1",
        color_jitter=0.4,
        re_prob=0.25,
        repeats=repeats,
    )
