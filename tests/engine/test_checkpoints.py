"""A damaged checkpoint, or one of another run, is rejected before it is used."""

import pytest
import torch

from spectralvision.engine.checkpoints import read_checkpoint, write_checkpoint
from spectralvision.runs import UserError

CONTENT = {"run": "one", "model": {"weight": torch.arange(2000.0)}, "seconds": 1.5}


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "run" / "checkpoints" / "last.ckpt"
    path.parents[1].mkdir()
    write_checkpoint(path, CONTENT)
    return path


def test_a_checkpoint_is_read_as_it_was_written(path):
    found = read_checkpoint(path, "one")
    assert torch.equal(found["model"]["weight"], CONTENT["model"]["weight"])
    assert found["seconds"] == CONTENT["seconds"]


def test_a_flipped_bit_is_noticed_or_changes_nothing(path):
    whole, noticed = path.read_bytes(), 0
    positions = range(0, len(whole), 97)
    for position in positions:
        flipped = bytearray(whole)
        flipped[position] ^= 1 << position % 8
        path.write_bytes(flipped)
        try:
            found = read_checkpoint(path, "one")
        except UserError:
            noticed += 1
        else:  # alignment, or a field of the archive that nothing reads
            assert torch.equal(found["model"]["weight"], CONTENT["model"]["weight"])
            assert found["seconds"] == CONTENT["seconds"]
    assert noticed > 0.8 * len(positions)


@pytest.mark.parametrize("size", [0, 1, 1000, -1])
def test_a_truncated_file_is_rejected(path, size):
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(UserError, match=r"last\.ckpt cannot be read \(.+\): start a new run\.$"):
        read_checkpoint(path, "one")


def test_the_checkpoint_of_another_run_is_rejected(path):
    (path.parents[1] / "model.safetensors").touch()
    with pytest.raises(
        UserError, match=r"checkpoint of another run: start .* best weights with --model .*run\.$"
    ):
        read_checkpoint(path, "two")
