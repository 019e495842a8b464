"""The runtimes by name."""

from spectralvision.export.aot_inductor import AotInductor
from spectralvision.export.base import Target
from spectralvision.export.core_ml import CoreMl
from spectralvision.export.executorch import ExecuTorch
from spectralvision.export.litert import LiteRt
from spectralvision.export.ncnn import Ncnn
from spectralvision.export.onnx import Onnx
from spectralvision.export.openvino import OpenVino
from spectralvision.export.web import Web
from spectralvision.runs import UserError, suggest

TARGETS: dict[str, Target] = {
    one.name: one
    for one in (
        Onnx(),
        OpenVino(),
        AotInductor(),
        ExecuTorch(),
        LiteRt(),
        CoreMl(),
        Ncnn(),
        Web(),
    )
}


def find_target(name: str) -> Target:
    """Return the runtime of a name.

    Raises:
        UserError: There is no such runtime.
    """
    if name not in TARGETS:
        raise UserError(
            f"--target {name} is not known: {suggest(name, TARGETS, 'the targets are')}"
        )
    return TARGETS[name]
