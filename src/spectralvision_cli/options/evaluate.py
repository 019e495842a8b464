"""Options of `spectralvision evaluate`; the model's task adds its own."""

from dataclasses import dataclass
from typing import ClassVar

from spectralvision_cli.fields import option
from spectralvision_cli.options.common import COMPUTATION, REST, DataOptions


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions(DataOptions):
    """Evaluate one or several models on held-out images.

    Several models are compared in one table.
    """

    examples: ClassVar[tuple[str, ...]] = (
        "spectralvision evaluate --model runs/photos-affnet_et --data photos",
        "spectralvision evaluate --model runs/a runs/b --data photos --per-class",
    )
    groups: ClassVar[dict[str, tuple[str, ...]]] = {
        "Model and data": (
            "model",
            "data",
            "data_dir",
            "image_column",
            "label_column",
            "num_classes",
            "split",
        ),
        "Computation": COMPUTATION,
        "Output": (REST, "json"),
    }
    task_verb: ClassVar[bool] = True

    model: tuple[str, ...]
    """Run folders, hf_hub:OWNER/NAME, or model names for their published weights."""
    data: str
    """Data set, as for `train`: a folder of images, an archive or CSV file of them, parquet shards,
    digits, or a timm reader such as torch/cifar10."""
    num_classes: int | None = option(None, "N")
    """Number of classes, for streamed readers, which do not know it."""
    split: str | None = None
    """Split to evaluate on; by default test, else val, else all images."""
    devices: int = option(1, "N")
    """Number of processes, one per device, among which the images of one model are divided; every
    image is evaluated once."""
