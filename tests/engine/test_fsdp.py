"""Two processes that shard the parameters (FSDP2) train what one does, and resume."""

import os
import signal

import pytest
import torch

from tests.engine.test_processes import COMMON, assert_same, photos  # noqa: F401
from tests.engine.test_stopping import command, spawned, succeed, underway

WORDS = [*COMMON, "--mixup", "0.5"]
SHARDED = ["--devices", "2", "--strategy", "fsdp2"]


@pytest.mark.slow
def test_sharded_parameters_give_the_same_result(photos, tmp_path):  # noqa: F811
    alone, run = tmp_path / "alone", tmp_path / "run"
    succeed("--data", photos, *WORDS, "--out", alone)
    succeed("--data", photos, *WORDS, *SHARDED, "--out", run)
    assert_same(alone, run)
    saved = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    whole = torch.load(alone / "checkpoints" / "last.ckpt", weights_only=True)
    assert whole["model"]
    for name, value in whole["model"].items():  # gathered: it does not depend on the processes
        assert saved["model"][name].shape == value.shape
        assert torch.allclose(saved["model"][name], value, atol=1e-5)


@pytest.mark.slow
def test_sharded_training_resumes(photos, tmp_path):  # noqa: F811
    whole, run = tmp_path / "whole", tmp_path / "run"
    words = ["--data", photos, *WORDS, *SHARDED, "--opt", "adamw", "--lr", "1e-3"]
    succeed(*words, "--out", whole)
    process = command(*words, "--checkpoint-minutes", "0", "--out", run)
    underway(process, run)
    os.kill(spawned(process)[0], signal.SIGTERM)
    _, said = process.communicate(timeout=200)
    assert process.returncode == 143, said
    succeed("--resume", run)
    assert_same(whole, run)
