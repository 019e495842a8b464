"""Load what `analyze` looks at: the network of a model of any task, and some images."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from spectralvision.analysis.subject import BATCH_SIZE, Subject
from spectralvision.data.image_paths import image_paths
from spectralvision.data.images import Images, Subset, spread_indices
from spectralvision.data.shard_columns import Columns
from spectralvision.engine.devices import choose_device
from spectralvision.engine.model_io import brings_weights, load_model
from spectralvision.engine.progress import show_status, track
from spectralvision.export.deployment import Deployable
from spectralvision.export.verify import smooth_images
from spectralvision.runs import MAX_COUNT, MAX_SIDE, UserError, check_ranges
from spectralvision.tasks.base import Task
from spectralvision.tasks.prediction import select_images
from spectralvision.tasks.registry import task_of


@dataclass(frozen=True, kw_only=True)
class AnalysisSource:
    """Which model and which images.

    Attributes:
        model: A run folder, a repository or a model's name with published weights.
        random_weights: Whether a name stands for a model without trained weights.
        size: (H, W) of the input; None: the model's own.
        paths: Files, folders and addresses of images.
        data: A data set, instead of them. Without either: smooth random images.
        data_dir, split, columns: Of the data set.
        num_images: Number of images, evenly spread over those that are found.
        device: auto, cpu, cuda or mps.
    """

    model: str
    random_weights: bool = False
    size: tuple[int, int] | None = None
    paths: tuple[str, ...] = ()
    data: str | None = None
    data_dir: str | None = None
    split: str | None = None
    columns: Columns | None = None
    num_images: int = 16
    device: str = "auto"


def open_subject(source: AnalysisSource) -> Subject:
    """Load a model and images.

    Raises:
        UserError: A model without weights, options that exclude each other, or images that cannot
            be read.
    """
    _check(source)
    name = source.model

    # 1. The network, as it would be exported
    task = task_of(name)
    with show_status(f"Loading {name}"):
        if source.random_weights:
            torch.manual_seed(0)
            model = load_model(name, pretrained=False)
        else:
            model = task.load(name)
        deployable = load_deployable(task, model, source.size)

    # 2. The images
    labels = None
    if source.data:
        images, labels, words = _read_data(task, model, deployable, source)
    elif source.paths:
        found = image_paths(source.paths)
        chosen = Subset(found, spread_indices(len(found), source.num_images))
        images, words = _prepare(deployable, chosen), f"{len(chosen)} of {len(found)} image files"
    else:
        number = min(source.num_images, BATCH_SIZE)
        images = deployable.normalize(smooth_images(deployable.size, number))
        words = f"{number} smooth random images: name photographs with --images or --data"

    # 3. Both on the device
    device = choose_device(source.device).accelerator
    return Subject(
        name=name,
        network=deployable.module.to(device).eval(),
        preprocessing=deployable.preprocessing,
        images=images.to(device),
        labels=None if labels is None else labels.to(device),
        source=words,
        is_classifier=deployable.script == "classify",
        has_random_weights=source.random_weights,
    )


def _check(source: AnalysisSource) -> None:
    """Raise `UserError` for options that cannot work."""
    check_ranges({"num_images": source.num_images}, {"num_images": (1, MAX_COUNT)})
    for side in source.size or ():
        check_ranges({"input_size": side}, {"input_size": (1, MAX_SIDE)})
    if source.paths and source.data:
        raise UserError("analyze takes either --images or --data.")
    if source.random_weights and brings_weights(source.model):
        raise UserError(
            f"--random-weights is for the name of a model, but {source.model} comes with weights: "
            "leave it out."
        )


def load_deployable(task: Task, model: nn.Module, size: tuple[int, int] | None) -> Deployable:
    """Return a model's network, or the backbone of detectors that are no network of fixed size.

    Raises:
        UserError: It is for images of another number of channels.
    """
    try:
        found = task.deployable(model, size, "auto")
    except UserError:
        found = task.deployable(model, size, "features")
    require_rgb(found.preprocessing)
    return found


def require_rgb(preprocessing: Mapping[str, Any]) -> None:
    """Raise `UserError` for a model of images of another number of channels than 3."""
    channels = preprocessing["input_size"][0]
    if channels != 3:
        raise UserError(
            f"this model takes images of {channels} channels, but 3 are supported: choose a model "
            "for RGB images."
        )


def _read_data(
    task: Task, model: nn.Module, deployable: Deployable, source: AnalysisSource
) -> tuple[Tensor, Tensor | None, str]:
    """Return images of a data set, the labels of a classifier's, and where they come from."""
    split, columns = source.split, source.columns
    data, images = select_images(
        source.model, str(source.data), source.data_dir, split, source.num_images, columns
    )
    split = split or data.held_out()
    labels = None
    if deployable.script == "classify" and images.has_labels and not source.random_weights:
        matched: Any = task.match(data, model, source.model).split(split)
        rows = list(spread_indices(len(matched), source.num_images))
        labels = torch.from_numpy(matched.labels[rows])
    return _prepare(deployable, images), labels, f"{len(images)} images of {data.name}, {split}"


def _prepare(deployable: Deployable, images: Images) -> Tensor:
    """Return images as the network gets them."""
    rows = track(range(len(images)), "Reading images")
    return torch.cat([deployable.prepare([images.image(row)]) for row in rows])
