"""TorchScript's compiler, `torch.jit.script`, is not supported; tracing is."""

from typing import NoReturn

from torch import nn


def reject_torchscript(module: nn.Module) -> NoReturn:
    """Raise an error; as `__prepare_scriptable__` of a module, `torch.jit.script` calls it."""
    raise ValueError(
        f"{type(module).__name__} cannot be compiled by torch.jit.script: use torch.export.export, "
        "torch.compile or torch.jit.trace"
    )
