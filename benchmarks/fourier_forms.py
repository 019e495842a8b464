"""Which form of rfft2 + irfft2 is faster in eager mode, by map size: the measurement behind `MATMUL_UP_TO`.

    python benchmarks/fourier_forms.py [--threads 2]        writes benchmarks/results/fourier_forms.json
"""

import argparse
import json
import platform
import statistics
import time
from pathlib import Path

import torch
from torch import Tensor

from spectralvision.ops import irfft2, rfft2

SIZES = [(4, 4), (6, 6), (7, 7), (8, 8), (10, 10), (12, 12), (14, 14), (16, 16), (20, 20), (28, 28), (32, 32), (56, 56)]
SIZES += [(30, 47), (17, 23), (64, 64)]
FORMS = ("fft", "matmul")


def there_and_back(x: Tensor, form: str) -> Tensor:
    return irfft2(*rfft2(x, form), x.shape[-2:], form)  # type: ignore[arg-type]


def seconds(x: Tensor, rounds: int = 15) -> dict[str, float]:
    """Median of interleaved runs, after a warm-up."""
    times: dict[str, list[float]] = {form: [] for form in FORMS}
    for i in range(rounds + 3):
        for form in FORMS:
            start = time.perf_counter()
            there_and_back(x, form)
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
            ratio = row["matmul"] / row["fft"]
            rows.append({"shape": [8, channels, *size], **{f"{form}_ms": 1e3 * row[form] for form in FORMS}, "ratio": ratio})
            print(f"{rows[-1]['shape']}  fft {1e3 * row['fft']:.2f} ms  matmul {1e3 * row['matmul']:.2f} ms  x{ratio:.2f}")
    facts = {"torch": torch.__version__, "threads": torch.get_num_threads(), "machine": platform.machine()}
    out = Path(__file__).parent / "results/fourier_forms.json"
    out.write_text(json.dumps({**facts, "device": "cpu", "dtype": "float32", "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
