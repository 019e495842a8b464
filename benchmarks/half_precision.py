"""bfloat16 against float32 on a CPU: how much faster, and how often the most probable class stays the same.

python benchmarks/half_precision.py RUN DATA [RUN DATA ...] [--sides 256 ...]   writes results/half_precision.json

RUN is a trained run folder, DATA the data set whose held-out images are classified at the run's own input size.
Speed is measured with batch 8 at the side of the same place.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from provenance import provenance
from torch import nn

from spectralvision.analysis.speed import inference, interleaved
from spectralvision.data.datasets import Images
from spectralvision.data.loading import eval_loader
from spectralvision.data.opening import open_data
from spectralvision.data.transforms import eval_transform
from spectralvision.runs import write_json
from spectralvision.tasks.inference import cut_as_trained, matched
from spectralvision.tasks.loading import architecture, data_config, load_model

OUT = Path(__file__).parent / "results/half_precision.json"


def agreement(single: nn.Module, half: nn.Module, run: str, spec: str) -> tuple[float, int, float]:
    """Share of images with the same most probable class, images, top-1 in float32."""
    data = matched(cut_as_trained(open_data(spec), run), single, run)
    images = data.split(data.held_out())
    assert isinstance(images, Images)
    same = right = 0
    with torch.inference_mode():
        for batch, labels in eval_loader(images, eval_transform(data_config(single)), 32, 0):
            batch = batch.to(memory_format=torch.channels_last)
            one, other = single(batch).argmax(1), half(batch.bfloat16()).argmax(1)
            same += int((one == other).sum())
            right += int((one == labels).sum())
    return same / len(images), len(images), right / len(images)


def measured(run: str, spec: str, side: int, rounds: int) -> dict[str, Any]:
    single, half = (load_model(run).eval().fuse().to(memory_format=torch.channels_last) for _ in range(2))
    half = half.bfloat16()
    share, number, top1 = agreement(single, half, run, spec)
    x = torch.rand(8, 3, side, side).to(memory_format=torch.channels_last)
    timings = interleaved(
        {"float32": inference(single, x), "bfloat16": inference(half, x.bfloat16())}, rounds=rounds, warmup=2
    )
    milliseconds = {name: round(1e3 * timing.median, 2) for name, timing in timings.items()}
    return {
        "model": architecture(load_model(run)),
        "data": Path(spec).name,
        "same_top1": share,
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
    pairs = zip(options.pairs[::2], options.pairs[1::2], options.sides, strict=False)
    rows = [measured(run, spec, side, options.rounds) for run, spec, side in pairs]
    facts = {"measured": provenance(), "device": "cpu", "form": "fused"}
    write_json(OUT, {**facts, "rows": rows})
    print(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
