"""The rule that fills a reference model's parameters and inputs, so that a golden file stores
outputs only.

Every array depends on its name and shape alone (NumPy's legacy RandomState stream is frozen), so
the same weights are rebuilt anywhere from the (name, shape) pairs in a golden file's `meta`.
Names are the authors' own."""

import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

GOLDEN = Path(__file__).parent


def load(file: str) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """(arrays, meta) of a golden file, named without its suffix."""
    with np.load(GOLDEN / f"{file}.npz") as content:
        arrays = dict(content)
    return arrays, json.loads(str(arrays.pop("meta")))


def state(meta: dict[str, Any]) -> dict[str, Tensor]:
    """The reference's state dict."""
    return {
        name: torch.from_numpy(np.asarray(_array(name, tuple(shape))))
        for name, shape in meta["state"]
    }


def images(name: str, shape: tuple[int, ...]) -> Tensor:
    """Deterministic float32 input of unit variance; `name` is the golden file's own name."""
    u = _uniform("input/" + name, shape)
    return torch.from_numpy((u * np.sqrt(3.0)).astype(np.float32))


def _uniform(name: str, shape: tuple[int, ...]) -> np.ndarray:
    return np.random.RandomState(zlib.crc32(name.encode())).uniform(-1.0, 1.0, shape)


def _array(name: str, shape: tuple[int, ...]) -> np.ndarray:
    u = _uniform(name, shape)
    if name.endswith("num_batches_tracked"):
        return np.zeros(shape, np.int64)
    if name.endswith("running_var"):
        out = 1.0 + 0.5 * u
    elif name.endswith("running_mean"):
        out = 0.2 * u
    elif name.endswith("complex_weight_ll"):  # real gain on the lowpass
        out = 1.0 + 0.5 * u
    elif name.endswith((".w1", ".w2")) or ("complex_weight_lh_" in name and "_b" not in name):
        out = u * np.sqrt(3.0 / (2 * shape[-2]))  # (2, groups, in, out): complex, block diagonal
    elif name.endswith((".b1", ".b2")) or "complex_weight_lh_b" in name:
        out = 0.1 * u
    elif name.endswith(("complex_weight", "complex_weights")):  # (U, V, C or filters, re and im)
        out = u * np.sqrt(1.5)
    elif name.endswith("pos_embed"):
        out = 0.5 * u
    elif "freq_embed" in name:  # (H, W, C)
        out = u * np.sqrt(3.0)
    elif len(shape) == 1 and name.endswith((".scale", ".gamma", ".gamma1", ".gamma2", "weight")):
        out = 1.0 + 0.2 * u
    elif len(shape) == 1:
        out = 0.1 * u
    else:
        out = u * np.sqrt(3.0 / np.prod(shape[1:]))
    return np.asarray(out).astype(np.float32)
