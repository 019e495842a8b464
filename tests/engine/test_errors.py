"""What errors of the machine and of libraries mean to the user."""

import errno
import os

import pytest
from safetensors import SafetensorError

from spectralvision.engine.errors import classify_failure
from spectralvision.runs import UserError


def system(number, name=None):
    return OSError(number, os.strerror(number), name)


WORKER = "Caught RuntimeError in DataLoader worker process 0.\nOriginal Traceback:\n  File x\n"
CASES = [
    (RuntimeError("could not create a memory object"), "memory"),
    (RuntimeError("could not create a primitive"), "memory"),
    (RuntimeError("unable to mmap 5 bytes from file </a>: Cannot allocate memory (12)"), "memory"),
    (RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory: "
                  "you tried to allocate 8 bytes."), "memory"),
    (RuntimeError("CUDA error: out of memory"), "memory"),
    (MemoryError(), "memory"),
    (system(errno.ENOMEM), "memory"),
    (RuntimeError(f"{WORKER}RuntimeError: unable to allocate shared memory(shm) for file </torch_1>"
                  ": No space left on device (28)\n"), "shared_memory"),
    (RuntimeError("DataLoader worker (pid 7) is killed by signal: Bus error. It is possible that "
                  "dataloader's workers are out of shared memory."), "shared_memory"),
    (RuntimeError("DataLoader worker (pid 7) exited unexpectedly with exit code 1. Details"),
     "worker"),
    (RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed."), "worker"),
    (RuntimeError("unable to write to file </torch_18_1>: No space left on device (28)"),
     "shared_memory"),
    (RuntimeError("unable to open shared memory object </torch_18_1> in read-write mode: "
                  "Too many open files (24)"), "file"),
    (RuntimeError("Too many open files. Communication with the workers is no longer possible."),
     "file"),
    (system(errno.ENOSPC, "a"), "disk"),
    (system(errno.EDQUOT, "a"), "disk"),
    (SafetensorError("I/O error: No space left on device (os error 28)"), "disk"),
    (SafetensorError("I/O error: Read-only file system (os error 30)"), "file"),
    (system(errno.EROFS, "a"), "file"),
    (system(errno.EACCES, "a"), "file"),
    (system(errno.ENOENT, "a"), "file"),
    (system(errno.EMFILE, "a"), "file"),
    (system(errno.ENFILE, "a"), "file"),
    (system(errno.EIO, "a"), "file"),
    (system(errno.EAGAIN), "file"),
    (RuntimeError("NCCL communicator was aborted"), "process"),
    (BrokenPipeError(errno.EPIPE, "Broken pipe"), None),
    (RuntimeError(f"{WORKER}KeyError: 3"), None),
    (RuntimeError("shape '[2]' is invalid for input of size 3"), None),
    (KeyError("errno"), None),
    (UserError("a.png cannot be read ([Errno 2] No such file or directory)."), None),
]  # fmt: skip


@pytest.mark.parametrize(("error", "kind"), CASES, ids=lambda value: str(value)[:40])
def test_the_kind_and_one_sentence(error, kind):
    failure = classify_failure(error)
    assert (failure and failure.kind) == kind
    if failure is not None:
        assert "\n" not in failure.sentence
        assert not failure.sentence.endswith(".")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (RuntimeError("insufficient shared memory"), ("/dev/shm", "--workers 0", "--ipc=host")),
        (system(errno.EMFILE, "a.ckpt"), ("a.ckpt", "ulimit -n", "--workers")),
        (system(errno.EROFS, "a.ckpt"), ("a.ckpt", "Read-only file system")),
    ],
)  # fmt: skip
def test_the_sentence_names_the_cause_and_the_cure(error, words):
    sentence = classify_failure(error).sentence
    assert all(word in sentence for word in words), sentence
