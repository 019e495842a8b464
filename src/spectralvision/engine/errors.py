"""Translate errors of libraries and of the machine into one sentence that names the cure.

This is the only table of such errors: training, evaluation, prediction, label maps and the Hub all
use it. An error that it does not know is a fault of ours and keeps its traceback.
"""

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

from spectralvision.data.workers import is_worker_error
from spectralvision.engine.hub import LOGIN, host
from spectralvision.runs import UserError, is_disk_full

PEER_WORDS = (
    "Connection closed by peer",
    "Connection reset by peer",
    "Broken pipe",
    "NCCL",
    "Gloo",
)


class NotFiniteError(ArithmeticError):
    """The loss is NaN or infinite."""


class Failure(NamedTuple):
    """A failure that the user can do something about."""

    kind: str
    """not_finite, memory, disk, worker or process."""
    sentence: str
    """What happened and what helps, without a full stop."""
    is_resumable: bool
    """Whether the same work can be resumed."""


def classify_failure(error: BaseException, batch_size: int | None = None) -> Failure | None:
    """Return what an error means to the user; None for an error that is not in the table."""
    if isinstance(error, NotFiniteError):
        sentence = f"{error}: a lower --lr or --precision 32 may help"
        return Failure("not_finite", sentence, is_resumable=False)
    if is_out_of_memory(error):
        batch = f"a batch of {batch_size}" if batch_size else "a batch"
        sentence = f"{batch} does not fit into memory: choose a smaller --batch-size"
        return Failure("memory", sentence, is_resumable=True)
    if is_disk_full(error):
        return Failure("disk", f"the disk is full ({error}): free some space", is_resumable=True)
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
        raise type(error)(describe_rest(True)) from None
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
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError)
        and ("out of memory" in text or "can't allocate memory" in text)
    )


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
