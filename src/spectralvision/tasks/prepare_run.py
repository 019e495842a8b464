"""Open the data, fill in the settings, and build model and batches of a training run."""

from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader

from spectralvision.data.open_data import READER_PREFIXES
from spectralvision.data.shard_columns import Columns
from spectralvision.data.splits import Data, split_train_val, take_images
from spectralvision.engine import auto_settings
from spectralvision.engine.devices import Device, choose_device
from spectralvision.engine.find_learning_rate import find_learning_rate
from spectralvision.engine.processes import rank
from spectralvision.engine.progress import show_status
from spectralvision.engine.projection import Projection, measure_cost, project
from spectralvision.engine.run_record import check_resumable
from spectralvision.engine.starting_weights import choose_weights, has_strong_weights
from spectralvision.engine.threads import choose_threads
from spectralvision.engine.train_module import FitConfig, TrainModule
from spectralvision.runs import UserError, expand_user, require_empty_dir
from spectralvision.tasks import messages
from spectralvision.tasks.base import Task
from spectralvision.tasks.registry import find_task


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


def prepare(config: Any, resume: Path | None) -> Prepared:
    """Open the data, fill in the settings, and build model and batches."""
    task = find_task(config.task)
    device = choose_device(config.device, config.precision)
    if resume is None and not rank():
        require_empty_dir(config.out)

    # 1. Data: open, split, leave out what cannot be read
    with show_status(f"Finding the images of {config.data}"):
        columns = Columns(config.image_column, config.label_column)
        try:
            data = task.open(config.data, config.data_dir, config.num_classes, columns)
        except UserError as error:
            raise describe_missing_data(config.data, resume) or error from None
    data = take_images(data, config.num_images, config.seed)
    data = split_train_val(data, config.val_fraction, config.seed, config.fold_of())
    data, notes = task.check(data, config)
    if resume is not None:
        check_resumable(resume, data)

    # 2. Threads, settings, model, batches
    trainer = config.trainer.resolve()
    threads = choose_threads(trainer.threads, int(trainer.devices))
    notes += messages.describe_threads(threads, torch.get_num_threads(), resume)
    torch.set_num_threads(threads)
    config = replace(config, trainer=replace(trainer, threads=threads))
    return _build(task, config, data, notes, device, is_new=resume is None)


def describe_missing_data(spec: str, resume: Path | None) -> UserError | None:
    """Return the error for a run whose data is gone; None for others."""
    if spec.startswith(READER_PREFIXES) or resume is None or expand_user(spec).exists():
        return None
    return UserError(
        f"the data of {resume}, {spec}, does not exist: put it back"
        + ("." if Path(spec).is_absolute() else ", or resume in the folder where the run started.")
    )


def _build(
    task: Task, config: Any, data: Data, notes: list[str], device: Device, is_new: bool
) -> Prepared:
    """Fill in the settings that the data decides, and build model and batches."""
    config = _resolve(task, config, data)
    model, config = task.build(config, data, is_new=is_new)
    config = _resolve_optimizer(task, config, model)
    module = task.module(model, config, data)
    train_loader, val_loader = task.loaders(config, data, model)
    fit_config = FitConfig(
        epochs=config.epochs,
        early_stop=config.early_stop,
        optimizer=config.optimizer,
        trainer=config.trainer,
        device=device,
        monitor=task.monitor,
        save=task.save,
    )
    return Prepared(task, config, data, notes, model, module, train_loader, val_loader, fit_config)


