"""INT8 after training: which parts of a network are quantized, and how.

| part                                                  | INT8                  | reason             |
|-------------------------------------------------------|-----------------------|--------------------|
| convolutions, linear layers                           | yes                   | most of the work   |
| spectra: DFT and wavelet products, mask networks      | no                    | values of one      |
|                                                       |                       | tensor span orders |
|                                                       |                       | of magnitude       |
| norms, activations, products of two activations       | no                    | little work        |

Weights have a scale per output channel, activations one per tensor, calibrated on images. Biases
are corrected for the mean error of each output channel that the rounded weights cause on them.
"""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from spectralvision.export.base import INPUT

NUM_CALIBRATION_IMAGES = 256
MIN_AGREEMENT = 0.95
"""Of the largest class before and after quantization."""
QUANTIZED = ("Conv", "Gemm", "MatMul")
"""Operators of ONNX with weights."""
FLOAT_PRODUCTS = r".*aten\.(mm|bmm|baddbmm|matmul|scaled_dot_product_attention)\.default.*"
"""Names of products in OpenVINO that are no linear layers."""


def quantize_onnx(path: Path, images: np.ndarray, spectral: tuple[str, ...]) -> None:
    """Quantize an ONNX file in place, with QuantizeLinear and DequantizeLinear around its weights.

    Args:
        path: The file.
        images: (N, 3, H, W) for calibration.
        spectral: Names of the modules that compute spectra.
    """
    import onnx
    from onnxruntime.quantization import (
        CalibrationMethod,
        QuantFormat,
        QuantType,
        quantize_static,
    )
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with TemporaryDirectory() as folder:
        prepared = Path(folder) / "prepared.onnx"
        quant_pre_process(path, prepared, skip_symbolic_shape=True)
        graph = onnx.load(prepared).graph
        weights = {one.name for one in graph.initializer}
        quantize_static(
            prepared,
            path,
            _Reader(images),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=list(QUANTIZED),
            nodes_to_exclude=[
                node.name for node in graph.node if not _has_weight(node, weights, spectral)
            ],
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
            extra_options={"CalibMovingAverage": True},
        )


def _has_weight(node: Any, weights: set[str], spectral: tuple[str, ...]) -> bool:
    """Return whether a node multiplies by weights that do not belong to a spectrum."""
    names = [name for name in node.input[:2] if name in weights]
    return bool(names) and not any(
        name.startswith(f"{module}.") for name in names for module in spectral
    )


class _Reader:
    """The images one by one, as onnxruntime reads them."""

    def __init__(self, images: np.ndarray) -> None:
        self.rest: Iterator[np.ndarray] = iter(images)

    def get_next(self) -> dict[str, np.ndarray] | None:
        """Return the next input, or None after the last."""
        image = next(self.rest, None)
        return None if image is None else {INPUT: image[None]}


def quantize_openvino(model: Any, images: np.ndarray) -> Any:
    """Return a model of OpenVINO quantized by NNCF.

    Args:
        model: In float32.
        images: (N, 3, H, W) for calibration.
    """
    import nncf

    return nncf.quantize(
        model,
        nncf.Dataset([image[None] for image in images]),
        preset=nncf.QuantizationPreset.MIXED,
        subset_size=len(images),
        fast_bias_correction=False,
        ignored_scope=nncf.IgnoredScope(patterns=[FLOAT_PRODUCTS], validate=False),
    )
