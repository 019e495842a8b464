"""The DTCWT as modules with the arguments and layouts of pytorch_wavelets.

    from spectralvision.ops import DTCWTForward, DTCWTInverse  # from pytorch_wavelets import ...

Thin wrappers of `dtcwt2d` and `idtcwt2d`. docs/guides/pytorch-wavelets.md lists the differences.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from spectralvision.ops.dtcwt import check_filters, dtcwt2d_level, idtcwt2d_level

# The buffers with taps in the state dicts of pytorch_wavelets.
TAPS = (
    *("h0o", "h1o", "h0a", "h0b", "h1a", "h1b"),
    *("g0o", "g1o", "g0a", "g0b", "g1a", "g1b"),
)
NUM_AXES = 6  # of highpass bands: N, C, H, W, orientation, (re, im)


class _Transform(nn.Module):
    """Filter sets, and the positions of orientations and parts among the axes of the bands."""

    def __init__(self, biort: str, qshift: str, o_dim: int, ri_dim: int, mode: str) -> None:
        super().__init__()
        for name, value in (("biort", biort), ("qshift", qshift)):
            if not isinstance(value, str):
                raise ValueError(
                    f"{name} must be the name of a filter set, got {type(value).__name__}: "
                    "taps are not accepted"
                )
        check_filters(biort, qshift)
        if mode != "symmetric":
            raise ValueError(
                f"mode must be 'symmetric', the extension with perfect reconstruction, got {mode!r}"
            )
        for name, axis in (("o_dim", o_dim), ("ri_dim", ri_dim)):
            if axis not in range(-NUM_AXES, NUM_AXES):
                raise ValueError(f"{name} must be an axis of the bands, -6 to 5, got {axis}")
        if o_dim % NUM_AXES == ri_dim % NUM_AXES:
            raise ValueError(
                f"orientations and parts must have different axes, got o_dim={o_dim} and "
                f"ri_dim={ri_dim}"
            )
        self.biort = biort
        self.qshift = qshift
        self.o_dim = o_dim % NUM_AXES
        self.ri_dim = ri_dim % NUM_AXES
        self.register_load_state_dict_pre_hook(_drop_taps)

    def _order(self) -> tuple[int, ...]:
        """Return the order of the axes N, C, H, W, K, 2 in the layout of the bands."""
        others = iter(range(4))
        return tuple(
            {self.o_dim: 4, self.ri_dim: 5}[i] if i in (self.o_dim, self.ri_dim) else next(others)
            for i in range(NUM_AXES)
        )

    def extra_repr(self) -> str:
        return (
            f"biort={self.biort!r}, qshift={self.qshift!r}, "
            f"o_dim={self.o_dim}, ri_dim={self.ri_dim}"
        )


def _drop_taps(module: nn.Module, state: dict[str, Any], prefix: str, *rest: Any) -> None:
    """Drop the taps, which checkpoints of pytorch_wavelets contain as buffers; ours have none."""
    for name in TAPS:
        state.pop(prefix + name, None)


class DTCWTForward(_Transform):
    """Compute x (N, C, H, W) -> (lowpass, list of highpass bands, finest level first).

    Args: biort, qshift: names of the filter sets, see `dtcwt2d`. J: number of levels, at least 1.
    skip_hps: whether to omit the bands, for all levels or one value per level; a tensor without
    axes takes their place. include_scale: whether to return the lowpass of every level in a list,
    or one value per level. o_dim, ri_dim: axes of the orientations and of (re, im) in the bands;
    by default (N, C, 6, H, W, 2). mode: "symmetric".

    Raises: ValueError: a filter set, mode or axis does not exist, J < 1, a list does not have J
    values, or as for `dtcwt2d`.
    """

    def __init__(
        self,
        biort: str = "near_sym_a",
        qshift: str = "qshift_a",
        J: int = 3,  # noqa: N803
        skip_hps: bool | Sequence[bool] = False,
        include_scale: bool | Sequence[bool] = False,
        o_dim: int = 2,
        ri_dim: int = -1,
        mode: str = "symmetric",
    ) -> None:
        super().__init__(biort, qshift, o_dim, ri_dim, mode)
        if J < 1:
            raise ValueError(f"J must be at least 1, got {J}")
        self.J = J
        self.skip_hps = _per_level("skip_hps", skip_hps, J)
        self.include_scale = _per_level("include_scale", include_scale, J)

    def forward(self, x: Tensor) -> tuple[Tensor | list[Tensor], list[Tensor]]:
        low, lows, highs = x, [], []
        for level in range(self.J):
            low, re, im = dtcwt2d_level(low, level, self.biort, self.qshift)
            nothing = x.new_zeros(())
            lows.append(low if self.include_scale[level] else nothing)
            highs.append(nothing if self.skip_hps[level] else self._bands(re, im))
        return (lows if any(self.include_scale) else low), highs

    def _bands(self, re: Tensor, im: Tensor) -> Tensor:
        bands = torch.stack([re, im], dim=-1)  # (N, C, 6, H, W, 2)
        return bands.movedim(2, 4).permute(self._order())


class DTCWTInverse(_Transform):
    """Compute (lowpass, list of highpass bands, finest level first) -> (N, C, H, W), even sides.

    None or an empty tensor means zeros, for the bands of a level or for the lowpass.

    Args:
        biort, qshift, o_dim, ri_dim, mode: those of the forward transform.

    Raises:
        ValueError: as for `DTCWTForward`; all coefficients are missing, or shapes do not match.
    """

    def __init__(
        self,
        biort: str = "near_sym_a",
        qshift: str = "qshift_a",
        o_dim: int = 2,
        ri_dim: int = -1,
        mode: str = "symmetric",
    ) -> None:
        super().__init__(biort, qshift, o_dim, ri_dim, mode)

    def forward(self, coeffs: tuple[Tensor | None, Sequence[Tensor | None]]) -> Tensor:
        low = _drop_empty(coeffs[0])
        highs = [_drop_empty(high) for high in coeffs[1]]
        bands = [None if high is None else self._parts(high) for high in highs]
        sides = _band_sides(bands)
        for level in reversed(range(len(bands))):
            pair = bands[level]
            if pair is None:
                if low is None:
                    continue
                side = sides[level] or tuple(side // 2 for side in low.shape[2:])
                zeros = low.new_zeros(*low.shape[:2], 6, *side)
                pair = (zeros, zeros)
            if low is None:
                re = pair[0]
                low = re.new_zeros(*re.shape[:2], 2 * re.shape[-2], 2 * re.shape[-1])
            low = idtcwt2d_level(low, *pair, level, self.biort, self.qshift)
        if low is None:
            raise ValueError(
                "the lowpass or the bands of at least one level are required, "
                "but all are None or empty"
            )
        return low

    def _parts(self, bands: Tensor) -> tuple[Tensor, Tensor]:
        if bands.ndim != NUM_AXES:
            raise ValueError(
                "bands must have six axes, (N, C, 6, H, W, 2) or in the order of o_dim and ri_dim, "
                f"got {bands.ndim}"
            )
        order = self._order()
        plain = bands.permute([order.index(axis) for axis in (0, 1, 4, 2, 3, 5)])
        re, im = plain.unbind(-1)
        return re, im


def _drop_empty(part: Tensor | None) -> Tensor | None:
    return None if part is None or part.ndim == 0 or part.shape == (0,) else part


def _band_sides(bands: Sequence[tuple[Tensor, Tensor] | None]) -> list[tuple[int, int] | None]:
    """Return (h, w) of each level's bands, from finer levels where missing; None if unknown."""
    sides: list[tuple[int, int] | None] = []
    for pair in bands:
        if pair is not None:
            sides.append((pair[0].shape[-2], pair[0].shape[-1]))
        else:
            finer = sides[-1] if sides else None
            sides.append(finer and ((finer[0] + 1) // 2, (finer[1] + 1) // 2))
    return sides


def _per_level(name: str, value: bool | Sequence[bool], levels: int) -> list[bool]:
    if isinstance(value, bool):
        return [value] * levels
    if len(value) != levels:
        raise ValueError(
            f"{name} must be one bool or one for each of the {levels} levels, got {len(value)}"
        )
    return [bool(one) for one in value]
