"""Options of `spectralvision token-labels`."""

from dataclasses import dataclass
from typing import ClassVar

from spectralvision_cli.fields import option
from spectralvision_cli.options.common import COMPUTATION, ComputeOptions


@dataclass(frozen=True, kw_only=True)
class TokenLabelsOptions(ComputeOptions):
    """Generate token labels with a teacher model, for `train --label-maps`.

    The same command resumes where it stopped. The exit code is 1 if some images could not be
    read.
    """

    examples: ClassVar[tuple[str, ...]] = (
        "spectralvision token-labels --teacher runs/teacher --data photos --out maps",
        "spectralvision train --data photos --model svt_h_s --label-maps maps",
    )
    groups: ClassVar[dict[str, tuple[str, ...]]] = {
        "Teacher and data": ("teacher", "data", "data_dir", "split", "out"),
        "Computation": COMPUTATION,
        "Output": ("json",),
    }

    teacher: str
    """Run folder, or a model name for its published weights."""
    data: str
    """Data set: digits, a folder of images, parquet shards, or a timm reader such as
    torch/cifar10."""
    out: str = option(..., "DIR")
    """Folder of the label maps: new, empty, or started by the same command."""
    data_dir: str | None = None
    """Folder of the files that a timm reader reads."""
    split: str | None = None
    """Split to label; by default train, else all images."""
