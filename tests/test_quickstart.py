"""What the README promises of `make quickstart`, run as its commands."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest


def spectralvision(*words: str) -> dict:
    done = subprocess.run(
        [sys.executable, "-m", "spectralvision.cli", *words, "--json"], check=True, capture_output=True, text=True
    )
    return json.loads(done.stdout)


@pytest.mark.slow
def test_quickstart_learns_the_digits_within_five_minutes(tmp_path: Path) -> None:
    run, start = str(tmp_path / "run"), time.monotonic()
    spectralvision("train", "--data", "digits", "--model", "affnet_et", "--out", run)
    scores = spectralvision("evaluate", "--model", run, "--data", "digits")
    answers = spectralvision("predict", "--model", run, "--data", "digits", "--num-images", "20")["predictions"]
    assert time.monotonic() - start < 300
    assert scores["split"] == "test"
    assert scores["top1"] >= 0.97
    assert sum(answer["label"] == answer["classes"][0]["class"] for answer in answers) >= 18


def test_makefile_runs_what_the_test_above_runs() -> None:
    makefile = (Path(__file__).parents[1] / "Makefile").read_text()
    assert "predict docs/images/ship.png --top-k 3" in makefile  # tests/models/test_shipped.py classifies it
    assert "train --data digits --model affnet_et" in makefile
    assert "evaluate --model $(RUN) --data digits" in makefile
    assert "predict --model $(RUN) --data digits" in makefile
