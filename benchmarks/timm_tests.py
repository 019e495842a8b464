"""Run timm's own tests of models over all of ours.

Command: `python benchmarks/timm_tests.py TEST_MODELS [--only NAME ...]`

TEST_MODELS is tests/test_models.py of a checkout of timm, of the installed version or near it.
Writes benchmarks/results/timm_tests.json: passed, failed and skipped tests by name. TorchScript is
left out, which our models reject.
"""

import argparse
import re
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pytest
import timm
import timm.models
import torch
from provenance import provenance

import spectralvision as sv
from spectralvision.runs import write_json

OUT = Path(__file__).parent / "results/timm_tests.json"
LEFT_OUT = ("torchscript",)
NON_STANDARD = "vit_*"
"""In timm's list of models that return tokens, to which SVT with its class token belongs."""


class Results:
    """A pytest plugin that counts outcomes by test, and keeps the reasons of failures."""

    def __init__(self) -> None:
        self.outcomes: dict[str, Counter[str]] = defaultdict(Counter)
        self.failures: dict[str, str] = {}
        self.models: set[str] = set()

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        ours = sv.list_models()
        items[:] = [
            one
            for one in items
            if hasattr(one, "callspec")
            and str(one.callspec.params.get("model_name")).partition(".")[0] in ours
            and not any(word in one.name for word in LEFT_OUT)
        ]

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.when == "call" or (report.when == "setup" and report.outcome != "passed"):
            test = report.nodeid.rpartition("::")[2]
            name = test.partition("[")[0]
            self.outcomes[name][report.outcome] += 1
            self.models.update(set(re.findall(r"\w+", test)) & set(sv.list_models()))
            if report.outcome == "failed":
                lines = [
                    line for line in str(report.longrepr).splitlines() if line.startswith("E ")
                ]
                self.failures[test] = (lines or [""])[0][:200]


def run(path: Path, names: list[str]) -> Results:
    """Run the tests of a file with `timm.list_models` restricted to some models."""
    everything = timm.list_models

    def list_ours(*args: Any, **kwargs: Any) -> list[str]:
        kwargs.pop("module", None)  # the list of timm's own modules
        if NON_STANDARD in kwargs.pop("filter", ()):
            found = [name for name in everything("svt_*", **kwargs) if returns_tokens(name)]
        else:
            found = everything(*args, **kwargs)
            if NON_STANDARD in kwargs.get("exclude_filters", ()):
                found = [name for name in found if not returns_tokens(name)]
        return [name for name in found if name.partition(".")[0] in names]

    timm.list_models = timm.models.list_models = list_ours  # type: ignore[assignment]
    results = Results()
    words = [str(path), "-q", "-p", "no:cacheprovider", "-p", "no:xdist"]
    pytest.main([*words, "-c", "/dev/null", "--rootdir", str(path.parent)], plugins=[results])
    return results


def returns_tokens(name: str) -> bool:
    """Return whether a model is an SVT with a class token."""
    return name.startswith("svt_") and not name.startswith("svt_v_")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("test_models", type=Path)
    parser.add_argument("--only", nargs="+", choices=sv.list_models(), default=sv.list_models())
    options = parser.parse_args()
    torch.set_num_threads(2)
    results = run(options.test_models, options.only)
    content = {
        "measured": provenance(),
        "models": sorted(results.models),
        "tests": results.outcomes,
        "failures": results.failures,
    }
    write_json(OUT, content)


if __name__ == "__main__":
    main()
