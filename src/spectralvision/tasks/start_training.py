"""Start a training: one run in this process, one in several processes, or cross-validation."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from spectralvision.engine.processes import is_launched, launch
from spectralvision.engine.progress import log_line
from spectralvision.runs import expand_user, require_extra
from spectralvision.tasks.cross_validation import cross_validate
from spectralvision.tasks.registry import find_task
from spectralvision.tasks.train_config import TrainConfig
from spectralvision.tasks.training_run import train

TRAIN_PACKAGES = ("lightning", "torchmetrics", "rich", "scipy")


def start_training(
    config: TrainConfig,
    say: Callable[[str], None] = log_line,
    dry_run: bool = False,
    resume: str | Path | None = None,
) -> dict[str, Any]:
    """Train a model, or one per fold, and write a run folder.

    Args:
        config: The settings, of the task that they are for.
        say: Called with each message for the user.
        dry_run: Stop before training; nothing is written.
        resume: The folder of an unfinished run of these settings (see `read_config`).

    Returns:
        See `train` and `cross_validate`.

    Raises:
        UserError: Data, model or settings that do not work.
    """
    require_extra("train", *TRAIN_PACKAGES)
    config.check()
    resume = None if resume is None else expand_user(resume)
    if not dry_run:
        find_task(config.task).prepare(config, say)
    if config.folds is not None and config.fold is None:
        return cross_validate(config, say, dry_run, resume)
    trainer = config.trainer.resolve()
    if trainer.world_size == 1 or is_launched():
        return train(config, say, dry_run, resume)
    arguments = (config, log_line, dry_run, resume)
    result: dict[str, Any] = launch(
        train, *arguments, devices=int(trainer.devices), num_nodes=int(trainer.num_nodes)
    )
    return result
