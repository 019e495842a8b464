"""bfloat16 against float32 on a CPU: speed, and how often the most probable class is the same.

python benchmarks/half_precision.py RUN DATA [RUN DATA ...] [--sides 256 ...]

Writes benchmarks/results/half_precision.json.

RUN is a trained run folder, DATA the data set whose held-out images are classified at the run's own
input size. Speed is measured with batch 8 at the corresponding value of --sides.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from provenance import provenance
from torch import nn

from spectralvision import tune_cpu
from spectralvision.analysis.speed import build_inference, time_interleaved
from spectralvision.data.images import Images
from spectralvision.data.loaders import build_eval_loader
from spectralvision.data.open_data import open_data
from spectralvision.data.splits import repeat_split
from spectralvision.data.transforms import ImageTransform, build_eval_transform
from spectralvision.engine.model_io import architecture, data_config, load_model, run_of
from spectralvision.engine.run_record import read_record
from spectralvision.runs import write_json
from spectralvision.tasks.classification.model import match_classes

OUT = Path(__file__).parent / "results/half_precision.json"


def agreement(single: nn.Module, half: nn.Module, run: str, spec: str) -> tuple[float, int, float]:
    """Return the fraction of images with the same top class, their number, top-1 in float32."""
    data = repeat_split(open_data(spec), read_record(run_of(run)).get("data", {}))
    data = match_classes(data, single, run)
    images = data.split(data.held_out())
    assert isinstance(images, Images)
    same = right = 0
    transform = ImageTransform(build_eval_transform(data_config(single)))
    with torch.inference_mode():
        for batch, labels in build_eval_loader(images, transform, 32, 0):
            batch = batch.to(memory_format=torch.channels_last)
            one, other = single(batch).argmax(1), half(batch.bfloat16()).argmax(1)
            same += int((one == other).sum())
            right += int((one == labels).sum())
    return same / len(images), len(images), right / len(images)


def measure(run: str, spec: str, side: int, rounds: int) -> dict[str, Any]:
    single, half = (
        load_model(run).eval().fuse().to(memory_format=torch.channels_last) for _ in range(2)
    )
    half = half.bfloat16()
    same, number, top1 = agreement(single, half, run, spec)
    x = torch.rand(8, 3, side, side).to(memory_format=torch.channels_last)
    timings = time_interleaved(
        {"float32": build_inference(single, x), "bfloat16": build_inference(half, x.bfloat16())},
        rounds=rounds,
        warmup=2,
    )
    milliseconds = {name: round(1e3 * timing.median, 2) for name, timing in timings.items()}
    return {
        "model": architecture(load_model(run)),
        "data": Path(spec).name,
        "same_top1": same,
        "images": number,
        "top1_float32": top1,
        "side": side,
        "milliseconds": milliseconds,
        "ratio": round(milliseconds["float32"] / milliseconds["bfloat16"], 2),
        "target": {"time": 1.5, "same_top1": 0.99},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pairs", nargs="+")
    parser.add_argument("--sides", type=int, nargs="+", default=[256, 224])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    tune_cpu()
    pairs = zip(options.pairs[::2], options.pairs[1::2], options.sides, strict=False)
    rows = [measure(run, spec, side, options.rounds) for run, spec, side in pairs]
    facts = {"measured": provenance(), "device": "cpu", "form": "fused"}
    write_json(OUT, {**facts, "rows": rows})
    print(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
