"""OpenVINO's intermediate representation."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from spectralvision.export.base import INPUT, Network, Runner, Target


class OpenVino(Target):
    """`model.xml` with `model.bin` beside it, weights in float32."""

    name = "openvino"
    title = "OpenVINO"
    file = "model.xml"
    packages = ("openvino",)
    extra = "export"
    has_dynamic_batch = True

    def write(self, network: Network, folder: Path) -> None:
        import openvino

        model = openvino.convert_model(network.export())
        model.inputs[0].get_tensor().set_names({INPUT})
        for output, name in zip(model.outputs, network.outputs, strict=True):
            output.get_tensor().set_names({name})
        openvino.save_model(model, folder / self.file, compress_to_fp16=False)

    def load(
        self, folder: Path, threads: int | None = None, precision: str | None = "f32"
    ) -> Runner:
        """Return the network, by default in float32; None: in the precision of the processor."""
        import openvino

        options: dict[str, Any] = {} if precision is None else {"INFERENCE_PRECISION_HINT": precision}
        if threads is not None:
            options["INFERENCE_NUM_THREADS"] = threads
        compiled = openvino.Core().compile_model(folder / self.file, "CPU", options)

        def run(images: np.ndarray) -> list[np.ndarray]:
            found = compiled(images)
            return [np.array(found[output]) for output in compiled.outputs]

        return run

    def operators(self, folder: Path) -> Counter[str]:
        import openvino

        model = openvino.Core().read_model(folder / self.file)
        return Counter(node.get_type_name() for node in model.get_ops())
