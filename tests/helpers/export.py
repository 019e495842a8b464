"""Small networks for the tests of export, and what files may contain."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from spectralvision.export.base import Network, Target
from spectralvision.export.prepare import prepare
from spectralvision.export.verify import compare, smooth_images
from tests.helpers.twins import twin

FAMILIES = (
    "affnet_et", "svt_h_s", "svt_s", "svt_v_t", "gfnet_h_ti", "dfformer_s18", "gfformer_s18",
    "vheat_t",
)  # fmt: skip
"""A model of each family and mixer."""
SIZE = (64, 64)
_TENSORRT = (
    "Abs Add ArgMax AveragePool BatchNormalization Cast Ceil Clip Concat Constant ConstantOfShape "
    "Conv ConvTranspose Cos DepthToSpace DequantizeLinear Div Einsum Equal Erf Exp Expand Flatten "
    "Floor Gather GatherElements GatherND Gelu Gemm GlobalAveragePool GlobalMaxPool Greater "
    "GreaterOrEqual HardSigmoid HardSwish Identity InstanceNormalization LayerNormalization "
    "LeakyRelu Less LessOrEqual Log LogSoftmax MatMul Max MaxPool Mean Min Mod Mul Neg Not OneHot "
    "Or Pad Pow QuantizeLinear Range Reciprocal ReduceMax ReduceMean ReduceMin ReduceSum Relu "
    "Reshape Resize Round Shape Shrink Sigmoid Sign Sin Slice Softmax Softplus Split Sqrt Squeeze "
    "Sub Sum Tanh Tile TopK Transpose Trilu Unsqueeze Where Xor"
)
TENSORRT = frozenset(_TENSORRT.split())
"""From the operator support matrix of onnx-tensorrt, docs/operators.md, without those that no
network of ours should need: recurrent ones, random ones, control flow."""


def network(
    module: nn.Module, outputs: Sequence[str] = ("logits",), size: tuple[int, int] = SIZE,
    is_dynamic: bool = False,
) -> Network:  # fmt: skip
    """Return a network with a seeded image, prepared for export."""
    example = smooth_images(size, 1)
    return Network(
        module=prepare(module.eval(), example),
        example=example,
        outputs=tuple(outputs),
        is_dynamic=is_dynamic,
    )


def classifier(name: str) -> nn.Module:
    """Return a narrow, shallow model of ours, in which every weight matters."""
    torch.manual_seed(0)
    model = twin(name)
    for norm in model.modules():
        if isinstance(norm, nn.BatchNorm2d):
            for values, low, high in ((norm.running_mean, -0.2, 0.2), (norm.running_var, 0.5, 2)):
                assert values is not None
                nn.init.uniform_(values, low, high)
        weight, bias = getattr(norm, "weight", None), getattr(norm, "bias", None)
        if "Norm" in type(norm).__name__ and weight is not None:
            nn.init.uniform_(weight, 0.5, 1.5)
            if bias is not None:
                nn.init.uniform_(bias, -0.2, 0.2)
    return model.eval()


def largest_difference(target: Target, folder: Path, original: Network, images: Tensor) -> float:
    """Return the largest relative difference between a file and the network, image by image."""
    run = target.load(folder, **target.verified_with)
    differences = [
        one.largest
        for image in images.split(1)
        for one in compare(original.outputs, original.run(image), run(image.numpy()))
    ]
    assert differences
    return max(differences)


def write_images(folder: Path, number: int = 3) -> list[Path]:
    """Write pictures of several sizes and modes; return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for index in range(number):
        size = (64 + 37 * index, 90 - 11 * index)
        pixels = (smooth_images(size, 1, seed=index)[0].permute(1, 2, 0).numpy() * 255).round()
        image = Image.fromarray(pixels.astype(np.uint8))
        if index == 1:
            image.putalpha(Image.linear_gradient("L").resize(image.size))
        paths.append(folder / f"{index}.png")
        image.save(paths[-1])
    return paths
