"""OpenVINO's intermediate representation."""

from collections import Counter
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from spectralvision.export.base import INPUT, Network, Target
from spectralvision.export.prepare import spectral_modules
from spectralvision.export.quantize import quantize_openvino


class OpenVino(Target):
    """`model.xml` with `model.bin` beside it, weights in float32."""

    name = "openvino"
    title = "OpenVINO"
    file = "model.xml"
    packages = ("openvino",)
    run_packages = ("openvino",)
    extra = "export"
    has_dynamic_batch = True
    has_int8 = True
    int8_packages = ("nncf",)
    verified_with: ClassVar[dict[str, Any]] = {"precision": "f32"}

    def write(self, network: Network, folder: Path) -> None:
        import openvino

        openvino.save_model(_convert(network), folder / self.file, compress_to_fp16=False)

    def write_int8(self, network: Network, folder: Path, images: np.ndarray) -> None:
        import openvino

        spectral = spectral_modules(network.module).values()
        model = quantize_openvino(_convert(network), images, spectral, len(network.example))
        openvino.save_model(model, folder / self.file, compress_to_fp16=False)

    def operators(self, folder: Path, network: Network) -> Counter[str]:
        import openvino

        model = openvino.Core().read_model(folder / self.file)
        return Counter(node.get_type_name() for node in model.get_ops())


def _convert(network: Network) -> Any:
    """Return the model of OpenVINO, with the names of the input and the outputs."""
    import openvino

    # A product with a constant on the left would be computed in float32 at any precision
    model = openvino.convert_model(network.with_products("columns").export())
    # Conversion leaves all sizes open
    batch = -1 if network.is_dynamic else len(network.example)
    model.reshape([batch, *network.example.shape[1:]])
    model.inputs[0].get_tensor().set_names({INPUT})
    for output, name in zip(model.outputs, network.outputs, strict=True):
        output.get_tensor().set_names({name})
    return model
