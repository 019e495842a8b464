"""Compare variants of a network: costs and speed, then trainings with several seeds, then a table.

A comparison is a folder: `compare.json` with settings, costs and accuracies, `starts/` with the
untrained networks and `runs/` with a run folder for each variant and seed. What is in it is not
done again.
"""

import functools
import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from statistics import mean
from typing import Any

import timm
import torch
from torch import nn

from spectralvision.analysis.benchmark import BenchmarkConfig, benchmark_models
from spectralvision.analysis.round_trip import round_trip_errors
from spectralvision.data.splits import Data, split_train_val, take_images
from spectralvision.engine.checkpoints import last_checkpoint
from spectralvision.engine.devices import choose_device
from spectralvision.engine.errors import join_sentence, translate_errors
from spectralvision.engine.infer import InferenceConfig
from spectralvision.engine.lock import lock
from spectralvision.engine.model_io import describe, save_model
from spectralvision.engine.optimizer_config import OptimizerConfig
from spectralvision.engine.progress import discard_line, log_line
from spectralvision.export.benchmark import RuntimeConfig, available_runtimes, benchmark_runtimes
from spectralvision.runs import UserError, create_run_folder, format_duration, read_json, write_json
from spectralvision.tasks.classification.config import ClassificationConfig
from spectralvision.tasks.comparison import CompareConfig
from spectralvision.tasks.evaluation import evaluate
from spectralvision.tasks.registry import find_task
from spectralvision.tasks.training_run import read_config, train

RECORD = "compare.json"
Say = Callable[[str], None]


def compare(config: CompareConfig, folder: Path, say: Say = log_line) -> dict[str, Any]:
    """Measure and train all variants; return what compare.json holds.

    Args:
        config: The settings.
        folder: A new one, or that of the same comparison, which is resumed.
        say: Called with each message for the user.

    Raises:
        UserError: Data or settings that do not work, or a folder of another comparison.
    """
    config.check()
    with lock(folder, str(folder)), translate_errors(config.batch_size):
        record = _open_record(config, folder)
        try:
            # 1. The untrained networks, their costs and their speed
            _write_starts(config, folder)
            if "costs" not in record:
                record["costs"] = _measure_costs(config, say)
                _write(folder, record)

            # 2. How many epochs
            if "epochs" not in record:
                record["epochs"] = _choose_epochs(config, folder, say)
                _write(folder, record)

            # 3. The trainings, all variants with the first seed before the second
            _train_all(config, folder, record, say)
        except (KeyboardInterrupt, UserError) as error:
            done, total = len(record["runs"]), config.seeds * len(config.comparison.variants)
            rest = f"{done} of {total} trainings are finished, the same command resumes"
            sentence = join_sentence(str(error), rest) if str(error) else rest
            raise type(error)(sentence.removesuffix(".")) from None

    # 4. The table
    record["rows"] = summarize(record)
    _write(folder, record)
    return record


def check_data(config: CompareConfig) -> Data:
    """Return the data set; raise `UserError` if it cannot be trained on."""
    task = find_task("classification")
    data = task.open(config.data, config.data_dir, None, config.columns)
    data = take_images(data, config.num_images, seed=0)
    return split_train_val(data, config.val_fraction, seed=0)


def open_folder(folder: Path) -> Path:
    """Return a folder that is new, empty, or has a comparison; it is made if it does not exist.

    Raises:
        UserError: It has something else, or cannot be made.
    """
    if not (folder / RECORD).is_file():
        return create_run_folder(folder.name, folder)
    return folder


def _open_record(config: CompareConfig, folder: Path) -> dict[str, Any]:
    """Return the record of the folder, a new one if it has none."""
    settings = json.loads(json.dumps(config.settings()))
    path = folder / RECORD
    if not path.is_file():
        comparison = config.comparison
        return {
            "settings": settings,
            "title": comparison.title,
            "claim": comparison.claim,
            "reported": dict(comparison.reported),
            "runs": {},
        }
    record = read_json(path)
    if record.get("settings") != settings:
        different = [
            key for key, value in settings.items() if record.get("settings", {}).get(key) != value
        ]
        raise UserError(
            f"{folder} has a comparison with other settings ({', '.join(different)}): name another "
            "folder with --out, or repeat its settings to resume it."
        )
    return record


