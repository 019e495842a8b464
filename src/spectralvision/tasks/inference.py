"""How good a model is on held-out images. Class names decide, not their numbers."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from lightning.fabric import Fabric
from lightning.fabric.plugins.environments import LightningEnvironment
from scipy.stats import binomtest
from torch import Tensor, nn
from torchmetrics import MetricCollection
from torchmetrics.classification import MulticlassCalibrationError, MulticlassStatScores

from spectralvision.data.datasets import Data, Images, Stream, carve_as_trained, fingerprint
from spectralvision.data.loading import eval_loader, num_workers, reader_died
from spectralvision.data.sampling import Share
from spectralvision.data.transforms import eval_transform
from spectralvision.runs import UserError, read_json
from spectralvision.tasks import classification
from spectralvision.tasks.engine import rank
from spectralvision.tasks.fitting import choose_device
from spectralvision.tasks.loading import data_config, label_names, label_titles, load_model, run_of
from spectralvision.tasks.trial import out_of_memory


@dataclass(frozen=True, kw_only=True)
class Inference:
    """How a model is run."""

    batch_size: int = 64
    """Images at a time."""
    workers: int | str = "auto"
    """Processes that read images; auto: one a core, none for tiny images."""
    device: str = "auto"
    """auto, cpu, cuda or mps."""
    precision: str = "auto"
    """auto, 32, bf16-mixed or 16-mixed."""
    devices: int = 1
    """Processes on this machine, one a device."""


class Judge(classification.Classifier):
    """Also counts how far the probabilities can be trusted, and each class by itself."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__(model)
        number = self.num_classes
        self.details = MetricCollection(
            {
                "calibration": MulticlassCalibrationError(number, n_bins=15, norm="l1"),
                "classes": MulticlassStatScores(number, average=None),
            },
            compute_groups=False,
        )

    def on_test_epoch_end(self) -> None:
        super().on_test_epoch_end()
        self.details.compute()

    def _count(self, scores: MetricCollection, loss: Tensor, logits: Tensor, labels: Tensor) -> None:
        super()._count(scores, loss, logits, labels)
        self.details.update(logits.detach().float().softmax(dim=-1), labels)


def evaluate(
    name: str, data: Data, split: str | None = None, engine: Inference | None = None, per_class: bool = False
) -> dict[str, Any]:
    """The figures of a run, or of a model with its published weights.

    Args:
        name: A run folder, or a model's name.
        data: Matched to the model's classes by name. Where the run cut its validation images out of the same data,
            the cut is repeated.
        split: Which images; default test, else val, else all.
        per_class: Adds a list with one entry a class of which there are images.

    Returns:
        top1, its 95 % interval by Wilson's score, top5 (None with five classes or fewer), the expected calibration
        error over 15 equal bins, loss, images, images per second; images_id is the same for the same images;
        seen_in_training is "train" or "val" where these are the images the run was trained on or chosen by, else None.

    Raises:
        UserError: A model without weights, a class it does not know, no such split.
    """
    model = load_model(name)
    data = cut_as_trained(data, name)
    split = split or data.held_out()
    seen = data.split(split)
    data = matched(data, model, name)
    loader, options = prepared(model, data.split(split), engine or Inference())
    judge = Judge(model)
    with explained(engine or Inference()):
        scores = classification.evaluate(judge, loader, options)
    details = judge.details.compute()
    result = {
        "model": name,
        "data": data.name,
        "split": split,
        **scores,
        "top1_interval": interval(round(scores["top1"] * scores["images"]), scores["images"]),
        "calibration_error": float(details["calibration"]),
        "images_id": fingerprint(seen) if isinstance(seen, Images) else None,
        "seen_in_training": _seen(name, seen),
    }
    return result | ({"per_class": _per_class(details["classes"], _titles(model, data))} if per_class else {})


def _seen(name: str, images: Images | Stream) -> str | None:
    record = run_of(name) / "run.json"
    prints = read_json(record).get("data", {}).get("fingerprints", {}) if record.is_file() else {}
    mine = fingerprint(images) if isinstance(images, Images) else None
    return next((split for split, one in prints.items() if one == mine), None)


def interval(right: int, number: int) -> tuple[float, float]:
    """The 95 % interval of a share of which `right` of `number` were seen, by Wilson's score."""
    bounds = binomtest(right, number).proportion_ci(0.95, method="wilson")
    return float(bounds.low), float(bounds.high)


def _per_class(counts: Tensor, titles: list[str]) -> list[dict[str, Any]]:
    """counts: (num_classes, 5) true and false positives, true and false negatives, images."""
    rows = []
    for title, (hits, false_alarms, _, _, images) in zip(titles, counts.tolist(), strict=True):
        answers = hits + false_alarms
        if images:
            precision = hits / answers if answers else None
            rows.append({"class": title, "images": images, "recall": hits / images, "precision": precision})
    return rows


def _titles(model: nn.Module, data: Data) -> list[str]:
    """What to call each class, each only once: ImageNet's have their number beside."""
    if label_names(model) is None:
        return list(data.classes)
    pairs = zip(data.classes, label_titles(model), strict=True)
    return [name if name == title else f"{name} {title}" for name, title in pairs]


def matched(data: Data, model: nn.Module, name: str) -> Data:
    """The data with labels in the order of the model's logits.

    Raises:
        UserError: The model lacks a class of the data, or names none and has another number of them.
    """
    names = label_names(model)
    streamed = any(isinstance(images, Stream) for images in data.splits.values())
    if names is None or (streamed and len(names) == len(data.classes)):
        if len(data.classes) != model.num_classes:
            raise UserError(f"{data.name} has {len(data.classes)} classes, and {name} has {model.num_classes}.")
        return data
    return data.in_order_of(names, name)


def cut_as_trained(data: Data, name: str) -> Data:
    record = run_of(name) / "run.json"
    return carve_as_trained(data, read_json(record).get("data", {})) if record.is_file() else data


def prepared(model: nn.Module, images: Images | Stream, engine: Inference) -> tuple[Any, dict[str, Any]]:
    """Batches of a model's input, and where to compute them."""
    options = device_options(engine)
    share = Share(rank() if engine.devices > 1 else 0, engine.devices)
    workers = workers_for(images, engine)
    loader = eval_loader(images, eval_transform(data_config(model)), engine.batch_size, workers, share)
    return loader, options | {"devices": engine.devices}


def fabric_of(options: dict[str, str]) -> Fabric:
    """Lightning's Fabric for this process alone, whatever has started it."""
    return Fabric(devices=1, plugins=[LightningEnvironment()], **options)  # type: ignore[arg-type]


@contextmanager
def explained(engine: Inference) -> Iterator[None]:
    """What the person who waits can mend, in a sentence: a batch too large for memory, a reader that has died."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if out_of_memory(error):
            raise UserError(f"a batch of {engine.batch_size} does not fit into memory: see --batch-size.") from None
        if reader_died(error):
            raise UserError("a process that reads images has died, often for want of memory: see --workers.") from None
        raise


def device_options(engine: Inference) -> dict[str, str]:
    """Lightning's words for where and how to compute."""
    accelerator, precision = choose_device(engine.device, engine.precision)
    return {"accelerator": accelerator, "precision": precision}


def workers_for(images: Images | Stream, engine: Inference) -> int:
    """Processes that read: none where there is one batch only, as starting them takes longer."""
    if engine.workers == "auto" and isinstance(images, Images) and len(images) <= engine.batch_size:
        return 0
    return num_workers(images, engine.workers, engine.devices)
