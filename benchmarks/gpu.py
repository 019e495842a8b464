"""On a GPU: correctness of what only runs there, speed against the released code, the kernel's share of its roofline.

python benchmarks/gpu.py [--released-code DIR] [--out FILE]        writes results/gpu.json

Sections are independent and written as they end, so that a call that is cut short leaves what it has measured.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

import spectralvision as sv
from spectralvision.analysis.speed import inference, interleaved, training_step
from spectralvision.mixers import AdaptiveFrequencyFilter, ScatteringMixer
from spectralvision.ops import irfft2
from spectralvision.ops.complex_mlp import complex_mlp, complex_mlp_torch
from spectralvision.runs import write_json

LAST = torch.channels_last


def same_inverse(released: Any) -> dict[str, Any]:
    """irfft2 of spectra that are not Hermitian, CPU against GPU: the largest difference."""
    errors = {}
    for size in ((8, 8), (7, 9), (32, 32), (56, 56), (33, 47)):
        re, im = torch.randn(2, 4, 16, size[0], size[1] // 2 + 1)
        for form in ("fft", "matmul"):
            on_gpu = irfft2(re.cuda(), im.cuda(), size, form).cpu()  # type: ignore[arg-type]
            errors[f"{size} {form}"] = (on_gpu - irfft2(re, im, size, form)).abs().max().item()  # type: ignore[arg-type]
    return errors


def rates(released: Any) -> dict[str, float]:
    """What the machine does: copied bytes and multiply-adds in bfloat16 products, a second."""
    x, y = torch.empty(2, 1 << 28, device="cuda", dtype=torch.uint8)
    a = torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16)
    timings = interleaved({"copy": lambda: y.copy_(x), "product": lambda: a @ a}, rounds=20, device="cuda")
    return {"copy bytes/s": 2 * x.numel() / timings["copy"].median, "MACs/s": 8192**3 / timings["product"].median}


def kernel(released: Any) -> list[dict[str, Any]]:
    """The complex MLP in one launch against plain PyTorch: error, time, and its share of the copy bandwidth."""
    bandwidth, found = rates(None)["copy bytes/s"], []
    for batch, groups, features, positions, act, multiply in (
        (64, 8, 16, 32 * 17, "silu", True), (64, 8, 32, 16 * 9, "silu", True), (64, 8, 40, 8 * 5, "silu", True),
        (32, 4, 16, 6 * 28 * 28, "relu", False),
    ):  # fmt: skip
        for dtype in (torch.float32, torch.bfloat16):
            x = torch.randn(2, batch, groups, features, positions, device="cuda", dtype=dtype)
            weights = [torch.randn(2, groups, features, features, device="cuda", dtype=dtype) / features**0.5] * 2
            biases = [torch.randn(2, groups, features, device="cuda", dtype=dtype)] * 2
            arguments: Any = (*x, weights[0], biases[0], weights[1], biases[1], act, 0.01, multiply)
            runs: dict[str, Callable[[], object]] = {
                "torch": lambda a=arguments: complex_mlp_torch(*a),
                "kernel": lambda a=arguments: complex_mlp(*a),
            }
            pairs = zip(complex_mlp(*arguments), complex_mlp_torch(*arguments), strict=True)
            error = max((one - other).abs().max().item() for one, other in pairs)
            timings = interleaved(runs, rounds=30, device="cuda")
            moved = 2 * x.numel() * x.element_size()
            found.append({
                "shape": [batch, groups, features, positions], "dtype": str(dtype), "error": error,
                "ratio": timings["torch"].median / timings["kernel"].median,
                "share of copy bandwidth": moved / timings["kernel"].median / bandwidth, "target share": 0.5,
            })  # fmt: skip
            print(found[-1], flush=True)
    return found


def networks(released: Any) -> list[dict[str, Any]]:
    """Mixers and networks in bfloat16 autocast, ours and, where there is the released code, theirs."""
    found = []
    for name, side in (("affnet", 256), ("svt_h_s", 224), ("svt_s", 224)):
        x = torch.rand(64, 3, side, side, device="cuda").to(memory_format=LAST)
        ours = sv.create_model(name).cuda().to(memory_format=LAST)
        runs = {"ours, eager": ours, "ours, compiled": torch.compile(ours, dynamic=False)}
        if released and name != "svt_h_s":
            runs = {"released": released.network(name).cuda()} | runs
        for work, make in (("inference", inference), ("training step", training_step)):
            found.append(_timed(f"{name}, batch 64, {work}", {k: make(m, x, "bf16-mixed") for k, m in runs.items()}))
    for work, shape, ours, theirs in _mixers(released):
        x = torch.randn(shape, device="cuda")
        runs = {"released": theirs.cuda()} if theirs else {}
        runs |= {"ours, eager": ours.cuda(), "ours, compiled": torch.compile(ours.cuda(), dynamic=False)}
        found.append(_timed(work, {name: inference(module, x) for name, module in runs.items()}))
    return found


def _mixers(released: Any) -> list[tuple[str, tuple[int, ...], nn.Module, nn.Module | None]]:
    return [
        ("AFF (64, 128, 32, 32)", (64, 128, 32, 32), AdaptiveFrequencyFilter(128),
         released.adaptive_frequency_filter(128) if released else None),
        ("scattering channel (32, 64, 56, 56)", (32, 64, 56, 56), ScatteringMixer(64, mixing="channel"),
         released.scattering_mixer(64) if released else None),
    ]  # fmt: skip


def _timed(work: str, runs: dict[str, Callable[[], object]]) -> dict[str, Any]:
    for run in runs.values():
        run()
    timings = interleaved(runs, rounds=10, device="cuda")
    first = next(iter(timings.values())).median
    row = {name: {"milliseconds": 1e3 * one.median, "ratio": first / one.median} for name, one in timings.items()}
    print(work, row, flush=True)
    return {"work": work, "forms": row}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--released-code", type=Path)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results/gpu.json")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        raise SystemExit("this measures a CUDA device, and torch finds none.")
    released = None
    if options.released_code:
        from released_code import ReleasedCode

        released = ReleasedCode(options.released_code)
    content: dict[str, Any] = {"device": torch.cuda.get_device_name(), "torch": torch.__version__}
    for section in (same_inverse, rates, kernel, networks):
        content[section.__name__] = section(released)
        write_json(options.out, content)


if __name__ == "__main__":
    main()
