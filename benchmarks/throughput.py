"""Images per second of every model, fused, for the tables of models.

Command: `python benchmarks/throughput.py [--only NAME ...]`

Writes benchmarks/results/throughput.json, which `models_page.py` reads. Each model gets batches of
8 random images at its own input size, with channels last in memory.
"""

import argparse
from pathlib import Path
from typing import Any

import torch
from provenance import provenance

import spectralvision as sv
from spectralvision.analysis.speed import apply_form, build_inference, time_interleaved
from spectralvision.runs import read_json, write_json

OUT = Path(__file__).parent / "results/throughput.json"
BATCH = 8


def measure(name: str, rounds: int) -> float:
    """Return images per second."""
    model: Any = sv.create_model(name).eval().to(memory_format=torch.channels_last)
    side = model.pretrained_cfg["input_size"][-1]
    images = torch.rand(BATCH, 3, side, side).to(memory_format=torch.channels_last)
    run = build_inference(apply_form(model, "fused"), images)
    return BATCH / time_interleaved({name: run}, rounds=rounds, warmup=1)[name].median


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=sv.list_models(), default=sv.list_models())
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    sv.tune_cpu()
    content = read_json(OUT) if OUT.is_file() else {"images_per_second": {}}
    for name in options.only:
        content["images_per_second"][name] = round(measure(name, options.rounds), 1)
        content |= {"measured": provenance(), "batch": BATCH, "dtype": "float32"}
        write_json(OUT, content)
        print(name, content["images_per_second"][name], flush=True)


if __name__ == "__main__":
    main()
