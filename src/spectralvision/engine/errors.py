"""Translate errors of libraries and of the machine into one sentence that names the cure.

This is the only table of such errors: training, evaluation, prediction, label maps and the Hub all
use it. An error that it does not know is a fault of ours and keeps its traceback.
"""

import errno
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from spectralvision.data.workers import (
    SHARED_MEMORY,
    has_exited_with,
    is_shared_memory_full,
    is_worker_error,
)
from spectralvision.engine.hub import LOGIN, host
from spectralvision.runs import UserError, is_disk_full

PEER_WORDS = (
    "Connection closed by peer",
    "Connection reset by peer",
    "Broken pipe",
    "NCCL",
    "Gloo",
)
MEMORY_WORDS = (
    "out of memory",
    "can't allocate memory",
    "cannot allocate memory",
    "unable to mmap",
    "could not create a memory object",  # oneDNN
    "could not create a primitive",
    "bad_alloc",
)
READ_ONLY = (errno.EROFS, errno.EACCES, errno.EPERM)
GONE = (errno.ENOENT, errno.ESTALE)
TOO_MANY_FILES = (errno.EMFILE, errno.ENFILE)
TOO_MANY_PROCESSES = errno.EAGAIN
DEVICE_ERROR = errno.EIO
TOO_LARGE = errno.EFBIG
ERRNO_PATTERN = re.compile(r"\(os error (\d+)\)|\[Errno (\d+)\]")
"""How Rust and Python write the number of an error of the system."""


class NotFiniteError(ArithmeticError):
    """The loss is NaN or infinite."""


class Failure(NamedTuple):
    """A failure that the user can do something about."""

    kind: str
    """not_finite, memory, shared_memory, disk, file, worker or process."""
    sentence: str
    """What happened and what helps, without a full stop."""
    is_resumable: bool
    """Whether the same work can be resumed."""


def classify_failure(error: BaseException, batch_size: int | None = None) -> Failure | None:
    """Return what an error means to the user; None for an error that is not in the table."""
    if isinstance(error, UserError):
        return None
    if isinstance(error, NotFiniteError):
        sentence = f"{error}: a lower --lr or --precision 32 may help"
        return Failure("not_finite", sentence, is_resumable=False)
    if is_shared_memory_full(error):
        return Failure("shared_memory", describe_shared_memory(), is_resumable=True)
    if is_out_of_memory(error):
        batch = f"a batch of {batch_size}" if batch_size else "a batch"
        sentence = f"{batch} does not fit into memory: choose a smaller --batch-size"
        return Failure("memory", sentence, is_resumable=True)
    if is_disk_full(error):
        return Failure(
            "disk", f"the disk is full ({_last_line(error)}): free some space", is_resumable=True
        )
    if explanation := explain_system_error(error):
        return Failure("file", explanation, is_resumable=True)
    if is_worker_error(error):
        sentence = (
            "a data-loading worker has died, often because memory ran out: try fewer --workers"
        )
        return Failure("worker", sentence, is_resumable=True)
    if is_process_lost(error):
        return Failure("process", "another process of this training has ended", is_resumable=True)
    return None


@contextmanager
def translate_errors(
    batch_size: int | None = None,
    describe_rest: Callable[[bool], str] = lambda is_resumable: "",
) -> Iterator[None]:
    """Raise errors of the table as `UserError` inside the block.

    Args:
        batch_size: Named where memory ran out.
        describe_rest: Called with whether the work can be resumed; returns the second half of the
            sentence: what is kept, and how to resume. Ctrl-C gets it too.

    Raises:
        UserError: The sentence.
        KeyboardInterrupt: With the second half as its message.
    """
    try:
        yield
    except UserError:
        raise
    except KeyboardInterrupt as error:
        raise type(error)(describe_rest(True) or str(error)) from None
    except Exception as error:
        failure = classify_failure(error, batch_size)
        if failure is None:
            raise
        raise UserError(
            join_sentence(failure.sentence, describe_rest(failure.is_resumable))
        ) from None


