"""Settings of object detection, from scratch or from pretrained weights.

Command: `spectralvision train detection --data FOLDER`"""

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, ClassVar, Literal

from spectralvision.runs import MAX_SIDE, Auto, UserError, check_ranges
from spectralvision.tasks.train_config import TrainConfig

if TYPE_CHECKING:
    from spectralvision.data.splits import Data

SQUARE, WITH_MASKS = ("ssdlite",), ("mask_rcnn",)
"""Detectors of images that are stretched to squares; detectors that predict masks."""
DetectorName = Literal["ssdlite", "retinanet", "fcos", "faster_rcnn", "mask_rcnn"]
MAX_SHORT_SIDE, MAX_LONG_SIDE = 800, 1333
MAX_SQUARE_SIDE = 320
CHANNEL_STEP = 32
AUGMENTATION_RANGES = {
    "hflip": (0, 1), "min_scale": (0.05, 4), "max_scale": (0.05, 4), "color_jitter": (0, 1),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class DetectionAugmentation:
    """Augmentation of training images."""

    hflip: float | Auto = "auto"
    """Probability of a horizontal flip (auto: 0.5)."""
    min_scale: float = 0.7
    """Smallest random factor on the size of a training image: multi-scale training."""
    max_scale: float = 1.4
    """Largest such factor; what is larger than without it is cropped at random. 0.1 to 2 is
    large-scale jitter."""
    color_jitter: float = 0.3
    """Strength of random changes of brightness, contrast and saturation."""

    def check(self) -> None:
        """Raise `UserError` for a value that cannot work."""
        check_ranges(vars(self), AUGMENTATION_RANGES)
        if self.min_scale > self.max_scale:
            raise UserError(
                f"--min-scale {self.min_scale} should not be greater than --max-scale "
                f"{self.max_scale}."
            )

    def resolve(self, data: "Data") -> "DetectionAugmentation":
        """Return the same settings with every `auto` replaced by the value for `data`."""
        return replace(self, hflip=data.hflip) if self.hflip == "auto" else self


@dataclass(frozen=True, kw_only=True)
class DetectionConfig(TrainConfig):
    """Train an object detector, with instance masks as an option, and write a run folder."""

    task: ClassVar[str] = "detection"
    recipe: ClassVar[str] = "detection"

    data: str
    """Data set: a folder of images with annotations in one of these layouts: COCO
    (annotations/instances_{train,val,test}.json, or COCO's own folders), VOC (Annotations/*.xml),
    YOLO (labels/*.txt beside images/)."""
    model: str = "affnet_t"
    """Network of ours or of timm, or a run folder or hf_hub:OWNER/NAME, of a classifier or a
    detector, to start from."""
    detector: DetectorName = "fcos"
    """Detector of torchvision; mask_rcnn also predicts instance masks."""
    fpn_channels: int = 256
    """Channels of the feature pyramid and of the heads, a multiple of 32 from 64 to 1024; fewer are
    faster. Not for ssdlite."""
    batch_size: int | Auto = "auto"
    """Images per update, over all processes and accumulation steps; auto: about 30 updates per
    epoch, 4 to 16 images."""
    epochs: int | Auto = "auto"
    """Number of epochs; auto: 12 from pretrained weights, else 50, up to 150 for few images;
    fewer, but at least 10, where a CPU would take over an hour."""
    input_size: int | Auto = "auto"
    """Shorter side of an image in pixels, for ssdlite each side; auto: that of the images, up to
    800 (320 for ssdlite); less, but at least 64 (128 from pretrained weights), where a CPU would
    take over an hour."""
    max_size: int | Auto = "auto"
    """Longer side of an image at most, in pixels: what would be longer is made smaller; auto: 5/3
    of the shorter side. Not for ssdlite."""
    augmentation: DetectionAugmentation = field(default_factory=DetectionAugmentation)

    def check(self) -> None:
        """Raise `UserError` for a value that cannot work."""
        ranges = {"fpn_channels": (2 * CHANNEL_STEP, 1024), "max_size": (32, MAX_SIDE)}
        check_ranges(vars(self), ranges | {"input_size": (32, MAX_SIDE)})
        if self.fpn_channels % CHANNEL_STEP:
            raise UserError(
                f"--fpn-channels {self.fpn_channels} should be a multiple of {CHANNEL_STEP}."
            )
        sizes = (self.input_size, self.max_size)
        if not any(isinstance(size, str) for size in sizes) and sizes[0] > sizes[1]:  # type: ignore[operator]
            raise UserError(
                f"--max-size {self.max_size} should be at least --input-size {self.input_size}."
            )
        super().check()

    @property
    def has_masks(self) -> bool:
        """Whether instance masks are trained."""
        return self.detector in WITH_MASKS

    @property
    def is_square(self) -> bool:
        """Whether images are stretched to squares."""
        return self.detector in SQUARE
