"""Block-diagonal complex layers, one block and position at a time."""

import numpy as np


def complex_linear(x: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """x (G, I, N) complex, weight (2, G, I, O), bias (2, G, O) -> (G, O, N) complex."""
    groups, _, positions = x.shape
    out = np.zeros((groups, weight.shape[3], positions), complex)
    for g in range(groups):
        matrix = weight[0, g] + 1j * weight[1, g]
        for n in range(positions):
            out[g, :, n] = x[g, :, n] @ matrix + bias[0, g] + 1j * bias[1, g]
    return out


def apart(function, x: np.ndarray) -> np.ndarray:
    """A real function on real and imaginary part."""
    return function(x.real) + 1j * function(x.imag)
