"""Options of `spectralvision token-labels`."""

from dataclasses import dataclass
from typing import ClassVar

from spectralvision_cli.fields import option
from spectralvision_cli.options.common import COMPUTATION, DataOptions


@dataclass(frozen=True, kw_only=True)
class TokenLabelsOptions(DataOptions):
    """Generate token labels with a teacher model, for `train --label-maps`.

    The same command resumes where it stopped. The exit code is 1 if some images could not be
    read.
    """

    examples: ClassVar[tuple[str, ...]] = (
        "spectralvision token-labels --teacher runs/teacher --data photos --out maps",
        "spectralvision train --data photos --model svt_h_s --label-maps maps",
    )
    groups: ClassVar[dict[str, tuple[str, ...]]] = {
        "Teacher and data": (
            "teacher",
            "data",
            "data_dir",
            "image_column",
            "label_column",
            "split",
            "out",
        ),
        "Computation": COMPUTATION,
        "Output": ("json",),
    }

    teacher: str
    """Run folder, or a model name for its published weights."""
    data: str
    """Data set, as for `train`: a folder of images, an archive or CSV file of them, parquet shards,
    digits, or a timm reader such as torch/cifar10."""
    out: str = option(..., "DIR")
    """Folder of the label maps: new, empty, or started by the same command."""
    split: str | None = None
    """Split to label; by default train, else all images."""
