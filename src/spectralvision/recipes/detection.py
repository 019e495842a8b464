"""Detection on COCO: AFFNet with SSDLite (Huang et al., ICCV 2023, arXiv 2307.14008), and SVT with
Mask R-CNN (Patro & Agneeswaran, NeurIPS 2023, arXiv 2311.01310).

Claim (papers): box AP of 28.4 % for AFFNet with SSDLite, with 5.6 M parameters (5.4 M here); box AP
of 46.0 % and mask AP of 41.9 % for SVT-H-S with Mask R-CNN in 12 epochs.
Ours: not run.
Stand-in: the authors state no settings for AFFNet. These are the settings of MobileViT (Mehta &
Rastegari, ICLR 2022), its direct ancestor in CVNets: 320 x 320 pixels, AdamW, 200 epochs, batch
128, 500 updates of warm-up from 9e-5, cosine from 9e-4 to 1e-6, weight decay 0.01, average of the
weights with momentum 5e-4. For SVT they are those of the usual 1x schedule: AdamW, 1e-4, weight
decay 0.05, batch 16, 12 epochs with steps at 8 and 11, shorter side 800 pixels, longer at most
1333.
Hardware: 8 GPUs. Hours: not measured; `--dry-run` estimates them.
Command, one GPU (RUN is a run folder or hf_hub:OWNER/NAME with ImageNet weights to start from):
    spectralvision train affnet-coco-ssdlite --data COCO --model RUN --accumulate 4
    spectralvision train svt-coco-mask-rcnn-1x --data COCO --model RUN --accumulate 8
8 GPUs:
    torchrun --nproc-per-node 8 \
        -m spectralvision.cli train svt-coco-mask-rcnn-1x --data COCO --model RUN --out runs/coco
2 nodes, on each:
    torchrun --nnodes 2 --nproc-per-node 8 --rdzv-backend c10d --rdzv-endpoint HOST:29400 \
        -m spectralvision.cli train svt-coco-mask-rcnn-1x --data COCO --model RUN --out runs/coco
2 nodes under SLURM, one task per GPU:
    srun --nodes 2 --ntasks-per-node 8 \
        spectralvision train svt-coco-mask-rcnn-1x --data COCO --model RUN --out runs/coco \
        --devices 8 --num-nodes 2
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
    """Train AFFNet with SSDLite on COCO, with the settings of its ancestor MobileViT. A stand-in:
    the authors state no settings. Published box AP: 28.4 % for affnet. Ours: not run."""

    recipe: ClassVar[str] = "affnet-coco-ssdlite"

    model: str = "affnet"
    """affnet_et, affnet_t or affnet, or a run folder of a classifier to start from; any other model
    works too."""
    pretrained: str = "none"
    """Weights to start from: none, published, auto, or the name of weights."""
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
    """Train SVT with Mask R-CNN on COCO for 12 epochs, with the usual settings of the 1x schedule.
    A stand-in. Published box AP and mask AP: 46.0, 41.9 % for svt_h_s. Ours: not run."""

    recipe: ClassVar[str] = "svt-coco-mask-rcnn-1x"

    model: str = "svt_h_s"
    """svt_h_s, svt_h_b or svt_h_l, or a run folder of a classifier to start from; any other model
    works too."""
    pretrained: str = "none"
    """Weights to start from: none, published, auto, or the name of weights."""
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
