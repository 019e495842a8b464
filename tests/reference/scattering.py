"""The scattering mixers on one image, from the paper's equations."""

import numpy as np

from tests.reference.complex_linear import apart, complex_linear
from tests.reference.dtcwt import dtcwt2d, idtcwt2d_level_1


def relu(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, 0)


def scatter(
    x: np.ndarray, weights: dict[str, np.ndarray], groups: int, along_width: bool
) -> np.ndarray:
    """x (C, H, W), sides even, weights of the same size -> (C, H, W)."""
    pyramids = [dtcwt2d(channel, 1, "near_sym_b", "qshift_b") for channel in x]
    low = np.stack([pyramid[0] for pyramid in pyramids]) * weights["gain"]
    bands = np.stack([pyramid[1][0] for pyramid in pyramids])  # (C, 6, h, w)

    blocks = bands.reshape(groups, len(x) // groups, -1)
    hidden = apart(relu, complex_linear(blocks, weights["w1"], weights["b1"]))
    bands = complex_linear(hidden, weights["w2"], weights["b2"]).reshape(bands.shape)
    if along_width:
        for c in range(bands.shape[0]):
            for k in range(6):
                rows = bands[c, k][:, :, None]  # (h, w, 1): a row is a group
                hidden = apart(relu, complex_linear(rows, weights["v1"], weights["c1"]))
                bands[c, k] = complex_linear(hidden, weights["v2"], weights["c2"])[:, :, 0]
    return np.stack([idtcwt2d_level_1(low[c], bands[c], "near_sym_b") for c in range(len(x))])


def depthwise_3x3(x: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    padded = np.pad(x, [(0, 0), (1, 1), (1, 1)])
    out = np.zeros_like(x)
    for dh in range(3):
        for dw in range(3):
            out += (
                weight[:, 0, dh, dw, None, None]
                * padded[:, dh : dh + x.shape[1], dw : dw + x.shape[2]]
            )
    return out + bias[:, None, None]


def scattering_mixer(
    x: np.ndarray, weights: dict[str, np.ndarray], groups: int, mixing: str
) -> np.ndarray:
    if mixing == "channel":
        return scatter(x, weights, groups, along_width=False)
    half = len(x) // 2
    out = np.zeros_like(x)
    out[0::2] = depthwise_3x3(x[:half], weights["conv.weight"], weights["conv.bias"])
    out[1::2] = scatter(x[half:], weights, groups, along_width=True)
    return out
