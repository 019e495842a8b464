"""Gradient checkpointing that changes memory and time only, not the statistics of batch norms."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from timm.models import checkpoint
from torch import Tensor, nn


def recompute_in_backward(stage: nn.Module, x: Tensor) -> Tensor:
    """Run a stage without keeping its activations: the backward pass computes them again.

    PyTorch's `checkpoint` alone would update the running statistics in both passes. Compiled code
    needs no such care: there, updates of buffers are not part of what is computed again.
    """
    if torch.compiler.is_compiling():
        return checkpoint(stage, x, use_reentrant=False)
    contexts: dict[str, Any] = {"context_fn": lambda: (nullcontext(), freeze_statistics(stage))}
    return checkpoint(stage, x, use_reentrant=False, **contexts)


@contextmanager
def freeze_statistics(module: nn.Module) -> Iterator[None]:
    """Normalize by the statistics of the batch, as in training, without recording them."""
    norms: list[Any] = [
        norm for norm in module.modules() if getattr(norm, "track_running_stats", False)
    ]
    settings = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
        norm.num_batches_tracked = norm.num_batches_tracked.clone()
    try:
        yield
    finally:
        for norm, setting in zip(norms, settings, strict=True):
            norm.momentum, norm.num_batches_tracked = setting
