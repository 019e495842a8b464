"""Data-loading workers: how many, and how they end.

Workers ignore SIGTERM, because a scheduler sends it to all processes of a job at once while the
main process still needs them to finish its step. Python's `multiprocessing` ends child processes at
exit with SIGTERM and then waits for them, so the workers that we have started, and only those, are
killed before that.
"""

import atexit
import errno
import functools
import math
import multiprocessing
import os
import re
import signal
import threading
import traceback
from collections.abc import Iterable
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from multiprocessing.queues import Queue
from pathlib import Path
from typing import Any
from weakref import WeakSet

from torch.utils.data import DataLoader

from spectralvision.data.images import ArrayImages, Images, Stream, WrappedImages

MAX_WORKERS = 8
"""Workers per process where `--workers` is auto."""

SHARED_MEMORY = "/dev/shm"
"""Where Linux keeps the batches that workers hand over."""
SHARED_MEMORY_PATTERN = re.compile(
    r"bus error|(insufficient|out of|allocate) shared memory|</torch_.*no space left",
    re.IGNORECASE,
)
"""How torch reports that it is full."""

_running: "WeakSet[BaseProcess]" = WeakSet()
"""Workers started by the loaders of this process."""


class TrackedLoader(DataLoader[Any]):
    """A DataLoader that knows the worker processes it has started and can stop them at once.

    Takes the arguments of `DataLoader`. Workers are persistent and ignore SIGTERM.
    """

    def __init__(self, dataset: Any, num_workers: int = 0, **options: Any) -> None:
        self.workers: WeakSet[BaseProcess] = WeakSet()
        if num_workers > 0:
            options |= {
                "persistent_workers": True,
                "worker_init_fn": ignore_sigterm,
                "multiprocessing_context": _build_tracking_context(self.workers),
            }
        super().__init__(dataset, num_workers=num_workers, **options)

    def close(self) -> None:
        """Kill the workers and wait for their end; the loader cannot be iterated any further."""
        stop_workers(self.workers)


def _build_tracking_context(workers: "WeakSet[BaseProcess]") -> BaseContext:
    """Return the default multiprocessing context that adds each process it starts to `workers`."""
    context = multiprocessing.get_context()
    default: Any = type(context)

    class TrackingContext(default):  # type: ignore[misc]
        def Process(self, *args: Any, **options: Any) -> BaseProcess:  # noqa: N802
            process: BaseProcess = context.Process(*args, **options)
            _register_exit_hook()
            _running.add(process)
            workers.add(process)
            return process

        def Queue(self, maxsize: int = 0) -> Any:  # noqa: N802
            return BatchQueue(maxsize, ctx=context)

    tracking: BaseContext = TrackingContext()
    return tracking


class BatchQueue(Queue):  # type: ignore[type-arg]  # no generic at run time
    """A queue that ends a worker which cannot hand over a batch, with the errno as exit code.

    The queue of `multiprocessing` prints a traceback and drops the batch, for which the main
    process would then wait for ever.
    """

    @staticmethod
    def _on_queue_feeder_error(error: Exception, item: Any) -> None:
        if multiprocessing.parent_process() is None:
            traceback.print_exception(error)
            return
        text = str(error)
        if SHARED_MEMORY_PATTERN.search(text):
            os._exit(errno.ENOSPC)
        os._exit(errno.EMFILE if os.strerror(errno.EMFILE) in text else 1)


@functools.cache
def _register_exit_hook() -> None:
    """Register the exit hook once, after that of `multiprocessing`, so that it runs before it."""
    atexit.register(stop_workers, _running)
    os.register_at_fork(after_in_child=_running.clear)


def stop_workers(workers: Iterable[BaseProcess]) -> None:
    """Kill worker processes and wait for their end.

    torch reports the death of a worker as an error in the main thread, on SIGCHLD; its handler is
    suspended meanwhile.
    """
    alive = [worker for worker in workers if worker.pid is not None and worker.exitcode is None]
    if not alive:
        return
    in_main_thread = threading.current_thread() is threading.main_thread()
    handler = signal.signal(signal.SIGCHLD, signal.SIG_DFL) if in_main_thread else None
    try:
        for worker in alive:
            worker.kill()
        for worker in alive:
            worker.join()
    finally:
        if handler is not None:
            signal.signal(signal.SIGCHLD, handler)


def ignore_sigterm(worker: int) -> None:
    """Make a worker ignore SIGTERM; the main process stops it."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def is_worker_error(error: BaseException) -> bool:
    """Return whether an error of torch reports that a data-loading worker has died."""
    return str(error).startswith("DataLoader worker")


def has_exited_with(error: BaseException, *codes: int) -> bool:
    """Return whether an error names a dead worker that has ended with one of these codes."""
    pids = re.findall(r"\d+", str(error)) if is_worker_error(error) else []
    return any(str(one.pid) in pids and one.exitcode in codes for one in _running)


def is_shared_memory_full(error: BaseException) -> bool:
    """Return whether workers have no shared memory left for their batches."""
    if has_exited_with(error, errno.ENOSPC, -signal.SIGBUS):
        return True
    return isinstance(error, RuntimeError) and bool(SHARED_MEMORY_PATTERN.search(str(error)))


def choose_num_workers(
    images: Images | Stream, workers: int | str = "auto", processes: int = 1
) -> int:
    """Return the number of workers of each of `processes` on this machine.

    Args:
        images: What is loaded.
        workers: A number, or auto: none for images in memory, else one per core in total, at most
            `MAX_WORKERS`.
        processes: Training or inference processes on this machine.
    """
    if workers != "auto":
        return int(workers)
    base = images
    while isinstance(base, WrappedImages):
        base = base.base
    if isinstance(base, ArrayImages):
        return 0
    return max(1, min(MAX_WORKERS, count_cores() // processes))


def count_cores() -> int:
    """Return the number of CPU cores that this process may use, by affinity and cgroup quota."""
    cores = os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    quota = _read_quota()
    return cores if quota is None else max(1, min(cores, math.ceil(quota)))


def _read_quota(root: Path = Path("/sys/fs/cgroup")) -> float | None:
    """Return the cores that the cgroup (version 2 or 1) of a container allows; None: no limit."""
    try:
        if (root / "cpu.max").is_file():
            quota, period = (root / "cpu.max").read_text().split()
        else:
            quota = (root / "cpu" / "cpu.cfs_quota_us").read_text()
            period = (root / "cpu" / "cpu.cfs_period_us").read_text()
        return float(quota) / float(period) if float(quota) > 0 else None
    except (OSError, ValueError):  # no cgroup, or "max"
        return None