def shorten(prepared: Prepared, wanted: Any, is_new: bool) -> tuple[Prepared, Projection | None]:
    """Measure how long the run takes, and change what is `auto` on a CPU.

    Data-loading workers are left out where they make training slower; input size and epochs are
    reduced if the run takes over an hour.

    Args:
        prepared: The run.
        wanted: The settings as they were given.
        is_new: Whether they can still be changed.

    Returns:
        The run as it will be, and its duration, which rank 0 measures.
    """
    if rank():
        return prepared, None
    prepared, projection = _measure(prepared)
    first = prepared
    before, fold_count = projection.seconds, wanted.folds or 1
    device, trainer = prepared.fit_config.device, prepared.config.trainer
    if device.accelerator != "cpu" or trainer.world_size > 1 or not is_new:
        return prepared, projection
    is_pretrained = has_strong_weights(first.config.model, first.config.pretrained)

    def rebuild(**values: int) -> Prepared:
        config = replace(wanted, trainer=trainer, **values)
        data, notes = prepared.data, prepared.notes
        return _build(prepared.task, config, data, notes, device, is_new=True)

    # 1. The input size, if the model takes a smaller one
    values: dict[str, int] = {}
    if wanted.input_size == "auto":
        size = prepared.config.input_size
        smallest = prepared.task.smallest_sizes[is_pretrained]
        shorter = auto_settings.shorten_input_size(size, before * fold_count, smallest)
        if shorter < size:
            with suppress(UserError):
                prepared = rebuild(input_size=shorter)
                values = {"input_size": shorter}
                prepared, projection = _measure(prepared)

    # 2. The epochs
    if wanted.epochs == "auto":
        epochs = prepared.config.epochs
        seconds = projection.seconds
        shorter = auto_settings.shorten_epochs(epochs, seconds * fold_count)
        if shorter < epochs:
            with suppress(UserError):  # --warmup-epochs may be more
                prepared = rebuild(**values, epochs=shorter)
                projection = projection._replace(seconds=seconds * shorter / epochs)
    note = messages.advise_on_duration(
        prepared.task, first.config, prepared.config, before, projection.seconds
    )
    return replace(prepared, notes=[*prepared.notes, *note]), projection


def set_found_learning_rate(prepared: Prepared) -> Prepared:
    """Return the run with the peak learning rate that a range test finds, if it finds one."""
    lr = find_learning_rate(prepared.module, prepared.train_loader, prepared.fit_config)
    if lr is None:
        return replace(prepared, notes=[*prepared.notes, messages.NO_RATE_FOUND])
    optimizer = replace(prepared.config.optimizer, lr=lr)
    return replace(
        prepared,
        config=replace(prepared.config, optimizer=optimizer),
        fit_config=replace(prepared.fit_config, optimizer=optimizer),
    )


def _measure(prepared: Prepared) -> tuple[Prepared, Projection]:
    """Return the run, without workers where `auto` ones make it slower, and its duration.

    The setting stays `auto`: a run that is resumed on another machine decides again.
    """
    config, fit_config = prepared.config, prepared.fit_config
    loaders = prepared.train_loader, prepared.val_loader
    cost = measure_cost(prepared.module, fit_config, config.batch_size, *loaders)
    is_free = config.workers == "auto" and config.trainer.world_size == 1
    if is_free and fit_config.device.accelerator == "cpu" and cost.is_slower_with_workers():
        loaders = prepared.task.loaders(replace(config, workers=0), prepared.data, prepared.model)
        prepared = replace(prepared, train_loader=loaders[0], val_loader=loaders[1])
    return prepared, project(cost, fit_config, config.batch_size, *loaders)


def _resolve(task: Task, config: Any, data: Data) -> Any:
    """Return the settings with every `auto` that the data decides filled in, but the optimizer."""
    num_train = len(data.split("train"))
    model, pretrained = choose_weights(config.model, config.pretrained, data)
    config = replace(config, model=model, pretrained=pretrained)
    is_pretrained = has_strong_weights(model, pretrained)
    batch = auto_settings.choose_batch_size(
        config.batch_size, task.batch_limits, num_train, config.trainer.parts_per_batch, data.name
    )
    limits = task.epoch_limits(config, data, is_pretrained)
    epochs = auto_settings.choose_epochs(config.epochs, limits, num_train, batch)
    return task.resolve(replace(config, batch_size=batch, epochs=epochs), data)


def _resolve_optimizer(task: Task, config: Any, model: nn.Module) -> Any:
    """Return the settings with every `auto` of the optimizer filled in."""
    is_small = sum(weight.numel() for weight in model.parameters()) <= task.small_network
    is_gentle = has_strong_weights(config.model, config.pretrained) and not is_small
    optimizer = auto_settings.resolve_optimizer(
        config.optimizer, config.batch_size, config.epochs, is_gentle
    )
    return replace(config, optimizer=optimizer)
