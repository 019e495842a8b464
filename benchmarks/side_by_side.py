"""Ours against the released code, pytorch_wavelets and peers, time_interleaved in one process.

python benchmarks/side_by_side.py --released-code DIR [--only SECTION ...] [--rounds N]

Writes benchmarks/results/side_by_side.json, section by section. `released_code.py` describes DIR
and the environment. Both sides must give the same result on the same weights before timing.
"""

import argparse
import itertools
import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import timm
import torch
from provenance import provenance
from released_code import ReleasedCode
from torch import Tensor, nn

import spectralvision as sv
from spectralvision.analysis.speed import (
    Workload,
    apply_form,
    build_inference,
    build_training_step,
    measure_peak_memory,
    time_interleaved,
)
from spectralvision.mixers import (
    AdaptiveFrequencyFilter,
    DynamicFilter,
    GlobalFilter,
    HeatConduction,
    ScatteringMixer,
)
from spectralvision.ops import dtcwt2d, idtcwt2d
from spectralvision.runs import write_json

OUT = Path(__file__).parent / "results/side_by_side.json"
LAST = torch.channels_last
TOLERANCE = 1e-5


def row(
    work: str,
    against: str,
    runs: dict[str, Workload],
    target: dict[str, float],
    rounds: int,
    memory: bool = False,
    scale: float = 1.0,
) -> dict[str, Any]:
    """Time `runs` and compare them with the first. The ratios are multiplied by `scale`."""
    for run in runs.values():
        run()
    timings = time_interleaved(runs, rounds=rounds, warmup=2)
    base = next(iter(timings.values())).median
    found: dict[str, Any] = {"work": work, "against": against, "target": target, "forms": {}}
    for name, timing in timings.items():
        found["forms"][name] = {
            "milliseconds": round(1e3 * timing.median, 3),
            "quartiles": [round(1e3 * timing.low, 3), round(1e3 * timing.high, 3)],
            "ratio": round(scale * base / timing.median, 3),
        }
        if memory:
            found["forms"][name]["peak_memory_mib"] = round(
                measure_peak_memory(runs[name]) / 2**20, 1
            )
    print(
        work,
        {
            name: (one["milliseconds"], one["ratio"], one.get("peak_memory_mib"))
            for name, one in found["forms"].items()
        },
        flush=True,
    )
    return found


def images(
    side: int, batch: int = 8, order: torch.memory_format = torch.contiguous_format
) -> Tensor:
    return torch.rand(batch, 3, side, side).to(memory_format=order)


def same(one: Tensor, other: Tensor) -> None:
    error = (one - other).abs().max().item()
    assert error <= TOLERANCE, f"the two results differ by {error}"


def pair(released: ReleasedCode, name: str) -> tuple[nn.Module, nn.Module]:
    """Return theirs and ours with the same weights, ours with channels last in memory."""
    theirs = released.network(name).eval()
    ours = (
        sv.load_released(sv.create_model(name), theirs.state_dict()).eval().to(memory_format=LAST)
    )
    x = images(256 if name.startswith("affnet") else 224, 1)
    with torch.no_grad():
        same(theirs(x), ours(x.to(memory_format=LAST)))
    return theirs, ours


def affnet(released: ReleasedCode, rounds: int) -> list[dict[str, Any]]:
    theirs, ours = pair(released, "affnet")
    x, last = images(256), images(256, order=LAST)
    compiled = torch.compile(theirs, dynamic=False)
    runs = {
        "released, eager": build_inference(theirs, x),
        "ours, eager": build_inference(ours, last),
    }
    runs |= {
        f"ours, {form}": build_inference(apply_form(ours, form), last)
        for form in ("fused", "fused+compiled")
    }
    runs["released, compiled"] = build_inference(compiled, x)
    found = [
        row(
            "affnet, batch 8 at 256, inference",
            "released",
            runs,
            {"eager": 2.5, "compiled": 1.2},
            rounds,
        )
    ]
    theirs, ours = pair(released, "affnet")
    runs = {
        "released, eager": build_training_step(theirs, x),
        "ours, eager": build_training_step(ours, last),
    }
    compiled_ours: Any = torch.compile(ours, dynamic=False)
    runs["ours, compiled"] = build_training_step(compiled_ours, last)
    target = {"time": 1.5, "memory at most": 0.8}
    return [
        *found,
        row(
            "affnet, batch 8 at 256, training step",
            "released, eager",
            runs,
            target,
            rounds,
            memory=True,
        ),
    ]


