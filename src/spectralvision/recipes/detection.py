"""Detection on COCO: AFFNet with SSDLite, SVT with Mask R-CNN.

affnet-coco-ssdlite (Huang et al., ICCV 2023, arXiv 2307.14008).
Claim (paper): AFFNet + SSDLite has 5.6 M parameters; with our head it has 5.4 M.
Ours: not run.
Stand-in: the authors state no settings. These are those of MobileViT (Mehta & Rastegari, ICLR
2022), its direct ancestor in CVNets: 320 x 320 pixels, AdamW, 200 epochs, batch 128, 500 updates of
warm-up from 9e-5, cosine from 9e-4 to 1e-6, weight decay 0.01, average of the weights with momentum
5e-4.
Hardware: 4 GPUs. Hours: not measured; `--dry-run` estimates them.
Command (from ImageNet weights of your own: `--model runs/affnet`):
    spectralvision train affnet-coco-ssdlite --data COCO

svt-coco-mask-rcnn-1x (Patro & Agneeswaran, NeurIPS 2023, arXiv 2311.01310).
Claim: the paper reports Mask R-CNN on COCO with the 1x schedule. Ours: not run.
Stand-in: what such backbones are usually trained with: AdamW, 1e-4, weight decay 0.05, batch 16,
12 epochs with steps at 8 and 11, shorter side 800 pixels, longer at most 1333.
Hardware: 8 GPUs. Hours: not measured; `--dry-run` estimates them.
Command (from ImageNet weights of your own: `--model runs/svt`):
    spectralvision train svt-coco-mask-rcnn-1x --data COCO --accumulate 8
"""

from dataclasses import dataclass, field
from typing import ClassVar

from spectralvision.engine.optimizer_config import OptimizerConfig
from spectralvision.runs import Auto
from spectralvision.tasks.detection.config import (
    DetectionAugmentation,
    DetectionConfig,
    DetectorName,
)


def _cosine() -> OptimizerConfig:
    return OptimizerConfig(
        lr=9e-4,
        lr_base_size=128,
        weight_decay=0.01,
        warmup_epochs=0.5,  # about 500 updates
        warmup_start=0.1,
        min_lr=1e-6 / 9e-4,
        clip_grad=None,
        ema=0.9995,
    )


def _steps() -> OptimizerConfig:
    return OptimizerConfig(
        lr=1e-4,
        lr_base_size=16,
        weight_decay=0.05,
        sched="multistep",
        decay_epochs=(8, 11),
        warmup_epochs=0.07,  # about 500 updates
        clip_grad=None,
    )


def _flips() -> DetectionAugmentation:
    return DetectionAugmentation(hflip=0.5, min_scale=1.0, max_scale=1.0, color_jitter=0.0)


@dataclass(frozen=True, kw_only=True)
class AffnetCocoSsdlite(DetectionConfig):
    """Train AFFNet + SSDLite on COCO with the settings of its ancestor MobileViT, as its own are
    not published: a stand-in. Ours: not run."""

    recipe: ClassVar[str] = "affnet-coco-ssdlite"

    model: str = "affnet"
    """affnet_et, affnet_t or affnet, or a run folder of a classifier to start from; any other model
    works too."""
    detector: DetectorName = "ssdlite"
    """Detector of torchvision."""
    epochs: int | Auto = 200
    """Number of epochs."""
    batch_size: int | Auto = 128
    """Images per update, over all processes and accumulation steps."""
    input_size: int | Auto = 320
    """Side of the square input, in pixels."""
    optimizer: OptimizerConfig = field(default_factory=_cosine)


@dataclass(frozen=True, kw_only=True)
class SvtCocoMaskRcnn1x(DetectionConfig):
    """Train SVT + Mask R-CNN on COCO for 12 epochs with the usual settings of the 1x schedule: a
    stand-in. Ours: not run."""

    recipe: ClassVar[str] = "svt-coco-mask-rcnn-1x"

    model: str = "svt_h_s"
    """svt_h_s, svt_h_b or svt_h_l, or a run folder of a classifier to start from; any other model
    works too."""
    detector: DetectorName = "mask_rcnn"
    """Detector of torchvision."""
    epochs: int | Auto = 12
    """Number of epochs."""
    batch_size: int | Auto = 16
    """Images per update, over all processes and accumulation steps."""
    input_size: int | Auto = 800
    """Shorter side of an image, in pixels."""
    max_size: int | Auto = 1333
    """Longer side of an image at most, in pixels."""
    optimizer: OptimizerConfig = field(default_factory=_steps)
    augmentation: DetectionAugmentation = field(default_factory=_flips)
