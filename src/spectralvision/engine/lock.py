"""Keep a second process from writing what one is writing."""

import errno
import fcntl
import functools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from spectralvision.runs import UserError

_held: set[int] = set()
"""File descriptors of the locks of this process."""


@contextmanager
def lock(path: Path, what: str) -> Iterator[None]:
    """Lock a folder, or a file that is created, inside the block.

    The lock ends with the process, also with SIGKILL. It is for the processes of one machine; a
    file system without locks has none.

    Args:
        path: A folder, or a file in a folder that exists.
        what: Named in the error.

    Raises:
        UserError: Another process holds the lock.
    """
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR | os.O_CREAT, 0o666)
    _close_in_children()
    _held.add(handle)
    try:
        try:
            flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(
                f"another process is writing {what}: wait until it has ended, or stop it."
            ) from None
        yield
    finally:
        _held.discard(handle)
        os.close(handle)


def flock(handle: int, operation: int) -> None:
    """Call `fcntl.flock`, where the file system has locks.

    Raises:
        BlockingIOError: Another process holds the lock.
    """
    try:
        fcntl.flock(handle, operation)
    except BlockingIOError:
        raise
    except OSError as error:
        if error.errno not in (
            errno.ENOLCK,
            errno.ENOTSUP,
            errno.ENOSYS,
            errno.EINVAL,
            errno.EBADF,
        ):
            raise


@functools.cache
def _close_in_children() -> None:
    """Close the locks in forked processes, which would keep them after this one has ended."""

    def close() -> None:
        for handle in _held:
            os.close(handle)
        _held.clear()

    os.register_at_fork(after_in_child=close)
