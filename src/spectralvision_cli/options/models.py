"""Options of `spectralvision models`."""

from dataclasses import dataclass
from typing import ClassVar

from spectralvision_cli.fields import argument
from spectralvision_cli.options.common import REST, VerbOptions


@dataclass(frozen=True, kw_only=True)
class ModelsOptions(VerbOptions):
    """List models with their size, cost and reported accuracy.

    Columns: parameters, multiply-adds counted in full (GMACs), input size in pixels, and the
    ImageNet top-1 accuracy that the authors report.
    """

    examples: ClassVar[tuple[str, ...]] = (
        "spectralvision models",
        "spectralvision models 'svt_h_*'",
        "spectralvision models mobilenet --all",
    )

    groups: ClassVar[dict[str, tuple[str, ...]]] = {
        "Arguments": ("pattern",),
        "Options": (REST, "json"),
    }

    pattern: str = argument("*", "PATTERN")
    """Models to list: part of a name, or a pattern with * and ?."""
    all: bool = False
    """Also list timm's models, by name only."""
