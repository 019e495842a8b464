"""Run one job in several processes: find the rank, start local processes, and stop them together.

Processes come from torchrun, from SLURM, or from `launch`, which starts one per device on this
machine. The process that calls `launch` computes nothing: it waits, passes SIGTERM on, and ends
the others when one is lost.
"""

import multiprocessing
import os
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from typing import Any

import torch

from spectralvision.runs import SigtermInterrupt, UserError

PATIENCE_SECONDS = 10.0
"""How long the other processes have to end by themselves once one of them is lost."""
LOST = (None, "lost")
"""Outcome of a process that ended without sending one."""


def rank() -> int:
    """Return the rank of this process among all processes of a job; 0 writes files and messages."""
    for name in ("RANK", "SLURM_PROCID"):
        if name in os.environ:
            return int(os.environ[name])
    return 0


def is_launched() -> bool:
    """Return whether a launcher has started this process as one of several."""
    return "LOCAL_RANK" in os.environ or int(os.environ.get("SLURM_NTASKS", "1")) > 1


def destroy_process_group() -> None:
    """Leave the process group, if there is one: what follows is for this process alone."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


@contextmanager
def interrupt_on_sigterm() -> Iterator[None]:
    """Make SIGTERM raise `SigtermInterrupt` inside the block, as Ctrl-C raises its error.

    Training has a handler of its own meanwhile, which lets the step end first.
    """

    def interrupt(*_: Any) -> None:
        raise SigtermInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def launch(function: Callable[..., Any], *arguments: Any, devices: int, num_nodes: int = 1) -> Any:
    """Run `function(*arguments)` in `devices` new processes and return the result of the first.

    Args:
        function: A function of a module, as it is pickled.
        arguments: Its arguments, which are pickled too.
        devices: Processes on this machine.
        num_nodes: Machines; NODE_RANK, MASTER_ADDR and MASTER_PORT name this one and the first.

    Raises:
        UserError: What the function raised, or that a process was lost.
        SigtermInterrupt: SIGTERM ended it.
        KeyboardInterrupt: Ctrl-C ended it.
    """
    context = multiprocessing.get_context("spawn")
    node = int(os.environ.get("NODE_RANK", "0"))
    shared = {
        "MASTER_ADDR": os.environ.get("MASTER_ADDR", "127.0.0.1"),
        "MASTER_PORT": os.environ.get("MASTER_PORT") or str(_free_port()),
        "LOCAL_WORLD_SIZE": str(devices),
        "WORLD_SIZE": str(devices * num_nodes),
    }
    processes = []
    connections = []
    for local_rank in range(devices):
        ranks = {"LOCAL_RANK": str(local_rank), "RANK": str(node * devices + local_rank)}
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(
            target=_run, args=(shared | ranks, devices, function, arguments, theirs)
        )
        process.start()
        theirs.close()
        processes.append(process)
        connections.append(ours)
    with _pass_on_sigterm(processes) as sigterm:
        outcomes = _wait_for(processes, connections)
    return _result(outcomes, stopped=sigterm.is_set())


def _run(
    environment: dict[str, str],
    devices: int,
    function: Callable[..., Any],
    arguments: tuple[Any, ...],
    connection: Connection,
) -> None:
    """Call the function in a new process, and send its result or the error that it raised."""
    os.environ.update(environment)
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, torch.get_num_threads() // devices))
    code = 0
    outcome: tuple[BaseException | None, Any]
    try:
        outcome = (None, function(*arguments))
    except (UserError, KeyboardInterrupt) as error:
        outcome = (error, None)
        code = 1
    except BaseException:
        traceback.print_exc()
        sys.exit(1)
    connection.send(outcome)
    connection.close()
    sys.exit(code)


def _wait_for(processes: list[Any], connections: list[Connection]) -> list[Any]:
    """Return (error, result) of each process, None or LOST for one that was lost."""
    outcomes: list[Any] = [None] * len(processes)
    deadline: float | None = None
    running = dict(enumerate(processes))
    while running:
        timeout = None if deadline is None else max(0.0, deadline - time.monotonic())
        handles: list[Any] = [process.sentinel for process in running.values()]
        handles += [connections[number] for number in running if outcomes[number] is None]
        try:
            ready = wait(handles, timeout)
        except KeyboardInterrupt:
            _terminate(running.values())
            deadline = time.monotonic() + PATIENCE_SECONDS
            continue
        if not ready and deadline is not None:
            for process in running.values():
                process.kill()
        for number, process in list(running.items()):
            # A large result is sent while the process is still running
            if outcomes[number] is None and connections[number].poll():
                outcomes[number] = _receive(connections[number])
            if not process.is_alive():
                process.join()
                connections[number].close()
                del running[number]
                is_stopped = isinstance((outcomes[number] or LOST)[0], SigtermInterrupt)
                if process.exitcode and deadline is None and not is_stopped:
                    deadline = time.monotonic() + PATIENCE_SECONDS
    return outcomes


def _receive(connection: Connection) -> Any:
    """Return what a process has sent; LOST if it ended without sending anything."""
    try:
        return connection.recv()
    except (EOFError, OSError):
        return LOST


def _result(outcomes: list[Any], stopped: bool) -> Any:
    """Return the first process's result, or raise the error that explains the others."""
    outcomes = [LOST if outcome is None else outcome for outcome in outcomes]
    errors = [error for error, _ in outcomes if error is not None]
    if errors:
        errors.sort(key=lambda error: isinstance(error, KeyboardInterrupt))
        raise errors[0]
    if stopped:
        raise SigtermInterrupt
    if LOST in outcomes:
        raise UserError(
            f"process {outcomes.index(LOST)} of {len(outcomes)} was lost; the others were stopped."
        )
    return outcomes[0][1]


@contextmanager
def _pass_on_sigterm(processes: list[Any]) -> Iterator[threading.Event]:
    """Pass SIGTERM on to the processes inside the block."""
    received = threading.Event()

    def pass_on(*_: Any) -> None:
        received.set()
        _terminate(processes)

    if threading.current_thread() is not threading.main_thread():
        yield received
        return
    before = signal.signal(signal.SIGTERM, pass_on)
    try:
        yield received
    finally:
        signal.signal(signal.SIGTERM, before)


def _terminate(processes: Any) -> None:
    for process in processes:
        if process.is_alive():
            process.terminate()


def _free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return int(server.getsockname()[1])
