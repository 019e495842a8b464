"""Training on Lightning: what it is told, how it ends, and what is kept when it ends badly."""

import inspect
import logging
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback, Checkpoint, EMAWeightAveraging
from lightning.pytorch.plugins.environments import LightningEnvironment, SLURMEnvironment
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from torch.utils.data import DataLoader

from spectralvision.data.loading import reader_died
from spectralvision.runs import Stopped, UserError, clear_unfinished, disk_full
from spectralvision.tasks import trial
from spectralvision.tasks.callbacks import KeepBest, ProgressBar, Waiting, batch_size
from spectralvision.tasks.checkpoints import LastCheckpoint, WholeCheckpoints, last_checkpoint
from spectralvision.tasks.engine import Engine, rank
from spectralvision.tasks.processes import Companions, out_of_reach

if TYPE_CHECKING:
    from spectralvision.tasks.classification import Classifier

MEMORY = "out of memory"
LOST = "another process of this training has ended"
LOOK = 20  # batches between looks at how long an accelerator waits for data, as each look waits for it


class NotFiniteError(ArithmeticError):
    """The loss is no number any more."""


def choose_device(device: str = "auto", precision: str = "auto") -> tuple[str, str]:
    """(accelerator, precision): the accelerator at hand, and bfloat16 where it is fast, else float32.

    Raises:
        UserError: There is no such device here.
    """
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if device == "auto":
        device = next(name for name, is_there in there.items() if is_there)
    if not there[device]:
        raise UserError(f"--device {device}: this machine has none, or torch does not find it; --device cpu works.")
    if precision == "auto":
        cuda = device == "cuda" and torch.cuda.is_available()
        precision = "bf16-mixed" if cuda and torch.cuda.is_bf16_supported(including_emulation=False) else "32-true"
    return device, {"32": "32-true"}.get(precision, precision)


def fit(module: "Classifier", train: DataLoader[Any], val: DataLoader[Any], run: Path, options: dict[str, Any],
        say: Callable[[str], None], resume: bool = False, engine: Engine | None = None) -> KeepBest:  # fmt: skip
    """Trains; the best weights, metrics and the last checkpoint are in `run` when it returns or is interrupted.

    With `resume` it goes on from that checkpoint; the result is that of a run without the interruption.

    Raises:
        KeyboardInterrupt: On Ctrl-C, after Lightning has closed down; `Stopped` on SIGTERM, after a checkpoint.
        UserError: The loss is no number any more, the disk is full, memory does not suffice, or a reader or another
            process has died.
    """
    engine = (engine or Engine()).resolved()
    keep = KeepBest(run, say=None if sys.stderr.isatty() else say)
    last = LastCheckpoint(last_checkpoint(run), engine.checkpoint_minutes, train.batch_sampler)
    others = Companions(f"{LOST}; {kept(run, there=True)}.")
    if resume and not rank():
        for folder in (run, last.path.parent):
            clear_unfinished(folder)
    _prepare(module, engine, options)
    failure, resumable = None, False
    with quiet():
        try:
            trainer = _training(module, [others, keep, last], engine, options, run, len(train))
        except (ValueError, RuntimeError, MisconfigurationException) as error:  # what Lightning does not take
            if isinstance(error, UserError):
                raise
            raise UserError(f"training cannot begin so: {' '.join(str(error).split())}") from None
        try:
            trainer.fit(module, train, val, ckpt_path=str(last.path) if resume else None, weights_only=True)
            others.end(kill=False)
        except SystemExit:
            if not trainer.interrupted:
                raise
            others.end(kill=True)
            signal.signal(signal.SIGINT, signal.default_int_handler)  # Lightning left it ignored
            raise (Stopped if last.stopped else KeyboardInterrupt) from None
        except Exception as error:
            failure, resumable = _mishap(error, lost=others.lost())
            if isinstance(error, UserError):  # an image, or a shard, that breaks after all were read
                failure, resumable = str(error), True
            others.end(kill=True)
            if failure is None:
                raise
    if failure is not None:  # outside of the handler, which keeps the tensors of the failed step alive
        if failure == MEMORY:
            assert module.optimisation is not None
            failure = trial.too_large(module.model.cpu(), module.optimisation, batch_size(train), options, engine.parts,
                                      getattr(module, "teacher", None))  # fmt: skip
        raise UserError(failure if rank() else f"{failure.rstrip('.')}; {kept(run, resumable)}.")
    return keep


