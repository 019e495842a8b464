"""Golden outputs and gradients of the authors' code against a module of ours."""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from spectralvision.models.released import rename_released
from tests.golden import rule
from tests.helpers.tolerances import (
    GRADIENT_FIRST,
    GRADIENT_NORM,
    SCALAR_GRADIENT,
    SCALAR_GRADIENT_ABSOLUTE,
)


def max_error(value: Tensor, golden: np.ndarray) -> float:
    """Return the largest absolute difference from the golden values."""
    assert value.shape == golden.shape
    return float(np.abs(value.detach().numpy() - golden).max())


def in_authors_layout(name: str, value: Tensor) -> Tensor:
    """Return a gradient of ours with the axes of the authors' parameter of that name."""
    if name.endswith(("complex_weight", "complex_weights")):
        return value.permute(2, 3, 1, 0)
    if name.startswith("freq_embed"):
        return value.permute(1, 2, 0)
    return value.flatten(1).T if name == "pos_embed" else value


def check_gradients(
    file: str, meta: dict[str, Any], module: nn.Module, output: Tensor, x: Tensor
) -> None:
    """Compare every parameter's gradient of sum(output * w): its norm and first values."""
    (output * rule.images(f"{file}/grad", tuple(output.shape))).sum().backward()
    names = [name for name, _ in meta["state"]]
    markers = {name: torch.tensor(float(i)) for i, name in enumerate(names)}
    ours = {names[int(marker)]: name for name, marker in rename_released(markers).items()}
    parameters = dict(module.named_parameters())
    assert {ours[name] for name in meta["grad"]} == set(parameters) != set()
    for name, (norm, first) in meta["grad"].items():
        gradient = parameters[ours[name]].grad
        assert gradient is not None
        gradient = in_authors_layout(name, gradient)
        error = abs(float(gradient.norm()) - norm)
        if gradient.numel() == 1:  # a sum over all positions, which cancels
            assert error <= max(SCALAR_GRADIENT * norm, SCALAR_GRADIENT_ABSOLUTE), name
            continue
        assert error <= GRADIENT_NORM * max(norm, 1.0), name
        scale = max(norm, 1.0) / gradient.numel() ** 0.5
        np.testing.assert_allclose(
            gradient.flatten()[:4], first, atol=GRADIENT_FIRST * scale, rtol=0, err_msg=name
        )
    if "grad_input_norm" in meta:
        assert x.grad is not None
        assert (
            abs(float(x.grad.norm()) - meta["grad_input_norm"])
            <= GRADIENT_NORM * meta["grad_input_norm"]
        )
