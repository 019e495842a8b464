"""Narrow, shallow twins of every registered variant, for tests of all variants."""

from typing import Any

from torch import nn

import spectralvision as sv
from spectralvision.models import FAMILIES, VARIANTS

NAMES = sv.list_models()
SIZE = 64  # pixels a side
OF_EACH_FAMILY = (
    "affnet_et", "svt_h_s", "svt_s", "svt_v_t", "gfnet_ti", "gfnet_h_ti", "dfformer_s18",
    "cdfformer_s18", "gfformer_s18", "vheat_t", "vheat_s",
)  # fmt: skip
"""A variant of each form of each family."""


def _form(name: str) -> tuple[str, str]:
    """Return what tells the twin of a variant from others: its family, and all but its sizes."""
    family = next(one.__name__ for one in FAMILIES if name in one.VARIANTS)
    sizes = ("dims", "depths", "stem_dim")
    options = {key: value for key, value in VARIANTS[name].items() if key not in sizes}
    return family, f"{is_isotropic(name)} {sorted(options.items())}"


def distinct_names() -> list[str]:
    """Return the first variant of each form: the twins of all others are equal to one of these."""
    return list({_form(name): name for name in reversed(NAMES)}.values())[::-1]


def twin(name: str, **kwargs: Any) -> nn.Module:
    """Build a variant with its own ratios, fusion, mixing and stages, and small dims and depths."""
    small: dict[str, Any] = {"dims": (16, 32, 64, 64), "depths": (1, 2, 1, 1), "img_size": SIZE}
    if name.startswith("affnet"):
        small = {"dims": (8, 16, 16, 24, 32), "depths": (1, 2, 1, 2, 1)}
    elif is_isotropic(name):
        small |= {"dims": (32,), "depths": (4,)}
        if name.startswith("svt"):
            small |= {"scattering_blocks": 2}
    elif name.startswith("svt"):
        small |= {"stem_dim": 8}
    return sv.create_model(name, **{"num_classes": 10, **small, **kwargs})


def is_isotropic(name: str) -> bool:
    """Return whether a variant has one resolution; each of its blocks is a stage."""
    return name.startswith("svt_v_") or (name.startswith("gfnet") and "_h_" not in name)


def num_stages(name: str) -> int:
    """Return the number of stages of a variant's twin."""
    return 5 if name.startswith("affnet") else 4


def has_batch_norm(name: str) -> bool:
    """Return whether a variant has batch norms."""
    return name.startswith(("affnet", "svt")) and not is_isotropic(name)


DISTINCT = distinct_names()
