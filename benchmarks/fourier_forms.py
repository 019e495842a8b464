"""Which form of rfft2 + irfft2 is faster in eager mode, by map size, for `ops/fourier.py`.

python benchmarks/fourier_forms.py [--threads 2]        writes benchmarks/results/fourier_forms.json
"""

import argparse
import json
import statistics
import time
from pathlib import Path

import torch
from provenance import provenance
from torch import Tensor

from spectralvision.ops import irfft2, rfft2

SIDES = [4, 7, 8, 10, 11, 13, 14, 16, 17, 19, 22, 23, 26, 28, 31, 32, 34, 38, 46, 47, 56, 64]
SIZES = [(side, side) for side in SIDES] + [(30, 47), (47, 30), (16, 17), (32, 31)]
FORMS = ("fft", "matmul")


def round_trip(x: Tensor, form: str) -> Tensor:
    return irfft2(*rfft2(x, form), x.shape[-2:], form)  # type: ignore[arg-type]


def seconds(x: Tensor, rounds: int = 15) -> dict[str, float]:
    """Return the median of interleaved runs, after a warm-up."""
    times: dict[str, list[float]] = {form: [] for form in FORMS}
    for i in range(rounds + 3):
        for form in FORMS:
            start = time.perf_counter()
            round_trip(x, form)
            if i >= 3:
                times[form].append(time.perf_counter() - start)
    return {form: statistics.median(values) for form, values in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    torch.set_num_threads(parser.parse_args().threads)
    rows = []
    for size in SIZES:
        for channels in (64, 256):
            with torch.inference_mode():
                row = seconds(torch.randn(8, channels, *size))
            milliseconds = {f"{form}_ms": round(1e3 * row[form], 3) for form in FORMS}
            ratio = round(row["matmul"] / row["fft"], 2)
            rows.append({"shape": [8, channels, *size], **milliseconds, "matmul_over_fft": ratio})
            print(rows[-1])
    facts = {"measured": provenance()}
    out = Path(__file__).parent / "results/fourier_forms.json"
    out.write_text(
        json.dumps({**facts, "device": "cpu", "dtype": "float32", "rows": rows}, indent=1) + "\n"
    )


if __name__ == "__main__":
    main()
