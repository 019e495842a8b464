"""Matrix products whose gradients are computed outside autocast, as the products themselves.

Autocast applies where a backward pass runs, not where its graph was recorded: inside an autocast
block the gradients of `a @ b` are rounded to half precision, and small ones vanish in float16.
Where autocast was switched off for a product, it therefore is for its backward pass, too.
Everywhere else these are the plain operators.
"""

from typing import Any

import torch
import torch.autograd.forward_ad as forward_ad
from torch import Tensor

from spectralvision.ops.precision import autocast_was_left, no_autocast


def matmul(a: Tensor, b: Tensor) -> Tensor:
    """Return a @ b for tensors with two or more axes; leading axes broadcast."""
    return Affine.apply(None, a, b) if _needs_protection(a, b) else a @ b


def affine(bias: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Return bias + a @ b for batches of matrices (G, M, K) and (G, K, N); bias broadcasts."""
    if _needs_protection(bias, a, b):
        return Affine.apply(bias, a, b)
    return torch.baddbmm(bias, a, b)


def _needs_protection(*operands: Tensor) -> bool:
    """Return whether a backward pass inside autocast may follow.

    Forward-mode derivatives are computed together with the product. PyTorch's autograd functions
    would lose their nested ones.
    """
    if torch.compiler.is_compiling() or torch.jit.is_tracing() or not torch.is_grad_enabled():
        return False
    return autocast_was_left() and not any(
        forward_ad.unpack_dual(one).tangent is not None for one in operands
    )


class Affine(torch.autograd.Function):
    """`affine`, or `matmul` without a bias, with gradients of every order outside autocast."""

    @staticmethod
    def forward(bias: Tensor | None, a: Tensor, b: Tensor) -> Tensor:
        return a @ b if bias is None else torch.baddbmm(bias, a, b)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        _, a, b = inputs
        ctx.shapes = [None if one is None else one.shape for one in inputs]
        _, needs_a, needs_b = ctx.needs_input_grad
        ctx.save_for_backward(a if needs_b else None, b if needs_a else None)
        ctx.save_for_forward(a, b)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        a, b = ctx.saved_tensors
        with no_autocast(grad):
            gradients = (
                grad,
                None if b is None else matmul(grad, b.transpose(-2, -1)),
                None if a is None else matmul(a.transpose(-2, -1), grad),
            )
        return tuple(
            None if one is None or shape is None else _sum_to(one, shape)
            for one, shape in zip(gradients, ctx.shapes, strict=True)
        )

    @staticmethod
    def jvp(ctx: Any, dbias: Tensor | None, da: Tensor, db: Tensor) -> Tensor:
        a, b = ctx.saved_tensors
        tangent = matmul(da, b) + matmul(a, db)
        return tangent if dbias is None else tangent + dbias

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *operands: Any) -> tuple[Tensor, int]:
        pairs = list(zip(operands, in_dims, strict=True))
        axes = max(one.ndim - (dim is not None) for one, dim in pairs if one is not None)
        bias, a, b = (_align(one, dim, axes) for one, dim in pairs)
        product = matmul(a, b)
        return (product if bias is None else product + bias), 0


def _align(operand: Any, dim: int | None, axes: int) -> Any:
    """Move the axis `dim` of a batched operand in front of `axes` others."""
    if dim is None:
        return operand
    operand = operand.movedim(dim, 0)
    return operand.reshape(len(operand), *[1] * (axes + 1 - operand.ndim), *operand.shape[1:])


def _sum_to(grad: Tensor, shape: torch.Size) -> Tensor:
    """Sum over the axes along which an operand was broadcast."""
    extra = grad.ndim - len(shape)
    grad = grad.sum(tuple(range(extra))) if extra else grad
    axes = tuple(axis for axis, size in enumerate(shape) if size == 1 and grad.shape[axis] > 1)
    return grad.sum(axes, keepdim=True) if axes else grad
