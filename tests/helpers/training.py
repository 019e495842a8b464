"""Interrupt a training run, and read what it has written."""

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from spectralvision.engine.train_module import TrainModule

CLOCK_COLUMNS = {"seconds", "images_per_second", "data_wait"}


@contextmanager
def interrupted_at(kind: type[TrainModule], update: int) -> Iterator[None]:
    """Raise `KeyboardInterrupt` inside the block in the step after `update` updates of a run.

    Trial steps before a run are at update 0.
    """
    training_step = kind.training_step

    def interrupt(module, batch, step):
        if step.update == update:
            raise KeyboardInterrupt
        return training_step(module, batch, step)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kind, "training_step", interrupt)
        yield


def read_results(run: Path) -> tuple[dict[str, Tensor], dict[str, Any], list[dict[str, str]]]:
    """Return the best weights, the last checkpoint, and the metrics without times."""
    checkpoint = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    lines = (run / "metrics.csv").read_text().splitlines()
    rows = [
        {name: value for name, value in row.items() if name not in CLOCK_COLUMNS}
        for row in csv.DictReader(lines)
    ]
    return load_file(run / "model.safetensors"), checkpoint, rows
