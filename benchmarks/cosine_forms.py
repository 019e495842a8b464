"""Which form of dct2 + idct2 is faster in eager mode, by map size, for `ops/cosine.py`.

python benchmarks/cosine_forms.py [--threads 2]        writes benchmarks/results/cosine_forms.json
"""

import argparse
import statistics
import time
from pathlib import Path

import torch
from provenance import provenance
from torch import Tensor

from spectralvision.ops import dct2, idct2
from spectralvision.runs import write_json

SIDES = (7, 14, 28, 47, 56, 64, 112, 128, 200, 256, 400, 512)
FORMS = ("fft", "matmul")
MAX_SAMPLES = 4 << 20  # of a batch


def round_trip(x: Tensor, form: str) -> Tensor:
    return idct2(dct2(x, form), form)  # type: ignore[arg-type]


def seconds(x: Tensor, rounds: int = 9) -> dict[str, float]:
    """Return the median of interleaved runs, after a warm-up."""
    times: dict[str, list[float]] = {form: [] for form in FORMS}
    for i in range(rounds + 2):
        for form in FORMS:
            start = time.perf_counter()
            round_trip(x, form)
            if i >= 2:
                times[form].append(time.perf_counter() - start)
    return {form: statistics.median(values) for form, values in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, default=2)
    torch.set_num_threads(parser.parse_args().threads)
    rows = []
    for side in SIDES:
        maps = min(512, MAX_SAMPLES // side**2)
        with torch.inference_mode():
            row = seconds(torch.randn(maps, side, side))
        milliseconds = {f"{form}_ms": round(1e3 * row[form], 3) for form in FORMS}
        ratio = round(row["matmul"] / row["fft"], 2)
        rows.append({"shape": [maps, side, side], **milliseconds, "matmul_over_fft": ratio})
        print(rows[-1], flush=True)
    facts = {"measured": provenance(), "device": "cpu", "dtype": "float32"}
    write_json(Path(__file__).parent / "results/cosine_forms.json", {**facts, "rows": rows})


if __name__ == "__main__":
    main()
