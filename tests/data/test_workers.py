"""Workers end with the process that has started them, and other child processes are left alone."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time

import pytest
import torch

from spectralvision.data.images import ArrayImages
from spectralvision.data.loaders import build_inference_loader, build_train_loader
from spectralvision.data.workers import TrackedLoader, choose_num_workers
from spectralvision.engine.errors import classify_failure
from tests.helpers.pictures import image_folder

# Iterates a loader with two workers, and prints its own child processes once both have started.
SCRIPT = """
import multiprocessing, os, signal, sys, time
import numpy as np, torch
from spectralvision.data.images import ArrayImages
from spectralvision.data.loaders import build_train_loader

def transform(image, target):
    return torch.zeros(3, 64, 64), target

def write_later(path):
    time.sleep(3)
    open(path, "w").write("written")

def stop(number, frame):
    sys.exit(143)

if __name__ == "__main__":
    end, path = sys.argv[1:]
    if end == "own-child":
        multiprocessing.Process(target=write_later, args=(path,)).start()
    own = {child.pid for child in multiprocessing.active_children()}
    images = ArrayImages(np.zeros((1000, 8, 8), np.uint8), [0] * 1000, "zeros")
    loader = build_train_loader(images, transform, 4, 0, 2)
    for number, batch in enumerate(loader):
        if number == 3:
            children = {child.pid for child in multiprocessing.active_children()}
            print(*(children - own), flush=True)
            if end == "exception":
                raise RuntimeError("the epoch is broken off")
            if end == "own-child":
                break
            if end == "sigterm":
                signal.signal(signal.SIGTERM, stop)
            print("ready", flush=True)
            time.sleep(60)
"""


def start(tmp_path, end):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    words = [sys.executable, str(script), end, str(tmp_path / "file")]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, start_new_session=True)
    workers = [int(word) for word in process.stdout.readline().split()]
    assert len(workers) == 2
    return process, workers


def exists(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def wait_until_gone(pids, seconds):
    end = time.monotonic() + seconds
    while any(map(exists, pids)):
        assert time.monotonic() < end, "workers are still running"
        time.sleep(0.1)


def test_a_child_process_of_the_user_survives_our_exit(tmp_path):
    process, workers = start(tmp_path, "own-child")
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert (tmp_path / "file").read_text() == "written"
    wait_until_gone(workers, 0)


def test_an_exception_in_an_epoch_leaves_no_worker_behind(tmp_path):
    process, workers = start(tmp_path, "exception")
    process.communicate(timeout=60)
    assert process.returncode == 1
    wait_until_gone(workers, 0)


def test_sigterm_to_all_processes_leaves_no_worker_behind(tmp_path):
    """As a scheduler sends it: workers ignore it, and the main process exits on it."""
    process, workers = start(tmp_path, "sigterm")
    assert process.stdout.readline() == "ready\n"
    for pid in workers:
        os.kill(pid, signal.SIGTERM)
    time.sleep(0.5)
    assert all(map(exists, workers))
    os.killpg(process.pid, signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 143
    wait_until_gone(workers, 0)


@pytest.mark.slow  # torch checks every five seconds whether the main process is alive
def test_workers_end_after_a_main_process_that_cannot_stop_them(tmp_path):
    process, workers = start(tmp_path, "killed")
    assert process.stdout.readline() == "ready\n"
    process.kill()
    process.communicate(timeout=60)
    wait_until_gone(workers, 30)


@pytest.fixture
def images():
    return ArrayImages(torch.zeros(100, 8, 8, dtype=torch.uint8).numpy(), [0] * 100, "zeros")


def transform(image, target):
    return torch.zeros(3, 8, 8), target


@pytest.mark.parametrize("build", [build_train_loader, build_inference_loader])
def test_close_stops_the_workers_of_a_loader_only(images, build):
    seeds = (0,) if build is build_train_loader else ()
    loader, other = (build(images, transform, 4, *seeds, workers=2) for _ in range(2))
    batches, others = iter(loader), iter(other)
    next(batches), next(others)
    assert len(loader.workers) == len(other.workers) == 2
    handler = signal.getsignal(signal.SIGCHLD)
    own = multiprocessing.get_context().Process(target=time.sleep, args=(30,))
    own.start()
    loader.close()
    time.sleep(0.2)  # torch would report a dead worker as an error now
    assert not any(worker.is_alive() for worker in loader.workers)
    assert all(worker.is_alive() for worker in other.workers)
    assert own.is_alive()
    assert signal.getsignal(signal.SIGCHLD) is handler
    assert len(list(others)) == 24
    own.kill()
    own.join()
    loader.close()  # a second time does nothing
    other.close()


def test_a_loader_without_workers_has_nothing_to_stop(images):
    loader = build_inference_loader(images, transform, 4, 0)
    assert len(list(loader)) == 25
    assert not loader.workers
    loader.close()


def test_number_of_workers(images):
    assert choose_num_workers(images) == 0
    assert choose_num_workers(images, 3) == 3


class Unsendable:
    """A batch that a worker cannot hand over."""

    def __init__(self, text):
        self.text = text

    def __reduce__(self):
        raise RuntimeError(self.text)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("unable to write to file </torch_1_2>: No space left on device (28)", "shared_memory"),
        ("unable to open shared memory object </torch_1_2>: Too many open files (24)", "file"),
        ("something else", "worker"),
    ],
)
def test_a_batch_that_cannot_be_handed_over_is_an_error(text, kind):
    """torch's loader would wait for it for ever."""
    loader = TrackedLoader([0], num_workers=1, collate_fn=lambda _: Unsendable(text), timeout=10)
    with pytest.raises(RuntimeError) as caught:
        next(iter(loader))
    assert classify_failure(caught.value).kind == kind


@pytest.mark.slow
@pytest.mark.parametrize("free", [100_000, 198_000])  # less than a batch, and than its labels
def test_too_little_shared_memory_is_one_sentence(free, tmp_path):
    image_folder(tmp_path / "photos", 60)
    script = (
        f"mount -t tmpfs -o size={free} tmpfs /dev/shm && exec {sys.executable} -m "
        f"spectralvision.cli predict {tmp_path}/photos --workers 1 --batch-size 16 --device cpu"
    )
    words = ["unshare", "--mount", "sh", "-c", script]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120)
    if "unshare" in done.stderr or "mount" in done.stderr:
        pytest.skip("only root can mount a small /dev/shm")
    assert done.returncode == 2, done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "error: /dev/shm (0 MiB) is too small for the batches" in done.stderr
