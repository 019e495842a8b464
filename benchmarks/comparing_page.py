"""Write the results of `spectralvision compare` into docs/guides/comparing.md.

Command: `python benchmarks/comparing_page.py [FOLDER ...]`

FOLDER is a finished comparison; its compare.json is first copied to benchmarks/results/compare, as
PRESET.json.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from pages import insert

from spectralvision.runs import write_json

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks/results/compare"
PAGE = ROOT / "docs/guides/comparing.md"
BEGIN, END = "<!-- benchmarks/comparing_page.py -->\n", "<!-- end of comparisons -->\n"
PRESETS = ("mixers", "svt-layer", "svt-blending", "svt-depth", "aff-ablation")


def page_text() -> str:
    """Return what the page has between its marks: a table for each preset that was run."""
    files = {preset: RESULTS / f"{preset}.json" for preset in PRESETS}
    missing = [f"`{preset}`" for preset, file in files.items() if not file.is_file()]
    parts = [table(json.loads(file.read_text())) for file in files.values() if file.is_file()]
    if missing:
        parts.append(f"Not run: {', '.join(missing)}.\n")
    return "\n".join(parts)


def table(record: dict[str, Any]) -> str:
    """Return the Markdown table of a comparison."""
    rows, reported = record["rows"], record["reported"]
    settings, sizes = record["settings"], list(rows[0]["sizes"])
    seeds = "one seed" if settings["seeds"] == 1 else f"{settings['seeds']} seeds"
    text = (
        f"**{record['title']}** (`{settings['comparison']['name']}`, {record['epochs']} epochs, "
        f"{seeds})\n\n"
    )
    head = ["variant", "test top-1", "spread", *(["paper, ImageNet"] if reported else [])]
    head += ["parameters", f"MMACs at {sizes[0]} px", f"images/s at {sizes[0]} px"]
    head += [f"time at {sizes[-1]} px / {sizes[0]} px", "onnxruntime"]
    text += f"| {' | '.join(head)} |\n|---|{'---:|' * (len(head) - 1)}\n"
    for row in rows:
        costs = row["sizes"][sizes[0]]
        paper = reported.get(row["variant"])
        cells = [
            f"`{row['variant']}`" if settings["comparison"]["name"] == "mixers" else row["variant"],
            f"{100 * row['top1']:.1f} %",
            f"{100 * row['spread']:.1f}",
            *(["" if paper is None else f"{paper:.2f} %"] if reported else []),
            f"{row['parameters'] / 1e6:.2f} M",
            f"{1000 * costs['gmacs']:.1f}",
            f"{costs['images_per_second']:.0f}",
            "" if row["growth"] is None else f"{row['growth']:.1f}",
            "" if row["onnx_ms"] is None else f"{row['onnx_ms']:.2f} ms",
        ]
        text += f"| {' | '.join(cells)} |\n"
    return text


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", nargs="*", type=Path)
    for folder in parser.parse_args().folders:
        record = json.loads((folder / "compare.json").read_text())
        record["settings"]["data"] = Path(record["settings"]["data"]).name
        RESULTS.mkdir(exist_ok=True)
        write_json(RESULTS / f"{record['settings']['comparison']['name']}.json", record)
    insert(PAGE, BEGIN, END, page_text())


if __name__ == "__main__":
    main()
