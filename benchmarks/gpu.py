"""On a GPU: correctness, speed against the released code, the kernels (`gpu_kernels.py`).

python benchmarks/gpu.py [--released-code DIR] [--out FILE]        writes results/gpu.json

Each section is written as soon as it is finished, so an interrupted run keeps its measurements.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gpu_kernels
import torch
from provenance import provenance
from torch import nn

import spectralvision as sv
from spectralvision.analysis.speed import build_inference, build_training_step, time_interleaved
from spectralvision.mixers import AdaptiveFrequencyFilter, ScatteringMixer
from spectralvision.ops import irfft2
from spectralvision.runs import write_json

LAST = torch.channels_last


def same_inverse(released: Any) -> dict[str, Any]:
    """Return the largest difference between CPU and GPU of irfft2 of non-Hermitian spectra."""
    errors = {}
    for size in ((8, 8), (7, 9), (32, 32), (56, 56), (33, 47)):
        re, im = torch.randn(2, 4, 16, size[0], size[1] // 2 + 1)
        for form in ("fft", "matmul"):
            on_gpu = irfft2(re.cuda(), im.cuda(), size, form).cpu()  # type: ignore[arg-type]
            errors[f"{size} {form}"] = (on_gpu - irfft2(re, im, size, form)).abs().max().item()  # type: ignore[arg-type]
    return errors


def rates(released: Any) -> dict[str, float]:
    """Return the rates of the machine: copied bytes and multiply-adds per second."""
    return gpu_kernels.rates()


def networks(released: Any) -> list[dict[str, Any]]:
    """Time mixers and networks in bfloat16 autocast, ours and, if available, the released code."""
    found = []
    for name, side in (("affnet", 256), ("svt_h_s", 224), ("svt_s", 224)):
        x = torch.rand(64, 3, side, side, device="cuda").to(memory_format=LAST)
        ours = sv.create_model(name).cuda().to(memory_format=LAST)
        runs = {"ours, eager": ours, "ours, compiled": torch.compile(ours, dynamic=False)}
        if released and name != "svt_h_s":
            runs = {"released": released.network(name).cuda()} | runs
        for work, make in (("inference", build_inference), ("training step", build_training_step)):
            found.append(
                _timed(
                    f"{name}, batch 64, {work}",
                    {k: make(m, x, "bf16-mixed") for k, m in runs.items()},
                )
            )
    for work, shape, ours, theirs in _mixers(released):
        x = torch.randn(shape, device="cuda")
        runs = {"released": theirs.cuda()} if theirs else {}
        runs |= {
            "ours, eager": ours.cuda(),
            "ours, compiled": torch.compile(ours.cuda(), dynamic=False),
        }
        found.append(
            _timed(work, {name: build_inference(module, x) for name, module in runs.items()})
        )
    return found


def _mixers(released: Any) -> list[tuple[str, tuple[int, ...], nn.Module, nn.Module | None]]:
    return [
        (
            "AFF (64, 128, 32, 32)",
            (64, 128, 32, 32),
            AdaptiveFrequencyFilter(128),
            released.adaptive_frequency_filter(128) if released else None,
        ),
        (
            "scattering channel (32, 64, 56, 56)",
            (32, 64, 56, 56),
            ScatteringMixer(64, mixing="channel"),
            released.scattering_mixer(64) if released else None,
        ),
    ]


def _timed(work: str, runs: dict[str, Callable[[], object]]) -> dict[str, Any]:
    for run in runs.values():
        run()
    timings = time_interleaved(runs, rounds=10, device="cuda")
    first = next(iter(timings.values())).median
    row = {
        name: {"milliseconds": 1e3 * one.median, "ratio": first / one.median}
        for name, one in timings.items()
    }
    print(work, row, flush=True)
    return {"work": work, "forms": row}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--released-code", type=Path)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results/gpu.json")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        raise SystemExit("this benchmark needs a CUDA device, but torch finds none.")
    released = None
    if options.released_code:
        from released_code import ReleasedCode

        released = ReleasedCode(options.released_code)
    content: dict[str, Any] = {"device": torch.cuda.get_device_name(), "measured": provenance()}
    for section in (same_inverse, rates, gpu_kernels.kernels, networks):
        content[section.__name__] = section(released)
        write_json(options.out, content)


if __name__ == "__main__":
    main()