def _training(module: "Classifier", callbacks: list[Callback], engine: Engine, options: dict[str, Any], run: Path,
              batches: int) -> pl.Trainer:  # fmt: skip
    fields = module.optimisation
    assert fields is not None
    if fields.ema is not None:  # after the callback that keeps the best: then the average is swapped out again
        callbacks = [*callbacks, EMAWeightAveraging(decay=fields.ema)]
    return trainer_of(
        options,
        callbacks,
        engine,
        max_epochs=module.epochs,
        gradient_clip_val=fields.clip_grad,
        accumulate_grad_batches=engine.accumulate,
        logger=_logger(engine.logger, run),
        log_every_n_steps=max(1, min(50, batches)),
        profiler=Waiting(1 if options["accelerator"] == "cpu" else LOOK),
    )


def _prepare(module: "Classifier", engine: Engine, options: dict[str, Any]) -> None:
    """Makes of the model what is trained, in place."""
    if engine.sync_batchnorm and engine.processes > 1:
        from timm.layers import convert_sync_batchnorm

        if options["accelerator"] != "cuda":
            raise UserError("--sync-batchnorm works on GPUs only: leave it out.")
        module.model = convert_sync_batchnorm(module.model)
    if engine.compile:
        module.model.compile()  # type: ignore[no-untyped-call]


def _logger(name: str, run: Path) -> Any:
    """A logger of Lightning's that writes into the run folder, where it writes files.

    Raises:
        UserError: There is no such logger, or it lacks its package.
    """
    from lightning.pytorch import loggers

    if name == "none":
        return False
    kind = getattr(loggers, "TensorBoardLogger" if name == "tensorboard" else name, None)
    if kind is None:
        raise UserError(f"--logger {name} is no logger of Lightning's: there are {', '.join(loggers.__all__)}.")
    place: dict[str, Any] = {"save_dir": str(run)} if "save_dir" in inspect.signature(kind).parameters else {}
    try:
        return kind(**place)
    except (ModuleNotFoundError, TypeError) as error:
        raise UserError(f"--logger {name} cannot be made ({' '.join(str(error).split())}).") from None


def kept(run: Path, resumable: bool = True, there: bool = False) -> str:
    """What an unfinished run holds, and how it goes on, in words. `there`: a checkpoint will be by then."""
    there = there or last_checkpoint(run).exists()
    on = f"`spectralvision train --resume {run}` goes on" if resumable and there else ""
    if not (run / "model.safetensors").exists():
        return on or f"no epoch had ended, so {run} holds no weights"
    return f"the best weights so far are in {run}{f'; {on}' if on else ''}"


def _mishap(error: Exception, lost: bool) -> tuple[str | None, bool]:
    """What the person who waits can mend, in words, and whether going on mends it; None for our own mistakes."""
    if isinstance(error, NotFiniteError):
        return f"{error}: a lower --lr or --precision 32 may help", False
    if trial.out_of_memory(error):
        return MEMORY, False
    if disk_full(error):
        return f"the disk is full ({error})", True
    if reader_died(error):
        return "a process that reads images has died, often for want of memory: fewer --workers may help", True
    if lost or out_of_reach(error):
        return LOST, True
    return None, False


def trainer_of(
    options: dict[str, Any], callbacks: list[Callback] | None = None, engine: Engine | None = None, **fields: Any
) -> pl.Trainer:
    """Lightning's trainer, quiet where no person looks; without an engine for one process."""
    bar = sys.stderr.isatty() and not rank()
    callbacks = list(callbacks or [])
    if bar:
        callbacks.append(ProgressBar(next((one for one in callbacks if isinstance(one, KeepBest)), None)))
    engine = (engine or Engine(devices=1, num_nodes=1)).resolved()
    several, devices, nodes = engine.processes > 1, int(engine.devices), int(engine.num_nodes)
    plugins: list[Any] = [WholeCheckpoints()]
    if not several:
        plugins.append(LightningEnvironment())  # whatever has started this process
    elif SLURMEnvironment.detect():
        plugins.append(SLURMEnvironment(auto_requeue=False))
    return pl.Trainer(
        accelerator=options["accelerator"],
        precision=options["precision"],
        devices=devices,
        num_nodes=nodes,
        strategy="ddp" if several and engine.strategy == "auto" else engine.strategy,
        callbacks=callbacks,
        plugins=plugins,
        **({"logger": False} | fields),
        enable_checkpointing=any(isinstance(callback, Checkpoint) for callback in callbacks),
        enable_progress_bar=bar,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
    )


@contextmanager
def quiet() -> Iterator[None]:
    """Keeps Lightning's notices about devices and workers out of the terminal; warnings of its code paths stay."""
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            for message in (
                ".*does not have many workers.*",
                ".*your dataloader is not resumable.*",  # ours goes on where it was, see PartBatches
                "Your `IterableDataset` has `__len__` defined",  # timm's share out
                ".*treespec, LeafSpec.*",  # Lightning against newer torch
            ):
                warnings.filterwarnings("ignore", message=message)
            yield
    finally:
        logger.setLevel(level)