def join_sentence(first: str, rest: str) -> str:
    """Return both halves as one sentence with a full stop."""
    first = first.rstrip(".")
    return f"{first}; {rest}." if rest else f"{first}."


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether memory has run out, on any device."""
    text = str(error).lower()
    return (
        isinstance(error, torch.OutOfMemoryError | MemoryError)
        or getattr(error, "errno", None) == errno.ENOMEM
        or (isinstance(error, RuntimeError) and any(words in text for words in MEMORY_WORDS))
    )


def describe_shared_memory() -> str:
    """Return what to do where data-loading workers cannot hand over their batches."""
    size = ""
    if os.path.isdir(SHARED_MEMORY):
        size = f" ({shutil.disk_usage(SHARED_MEMORY).total / 2**20:.0f} MiB)"
    return (
        f"{SHARED_MEMORY}{size} is too small for the batches of data-loading workers: use "
        "--workers 0, or enlarge it (docker run --shm-size 8g, or --ipc=host)"
    )


def explain_system_error(error: BaseException) -> str | None:
    """Return what an error of the operating system means; None for any other error.

    Libraries that are not written in Python put it into the text of an error of their own.
    """
    number = system_errno(error)
    if number is None or isinstance(error, ConnectionError):
        return None
    name = getattr(error, "filename", None)
    reason = os.strerror(number) if name is None else f"{name}: {os.strerror(number)}"
    if number in TOO_MANY_FILES:
        return (
            f"too many files are open ({reason}): raise the limit with `ulimit -n`, or use fewer "
            "--workers"
        )
    if number == TOO_MANY_PROCESSES:
        return f"no further process can be started ({reason}): use fewer --workers"
    if number in READ_ONLY:
        return (
            f"permission to read or write is missing ({reason}): change it, or use another folder"
        )
    if number in GONE:
        return f"a file or folder was moved or deleted ({reason})"
    if number == DEVICE_ERROR:
        return f"the disk reports an error ({reason}): use another disk"
    if number == TOO_LARGE:
        return f"the file is too large for its disk or for `ulimit -f` ({reason})"
    return None


def system_errno(error: BaseException) -> int | None:
    """Return the number of the operating system's error that an error stands for, if any."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno
    if has_exited_with(error, errno.EMFILE):
        return errno.EMFILE
    found = ERRNO_PATTERN.search(str(error))
    if found is not None:
        return int(next(number for number in found.groups() if number))
    known = (*READ_ONLY, *TOO_MANY_FILES, DEVICE_ERROR)
    return next((number for number in known if os.strerror(number) in str(error)), None)


def _last_line(error: BaseException) -> str:
    """Return the message without the traceback that an error of a worker begins with."""
    return str(error).strip().splitlines()[-1]


def is_process_lost(error: BaseException) -> bool:
    """Return whether another rank does not answer any more."""
    return isinstance(error, torch.distributed.DistError) or (
        isinstance(error, RuntimeError) and any(words in str(error) for words in PEER_WORDS)
    )


def explain_hub_error(error: Exception, repo: str) -> str:
    """Return what an error of huggingface_hub means and what helps, without a full stop."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    if isinstance(error, GatedRepoError):
        return f"{repo} is gated: request access on its page at {host()}, and {LOGIN}"
    if isinstance(error, RepositoryNotFoundError):
        return (
            f"{host()} has no repository {repo}, or it is private and your token has no access: "
            f"{LOGIN} that has"
        )
    if isinstance(error, RevisionNotFoundError):
        return f"{repo} has no such revision"
    if isinstance(error, LocalEntryNotFoundError | OfflineModeIsEnabled):
        return (
            f"{host()} cannot be reached, and {repo} is not in the local cache: "
            "check the network connection"
        )
    if isinstance(error, EntryNotFoundError):
        return f"{repo} is not a model in timm's format: config.json or the weights are missing"
    if status == 401:
        return f"{host()} does not accept your token: {LOGIN} that is valid"
    if status == 403:
        return f"your token may not write to {repo}: {LOGIN} that may"
    reason = " ".join(str(error).split())[:300].rstrip(".")
    if isinstance(error, HfHubHTTPError | ValueError):
        return f"{host()} rejects {repo} ({reason})"
    return f"{host()} cannot be reached ({reason}): check the network connection"
