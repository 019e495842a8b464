"""Frequency-domain token mixers for PyTorch, and the vision backbones built on them: AFFNet and SVT.

Importing the package registers the models with timm; `create_model` is timm's own.
"""

from timm import create_model

from spectralvision.models import SVT, VARIANTS, AFFNet, load_released

__version__ = "0.1.0"
__all__ = ["SVT", "AFFNet", "create_model", "list_models", "load_released"]


def list_models() -> list[str]:
    """Names of this project's models, smallest first in each family."""
    return list(VARIANTS)
