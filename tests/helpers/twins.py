"""Narrow, shallow twins of every registered variant, for tests of all variants."""

from typing import Any

from torch import nn

import spectralvision as sv

NAMES = sv.list_models()
SIZE = 64  # pixels a side


def twin(name: str, **kwargs: Any) -> nn.Module:
    """Build a variant with its own ratios, fusion, mixing and stages, and small dims and depths."""
    if name.startswith("affnet"):
        small: dict[str, Any] = {"dims": (8, 16, 16, 24, 32), "depths": (1, 2, 1, 2, 1)}
    else:
        small = {"dims": (16, 32, 64, 64), "depths": (1, 2, 1, 1), "stem_dim": 8, "img_size": SIZE}
    return sv.create_model(name, **{"num_classes": 10, **small, **kwargs})


def num_stages(name: str) -> int:
    """Return the number of stages of a variant."""
    return 5 if name.startswith("affnet") else 4
