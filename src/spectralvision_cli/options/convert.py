"""Options of `spectralvision convert`."""

from dataclasses import dataclass
from typing import ClassVar

from spectralvision_cli.fields import argument, option
from spectralvision_cli.options.common import REST, VerbOptions


@dataclass(frozen=True, kw_only=True)
class ConvertOptions(VerbOptions):
    """Convert a checkpoint of the authors' code to a run folder.

    The file is read as data and never executed.
    """

    examples: ClassVar[tuple[str, ...]] = (
        "spectralvision convert affnet_t.pt --model affnet_t",
        "spectralvision convert svt_h_s.pth --model svt_h_s --token-label",
    )

    groups: ClassVar[dict[str, tuple[str, ...]]] = {
        "Arguments": ("checkpoint",),
        "Options": ("model", REST, "json"),
    }

    checkpoint: str = argument(..., "FILE")
    """Checkpoint of the authors' code, PyTorch or safetensors."""
    model: str
    """Model that the checkpoint belongs to; `spectralvision models` lists them."""
    out: str | None = option(None, "DIR")
    """Run folder to write; by default runs/MODEL, or runs/MODEL-2, -3, ... if that exists."""
    token_label: bool = False
    """Keep the auxiliary head of an SVT trained with token labels; the logits then include it."""
    threshold: float | None = None
    """Softshrink threshold that an AFFNet was trained with, which the file does not record; by
    default 0.01, that of the released models."""