def _write(folder: Path, record: dict[str, Any]) -> None:
    write_json(folder / RECORD, record)


def build_variant(config: CompareConfig, variant: str, num_classes: int, size: int) -> nn.Module:
    """Return the untrained network of a variant, for an input size."""
    comparison = config.comparison
    arguments = {**comparison.host_args, **comparison.variants[variant]}
    return timm.create_model(comparison.host, num_classes=num_classes, img_size=size, **arguments)


def _write_starts(config: CompareConfig, folder: Path) -> None:
    """Write the untrained network of each variant and seed."""
    classes = check_data(config).classes
    for seed in range(config.seeds):
        for variant in config.comparison.variants:
            place = folder / "starts" / f"{file_name(variant)}-{seed}"
            if (place / "model.safetensors").is_file():
                continue
            torch.manual_seed(seed)
            model = build_variant(config, variant, len(classes), config.input_size)
            place.mkdir(parents=True, exist_ok=True)
            describe(model, classes, config.input_size)
            save_model(model, place)


def _measure_costs(config: CompareConfig, say: Say) -> dict[str, Any]:
    """Return parameters, multiply-adds, speed at each size, memory and latency by variant."""
    variants = list(config.comparison.variants)
    say(f"costs  of {len(variants)} variants at {', '.join(map(str, config.sizes))} pixels")
    builders = {
        variant: functools.partial(build_variant, config, variant, 10) for variant in variants
    }
    device = choose_device(config.device).accelerator
    settings = BenchmarkConfig(rounds=config.rounds, device=device)
    speed = benchmark_models(list(builders.items()), ("eager",), config.sizes, settings)
    costs: dict[str, Any] = {
        variant: {
            "parameters": sum(
                one.numel() for one in builders[variant](config.sizes[0]).parameters()
            ),
            "sizes": {
                str(row["input_size"]): {
                    key: row[key]
                    for key in ("images_per_second", "gmacs", "peak_memory", "error")
                    if key in row
                }
                for row in speed["rows"]
                if row["model"] == variant
            },
        }
        for variant in variants
    }
    if "onnx" in available_runtimes():
        runtime = RuntimeConfig(size=config.sizes[0], rounds=config.rounds)
        for row in benchmark_runtimes(builders, ["onnx"], runtime)["rows"]:
            costs[row["model"]]["onnx"] = {
                key: row[key] for key in ("milliseconds", "difference", "error") if key in row
            }
    return {
        "variants": costs,
        "machine": speed["machine"],
        "round_trip": round_trip_errors(config.input_size),
    }


def _choose_epochs(config: CompareConfig, folder: Path, say: Say) -> int:
    """Return the epochs that the slowest variant makes within the budget, at least one."""
    if not isinstance(config.epochs, str):
        return config.epochs
    slowest = 0.0
    for variant in config.comparison.variants:
        settings = _training(config, folder, variant, seed=0, epochs=1)
        slowest = max(slowest, train(settings, discard_line, dry_run=True)["seconds"])
    epochs = max(1, int(60 * config.budget / slowest))
    say(f"epochs {epochs}: the slowest variant takes {format_duration(slowest)} for one")
    return epochs


