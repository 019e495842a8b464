"""On a GPU: the mixers with their Triton kernels and without.

python benchmarks/gpu_kernels.py        prints; as a section of `gpu.py` it is written to its file

For each mixer, size and dtype: the error of values and gradients against plain PyTorch in float32;
the time of a forward pass and of a training step in eager PyTorch, compiled, and with the kernels;
and the fraction of its roofline that each kernel reaches. The roofline of a launch is the longer of
two times: the bytes it must move over the measured rate of a copy, and its multiply-adds over the
measured rate of a large product in its dtype. The target is 0.5. Sizes with a faster kernel than
the compiled op belong into `FASTER_FROM_ELEMENTS` of `spectralvision.ops.kernel_choice`.
Letters: B batch, C channels, I features of a group, H W rows and columns, V = W // 2 + 1.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from spectralvision.analysis.speed import time_interleaved
from spectralvision.mixers import AdaptiveFrequencyFilter, ScatteringMixer
from spectralvision.ops.kernel_choice import FASTER_FROM_ELEMENTS, device_name

LAST = torch.channels_last
TARGET = 0.5
ROUNDS = 20
# For each kernel: bytes moved and multiply-adds of all its launches in one step.
Costs = dict[str, tuple[float, float]]
OPS = (
    "adaptive_frequency_filter",
    "scattering_channel_mixing",
    "scattering_channel_token_mixing",
)


class WithKernels(nn.Module):
    """A mixer that runs its Triton kernel, whatever the table of measurements contains."""

    def __init__(self, mixer: nn.Module) -> None:
        super().__init__()
        self.mixer = mixer

    def forward(self, x: Tensor) -> Tensor:
        saved = dict(FASTER_FROM_ELEMENTS)
        FASTER_FROM_ELEMENTS.update({(op, device_name(x.device), x.dtype): 0 for op in OPS})
        try:
            return self.mixer(x)
        finally:
            FASTER_FROM_ELEMENTS.clear()
            FASTER_FROM_ELEMENTS.update(saved)


def rates() -> dict[str, float]:
    """Return bytes per second of a copy, and multiply-adds per second of large products."""
    x, y = torch.empty(2, 1 << 28, device="cuda", dtype=torch.uint8)
    found = {"copy bytes/s": 2 * x.numel() / _median(lambda: y.copy_(x))}
    for dtype in (torch.float32, torch.bfloat16):
        a = torch.randn(8192, 8192, device="cuda", dtype=dtype)
        found[f"{dtype} MACs/s"] = 8192**3 / _median(lambda a=a: a @ a)
    return found


def _median(run: Callable[[], object]) -> float:
    return time_interleaved({"it": run}, rounds=ROUNDS, device="cuda")["it"].median


def filter_costs(batch: int, chans: int, groups: int, height: int, width: int, size: int) -> Costs:
    """Return the costs of the adaptive filter with its skip: `ops/triton/adaptive_filter.py`."""
    half, maps, features = width // 2 + 1, batch * chans, chans // groups
    moved = maps * height * width * size  # bytes of a tensor like x
    rows, columns, layer = (
        2 * height * width * half,
        4 * height**2 * half,
        4 * features * height * half,
    )
    return {
        "columns_forward": (2 * moved, maps * (rows + 2 * columns + 2 * layer)),
        "columns_backward": (3 * moved, maps * (2 * rows + 3 * columns + 6 * layer)),
        "rows": (2 * 3 * moved, 2 * maps * height * width**2),
    }


def mlp_costs(batch: int, chans: int, groups: int, height: int, width: int, size: int) -> Costs:
    """Return the costs of the scattering mixer's channel mixing: `ops/triton/complex_mlp.py`."""
    numbers = batch * 6 * (height // 2) * (width // 2) * chans  # complex
    layer = 4 * numbers * chans // groups
    # Backward: one layer recomputed, and of each layer the gradients of its input and its weight.
    return {"forward": (4 * numbers * size, 2 * layer), "backward": (6 * numbers * size, 5 * layer)}


def cases() -> list[tuple[str, nn.Module, tuple[int, ...], Callable[..., Costs], int]]:
    """Return name, mixer, shape, costs and groups of each case."""
    found: list[tuple[str, nn.Module, tuple[int, ...], Callable[..., Costs], int]] = []
    for chans, side in ((128, 32), (256, 16), (320, 8), (128, 64)):
        found.append(
            (
                f"AFF {chans} x {side} x {side}",
                AdaptiveFrequencyFilter(chans),
                (64, chans, side, side),
                filter_costs,
                8,
            )
        )
    found.append(
        (
            "scattering, channel",
            ScatteringMixer(64, mixing="channel"),
            (32, 64, 56, 56),
            mlp_costs,
            4,
        )
    )
    found.append(("scattering, channel_token", ScatteringMixer(64), (32, 64, 56, 56), mlp_costs, 4))
    return found


def passes(module: nn.Module, x: Tensor, toward: Tensor) -> dict[str, Callable[[], object]]:
    """Return a forward pass without gradients, and a forward and backward pass."""
    x = x.detach().requires_grad_()
    leaves = [x, *module.parameters()]

    def forward() -> Tensor:
        with torch.inference_mode():
            return module(x)

    return {"forward": forward, "training": lambda: torch.autograd.grad(module(x), leaves, toward)}


def errors(mixer: nn.Module, x: Tensor, toward: Tensor) -> dict[str, float]:
    """Return the relative error (norm) of value and gradients against the mixer in float32."""
    names = ["y", "x", *(name for name, _ in mixer.named_parameters())]
    results = []
    for module, dtype in ((WithKernels(mixer), x.dtype), (mixer, torch.float32)):
        leaves = [x.detach().to(dtype).requires_grad_(), *mixer.parameters()]
        y = module(leaves[0])
        results.append([y, *torch.autograd.grad(y, leaves, toward.to(y.dtype))])
    pairs = zip(names, *results, strict=True)
    return {
        name: ((one.float() - other).norm() / other.norm()).item() for name, one, other in pairs
    }


def roofline_fractions(
    run: Callable[[], object], costs: Costs, dtype: torch.dtype, machine: dict[str, float]
) -> dict[str, Any]:
    """Return microseconds and the fraction of the roofline for each kernel that `run` launches."""
    run()
    torch.cuda.synchronize()
    with profile(activities=[ProfilerActivity.CUDA]) as record:
        for _ in range(ROUNDS):
            run()
        torch.cuda.synchronize()
    found = {}
    for event in record.key_averages():
        if event.key in costs:
            moved, products = costs[event.key]
            seconds = 1e-6 * event.device_time_total / ROUNDS
            times = {
                "bytes": moved / machine["copy bytes/s"],
                "products": products / machine[f"{dtype} MACs/s"],
            }
            found[event.key] = {
                "microseconds": 1e6 * seconds,
                "bound": max(times, key=lambda bound: times[bound]),
                "fraction": max(times.values()) / seconds,
                "target": TARGET,
            }
    return found


def measure(
    name: str, mixer: nn.Module, x: Tensor, costs: Costs, machine: dict[str, float]
) -> dict[str, Any]:
    """Measure one mixer on one input."""
    toward = torch.randn_like(x)
    forms = {
        "eager": mixer,
        "compiled": torch.compile(mixer, dynamic=False),
        "kernels": WithKernels(mixer),
    }
    runs = {form: passes(module, x, toward) for form, module in forms.items()}
    row: dict[str, Any] = {"mixer": name, "shape": list(x.shape), "dtype": str(x.dtype)}
    row["errors"] = errors(mixer, x, toward)
    for work in ("forward", "training"):
        timings = time_interleaved(
            {form: run[work] for form, run in runs.items()}, rounds=ROUNDS, device="cuda"
        )
        row[work] = {
            form: {"milliseconds": 1e3 * one.median, "ratio": timings["eager"].median / one.median}
            for form, one in timings.items()
        }
    row["kernels"] = roofline_fractions(runs["kernels"]["training"], costs, x.dtype, machine)
    return row


def kernels(released: Any = None) -> list[dict[str, Any]]:
    """Measure all mixers in float32 and bfloat16; a failure is recorded, the others continue."""
    machine, found = rates(), []
    for name, mixer, shape, costs, groups in cases():
        mixer = mixer.cuda()
        for dtype in (torch.float32, torch.bfloat16):
            x = torch.randn(shape, device="cuda", dtype=dtype)
            x = x.to(memory_format=LAST) if isinstance(mixer, ScatteringMixer) else x
            chans = shape[1] // (2 if getattr(mixer, "mixing", "") == "channel_token" else 1)
            moved = costs(shape[0], chans, groups, *shape[2:], x.element_size())
            try:
                row = measure(name, mixer, x, moved, machine)
            except Exception as problem:  # including kernels that do not compile on this device
                row = {
                    "mixer": name,
                    "dtype": str(dtype),
                    "failed": f"{type(problem).__name__}: {problem}"[:500],
                }
            found.append(row)
            print(row, flush=True)
    return found


if __name__ == "__main__":
    if not torch.cuda.is_available():
        raise SystemExit("this benchmark needs a CUDA device, but torch finds none.")
    kernels()
