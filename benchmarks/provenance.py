"""Record what a result was measured with: versions, processor, threads, commit."""

import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch


def provenance() -> dict[str, Any]:
    """Return the head of a results file; `commit` ends in + where the checkout had changes."""
    return {
        "commit": _git("rev-parse", "--short", "HEAD")
        + ("+" if _git("status", "--porcelain", "--", ":/src") else ""),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "timm": version("timm"),
        "processor": _processor(),
        "threads": torch.get_num_threads(),
    }


def _git(*arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=Path(__file__).parent, capture_output=True, text=True, check=False
    )
    return done.stdout.strip()


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")),
        "unknown",
    )
