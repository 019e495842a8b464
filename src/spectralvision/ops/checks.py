"""Argument checks shared by the ops."""

from torch import Tensor


def check_groups(dim: int, groups: int) -> None:
    """Raise ValueError unless `dim` channels can be divided into `groups` blocks."""
    if groups < 1 or dim < 1 or dim % groups:
        raise ValueError(
            f"dim must be a positive multiple of groups, got dim={dim} and groups={groups}"
        )


def check_real_maps(x: Tensor, name: str, ndim: int | None = None) -> None:
    """Check that `x` is real, not empty, and has at least two (or exactly `ndim`) axes.

    Args:
        x: the tensor, (..., H, W).
        name: the calling function, named in the error.
        ndim: the required number of axes; None for two or more.

    Raises:
        ValueError: one of these conditions does not hold.
    """
    if not x.is_floating_point():
        raise ValueError(
            f"{name} expects a real floating-point tensor, got {x.dtype}: "
            "convert it first, e.g. with x.float()"
        )
    if x.ndim < 2 or (ndim is not None and x.ndim != ndim):
        wanted = f"{ndim} axes" if ndim else "at least two axes (..., H, W)"
        raise ValueError(f"{name} expects a tensor with {wanted}, got shape {tuple(x.shape)}")
    if x.shape[-1] == 0 or x.shape[-2] == 0:
        raise ValueError(
            f"{name} expects maps of at least 1 x 1 samples, got shape {tuple(x.shape)}"
        )
