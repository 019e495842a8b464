"""How many CPU threads compute: one for each idle core.

On a busy machine more threads are much slower than fewer: all of them wait for the one that got no
core.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch

from spectralvision.data.workers import count_cores

SAMPLE_SECONDS = 0.3
IDLE_FIELDS = slice(3, 5)
"""Of a line of /proc/stat: idle, and waiting for a disk."""


def choose_threads(wanted: int | Literal["auto"], processes: int = 1) -> int:
    """Return the number of threads of this process: as wanted, or one for each idle core.

    OMP_NUM_THREADS and an earlier `torch.set_num_threads` are upper limits. Several processes do
    not measure, since each would find the others at work.

    Args:
        wanted: A number, or auto.
        processes: That compute together on this machine.
    """
    if wanted != "auto":
        return wanted
    threads = torch.get_num_threads()
    if threads == 1 or processes > 1 or "OMP_NUM_THREADS" in os.environ:
        return threads
    idle = measure_idle_cores()
    free = count_cores() if idle is None else min(count_cores(), round(idle))
    return max(1, min(threads, free))


@contextmanager
def idle_threads(processes: int = 1) -> Iterator[None]:
    """Compute with a thread for each idle core inside the block; see `choose_threads`."""
    usual = torch.get_num_threads()
    torch.set_num_threads(choose_threads("auto", processes))
    try:
        yield
    finally:
        torch.set_num_threads(usual)


def measure_idle_cores(seconds: float = SAMPLE_SECONDS) -> float | None:
    """Return how many of the cores of this process are idle while it sleeps; None if unknown."""
    before = _read_ticks()
    time.sleep(seconds)
    after = _read_ticks()
    idle = [
        (after[core][0] - ticks[0]) / (after[core][1] - ticks[1])
        for core, ticks in before.items()
        if core in after and after[core][1] > ticks[1]
    ]
    return sum(idle) if idle else None


def _read_ticks() -> dict[int, tuple[int, int]]:
    """Return (idle, all) clock ticks of each core of this process; empty where not known."""
    try:
        with open("/proc/stat", encoding="ascii") as file:
            lines = [line.split() for line in file if line.startswith("cpu")]
    except OSError:
        return {}
    mine = os.sched_getaffinity(0)
    found = {}
    for name, *fields in lines:
        if name != "cpu" and int(name[3:]) in mine:
            ticks = [int(field) for field in fields[:8]]  # what follows is counted in them
            found[int(name[3:])] = (sum(ticks[IDLE_FIELDS]), sum(ticks))
    return found
