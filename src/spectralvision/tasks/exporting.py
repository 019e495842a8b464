"""Export a model of any task for a runtime: convert it, compare it, write a deployment folder."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from spectralvision.data.images import Images, Stream, spread_indices
from spectralvision.data.shard_columns import Columns
from spectralvision.data.splits import repeat_split
from spectralvision.engine.errors import is_out_of_memory, translate_errors
from spectralvision.engine.model_io import brings_weights, load_model, run_of
from spectralvision.engine.progress import show_status
from spectralvision.engine.run_record import read_record
from spectralvision.export.base import Network, Target
from spectralvision.export.deployment import Deployable, Output, write_deployment
from spectralvision.export.prepare import prepare
from spectralvision.export.quantize import NUM_CALIBRATION_IMAGES
from spectralvision.export.registry import find_target
from spectralvision.export.verify import NUM_IMAGES, Samples, smooth_images, verify
from spectralvision.export.web import Web
from spectralvision.export.write import new_folder, size_of, write
from spectralvision.runs import MAX_COUNT, MAX_SIDE, UserError, check_ranges
from spectralvision.tasks.base import Task
from spectralvision.tasks.registry import task_of

COLORS = 3
DETECTION, SEGMENTATION = "detect", "segment"
"""Scripts of `export/standalone`."""
MAX_INT8_IMAGES, MAX_INT8_BYTES = 1000, 2**28
"""On which an INT8 file is compared with PyTorch; fewer where they are large."""


@dataclass(frozen=True, kw_only=True)
class ExportConfig:
    """What to export, and how.

    Attributes:
        model: A run folder, a repository or a model's name with published weights.
        target: A name of `export.registry.TARGETS`.
        out: The deployment folder; it does not exist.
        output: What the file returns.
        size: (H, W) of the input; None: the model's own.
        batch: Number of images, or "dynamic".
        int8: Whether to quantize; needs data.
        random_weights: Whether a model's name stands for one without trained weights.
        data: The data set to compare on; None: seeded smooth images.
        data_dir, split, columns: Of the data set.
        threads: For the latency; None: the runtime's own number.
        ort_web: Folder with the files of onnxruntime-web, for the target web; None: fetched by npm.
    """

    model: str
    target: str
    out: Path
    output: Output = "auto"
    size: tuple[int, int] | None = None
    batch: int | Literal["dynamic"] = 1
    int8: bool = False
    random_weights: bool = False
    data: str | None = None
    data_dir: str | None = None
    split: str | None = None
    columns: Columns | None = None
    threads: int | None = None
    ort_web: Path | None = None


def export(config: ExportConfig) -> dict[str, Any]:
    """Write a deployment folder.

    Returns:
        model, target, out, file, bytes, int8, batch, size, outputs (name -> shape), operators
        (name -> number), weights, versions, command (which uses it), and the results of `verify`.

    Raises:
        UserError: The model, the size, the target or the data do not fit, the converter fails, or
            the file computes something else.
    """
    # 1. The target and the folder
    target = _find_target(config)
    _check(config, target)

    # 2. The model, and images in its size
    task = task_of(config.model)
    model = _load(task, config)
    deployable = task.deployable(model, config.size, config.output)
    _check_deployable(deployable, config)
    with show_status("Reading images"):
        samples = _read_samples(task, model, deployable, config)

    # 3. The network, as it is and prepared for runtimes
    number = 1 if config.batch == "dynamic" else config.batch
    with _translate_memory(number):
        original = Network(
            module=deployable.module.eval(),
            example=samples.inputs[:1].repeat(number, 1, 1, 1),
            outputs=deployable.outputs,
            is_dynamic=config.batch == "dynamic",
        )
        shapes = _try_size(original, deployable)
        prepared = replace(original, module=prepare(original.module, original.example))

    # 4. The file, compared on its runtime, and the files beside it
    with new_folder(config.out) as folder, translate_errors(), _translate_memory(number):
        with show_status(f"Converting for {target.title}"):
            write(target, prepared, folder, samples.calibration)
        facts = {
            "model": config.model,
            "target": target.name,
            "out": str(config.out),
            "file": target.file,
            "bytes": size_of(folder),
            "int8": config.int8,
            "batch": config.batch,
            "size": list(deployable.size),
            "outputs": shapes,
            "operators": dict(target.operators(folder, prepared)),
            "weights": _describe_weights(config),
            "versions": target.versions(),
            "command": target.command(str(config.out)),
        }
        with show_status(f"Comparing with PyTorch on {target.title}"):
            facts |= verify(target, folder, original, samples, config.int8, config.threads)
        write_deployment(folder, deployable, target, config.model, facts)
    return facts


def _find_target(config: ExportConfig) -> Target:
    """Return the runtime."""
    target = find_target(config.target)
    if config.ort_web is None:
        return target
    if not isinstance(target, Web):
        raise UserError(f"--ort-web is for --target web, not for {target.name}: leave it out.")
    return Web(config.ort_web)


def _check(config: ExportConfig, target: Target) -> None:
    """Raise `UserError` for options that cannot work."""
    batch = config.batch
    check_ranges({"batch": batch}, {"batch": (1, MAX_COUNT)})
    for side in config.size or ():
        check_ranges({"input_size": side}, {"input_size": (1, MAX_SIDE)})
    target.check(config.output, batch)
    if config.int8 and not target.has_int8:
        raise UserError(f"--int8 is for the targets onnx, openvino and web, not for {target.name}.")
    if config.int8 and config.data is None:
        raise UserError("--int8 needs --data: images of a data set to calibrate on.")
    if config.int8 and config.output == "features":
        raise UserError("--int8 is not for --output features: feature maps have no classes.")
    if config.random_weights and brings_weights(config.model):
        raise UserError(
            f"--random-weights is for the name of a model, but {config.model} comes with weights: "
            "leave it out."
        )
    _check_out(config.out)
    target.require(config.int8)


def _check_out(path: Path) -> None:
    """Raise `UserError` if a path is not free for a new folder."""
    try:
        is_taken = path.exists() or path.is_symlink()
        parent = next(one for one in path.absolute().parents if one.exists())
    except OSError as error:
        raise UserError(f"{path} cannot be made ({error}): choose another --out.") from None
    if is_taken:
        raise UserError(f"{path} exists: choose another --out, or remove it.")
    if not parent.is_dir():
        raise UserError(f"{parent} is not a folder: choose another --out.")


def _check_deployable(deployable: Deployable, config: ExportConfig) -> None:
    """Raise `UserError` for a model that the options do not fit."""
    channels = deployable.preprocessing["input_size"][0]
    if channels != COLORS:
        raise UserError(
            f"{config.model} takes images of {channels} channels, but export supports {COLORS}: "
            "choose a model for RGB images."
        )
    if config.int8 and deployable.script == DETECTION:
        raise UserError(
            "--int8 is for classification and segmentation: for detectors there is no measure yet "
            "of what INT8 changes. Leave it out."
        )


@contextmanager
def _translate_memory(batch: int) -> Iterator[None]:
    """Say which option helps where memory runs out."""
    try:
        yield
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        raise UserError(
            f"a batch of {batch} does not fit into memory: choose a smaller --batch or "
            "--input-size."
        ) from None


def _load(task: Task, config: ExportConfig) -> nn.Module:
    """Return the model, in evaluation mode on the CPU."""
    if config.random_weights:
        torch.manual_seed(0)
        return load_model(config.model, pretrained=False).eval()
    return task.load(config.model).eval()


def _describe_weights(config: ExportConfig) -> str:
    return "random, not trained" if config.random_weights else "trained"


def _try_size(network: Network, deployable: Deployable) -> dict[str, list[int | str]]:
    """Return the shape of each output.

    Raises:
        UserError: The network does not take the size.
    """
    height, width = deployable.size
    try:
        outputs = network.run(network.example)
    except Exception as error:  # models reject sizes in many ways
        if is_out_of_memory(error):
            raise
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"this model does not take {height} x {width} pixels ({reason}): choose another "
            "--input-size."
        ) from None
    batch: list[int | str] = ["batch"] if network.is_dynamic else [len(network.example)]
    return {
        name: [*batch, *one.shape[1:]] for name, one in zip(network.outputs, outputs, strict=True)
    }


class _Selected(NamedTuple):
    """Images of a split."""

    inputs: Tensor
    labels: np.ndarray | None


def _read_samples(
    task: Task, model: nn.Module, deployable: Deployable, config: ExportConfig
) -> Samples:
    """Return the images on which the file is compared, and for INT8 those to calibrate on."""
    if config.data is None:
        inputs = deployable.normalize(smooth_images(deployable.size))
        return Samples(inputs, "seeded smooth images")
    data = task.open(config.data, config.data_dir, None, config.columns)
    data = repeat_split(data, read_record(run_of(config.model)).get("data", {}))
    if config.int8:
        data = task.match(data, model, config.model)
    split = config.split or data.held_out()
    number = _count_int8_images(deployable) if config.int8 else NUM_IMAGES
    selected = _select(data.split(split), number, deployable, config)
    source = f"{len(selected.inputs)} images of {Path(config.data).name}, {split}"
    if not config.int8:
        return Samples(selected.inputs, source)
    others = "train" if "train" in data.splits else split
    number = min(number, NUM_CALIBRATION_IMAGES)
    calibration = _select(data.split(others), number, deployable, config)
    return Samples(selected.inputs, source, selected.labels, calibration.inputs.numpy())


def _count_int8_images(deployable: Deployable) -> int:
    """Return how many images, with a score for each class and pixel in segmentation, fit."""
    height, width = deployable.size
    values = max(COLORS, len(deployable.labels) if deployable.script == SEGMENTATION else 0)
    return max(1, min(MAX_INT8_IMAGES, MAX_INT8_BYTES // (values * height * width * 4)))


def _select(
    images: Images | Stream, number: int, deployable: Deployable, config: ExportConfig
) -> _Selected:
    """Return images evenly spread over a split, as the network takes them."""
    if isinstance(images, Stream):
        raise UserError(
            f"{config.data} is a stream, but export takes images by index: use another reader."
        )
    indices = spread_indices(len(images), number)
    inputs = torch.cat([deployable.prepare([images.image(index)]) for index in indices])
    return _Selected(inputs, images.labels[list(indices)] if images.has_labels else None)
