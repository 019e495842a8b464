"""Time training steps in float32 and bfloat16, with both memory formats.

Command: `python benchmarks/training_formats.py`

Writes benchmarks/results/training_formats.json, and its table into docs/guides/precision.md.
"""

import json
from pathlib import Path
from typing import Any

import torch
from pages import insert
from provenance import provenance
from torch.nn.functional import cross_entropy

import spectralvision as sv
from spectralvision.analysis.speed import Workload, time_interleaved
from spectralvision.runs import write_json

ROOT = Path(__file__).parents[1]
OUT = ROOT / "benchmarks/results/training_formats.json"
PAGE = ROOT / "docs/guides/precision.md"
BEGIN, END = "<!-- benchmarks/training_formats.py -->\n", "<!-- end of formats -->\n"
WORKS = (("affnet_et", 64, 32), ("affnet_t", 128, 16), ("svt_h_s", 224, 4), ("gfnet_h_ti", 224, 4))
"""Model, side of the images, batch size."""
FORMATS = {
    "float32, contiguous": (False, torch.contiguous_format),
    "float32, channels last": (False, torch.channels_last),
    "bfloat16, contiguous": (True, torch.contiguous_format),
    "bfloat16, channels last": (True, torch.channels_last),
}
ROUNDS = 4


def build_step(
    name: str, side: int, batch: int, mixed: bool, memory: torch.memory_format
) -> Workload:
    """Return a function that makes one training step."""
    torch.manual_seed(0)
    model = sv.create_model(name, num_classes=10, img_size=side).train().to(memory_format=memory)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    images = torch.rand(batch, 3, side, side).to(memory_format=memory)
    labels = torch.arange(batch) % 10

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
            loss = cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def measure(name: str, side: int, batch: int) -> dict[str, Any]:
    steps = {words: build_step(name, side, batch, *how) for words, how in FORMATS.items()}
    timings = time_interleaved(steps, rounds=ROUNDS)
    milliseconds = {words: round(1e3 * one.median, 1) for words, one in timings.items()}
    return {"model": name, "side": side, "batch": batch, "milliseconds": milliseconds}


def table(rows: list[dict[str, Any]]) -> str:
    """Return the Markdown table of the guide."""
    head = "| model | " + " | ".join(FORMATS) + " |\n|---|" + len(FORMATS) * "---:|" + "\n"
    return head + "".join(
        f"| {row['model']} at {row['side']}, batch {row['batch']} | "
        + " | ".join(f"{row['milliseconds'][words]:.0f} ms" for words in FORMATS)
        + " |\n"
        for row in rows
    )


def main() -> None:
    sv.tune_cpu()
    rows = []
    for work in WORKS:
        rows.append(measure(*work))
        print(json.dumps(rows[-1]), flush=True)
        write_json(OUT, {"provenance": provenance(), "rows": rows})
    insert(PAGE, BEGIN, END, table(rows))


if __name__ == "__main__":
    main()