def svt(released: ReleasedCode, rounds: int) -> list[dict[str, Any]]:
    theirs, ours = pair(released, "svt_s")
    x, last = images(224), images(224, order=LAST)
    runs = {
        "released, eager": build_inference(theirs, x),
        "ours, eager": build_inference(ours, last),
    }
    runs["ours, compiled"] = build_inference(apply_form(ours, "compiled"), last)
    found = [
        row("svt_s, batch 8 at 224, inference", "released, eager", runs, {"time": 2.5}, rounds)
    ]
    theirs, ours = pair(released, "svt_s")
    runs = {
        "released, eager": build_training_step(theirs, x),
        "ours, eager": build_training_step(ours, last),
    }
    return [
        *found,
        row(
            "svt_s, batch 8 at 224, training step",
            "released, eager",
            runs,
            {"time": 2.0},
            rounds,
            True,
        ),
    ]


def families(released: ReleasedCode, rounds: int) -> list[dict[str, Any]]:
    """Compare the other families in inference; vHeat's code states no license and is not run."""
    found = []
    x, last = images(224), images(224, order=LAST)
    for name in ("gfnet_xs", "gfnet_h_s", "dfformer_s18", "cdfformer_s18"):
        torch.compiler.reset()
        theirs, ours = pair(released, name)
        runs = {
            "released, eager": build_inference(theirs, x),
            "ours, eager": build_inference(ours, last),
        }
        runs |= {
            f"ours, {form}": build_inference(apply_form(ours, form), last)
            for form in ("fused", "fused+compiled")
        }
        work = f"{name}, batch 8 at 224, inference"
        found.append(row(work, "released, eager", runs, {"time": 1.3}, rounds))
    return found


def peers(released: ReleasedCode, rounds: int) -> list[dict[str, Any]]:
    last = images(224, order=LAST)
    found = []
    forms: tuple[Any, ...] = ("eager", "fused+compiled")
    for form in forms:
        pvt, ours = (
            timm.create_model(name).eval().to(memory_format=LAST)
            for name in ("pvt_v2_b2", "svt_h_s")
        )
        runs = {
            f"{name}, {form}": build_inference(apply_form(model, form), last)  # type: ignore[arg-type]
            for name, model in (("pvt_v2_b2", pvt), ("svt_h_s", ours))
        }
        found.append(
            row(f"svt_h_s, batch 8 at 224, {form}", "timm pvt_v2_b2", runs, {"time": 1.0}, rounds)
        )
    wide = images(256, order=LAST)
    for form in forms:
        repvit, ours = (
            timm.create_model(name).eval().to(memory_format=LAST)
            for name in ("repvit_m1", "affnet")
        )
        contestants: tuple[tuple[str, Any, Tensor], ...] = (
            (f"repvit_m1 at 224, {form}", repvit, last),
            (f"affnet at 256, {form}", ours, wide),
        )
        runs = {name: build_inference(apply_form(net, form), x) for name, net, x in contestants}
        work = f"affnet, 1.454 GMACs x images/s over repvit_m1's 0.83 GMACs x images/s, {form}"
        found.append(row(work, "timm repvit_m1", runs, {"rate": 0.6}, rounds, scale=1.454 / 0.83))
    return found


def mixers(released: ReleasedCode, rounds: int) -> list[dict[str, Any]]:
    found = []
    for shape, target in (((8, 128, 32, 32), 2.5), ((8, 256, 16, 16), 1.4), ((8, 320, 8, 8), 1.5)):
        theirs, x = released.adaptive_frequency_filter(shape[1]).eval(), torch.randn(shape)
        ours = sv.load_released(AdaptiveFrequencyFilter(shape[1]), theirs.state_dict()).eval()
        found.append(
            _mixer(
                f"AdaptiveFrequencyFilter {shape}, inference",
                theirs,
                ours,
                x,
                {"time": target},
                rounds,
            )
        )
    theirs, x = released.scattering_mixer(64).eval(), torch.randn(4, 64, 56, 56)
    ours = ScatteringMixer(64, mixing="channel")
    sv.load_released(
        ours, {name.removeprefix("mixer."): one for name, one in theirs.state_dict().items()}
    ).eval()
    work, target = "ScatteringMixer channel (4, 64, 56, 56)", {"time": 3.0, "memory at most": 0.5}
    found.append(_mixer(f"{work}, inference", theirs, ours, x, target, rounds))
    target = {"time": 2.5, "memory at most": 0.5}
    runs = {"released, eager": _backward(theirs, x), "ours, eager": _backward(ours, x)}
    runs["ours, compiled"] = _backward(torch.compile(ours, dynamic=False), x)
    return [
        *found,
        row(f"{work}, forward and backward", "released", runs, target, rounds, memory=True),
    ]


