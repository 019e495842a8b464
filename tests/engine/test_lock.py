"""A lock is for one process, and ends with it."""

import os
import signal
import time

import pytest

from spectralvision.engine.lock import lock
from spectralvision.runs import UserError


@pytest.mark.parametrize("name", ["", "file.lock"])
def test_a_second_lock_is_rejected_until_the_first_ends(tmp_path, name):
    path = tmp_path / name
    with lock(path, "the run"):
        sentence = r"^another process is writing the run: wait until it has ended, or stop it\.$"
        with pytest.raises(UserError, match=sentence), lock(path, "the run"):
            raise AssertionError
    with lock(path, "the run"):
        pass
    assert os.listdir(tmp_path) == ([name] if name else [])


def test_sigkill_ends_a_lock_although_children_live_on(tmp_path):
    """As data-loading workers do, for some seconds."""
    receive, send = os.pipe()
    if not (holder := os.fork()):
        with lock(tmp_path, "the run"):
            if not os.fork():
                time.sleep(60)
                os._exit(0)
            os.write(send, b"%d" % 1)
            time.sleep(60)
        os._exit(0)
    os.read(receive, 1)
    with pytest.raises(UserError, match="another process"), lock(tmp_path, "the run"):
        raise AssertionError
    os.kill(holder, signal.SIGKILL)
    os.waitpid(holder, 0)
    with lock(tmp_path, "the run"):
        pass
