"""`tune_cpu` changes how glibc handles freed memory; `fuse` does not."""

import subprocess
import sys
from platform import libc_ver

import pytest

PROGRAM = """
import ctypes, torch
import spectralvision as sv

class MallInfo2(ctypes.Structure):
    names = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost"
    _fields_ = [(name, ctypes.c_size_t) for name in names.split()]

mallinfo2 = ctypes.CDLL(None).mallinfo2
mallinfo2.restype = MallInfo2

def is_mapped():
    '''Whether a block of 16 MiB is mapped from the system, and returned to it when freed.'''
    before = mallinfo2().hblks
    block = torch.empty(16 << 20, dtype=torch.uint8)
    return mallinfo2().hblks > before

model = sv.create_model("affnet_et", num_classes=3).eval()
block = torch.empty(16 << 20, dtype=torch.uint8)  # kept, so that it raises no threshold
before = mallinfo2().hblks
model.fuse()
kept = torch.empty(20 << 20, dtype=torch.uint8)
assert mallinfo2().hblks > before, "fuse() changed the threshold"
sv.tune_cpu()
assert not is_mapped(), "tune_cpu() did not raise the threshold"
print("ok")
"""


@pytest.mark.skipif(libc_ver()[0] != "glibc", reason="the setting is one of glibc")
def test_only_tune_cpu_keeps_freed_memory() -> None:
    command = [sys.executable, "-W", "ignore", "-c", PROGRAM]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "ok"
