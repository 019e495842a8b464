"""Evaluate a model of any task on held-out images."""

import time
from pathlib import Path
from typing import Any

from spectralvision.data.images import Images, Stream
from spectralvision.data.loaders import build_inference_loader
from spectralvision.data.samplers import Partition
from spectralvision.data.splits import Data, fingerprint, repeat_split
from spectralvision.engine.errors import translate_errors
from spectralvision.engine.infer import InferenceConfig, infer
from spectralvision.engine.model_io import run_of
from spectralvision.engine.processes import destroy_process_group, is_launched, launch, rank
from spectralvision.engine.run_record import read_record
from spectralvision.runs import UserError
from spectralvision.tasks.base import Task
from spectralvision.tasks.registry import task_of


def evaluate(
    name: str,
    data: Data,
    split: str | None = None,
    config: InferenceConfig | None = None,
    options: Any = None,
) -> dict[str, Any]:
    """Return the metrics of a model on a split.

    Args:
        name: A run folder, a repository, or a model's name with published weights.
        data: Matched to the model by name. Where the run took its validation images from the same
            data, the split is repeated.
        split: Which images; default: test, else val, else all.
        config: How to run the model.
        options: The task's `evaluate_options`.

    Returns:
        model, data, split, the task's results, images, images_per_second; images_id is the same for
        the same images; seen_in_training is "train" or "val" where the run was trained on these
        images or its best epoch chosen by them, "unknown" for a folder without run.json, else None.

    Raises:
        UserError: A model without weights, a class it does not know, no such split, an image that
            cannot be read.
    """
    config = config or InferenceConfig()
    if config.devices > 1 and not is_launched():
        arguments = (name, data, split, config, options)
        result: dict[str, Any] = launch(evaluate, *arguments, devices=config.devices)
        return result
    task = task_of(name)
    options = options or task.evaluate_options()

    # 1. Model and data
    model = task.load(name)
    data = repeat_split(data, read_record(run_of(name)).get("data", {}))
    split = split or data.held_out()
    original = data.split(split)
    data = task.match(data, model, name)

    # 2. Metrics over the images
    module = task.evaluator(model, options)
    start = time.monotonic()
    with translate_errors(config.batch_size):
        num_images = _run(task, module, data.split(split), config)
    results = task.results(module, data, num_images, options)
    destroy_process_group()
    return {
        "model": name,
        "data": data.name,
        "split": split,
        **results,
        "images": num_images,
        "images_per_second": round(num_images / (time.monotonic() - start), 1),
        "images_id": fingerprint(original) if isinstance(original, Images) else None,
        "seen_in_training": _seen_in_training(run_of(name), original),
    }


def _run(task: Task, module: Any, images: Images | Stream, config: InferenceConfig) -> int:
    """Update the module's metrics with all images; return their number, over all ranks."""
    partition = Partition(rank() if config.devices > 1 else 0, config.devices)
    transform = task.transform(None, module.model, train=False)
    workers = config.choose_workers(images)
    loader = build_inference_loader(
        images, transform, config.batch_size, workers, partition, collate=task.collate
    )
    module.metrics.reset()
    num_images = 0
    for batch, outputs in infer(module, loader, config, "Evaluating", len(images)):
        if batch.failures:
            raise UserError(batch.failures[0][1])
        module.update_metrics(outputs, batch.targets)
        num_images += batch.num_images
    return len(images) if config.devices > 1 else num_images


def _seen_in_training(run: Path, images: Images | Stream) -> str | None:
    if not isinstance(images, Images):
        return None
    if run.is_dir() and not (run / "run.json").is_file():
        return "unknown"
    known = read_record(run).get("data", {}).get("fingerprints", {})
    own = fingerprint(images)
    return next((split for split, one in known.items() if one == own), None)