def _mixer(
    work: str, theirs: nn.Module, ours: nn.Module, x: Tensor, target: dict[str, float], rounds: int
) -> dict[str, Any]:
    with torch.no_grad():
        same(theirs(x), ours(x))
    torch.compiler.reset()
    runs = {"released, eager": build_inference(theirs, x), "ours, eager": build_inference(ours, x)}
    runs["ours, compiled"] = build_inference(apply_form(ours, "compiled"), x)
    return row(work, "released", runs, target, 3 * rounds, memory=True)


def _backward(function: Callable[[Tensor], Tensor], x: Tensor) -> Workload:
    leaf = x.clone().requires_grad_()

    def run() -> None:
        function(leaf).sum().backward()
        leaf.grad = None

    return run


def wavelets(released: ReleasedCode, rounds: int) -> list[dict[str, Any]]:
    from pytorch_wavelets import DTCWTForward, DTCWTInverse  # type: ignore[import-not-found]

    found = []
    for shape, levels, target in (((8, 64, 56, 56), 1, 3.0), ((8, 3, 256, 256), 3, 2.0)):
        sets = {"biort": "near_sym_b", "qshift": "qshift_b"}
        forward, inverse = DTCWTForward(J=levels, **sets), DTCWTInverse(**sets)
        x = torch.randn(shape)
        same(forward(x)[0], dtcwt2d(x, levels).lowpass)

        def theirs(x: Tensor, forward: nn.Module = forward, inverse: nn.Module = inverse) -> Tensor:
            return inverse(forward(x))

        def ours(x: Tensor, levels: int = levels) -> Tensor:
            return idtcwt2d(dtcwt2d(x, levels))

        def plain(function: Callable[[Tensor], Tensor], x: Tensor = x) -> Workload:
            def run() -> None:
                with torch.no_grad():
                    function(x)

            return run

        work = f"dtcwt2d and idtcwt2d, {levels} level{'s' * (levels > 1)}, {shape}"
        runs = {"pytorch_wavelets": plain(theirs), "ours, eager": plain(ours)}
        found.append(row(work, "pytorch_wavelets", runs, {"time": target}, 3 * rounds, memory=True))
        runs = {"pytorch_wavelets": _backward(theirs, x), "ours, eager": _backward(ours, x)}
        found.append(
            row(
                f"{work}, with backward",
                "pytorch_wavelets",
                runs,
                {"time": 2.0},
                2 * rounds,
                memory=True,
            )
        )
    return found


def growth(released: ReleasedCode, rounds: int) -> list[dict[str, Any]]:
    """Measure how time grows when the side doubles: maps of 64, 128 and 256, batch 1."""
    found = []
    for name, make in (
        ("AdaptiveFrequencyFilter, 64 channels", lambda side: AdaptiveFrequencyFilter(64)),
        (
            "ScatteringMixer channel, 64 channels",
            lambda side: ScatteringMixer(64, (side, side), "channel"),
        ),
        (
            "ScatteringMixer channel_token, 64 channels",
            lambda side: ScatteringMixer(64, (side, side), "channel_token"),
        ),
        ("GlobalFilter, 64 channels", lambda side: GlobalFilter(64, (side, side))),
        ("DynamicFilter, 64 channels", lambda side: DynamicFilter(64, (side, side))),
        ("HeatConduction, 64 channels", lambda side: HeatConduction(64, (side, side))),
    ):
        runs = {
            f"{side} x {side}": build_inference(make(side), torch.randn(1, 64, side, side))
            for side in (64, 128, 256)
        }
        one = row(f"{name}, batch 1", "itself", runs, {"growth at most": 4.5}, 3 * rounds)
        times = [form["milliseconds"] for form in one["forms"].values()]
        one["growth"] = [round(after / before, 2) for before, after in itertools.pairwise(times)]
        print(name, one["growth"])
        found.append(one)
    return found


SECTIONS = {
    "affnet": affnet,
    "svt": svt,
    "families": families,
    "peers": peers,
    "mixers": mixers,
    "wavelets": wavelets,
    "growth": growth,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--released-code", type=Path, required=True)
    parser.add_argument("--only", nargs="*", choices=SECTIONS, default=list(SECTIONS))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(options.threads)
    sv.tune_cpu()
    released = ReleasedCode(options.released_code)
    content = (json.loads(OUT.read_text()) if OUT.exists() else {}) | {
        "device": "cpu",
        "dtype": "float32",
    }
    for name in options.only:
        torch.compiler.reset()
        content[name] = SECTIONS[name](released, options.rounds)
        content["measured"] = content.get("measured", {}) | {name: provenance()}
        write_json(OUT, content)


if __name__ == "__main__":
    main()
