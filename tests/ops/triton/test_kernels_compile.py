"""The kernels compiled for a Hopper GPU, which needs no GPU: shared memory and spilled bytes."""

import re
import subprocess
from pathlib import Path

import pytest

MAX_SHARED_BYTES = 232448  # of a program
# features, height, width, dtype, most bytes that a thread may spill forward and backward
FILTERS = [(16, 32, 32, "bf16", 0, 64), (32, 16, 16, "bf16", 0, 256), (40, 8, 8, "bf16", 0, 2560),
           (16, 64, 64, "bf16", 0, 1024), (16, 32, 32, "fp32", 1024, 2048)]  # fmt: skip
# features, rows of a tile, dtype, product, the same
MLPS = [
    (16, 128, "bf16", False, 0, 0),
    (40, 64, "bf16", True, 64, 2048),
    (16, 128, "fp32", False, 0, 128),
]


def compile_kernel(kernel, types, constants):
    """Compile a kernel for compute capability 9.0; return (shared memory, bytes spilled)."""
    triton = pytest.importorskip("triton")
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    options = {name: constants.pop(name) for name in ("num_warps", "num_stages")}
    names = kernel.arg_names
    source = ASTSource(
        kernel,
        {name: "constexpr" if name in constants else types[name] for name in names},
        {(names.index(name),): value for name, value in constants.items()},
        {
            (i,): [["tt.divisibility", 16]]
            for i, name in enumerate(names)
            if name not in constants and "*" in types[name]
        },
    )
    result = triton.compile(source, target=GPUTarget("cuda", 90, 32), options=options)
    tool = Path(triton.__file__).parent / "backends/nvidia/bin/cuobjdump"
    cubin = Path(result.metadata_group[f"{result.metadata.name}.cubin"])
    usage = subprocess.run(
        [tool, "-res-usage", cubin], capture_output=True, text=True, check=True
    ).stdout
    return result.metadata.shared, int(re.search(r"STACK:(\d+)", usage)[1])


@pytest.mark.slow
@pytest.mark.parametrize("back", [False, True], ids=["forward", "backward"])
@pytest.mark.parametrize(("features", "height", "width", "dtype", "spill", "spill_back"), FILTERS)
def test_adaptive_filter(features, height, width, dtype, spill, spill_back, back):
    pytest.importorskip("triton")
    from spectralvision.ops.triton import adaptive_filter_kernels as kernels
    from spectralvision.ops.triton.adaptive_filter import choose_tile

    constants = choose_tile(features, height, width, back) | {
        "H": height,
        "W": width,
        "V": width // 2 + 1,
        "GROUPS": 8,
    }
    constants |= {"FEATURES": features, "SILU": True} | ({"SPLITS": 8} if back else {})
    kernel = kernels.columns_backward if back else kernels.columns_forward
    types = dict.fromkeys(kernel.arg_names, f"*{dtype}") | {"threshold": "fp32", "batch": "i32"}
    types |= dict.fromkeys(("gw1", "gb1", "gw2", "gb2"), "*fp32")
    shared, spilled = compile_kernel(kernel, types, constants)
    assert shared <= MAX_SHARED_BYTES
    assert spilled <= (spill_back if back else spill)


@pytest.mark.slow
@pytest.mark.parametrize("back", [False, True], ids=["forward", "backward"])
@pytest.mark.parametrize(("features", "rows", "dtype", "multiply", "spill", "spill_back"), MLPS)
def test_complex_mlp(features, rows, dtype, multiply, spill, spill_back, back):
    pytest.importorskip("triton")
    from spectralvision.ops.triton import complex_mlp_kernels as kernels
    from spectralvision.ops.triton.complex_mlp import PRECISION

    wide = max(16, 1 << (features - 1).bit_length())
    constants = {
        "GROUPS": 4,
        "FEATURES": features,
        "WIDTH": wide,
        "BLOCK": rows,
        "SILU": multiply,
        "xi": 1,
    }
    constants |= {"MULTIPLY": multiply, "PRECISION": PRECISION, "num_warps": 8, "num_stages": 1}
    constants |= {"SPLITS": 66, "gi": 1} if back else {"yi": 1}
    kernel = kernels.backward if back else kernels.forward
    types = {
        name: f"*{dtype}" if re.match(r"(x|y|g|gx)_|[wb]\d", name) else "i32"
        for name in kernel.arg_names
    }
    types |= dict.fromkeys(("gw1", "gb1", "gw2", "gb2"), "*fp32") | {"threshold": "fp32"}
    shared, spilled = compile_kernel(kernel, types, constants)
    assert shared <= MAX_SHARED_BYTES
    assert spilled <= (spill_back if back else spill)


@pytest.mark.slow
@pytest.mark.parametrize("width", [8, 33, 64])
def test_rows(width):
    pytest.importorskip("triton")
    from spectralvision.ops.triton import adaptive_filter_kernels as kernels
    from spectralvision.ops.triton.complex_mlp import PRECISION

    wide = max(16, 1 << (width - 1).bit_length())
    constants = {"W": width, "WIDTH": wide, "BLOCK": 128, "SKIP": True, "PRECISION": PRECISION}
    types = dict.fromkeys(kernels.rows.arg_names, "*bf16") | {"count": "i32"}
    shared, spilled = compile_kernel(
        kernels.rows, types, constants | {"num_warps": 4, "num_stages": 3}
    )
    assert shared <= MAX_SHARED_BYTES
    assert spilled <= 128
