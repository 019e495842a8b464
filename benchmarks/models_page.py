"""Write the tables of models into README.md and docs/guides/models.md.

Command: `python benchmarks/models_page.py`

Parameters and multiply-adds are counted, images per second come from
benchmarks/results/throughput.json, accuracies are the authors'.
"""

import json
from pathlib import Path
from typing import Any, NamedTuple

import torch
from pages import insert

import spectralvision as sv
from spectralvision.analysis import count_macs
from spectralvision.models import REPORTED_TOP1

ROOT = Path(__file__).parents[1]
README, PAGE = ROOT / "README.md", ROOT / "docs/guides/models.md"
RESULTS = ROOT / "benchmarks/results/throughput.json"
BEGIN, END = "<!-- benchmarks/models_page.py -->\n", "<!-- end of models -->\n"
TOKEN_LABELS = {
    "svt_h_s": "83.1 (84.2 with token labels)",
    "svt_h_b": "85.2 with token labels",
    "svt_h_l": "85.7 with token labels",
}


class Family(NamedTuple):
    """Models of one paper."""

    title: str
    prefixes: tuple[str, ...]
    paper: str
    license: str
    """Of the authors' code."""


FAMILIES = (
    Family("AFFNet", ("affnet",), "2307.14008", "MIT"),
    Family("SVT", ("svt_h", "svt_s", "svt_b", "svt_l"), "2311.01310", "none stated"),
    Family("SVT, isotropic (inferred)", ("svt_v",), "2311.01310", "not published"),
    Family("GFNet", ("gfnet",), "2107.00645", "MIT"),
    Family("DFFormer", ("dfformer", "gfformer"), "2303.03932", "MIT"),
    Family("CDFFormer", ("cdfformer",), "2303.03932", "MIT"),
    Family("vHeat", ("vheat",), "2405.16555", "none stated"),
)


class Row(NamedTuple):
    """What is known of a model."""

    name: str
    parameters: float
    macs: float
    side: int
    images_per_second: float
    top1: str


def read_rows() -> list[Row]:
    """Return a row for each model, in the order of their families."""
    speed = json.loads(RESULTS.read_text())["images_per_second"]
    rows = []
    for name in (name for family in FAMILIES for name in names_of(family)):
        with torch.device("meta"):
            model: Any = sv.create_model(name)
        size = tuple(model.pretrained_cfg["input_size"])
        parameters = sum(parameter.numel() for parameter in model.parameters())
        top1 = TOKEN_LABELS.get(name, str(REPORTED_TOP1.get(name, "-")))
        rows.append(Row(name, parameters, count_macs(model, size), size[1], speed[name], top1))
    return rows


def names_of(family: Family) -> list[str]:
    """Return the models of a family."""
    return [name for name in sv.list_models() if name.startswith(family.prefixes)]


def models_table(rows: list[Row]) -> str:
    """Return the Markdown table with a row for each model."""
    lines = [
        f"| {row.name} | {row.parameters / 1e6:.2f} M | {row.macs / 1e9:.2f} | {row.side} | "
        f"{row.images_per_second:.1f} | {row.top1} |\n"
        for row in rows
    ]
    head = (
        "| model | parameters | GMACs | input | images/s | ImageNet top-1 reported by the authors "
        "|\n"
        "|---|---:|---:|---:|---:|---|\n"
    )
    return head + "".join(lines)


def families_table(rows: list[Row]) -> str:
    """Return the Markdown table with a row for each family."""
    known = {row.name: row for row in rows}
    lines = []
    for family in FAMILIES:
        members = [known[name] for name in names_of(family)]
        reported = [REPORTED_TOP1[row.name] for row in members if row.name in REPORTED_TOP1]
        lines.append(
            f"| [{family.title}](https://arxiv.org/abs/{family.paper}) | {len(members)} | "
            f"{_range([row.parameters / 1e6 for row in members])} M | "
            f"{_range([row.macs / 1e9 for row in members])} | "
            f"{_range([row.images_per_second for row in members])} | "
            f"{_range(reported)} | {family.license} |\n"
        )
    head = (
        "| family | models | parameters | GMACs | images/s here | ImageNet top-1 reported by the "
        "authors | license of the authors' code |\n|---|---:|---:|---:|---:|---:|---|\n"
    )
    return head + "".join(lines)


def _range(values: list[float]) -> str:
    if not values:
        return "-"
    low, high = f"{min(values):.1f}", f"{max(values):.1f}"
    return low if low == high else f"{low} to {high}"


def main() -> None:
    rows = read_rows()
    insert(README, BEGIN, END, families_table(rows))
    insert(PAGE, BEGIN, END, models_table(rows))


if __name__ == "__main__":
    main()
