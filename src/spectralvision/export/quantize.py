"""INT8 after training: which parts of a network are quantized, and how.

| part                                             | INT8 | why                                   |
|--------------------------------------------------|------|---------------------------------------|
| convolutions, linear layers                      | yes  | most of the work and of the file      |
| spectra: DFT and wavelet products, mask networks | no   | values span orders of magnitude       |
| norms, activations, products of two activations  | no   | little work                           |

Weights have a scale per output channel, activations one per tensor, calibrated on images. NNCF
also corrects biases for the mean error that rounded weights cause on them; onnxruntime has no such
correction.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from torch import nn

from spectralvision.export.base import INPUT

NUM_CALIBRATION_IMAGES = 256
MIN_AGREEMENT = 0.95
"""Of the largest class before and after quantization."""
QUANTIZED = ("Conv", "Gemm", "MatMul")
"""Operators of ONNX with weights."""
FLOAT_PRODUCTS = r".*aten\.(mm|bmm|baddbmm|matmul|scaled_dot_product_attention)\.default.*"
"""Names of products in OpenVINO that are no linear layers."""
CONVOLUTIONS = ("Convolution", "GroupConvolution")


def quantize_onnx(
    path: Path, images: np.ndarray, spectral: tuple[str, ...], batch: int = 1
) -> None:
    """Quantize an ONNX file in place, with QuantizeLinear and DequantizeLinear around its weights.

    Args:
        path: The file.
        images: (N, 3, H, W) for calibration.
        spectral: Names of the modules that compute spectra.
        batch: Number of images that the file takes.
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
            _Reader(in_batches(images, batch)),
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
    _shrink(path, spectral)


def _has_weight(node: Any, weights: set[str], spectral: tuple[str, ...]) -> bool:
    """Return whether a node multiplies by weights that do not belong to a spectrum."""
    names = [name for name in node.input[:2] if name in weights]
    return bool(names) and not any(
        name.startswith(f"{module}.") for name in names for module in spectral
    )


def _shrink(path: Path, spectral: tuple[str, ...]) -> None:
    """Remove from a quantized file what takes space without effect.

    Float weights of spectra are stored in 16 bits, and computed with in 32. Zero points that are
    zero and names of nodes are optional.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    model = onnx.load(path)
    graph = model.graph
    del graph.value_info[:]
    casts, zeros = [], set()
    for one in graph.initializer:
        values = numpy_helper.to_array(one)
        owned = any(one.name.startswith(f"{module}.") for module in spectral)
        if owned and one.data_type == TensorProto.FLOAT:
            name = one.name
            half = numpy_helper.from_array(values.astype(np.float16), f"{name}.half")
            one.CopyFrom(half)
            casts.append(helper.make_node("Cast", [half.name], [name], to=TensorProto.FLOAT))
        elif one.name.endswith("_zero_point") and one.data_type != TensorProto.UINT8:
            assert not values.any()
            zeros.add(one.name)
    for node in graph.node:
        node.ClearField("name")
        if node.op_type in ("QuantizeLinear", "DequantizeLinear") and node.input[2] in zeros:
            del node.input[2:]
    kept = [one for one in graph.initializer if one.name not in zeros]
    del graph.initializer[:]
    graph.initializer.extend(kept)
    for place, cast in enumerate(casts):
        graph.node.insert(place, cast)
    onnx.checker.check_model(model)
    onnx.save(model, path)


def in_batches(images: np.ndarray, size: int) -> np.ndarray:
    """Return (N, 3, H, W) as (batches, size, 3, H, W), the last filled up with the first images."""
    number = -(-len(images) // size)
    return images[np.arange(number * size) % len(images)].reshape(number, size, *images.shape[1:])


class _Reader:
    """Batches, as onnxruntime reads them."""

    def __init__(self, batches: np.ndarray) -> None:
        self.rest: Iterator[np.ndarray] = iter(batches)

    def get_next(self) -> dict[str, np.ndarray] | None:
        """Return the next input, or None after the last."""
        batch = next(self.rest, None)
        return None if batch is None else {INPUT: batch}


def quantize_openvino(
    model: Any, images: np.ndarray, spectral: Iterable[nn.Module], batch: int = 1
) -> Any:
    """Return a model of OpenVINO quantized by NNCF, with the constants of spectra in 16 bits.

    Args:
        model: In float32.
        images: (N, 3, H, W) for calibration.
        spectral: The modules that compute spectra.
        batch: Number of images that the model takes.
    """
    import nncf
    from openvino import opset13

    # The model does not keep the names of constants
    values = {one.numpy().tobytes() for module in spectral for one in module.buffers()}
    convolutions = [
        user.get_node().get_friendly_name()
        for constant in _find_constants(model, values)
        for user in constant.output(0).get_target_inputs()
        if user.get_node().get_type_name() in CONVOLUTIONS
    ]
    batches = list(in_batches(images, batch))
    model = nncf.quantize(
        model,
        nncf.Dataset(batches),
        preset=nncf.QuantizationPreset.MIXED,
        subset_size=len(batches),
        fast_bias_correction=False,
        ignored_scope=nncf.IgnoredScope(
            names=convolutions, patterns=[FLOAT_PRODUCTS], validate=False
        ),
    )
    for constant in _find_constants(model, values):
        half = opset13.constant(constant.data.astype(np.float16))
        constant.output(0).replace(opset13.convert(half, "f32").output(0))
    return model


def _find_constants(model: Any, values: set[bytes]) -> list[Any]:
    """Return the constants of a model of OpenVINO that have one of some values."""
    return [
        node
        for node in model.get_ops()
        if node.get_type_name() == "Constant" and node.data.tobytes() in values
    ]
