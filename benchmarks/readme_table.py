"""Writes the table of speeds into README.md, from benchmarks/results/*.json.

python benchmarks/readme_table.py
"""

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
BEGIN, END = "<!-- speed: benchmarks/readme_table.py -->\n", "<!-- end of speed -->\n"
SECTIONS = ("affnet", "svt", "peers", "mixers", "wavelets")
HEAD = "| what | against | theirs | ours, best form | ratio | aim |\n|---|---|---:|---|---:|---:|\n"


def table(results: Path) -> str:
    """Markdown of side_by_side.json: in each row the best of our forms against each of theirs."""
    content = json.loads((results / "side_by_side.json").read_text())
    lines = [line for section in SECTIONS for row in content[section] for line in _lines(row)]
    return HEAD + "".join(lines)


def _lines(row: dict[str, Any]) -> list[str]:
    forms = row["forms"]
    first = next(iter(forms))
    mine = [name for name in forms if name.startswith(("ours", "svt_h_s", "affnet at"))]
    best = min(mine, key=lambda name: forms[name]["milliseconds"])
    lines = []
    for name in forms:
        if name in mine:
            continue
        scale = forms[best]["ratio"] * forms[best]["milliseconds"] / forms[first]["milliseconds"]  # 1 but for rates
        ratio = scale * forms[name]["milliseconds"] / forms[best]["milliseconds"]
        aims = row["target"]
        aim = aims.get(name.rpartition(", ")[2], aims.get("time", aims.get("rate")))
        how = best.removeprefix("ours, ") if best.startswith("ours") else best.rpartition(", ")[2]
        lines.append(
            f"| {row['work']} | {name} | {forms[name]['milliseconds']:.1f} ms | {forms[best]['milliseconds']:.1f} ms, "
            f"{how} | {ratio:.2f} | {aim:g} |\n"
        )
    return lines


def main() -> None:
    readme = ROOT / "README.md"
    before, _, rest = readme.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    readme.write_text(before + BEGIN + table(ROOT / "benchmarks/results") + END + after)


if __name__ == "__main__":
    main()
