"""Settings of semantic segmentation. Imports neither torch nor timm."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from spectralvision.runs import MAX_SIDE, Auto, UserError, check_ranges
from spectralvision.tasks.train_config import TrainConfig

Decoder = Literal[
    "deeplabv3", "pspnet", "unet", "fpn", "deeplabv3plus", "upernet", "segformer", "unetplusplus",
    "manet", "linknet", "pan", "dpt",
]  # fmt: skip
OUTPUT_STRIDES = (8, 16, 32)
LOSS_RANGES = {
    "label_smoothing": (0, 0.99), "class_weights": (0, 2), "dice": (0, 100), "lovasz": (0, 100),
    "auxiliary": (0, 10),
}  # fmt: skip
AUGMENTATION_RANGES = {
    "hflip": (0, 1), "min_scale": (0.05, 20), "max_scale": (0.05, 20), "distortion": (0, 1),
    "rotation": (0, 180),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class LossConfig:
    """Cross-entropy over the pixels, and what is added to it."""

    label_smoothing: float = 0.0
    """Label smoothing: fraction of a target spread evenly over all classes."""
    class_weights: float = 0.0
    """Class-weight exponent (0: none, 1: inverse frequency of the pixels)."""
    dice: float = 0.0
    """Weight of the Dice loss beside cross-entropy."""
    lovasz: float = 0.0
    """Weight of the Lovasz loss beside cross-entropy."""
    auxiliary: float = 0.4
    """Weight of the cross-entropy of the auxiliary head of deeplabv3 and pspnet; 0: no such
    head."""

    def check(self) -> None:
        """Raise `UserError` for a value that cannot work."""
        check_ranges(vars(self), LOSS_RANGES)


@dataclass(frozen=True, kw_only=True)
class AugmentationConfig:
    """Augmentation of images and masks. A crop of --input-size is taken from the result."""

    hflip: float = 0.5
    """Probability of a horizontal flip."""
    min_scale: float = 0.5
    """Smallest random factor on the size of an image."""
    max_scale: float = 2.0
    """Largest random factor on the size of an image."""
    distortion: float = 0.5
    """Probability of photometric distortion: brightness, contrast, saturation, hue."""
    rotation: float = 0.0
    """Largest angle of a random rotation in degrees."""

    def check(self) -> None:
        """Raise `UserError` for a value that cannot work."""
        check_ranges(vars(self), AUGMENTATION_RANGES)
        if self.min_scale > self.max_scale:
            raise UserError(
                f"--min-scale {self.min_scale:g} should be at most --max-scale {self.max_scale:g}."
            )


@dataclass(frozen=True, kw_only=True)
class SegmentationConfig(TrainConfig):
    """Train a semantic segmentation model and write a run folder."""

    task: ClassVar[str] = "segmentation"
    recipe: ClassVar[str] = "segmentation"

    data: str
    """Data set: a folder of images and masks (train/images and train/masks, val/..., or images and
    masks), Pascal VOC, ADE20K, COCO annotations, or parquet shards with a column of images and one
    of masks."""
    label_column: str | None = None
    """Column of parquet shards with the masks. Default: found by its name or type."""
    model: str = "affnet_t"
    """Backbone of ours or of timm, or a run folder or hf_hub:OWNER/NAME to start from, of
    classification or segmentation."""
    decoder: Decoder = "deeplabv3"
    """Decoder. deeplabv3 is that of AFFNet's paper; all but it and pspnet are those of
    segmentation-models-pytorch."""
    output_stride: int | Auto = "auto"
    """Output stride of the backbone, 8, 16 or 32; auto: 8 for deeplabv3 and pspnet, 16 for
    deeplabv3plus and pan, else 32; where the backbone does not have it, the next larger one."""
    input_size: int | Auto = "auto"
    """Side of the square training crops in pixels; auto: the shorter side of the images, up to
    512; less, but at least 128, where a CPU would take over an hour."""
    short_side: int | Auto | None = "auto"
    """Shorter side in pixels to which images are resized, before the scales of augmentation and in
    evaluation; auto: the side of the crops; none: images keep their size."""
    loss: LossConfig = field(default_factory=LossConfig)
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)

    def check(self) -> None:
        """Raise `UserError` for a value that cannot work."""
        check_ranges(vars(self), {"short_side": (16, MAX_SIDE)})
        if self.output_stride != "auto" and self.output_stride not in OUTPUT_STRIDES:
            raise UserError(f"--output-stride {self.output_stride} should be 8, 16 or 32.")
        super().check()
