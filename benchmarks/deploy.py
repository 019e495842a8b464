"""Exported models beside peers and the released code, interleaved in one process.

python benchmarks/deploy.py latency --released-code DIR [--rounds N]
python benchmarks/deploy.py mobile [--rounds N]
python benchmarks/deploy.py int8 --cifar10 DIR [--rounds N]

Writes benchmarks/results/deploy.json, section by section. Batch 1, two threads, random weights but
for `int8`, float32 but where a row says otherwise; a ratio is the median over the rounds of our
time to theirs. `released_code.py` describes DIR; that of --cifar10 has CIFAR-10 as Parquet shards.
`mobile` needs the extra of that name, and ExecuTorch chooses its threads itself.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import timm
import torch
from provenance import provenance
from released_code import ReleasedCode
from torch import nn

import spectralvision as sv
from spectralvision.export.base import Network, Runner
from spectralvision.export.prepare import prepare
from spectralvision.export.registry import TARGETS
from spectralvision.export.verify import smooth_images
from spectralvision.export.write import size_of, write
from spectralvision.runs import read_json, write_json
from spectralvision.tasks.exporting import ExportConfig, export
from spectralvision.tasks.registry import task_of

OUT = Path(__file__).parent / "results/deploy.json"
THREADS = 2
SIZES = {"svt_h_s": 224, "svt_s": 224, "pvt_v2_b2": 224, "repvit_m1_1": 224}
SIZE = 256
EAGER = "eager"
FAST = ("onnx", "openvino", "pt2")


@dataclass(frozen=True)
class Row:
    """A line of the table: each of our runtimes against each of theirs; the best counts."""

    ours: str
    our_runtimes: tuple[str, ...]
    theirs: str
    their_runtimes: tuple[str, ...]
    target: float | None


LATENCY = (
    Row("affnet", ("onnx",), "mobilevit_s", ("onnx",), 0.70),
    Row("affnet", ("openvino",), "mobilevit_s", ("openvino",), 0.95),
    Row("affnet_et", ("onnx",), "mobilevit_xxs", ("onnx",), 0.70),
    Row("affnet", FAST, "released affnet", (EAGER,), 0.25),
    Row("svt_h_s", FAST, "released svt_s", (EAGER,), 0.25),
    Row("svt_h_s", ("onnx",), "pvt_v2_b2", ("onnx",), 1.0),
    Row("affnet", FAST, "repvit_m1_1", FAST, 1.5),
)
MOBILE = (
    Row("affnet", ("litert",), "mobilevit_s", ("litert",), 1.0),
    Row("affnet", ("executorch",), "mobilevit_s", ("executorch",), 1.0),
    Row("affnet", ("ncnn",), "repvit_m1_1", ("ncnn",), None),
)


def build(name: str, released: ReleasedCode | None) -> nn.Module:
    """Return a model of ours, of timm, or of the authors."""
    torch.manual_seed(0)
    if not name.startswith("released "):
        return timm.create_model(name).eval()
    assert released is not None, "--released-code is missing"
    return released.network(name.removeprefix("released ")).eval()


def load(name: str, runtime: str, folder: Path, released: ReleasedCode | None) -> Runner:
    """Return a model that is ready to run, after comparing it with PyTorch."""
    size = SIZES.get(name.removeprefix("released "), SIZE)
    model, image = build(name, released), smooth_images((size, size), 1)
    network = Network(module=model, example=image, outputs=("logits",))
    if runtime == EAGER:
        return lambda images: network.run(torch.from_numpy(images))
    folder = folder / f"{name}-{runtime}"
    folder.mkdir()
    target = TARGETS[runtime]
    write(target, replace(network, module=prepare(model, image)), folder)
    (expected,) = network.run(image)
    (found,) = target.load(folder, **target.verified_with)(image.numpy())
    difference = float(np.abs(expected - found).max() / np.abs(expected).max())
    print(f"{name} on {runtime}: {difference:.1e}, {size_of(folder)} bytes", flush=True)
    assert difference <= 1e-3
    return target.load(folder, THREADS)


def time_rounds(runs: Mapping[Any, Callable[[], object]], rounds: int) -> dict[Any, list[float]]:
    """Return the seconds of each run in each round; before each is a run that is not timed."""
    seconds: dict[Any, list[float]] = {key: [] for key in runs}
    for number in range(rounds + 2):
        for key, run in runs.items():
            run()
            start = time.perf_counter()
            run()
            if number >= 2:
                seconds[key].append(time.perf_counter() - start)
    return seconds


def compare(rows: tuple[Row, ...], rounds: int, released: ReleasedCode | None) -> list[Any]:
    """Return the measured rows."""
    needed = dict.fromkeys(
        (name, runtime)
        for row in rows
        for name, runtimes in ((row.ours, row.our_runtimes), (row.theirs, row.their_runtimes))
        for runtime in runtimes
    )
    with TemporaryDirectory() as folder:
        runs = {}
        for name, runtime in needed:
            size = SIZES.get(name.removeprefix("released "), SIZE)
            image = smooth_images((size, size), 1).numpy()
            run = load(name, runtime, Path(folder), released)
            runs[name, runtime] = lambda run=run, image=image: run(image)
        seconds = time_rounds(runs, rounds)
    return [measured(row, seconds) for row in rows]


def measured(row: Row, seconds: Mapping[Any, list[float]]) -> dict[str, Any]:
    def best(name: str, runtimes: tuple[str, ...]) -> str:
        return min(runtimes, key=lambda runtime: statistics.median(seconds[name, runtime]))

    ours, theirs = best(row.ours, row.our_runtimes), best(row.theirs, row.their_runtimes)
    pairs = zip(seconds[row.ours, ours], seconds[row.theirs, theirs], strict=True)
    found = {
        "work": row.ours,
        "runtime": ours,
        "against": row.theirs,
        "their_runtime": theirs,
        "milliseconds": round(1e3 * statistics.median(seconds[row.ours, ours]), 2),
        "their_milliseconds": round(1e3 * statistics.median(seconds[row.theirs, theirs]), 2),
        "ratio": round(statistics.median(mine / other for mine, other in pairs), 3),
        "target": row.target,
    }
    print(found, flush=True)
    return found


def int8(cifar10: Path, rounds: int) -> dict[str, Any]:
    """Return accuracy and size on CIFAR-10, and the latency of affnet at 256."""
    found: dict[str, Any] = {"accuracy": [], "latency": []}
    with TemporaryDirectory() as name:
        folder = Path(name)
        for target in ("onnx", "openvino"):
            accuracies, sizes = {}, {}
            for kind in ("float32", "int8"):
                out = folder / f"{target}-{kind}"
                result = export(
                    ExportConfig(
                        model="affnet_et.cifar10",
                        target=target,
                        out=out,
                        int8=kind == "int8",
                        data=str(cifar10),
                    )
                )
                accuracies[kind] = accuracy(TARGETS[target].load(out), cifar10)
                sizes[kind] = result["bytes"]
            row = {
                "target": target,
                "accuracy": accuracies["float32"],
                "accuracy_int8": accuracies["int8"],
                "points_lost": round(100 * (accuracies["float32"] - accuracies["int8"]), 2),
                "bytes": sizes,
                "size_ratio": round(sizes["int8"] / sizes["float32"], 3),
            }
            print(row, flush=True)
            found["accuracy"].append(row)

        # Latency does not depend on the weights
        model, images = build("affnet", None), smooth_images((SIZE, SIZE), 32)
        network = Network(
            module=prepare(model, images[:1]), example=images[:1], outputs=("logits",)
        )
        runs, sizes = {}, {}
        for target in ("onnx", "openvino"):
            for kind in ("float32", "int8"):
                out = folder / f"affnet-{target}-{kind}"
                out.mkdir()
                write(TARGETS[target], network, out, images.numpy() if kind == "int8" else None)
                sizes[target, kind] = size_of(out)
            for kind, file, options in (
                ("float32", "float32", TARGETS[target].verified_with),
                ("default precision", "float32", {}),
                ("int8", "int8", {}),
            ):
                run = TARGETS[target].load(folder / f"affnet-{target}-{file}", THREADS, **options)
                runs[target, kind] = lambda run=run: run(images[:1].numpy())
        seconds = time_rounds(runs, rounds)
        for target in ("onnx", "openvino"):
            times = {kind: one for (name, kind), one in seconds.items() if name == target}
            ratios = {
                kind: statistics.median(
                    one / other for one, other in zip(times["int8"], times[kind], strict=True)
                )
                for kind in times
            }
            row = {
                "target": target,
                "milliseconds": {
                    kind: round(1e3 * statistics.median(one), 2) for kind, one in times.items()
                },
                "ratio": round(ratios["float32"], 3),
                "ratio_to_default_precision": round(ratios["default precision"], 3),
                "size_ratio": round(sizes[target, "int8"] / sizes[target, "float32"], 3),
            }
            print(row, flush=True)
            found["latency"].append(row)
    return found


def accuracy(run: Runner, cifar10: Path) -> float:
    """Return top-1 of the bundled model on the 10,000 test images."""
    task = task_of("affnet_et.cifar10")
    model = task.load("affnet_et.cifar10")
    deployable = task.deployable(model, None, "auto")
    data = task.match(task.open(str(cifar10)), model, "affnet_et.cifar10")
    images = data.split("test")
    right = 0
    for index in range(len(images)):
        (logits,) = run(deployable.prepare([images.image(index)]).numpy())
        right += int(logits[0].argmax() == images.labels[index])
    assert len(images) == 10_000
    return right / len(images)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("section", choices=("latency", "mobile", "int8"))
    parser.add_argument("--released-code", type=Path)
    parser.add_argument("--cifar10", type=Path)
    parser.add_argument("--rounds", type=int, default=40)
    options = parser.parse_args()
    sv.tune_cpu()
    torch.set_num_threads(THREADS)
    released = ReleasedCode(options.released_code) if options.released_code else None
    if options.section == "int8":
        rows: Any = int8(options.cifar10, options.rounds)
    else:
        table = LATENCY if options.section == "latency" else MOBILE
        rows = compare(table, options.rounds, released)
    known = read_json(OUT) if OUT.is_file() else {}
    write_json(OUT, known | {options.section: {"rows": rows, "provenance": provenance()}})


if __name__ == "__main__":
    main()
