"""How fast a training run is, how long it waits for data, and how much time is left."""

import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

import torch

T = TypeVar("T")
BATCHES_BETWEEN_MEASUREMENTS = 20
"""On an accelerator, as each measurement waits for its work to end."""


class Pace:
    """Times of this session, and the seconds of the sessions before it."""

    def __init__(self, accelerator: str) -> None:
        self.every = 1 if accelerator == "cpu" else BATCHES_BETWEEN_MEASUREMENTS
        self.start = time.monotonic()
        self.earlier_seconds = 0.0
        self.last_checkpoint = self.start
        self.training_seconds = 0.0
        self.waiting_seconds = 0.0
        self.images = 0
        self.updates = 0
        self._training_since: float | None = None

    def resume(self, seconds: float) -> None:
        """Add the seconds of earlier sessions."""
        self.earlier_seconds = seconds

    def seconds(self) -> float:
        """Return the duration of the run, all sessions together."""
        return self.earlier_seconds + time.monotonic() - self.start

    def time_batches(self, loader: Iterable[T]) -> Iterator[T]:
        """Yield the batches, and measure how long training waits for each.

        An accelerator computes while Python has gone ahead to the next batch. Its work is waited
        for before the clock starts, for one batch in `every`, which stands for the others."""
        batches = iter(loader)
        number = 0
        while True:
            number += 1
            is_measured = number % self.every == 0
            if is_measured and self.every > 1:
                torch.accelerator.synchronize()
            start = time.monotonic()
            try:
                batch = next(batches)
            except StopIteration:
                return
            if is_measured:
                self.waiting_seconds += self.every * (time.monotonic() - start)
            yield batch

    def begin_training(self) -> None:
        """Start the clock of an epoch's training."""
        self._training_since = time.monotonic()

    def end_training(self) -> None:
        """Stop it."""
        self.training_seconds = self._training_until_now()
        self._training_since = None

    def count(self, images: int) -> None:
        """Count an update of so many images."""
        self.images += images
        self.updates += 1

    def images_per_second(self) -> float:
        """Return the rate of training in this session, validation excluded."""
        return self.images / max(self._training_until_now(), 1e-9)

    def data_wait(self) -> float:
        """Return the fraction of this session's training time that was spent waiting for data."""
        if not self.training_seconds:
            return 0.0
        return min(1.0, self.waiting_seconds / self.training_seconds)

    def seconds_left(self, updates: int) -> float:
        """Return how long so many updates take at the pace so far, validation included."""
        return (time.monotonic() - self.start) / max(self.updates, 1) * max(updates, 0)

    def seconds_since_checkpoint(self) -> float:
        """Return the age of the last checkpoint."""
        return time.monotonic() - self.last_checkpoint

    def checkpointed(self) -> None:
        """Note that a checkpoint has just been written."""
        self.last_checkpoint = time.monotonic()

    def _training_until_now(self) -> float:
        ongoing = 0.0 if self._training_since is None else time.monotonic() - self._training_since
        return self.training_seconds + ongoing
