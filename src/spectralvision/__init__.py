"""Frequency-domain token mixers for PyTorch and the vision backbones built on them.

Importing the package registers the models with timm; `create_model` is timm's own.
"""

from collections.abc import Sequence
from pathlib import Path

from timm import create_model
from torch import nn

from spectralvision.models import SVT, VARIANTS, AFFNet, load_released
from spectralvision.ops.tune_cpu import tune_cpu

__version__ = "0.1.0"
__all__ = ["SVT", "AFFNet", "create_model", "list_models", "load_released", "save_run", "tune_cpu"]


def list_models() -> list[str]:
    """Return the names of the models in this package, smallest first in each family."""
    return list(VARIANTS)


def save_run(model: nn.Module, classes: Sequence[str], size: int, folder: str | Path) -> Path:
    """Write a run folder from any training loop; see `tasks.classification.save_run`.

    Args:
        model: A model made by `create_model`, of ours or of timm.
        classes: Class names in the order of its logits.
        size: Side of the square input that it was trained for, in pixels.
        folder: New or empty.

    Raises:
        ValueError: The arguments do not fit together, or the folder is not empty.
    """
    from spectralvision.tasks.classification.save_run import save_run

    return save_run(model, classes, size, folder)
