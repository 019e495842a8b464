"""A test module's `main` in Triton's interpreter."""

import os
import subprocess
import sys

import pytest


def run_interpreted(module: str) -> None:
    """In a process of its own, as Triton decides at import whether it interprets; skips where there is no Triton."""
    pytest.importorskip("triton")
    environment = os.environ | {"TRITON_INTERPRET": "1"}
    done = subprocess.run([sys.executable, "-W", "ignore", "-m", module], env=environment, capture_output=True,
                          text=True, check=False)  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
