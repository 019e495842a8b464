"""What the README states about `make quickstart`, by running its commands."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest


def spectralvision(*words: str) -> dict:
    done = subprocess.run(
        [sys.executable, "-m", "spectralvision.cli", *words, "--json"],
        check=True,
        capture_output=True,
        text=True,
    )
    return json.loads(done.stdout)


@pytest.mark.slow
def test_quickstart_classifies_digits_within_five_minutes(tmp_path: Path) -> None:
    run, start = str(tmp_path / "run"), time.monotonic()
    spectralvision("train", "--data", "digits", "--model", "affnet_et", "--out", run)
    scores = spectralvision("evaluate", "--model", run, "--data", "digits")
    words = ("--model", run, "--data", "digits", "--num-images", "20")
    predictions = spectralvision("predict", *words)["predictions"]
    assert time.monotonic() - start < 300
    assert scores["split"] == "test"
    assert scores["top1"] >= 0.97
    assert len(predictions) == 20
    assert sum(one["label"] == one["classes"][0]["class"] for one in predictions) >= 18


def test_makefile_runs_what_the_test_above_runs() -> None:
    makefile = (Path(__file__).parents[1] / "Makefile").read_text()
    # tests/models/test_shipped.py classifies this picture
    assert "predict docs/images/ship.png --model affnet_et.cifar10 --top-k 3" in makefile
    assert "train --data digits --model affnet_et" in makefile
    assert "evaluate --model $(RUN) --data digits" in makefile
    assert "predict --model $(RUN) --data digits" in makefile
