"""Train a module, and end in one sentence when something goes wrong."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch.utils.data import DataLoader

from spectralvision.data.workers import TrackedLoader
from spectralvision.engine.errors import classify_failure, join_sentence
from spectralvision.engine.processes import destroy_process_group
from spectralvision.engine.run_record import describe_unfinished_run
from spectralvision.engine.train_module import FitConfig, TrainModule
from spectralvision.engine.training_loop import TrainingLoop
from spectralvision.engine.trial_steps import describe_too_large
from spectralvision.runs import UserError


def fit(
    module: TrainModule,
    train: DataLoader[Any],
    val: DataLoader[Any],
    run: Path,
    config: FitConfig,
    say: Callable[[str], None],
    resume: bool = False,
) -> TrainingLoop:
    """Train a module; the run folder has its best weights, metrics and last checkpoint at the end.

    Args:
        module: What to train, in place.
        train, val: Batches (images, targets).
        run: The run folder.
        config: How to train.
        say: Called with a line per epoch where no progress bar is shown.
        resume: Resume from the last checkpoint of the run.

    Raises:
        KeyboardInterrupt: On Ctrl-C; `SigtermInterrupt` on SIGTERM, after a checkpoint.
        UserError: The loss is NaN or infinite, the disk is full, memory does not suffice, or a
            worker or another process has died.
    """
    loop = TrainingLoop(module, train, val, run, config, say)
    run = loop.state.run  # that of rank 0
    try:
        loop.run_epochs(resume)
        failure = None
    except UserError as error:  # an image, or a file, that breaks after all were checked
        raise UserError(join_sentence(str(error), describe_unfinished_run(run))) from None
    except Exception as error:
        failure = classify_failure(error)
        if failure is None:
            raise
    finally:
        for loader in (train, val):
            if isinstance(loader, TrackedLoader):
                loader.close()  # its workers ignore SIGTERM
    if failure is None:
        destroy_process_group()
        return loop
    # Outside of the handler, which keeps the tensors of the failed step alive.
    if failure.kind != "memory":
        rest = describe_unfinished_run(run, failure.is_resumable)
        raise UserError(join_sentence(failure.sentence, rest))
    sentence = describe_too_large(module.cpu(), config, loop.batch_size)
    raise UserError(join_sentence(sentence, describe_unfinished_run(run, is_resumable=False)))
