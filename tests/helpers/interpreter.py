"""Run the `main` of a test module in Triton's interpreter."""

import os
import subprocess
import sys

import pytest


def run_interpreted(module: str) -> None:
    """Run in a process of its own, because Triton decides at import whether it interprets.

    Skips the test where Triton is not installed.
    """
    pytest.importorskip("triton")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", module],
        env=os.environ | {"TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
