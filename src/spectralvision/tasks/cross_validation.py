"""K-fold cross-validation: K models, each validated on the images that it was not trained on.

With few images one validation set is too small to tell a good model from a lucky one. Here every
image is held out once, so that the metric uses every image.
"""

import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from spectralvision.engine.checkpoints import last_checkpoint
from spectralvision.engine.errors import join_sentence, translate_errors
from spectralvision.engine.model_io import find_model
from spectralvision.engine.progress import discard_line
from spectralvision.engine.run_record import lock_run
from spectralvision.runs import UserError, create_run_folder, format_duration, read_json, write_json
from spectralvision.tasks.base import Task
from spectralvision.tasks.registry import find_task
from spectralvision.tasks.train_config import TrainConfig
from spectralvision.tasks.training_run import describe_config, read_config, train

Say = Callable[[str], None]


def cross_validate(
    config: TrainConfig, say: Say, dry_run: bool, resume: Path | None
) -> dict[str, Any]:
    """Train `config.folds` models into `fold-1`, `fold-2` ... of one run folder.

    Returns:
        run, folds (each with run, images, best_epoch and the monitored metric), what
        `Task.combine_folds` makes of them, images and seconds.

    Raises:
        UserError: As a single run; finished folds are kept, and `resume` trains the others.
    """
    start = time.monotonic()
    task, num_folds = find_task(config.task), int(config.folds or 0)
    if config.trainer.resolve().world_size > 1:
        raise UserError(
            "--folds trains on one device: leave --devices out, or run one --fold after another."
        )

    # 1. Reject what cannot work before there is a folder; the folds print their messages themselves
    if resume is None or dry_run:
        first = replace(config, fold=1, out=None if resume else config.out)
        trial = train(first, say if dry_run else discard_line, dry_run=True)
        if dry_run:
            say(f"folds  {num_folds} training runs like this one")
            return trial
        # The same in all folds, though each has its own images and its own time
        chosen = trial["config"]
        config = replace(config, input_size=chosen["input_size"], epochs=chosen["epochs"])
        if config.optimizer.lr == "find":
            found = replace(config.optimizer, lr=chosen["optimizer"]["lr"], lr_base_size=None)
            config = replace(config, optimizer=found)

    # 2. Train each fold
    if resume is None:
        model = Path(find_model(config.model)).name
        run = create_run_folder(f"{Path(config.data).name}-{model}-{num_folds}-folds", config.out)
    else:
        run = resume
    facts = describe_config(config)
    folds: list[dict[str, Any]] = []
    with lock_run(run):
        try:
            with translate_errors():
                write_json(run / "run.json", {"status": "running", **facts})
                for number in range(1, num_folds + 1):
                    left = ""
                    if folds:
                        seconds = (time.monotonic() - start) / len(folds) * (num_folds + 1 - number)
                        left = f", {format_duration(seconds)} left"
                    say(f"fold   {number} of {num_folds}{left}")
                    fold_config = replace(config, fold=number, out=str(run / f"fold-{number}"))
                    folds.append(_train_fold(task, fold_config, say))

                # 3. Combine them
                result = {
                    "run": str(run),
                    "folds": folds,
                    **task.combine_folds(folds),
                    "images": sum(one["images"] for one in folds),
                    "seconds": round(time.monotonic() - start, 1),
                }
                write_json(run / "run.json", {"status": "finished", "results": result, **facts})
                return result
        except (KeyboardInterrupt, UserError) as error:
            with suppress(OSError):  # on a full disk the record of the start stays
                write_json(run / "run.json", {"status": "interrupted", **facts})
            rest = (
                f"{len(folds)} of {num_folds} folds are finished, "
                f"`spectralvision train --resume {run}` trains the others"
            )
            sentence = join_sentence(str(error), rest) if str(error) else rest
            raise type(error)(sentence.removesuffix(".")) from None


def _train_fold(task: Task, config: TrainConfig, say: Say) -> dict[str, Any]:
    """Return the result of one fold, trained now or before."""
    run = Path(str(config.out))
    record = read_json(run / "run.json") if (run / "run.json").is_file() else {}
    is_finished = record.get("status") == "finished"
    if not is_finished or not (run / "report.html").is_file():
        if is_finished or last_checkpoint(run).is_file():
            train(read_config(run, lambda recipe: type(config)), say, resume=run)
        else:
            shutil.rmtree(run, ignore_errors=True)  # it has no checkpoint
            train(config, say)
        record = read_json(run / "run.json")
    results = record["results"]
    metric = task.monitor.metric
    return {
        "run": str(run),
        metric: results[metric],
        "images": record["data"]["images"]["val"],
        "best_epoch": results["best_epoch"],
    }
