"""A training run of any task, as numbered steps."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn
from torch.utils.data import DataLoader

from spectralvision.data.splits import Data, split_train_val
from spectralvision.engine import auto_settings, model_io
from spectralvision.engine.devices import choose_device
from spectralvision.engine.fit import fit
from spectralvision.engine.processes import rank
from spectralvision.engine.progress import discard_line, log_line
from spectralvision.engine.projection import Projection, project
from spectralvision.engine.run_record import (
    check_resumable,
    claim_run_folder,
    describe_data,
    package_versions,
    record_run,
)
from spectralvision.engine.train_module import FitConfig, TrainModule
from spectralvision.engine.training_loop import TrainingLoop
from spectralvision.report import try_write_report, write_report
from spectralvision.runs import UserError, read_json, require_empty_dir
from spectralvision.tasks import messages
from spectralvision.tasks.base import Task
from spectralvision.tasks.registry import find_task
from spectralvision.tasks.train_config import TrainConfig

Say = Callable[[str], None]


@dataclass(frozen=True)
class Prepared:
    """What a training run needs, once data, settings and model are known."""

    task: Task
    config: Any
    data: Data
    notes: list[str]
    model: nn.Module
    module: TrainModule
    train_loader: DataLoader[Any]
    val_loader: DataLoader[Any]
    fit_config: FitConfig


def train(
    config: Any, say: Say = log_line, dry_run: bool = False, resume: Path | None = None
) -> dict[str, Any]:
    """Train one model in this process, which may be one of several, and write a run folder.

    Args:
        config: The settings, of the task that they are for.
        say: Called with each message for the user.
        dry_run: Stop before training; nothing is written.
        resume: The folder of an unfinished run of these settings.

    Returns:
        run, model, the monitored metric, best_epoch, epochs, data_wait, seconds and report; for a
        dry run what it will take.

    Raises:
        UserError: Data, model or settings that do not work.
    """
    start = time.monotonic()
    say = discard_line if rank() else say

    # 1. Data, settings, model and batches
    prepared = prepare(config, resume)

    # 2. What was found, what is trained, how long it takes
    projection = announce(prepared, say)
    if dry_run:
        return _dry_run(prepared, projection, say)

    # 3. Training
    name = f"{prepared.data.name.split('/')[-1]}-{model_io.architecture(prepared.model)}"
    run = resume or claim_run_folder(name, prepared.config.out)
    with record_run(run, _facts(prepared)) as status:
        loop = fit(
            prepared.module,
            prepared.train_loader,
            prepared.val_loader,
            run,
            prepared.fit_config,
            say,
            resume is not None,
        )
        result = _result(prepared, loop, run, time.monotonic() - start)
        status |= {"status": "finished", "results": result}

    # 4. Advice and report
    if rank():
        return result
    advice = messages.advise_on_data_wait(
        result["data_wait"],
        prepared.config,
        prepared.data,
        prepared.train_loader.num_workers,
        prepared.fit_config.device,
    )
    if advice:
        say(advice)
    return result | {"report": try_write_report(lambda: _write_report(prepared, run), say)}


def prepare(config: Any, resume: Path | None) -> Prepared:
    """Open the data, fill in the settings, and build model and batches."""
    task = find_task(config.task)
    device = choose_device(config.device, config.precision)
    if resume is None and not rank():
        require_empty_dir(config.out)

    # 1. Data: open, split, leave out what cannot be read
    data = task.open(config.data, config.data_dir, config.num_classes)
    data = split_train_val(data, config.val_fraction, config.seed, config.fold_of())
    data, notes = task.check(data, config)
    if resume is not None:
        check_resumable(resume, data)

    # 2. Settings, model, batches
    config = _resolve(task, config, data)
    model, config = task.build(config, data, is_new=resume is None)
    module = task.module(model, config, data)
    train_loader, val_loader = task.loaders(config, data, model)
    fit_config = FitConfig(
        epochs=config.epochs,
        optimizer=config.optimizer,
        trainer=config.trainer,
        device=device,
        monitor=task.monitor,
        save=task.save,
    )
    return Prepared(task, config, data, notes, model, module, train_loader, val_loader, fit_config)


def announce(prepared: Prepared, say: Say) -> Projection | None:
    """Say what was found, what is trained and how long it takes; rank 0 measures it."""
    config, projection = prepared.config, None
    if not rank():
        for line in messages.describe_data_and_model(config, prepared.data, prepared.model):
            say(line)
        projection = project(
            prepared.module,
            prepared.fit_config,
            config.batch_size,
            prepared.train_loader,
            prepared.val_loader,
        )
        say(messages.describe_training(config, prepared.fit_config.device, projection))
    for line in prepared.notes:
        say(line)
    return projection


def _dry_run(prepared: Prepared, projection: Projection | None, say: Say) -> dict[str, Any]:
    if projection is None:
        return {"dry_run": True}
    say(messages.describe_trial(projection))
    model = model_io.architecture(prepared.model)
    facts = {"model": model, "config": asdict(prepared.config)}
    return {"dry_run": True, **facts, **projection._asdict()}


def _facts(prepared: Prepared) -> dict[str, Any]:
    """Return what run.json records of a run from its start."""
    return {
        **describe_config(prepared.config),
        "data": describe_data(prepared.data),
        "device": prepared.fit_config.device._asdict(),
        "versions": package_versions(),
    }


def _result(prepared: Prepared, loop: TrainingLoop, run: Path, seconds: float) -> dict[str, Any]:
    best, metric = loop.state.log.best, prepared.task.monitor.metric
    assert best is not None, "every epoch validates"
    return {
        "run": str(run),
        "model": model_io.architecture(prepared.model),
        metric: best[metric],
        "best_epoch": best["epoch"],
        "epochs": prepared.config.epochs,
        "data_wait": round(loop.pace.data_wait(), 3),
        "seconds": round(seconds, 1),
    }


def _write_report(prepared: Prepared, run: Path) -> Path:
    monitor = prepared.task.monitor
    findings = prepared.task.findings(run, prepared.data)
    return write_report(run, findings, monitor.metric, monitor.mode, monitor.tie)


def read_config(
    run: str | Path, find_config: Callable[[str], type[TrainConfig]] | None = None
) -> TrainConfig:
    """Return the settings of a run, with every `auto` filled in.

    Args:
        run: A run folder.
        find_config: Returns the class of a recipe's settings by the recipe's name; default: that of
            the run's task.

    Raises:
        UserError: It is not a run folder, or has no settings of this version.
    """
    run = Path(run).expanduser()
    path = run / "run.json"
    if not path.is_file():
        raise UserError(
            f"{run} is not a run folder: --resume takes one that `spectralvision train` started."
        )
    record = read_json(path)
    try:
        kind = find_task(str(record["task"])).config
        if find_config is not None:
            kind = find_config(str(record["recipe"]))
        return kind.from_record(record["config"])
    except (TypeError, KeyError) as error:
        raise UserError(f"{path} has no settings of this version ({error}).") from None


def _resolve(task: Task, config: Any, data: Data) -> Any:
    """Return the settings with every `auto` that the data decides filled in."""
    num_train = len(data.split("train"))
    is_pretrained = config.pretrained or model_io.brings_weights(config.model)
    trainer = config.trainer.resolve()
    batch = auto_settings.choose_batch_size(
        config.batch_size, num_train, trainer.parts_per_batch, data.name
    )
    limits = task.epoch_limits(config, data, is_pretrained)
    epochs = auto_settings.choose_epochs(config.epochs, limits, num_train, batch)
    optimizer = auto_settings.resolve_optimizer(config.optimizer, batch, epochs, is_pretrained)
    config = replace(config, batch_size=batch, epochs=epochs, optimizer=optimizer, trainer=trainer)
    return task.resolve(config, data)


def describe_config(config: TrainConfig) -> dict[str, Any]:
    """Return what run.json records about the settings, for `read_config`."""
    return {"task": config.task, "recipe": config.recipe, "config": asdict(config)}
