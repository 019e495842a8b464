"""The other processes of a training on this machine, where Lightning has started them."""

import os
import sys
import threading
from subprocess import Popen
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback

PATIENCE = 10.0  # seconds in which a lost process should have shown in the work of this one


class Companions(Callback):
    """Watches the processes that Lightning has started: when one is lost, this one ends with a sentence too.

    Usually what they compute together fails at once, and this process says so itself; one that hangs in it is ended.
    """

    def __init__(self, sentence: str) -> None:
        self.sentence = sentence
        self._processes: list[Popen[Any]] = []
        self._over = threading.Event()

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        processes = getattr(trainer.strategy.launcher, "procs", [])
        self._processes = list(processes)
        processes.clear()  # Lightning's own watch would kill this process without a word
        if self._processes:
            threading.Thread(target=self._watch, daemon=True).start()

    def lost(self) -> bool:
        """Whether one of them has ended other than well."""
        return any(process.poll() for process in self._processes)

    def end(self, kill: bool) -> None:
        """To be called when the training is over."""
        self._over.set()
        for process in self._processes if kill else []:
            process.kill()
        if not kill:
            leave()

    def _watch(self) -> None:
        while not self._over.wait(1.0):
            if self.lost() and not self._over.wait(PATIENCE):
                print(f"spectralvision: error: {self.sentence}", file=sys.stderr, flush=True)
                for process in self._processes:
                    process.kill()
                os._exit(2)


def leave() -> None:
    """After work in common: what comes now is for this process alone."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def out_of_reach(error: BaseException) -> bool:
    """Whether an error says that another process does not answer any more."""
    said = str(error)
    words = ("Connection closed by peer", "Connection reset by peer", "Broken pipe", "NCCL", "Gloo")
    return isinstance(error, torch.distributed.DistError) or (
        isinstance(error, RuntimeError) and any(word in said for word in words)
    )