def _training(
    config: CompareConfig, folder: Path, variant: str, seed: int, epochs: int
) -> ClassificationConfig:
    """Return the settings of a training."""
    name = f"{file_name(variant)}-{seed}"
    return ClassificationConfig(
        data=config.data,
        data_dir=config.data_dir,
        image_column=config.columns.image if config.columns else None,
        label_column=config.columns.label if config.columns else None,
        num_images=config.num_images,
        val_fraction=config.val_fraction,
        model=str(folder / "starts" / name),
        pretrained="none",
        out=str(folder / "runs" / name),
        epochs=epochs,
        batch_size=config.batch_size,
        input_size=config.input_size,
        seed=seed,
        device=config.device,  # type: ignore[arg-type]
        optimizer=OptimizerConfig(lr=config.lr),
    )


def _train_all(config: CompareConfig, folder: Path, record: dict[str, Any], say: Say) -> None:
    """Train what is not trained yet, and evaluate it."""
    pairs = [
        (variant, seed) for seed in range(config.seeds) for variant in config.comparison.variants
    ]
    start, trained = time.monotonic(), 0
    for number, (variant, seed) in enumerate(pairs, 1):
        key = f"{variant} {seed}"
        if key in record["runs"]:
            continue
        left = ""
        if trained:
            seconds = (time.monotonic() - start) / trained * (len(pairs) - number + 1)
            left = f", {format_duration(seconds)} left"
        say(f"train  {number} of {len(pairs)}: {variant}, seed {seed}{left}")
        settings = _training(config, folder, variant, seed, record["epochs"])
        record["runs"][key] = _train_one(config, settings)
        trained += 1
        _write(folder, record)


def _train_one(config: CompareConfig, settings: ClassificationConfig) -> dict[str, Any]:
    """Return accuracy and curve of one training, resumed if it was interrupted."""
    run = Path(str(settings.out))
    known = read_json(run / "run.json") if (run / "run.json").is_file() else {}
    if known.get("status") != "finished":
        if last_checkpoint(run).is_file():
            train(read_config(run), discard_line, resume=run)
        else:
            shutil.rmtree(run, ignore_errors=True)  # it has no checkpoint
            train(settings, discard_line)
        known = read_json(run / "run.json")
    results = known["results"]
    found = {
        "val_top1": results["val_top1"],
        "best_epoch": results["best_epoch"],
        "minutes": round(results["seconds"] / 60, 2),
    }
    task = find_task("classification")
    data = task.open(config.data, config.data_dir, None, config.columns)
    if "test" in data.splits:
        tested = evaluate(str(run), data, "test", InferenceConfig(device=config.device))
        found["test_top1"] = tested["top1"]
    return found


def summarize(record: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a row for each variant that has a finished training, the most accurate first.

    A row has variant, top1 (mean over seeds), top1_of_seeds, spread (largest minus smallest),
    seeds, split, minutes, parameters, onnx_ms, growth (time per image at the largest size relative
    to the smallest), and by size images_per_second, gmacs and peak_memory.
    """
    rows = []
    for variant in record["settings"]["variants"]:
        runs = [run for key, run in record["runs"].items() if key.rpartition(" ")[0] == variant]
        if not runs:
            continue
        split = "test" if all("test_top1" in run for run in runs) else "val"
        top1 = [run[f"{split}_top1"] for run in runs]
        costs = record["costs"]["variants"][variant]
        rates = [
            one["images_per_second"]
            for one in costs["sizes"].values()
            if "images_per_second" in one
        ]
        rows.append(
            {
                "variant": variant,
                "top1": mean(top1),
                "top1_of_seeds": top1,
                "spread": max(top1) - min(top1),
                "seeds": len(top1),
                "split": split,
                "minutes": mean(run["minutes"] for run in runs),
                "parameters": costs["parameters"],
                "onnx_ms": costs.get("onnx", {}).get("milliseconds"),
                "growth": rates[0] / rates[-1] if len(rates) == len(costs["sizes"]) else None,
                "sizes": costs["sizes"],
            }
        )
    return sorted(rows, key=lambda row: -row["top1"])


def file_name(variant: str) -> str:
    """Return a variant's name as the name of a folder."""
    kept = "".join(one if one.isalnum() or one in "-_." else "-" for one in variant)
    return kept.strip("-")
