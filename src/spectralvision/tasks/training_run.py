"""A training run of any task, as numbered steps."""

import time
import uuid
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from spectralvision.engine import model_io
from spectralvision.engine.errors import translate_errors
from spectralvision.engine.fit import fit
from spectralvision.engine.processes import destroy_process_group, rank
from spectralvision.engine.progress import discard_line, log_line
from spectralvision.engine.projection import Projection
from spectralvision.engine.run_record import (
    claim_run_folder,
    describe_data,
    describe_resolved,
    lock_run,
    package_versions,
    record_run,
)
from spectralvision.engine.starting_weights import describe_weights
from spectralvision.engine.training_loop import TrainingLoop
from spectralvision.report import try_write_report, write_report
from spectralvision.runs import UserError, expand_user, read_json
from spectralvision.tasks import messages
from spectralvision.tasks.prepare_run import Prepared, prepare, set_found_learning_rate, shorten
from spectralvision.tasks.registry import find_task
from spectralvision.tasks.train_config import TrainConfig

Say = Callable[[str], None]


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
    with ExitStack() as locks:
        locks.callback(torch.set_num_threads, torch.get_num_threads())
        if resume is not None and not dry_run:
            locks.enter_context(lock_run(resume))
        return _train(config, say, dry_run, resume, locks, start)


def _train(
    config: Any, say: Say, dry_run: bool, resume: Path | None, locks: ExitStack, start: float
) -> dict[str, Any]:
    # 1. Data, settings, model and batches
    prepared = prepare(config, resume)
    known = {} if resume is None else read_json(resume / "run.json")
    if resume is not None and known.get("status") == "finished" and not dry_run:
        if rank():
            return dict(known["results"])
        return known["results"] | {"report": _write_report(prepared, resume, say)}
    prepared, projection = shorten(prepared, config, is_new=resume is None)
    if config.optimizer.lr == "find":
        say(messages.describe_range_test(prepared.config.batch_size, projection))
        prepared = set_found_learning_rate(prepared)

    # 2. What was found, what is trained, how long it takes
    announce(prepared, projection, say)
    if dry_run:
        return _dry_run(prepared, projection, say)

    # 3. Training
    name = f"{prepared.data.name.split('/')[-1]}-{model_io.architecture(prepared.model)}"
    run = resume
    if run is None:
        run = claim_run_folder(name, prepared.config.out)
        locks.enter_context(lock_run(run))
    run_id = uuid.uuid4().hex if resume is None else known.get("id")
    try:
        with record_run(run, {"id": run_id, **_facts(prepared)}) as status:
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
    except KeyboardInterrupt:
        _report_stopped_run(prepared, run, say)
        raise

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
    return result | {"report": _write_report(prepared, run, say)}


def announce(prepared: Prepared, projection: Projection | None, say: Say) -> None:
    """Say what was found, what is trained and how long it takes."""
    config = prepared.config
    if projection is not None:
        size = prepared.task.describe_input(config)
        for line in messages.describe_data_and_model(config, prepared.data, prepared.model, size):
            say(line)
        say(messages.describe_training(config, prepared.fit_config.device, projection))
    for line in prepared.notes:
        say(line)


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
        "weights": describe_weights(prepared.config.model, prepared.config.pretrained),
        "device": prepared.fit_config.device._asdict(),
        "resolved": describe_resolved(
            prepared.config, prepared.fit_config.device, prepared.train_loader.num_workers
        ),
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
        "epochs": loop.state.log.rows[-1]["epoch"],
        "data_wait": round(loop.pace.data_wait(), 3),
        "seconds": round(seconds, 1),
    }


def _write_report(prepared: Prepared, run: Path, say: Say) -> str | None:
    """Write the report of a run and return its path; None where the task fails to.

    Raises:
        UserError: The disk or the memory is full, or the like; resuming the run writes it.
    """
    rest = f"{run} is complete, `spectralvision train --resume {run}` writes its report"

    def write() -> Path:
        monitor = prepared.task.monitor
        findings = prepared.task.findings(run, prepared.data)
        return write_report(run, findings, monitor.metric, monitor.mode, monitor.tie)

    with translate_errors(describe_rest=lambda is_resumable: rest):
        return try_write_report(write, say)


def _report_stopped_run(prepared: Prepared, run: Path, say: Say) -> None:
    """Write the report of the epochs so far, unless there are none or it is interrupted too."""
    if rank() or not (run / "metrics.csv").is_file():
        return
    destroy_process_group()
    say("report of the epochs so far (Ctrl-C skips it)")
    with suppress(UserError, KeyboardInterrupt):
        _write_report(prepared, run, say)


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
    run = expand_user(run)
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


def describe_config(config: TrainConfig) -> dict[str, Any]:
    """Return what run.json records about the settings, for `read_config`."""
    return {"task": config.task, "recipe": config.recipe, "config": asdict(config)}
