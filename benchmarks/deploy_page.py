"""Write the measurements of exported models into docs/guides/export.md.

Command: `python benchmarks/deploy_page.py`

All of it comes from benchmarks/results/deploy.json.
"""

import json
from pathlib import Path
from typing import Any

from pages import insert

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks/results/deploy.json"
PAGE = ROOT / "docs/guides/export.md"
BEGIN, END = "<!-- benchmarks/deploy_page.py -->\n", "<!-- end of deployment -->\n"
LATENCY = (
    "| model | runtime | latency | compared with | its runtime | its latency | ratio | target |\n"
    "|---|---|---:|---|---|---:|---:|---:|\n"
)
INT8 = (
    "| INT8 on | accuracy in float32 | in INT8 | file / float32 | affnet: file / float32 "
    "| latency / float32 | latency / default precision |\n"
    "|---|---:|---:|---:|---:|---:|---:|\n"
)


def tables(results: dict[str, Any]) -> str:
    """Return the Markdown tables of the page."""
    rows = [row for section in ("latency", "mobile") for row in results[section]["rows"]]
    int8 = results["int8"]["rows"]
    affnet = {row["target"]: row for row in int8["latency"]}
    compared = "".join(
        f"| {row['work']} | {row['runtime']} | {row['milliseconds']:.1f} ms | {row['against']} "
        f"| {row['their_runtime']} | {row['their_milliseconds']:.1f} ms | {row['ratio']:.3f} "
        f"| {'' if row['target'] is None else row['target']} |\n"
        for row in rows
    )
    quantized = "".join(
        f"| {row['target']} | {row['accuracy']:.2%} | {row['accuracy_int8']:.2%} "
        f"| {row['size_ratio']:.3f} | {one['size_ratio']:.3f} | {one['ratio']:.3f} "
        f"| {one['ratio_to_default_precision']:.3f} |\n".replace("%", " %")
        for row, one in ((row, affnet[row["target"]]) for row in int8["accuracy"])
    )
    return f"{LATENCY}{compared}\n{INT8}{quantized}"


def main() -> None:
    insert(PAGE, BEGIN, END, tables(json.loads(RESULTS.read_text())))


if __name__ == "__main__":
    main()
