"""The predictions of a teacher, computed once and stored as label maps.

The teacher sees whole images, not the student's augmented ones. Its map of predictions is cropped
and flipped with the image, so that the target still follows what the student sees.
"""

from collections.abc import Callable
from pathlib import Path
from shlex import join

from spectralvision.data.open_data import open_data
from spectralvision.data.shard_columns import Columns
from spectralvision.data.splits import Data
from spectralvision.engine.infer import InferenceConfig
from spectralvision.engine.model_io import load_model
from spectralvision.engine.processes import is_launched
from spectralvision.engine.weights_io import weights_digest
from spectralvision.runs import UserError, expand_user, format_duration
from spectralvision.tasks.classification.config import ClassificationConfig
from spectralvision.tasks.classification.distillation_config import DistillationConfig
from spectralvision.tasks.classification.token_labels.generate import generate_label_maps
from spectralvision.tasks.classification.token_labels.label_map_data import attach_label_maps
from spectralvision.tasks.classification.token_labels.storage import (
    INDEX,
    problem_of_shard,
    read_index,
)


def add_teacher(data: Data, config: DistillationConfig) -> tuple[Data, str]:
    """Return the data with the cached predictions as targets, if there is a cache, and a line.

    Raises:
        UserError: The cache is of other images, or the images are a stream.
    """
    line = f"teacher {config.teacher}, {config.distillation} distillation"
    if config.teacher_cache is None:
        return data, line
    if not has_cache(config.teacher_cache):
        return data, f"{line}; its predictions are computed first"  # a dry run
    data, maps = attach_label_maps(data, config.teacher_cache)
    return data, f"{line}; predictions in {maps}"


def has_cache(folder: str) -> bool:
    """Return whether a folder holds predictions, complete or not."""
    return (expand_user(folder) / INDEX).is_file()


def write_teacher_cache(config: ClassificationConfig, say: Callable[[str], None]) -> None:
    """Compute the teacher's predictions for the training images that the cache lacks.

    Raises:
        UserError: See `generate_label_maps`; an image cannot be read; the cache is of another
            teacher; or there is none and this is one of several processes.
    """
    teacher, folder = config.distillation.teacher, config.distillation.teacher_cache
    assert teacher is not None, "the settings are checked"
    assert folder is not None, "the settings are checked"

    # 1. A complete cache of this teacher stays as it is
    path = expand_user(folder)
    if has_cache(folder):
        _check_teacher(path, teacher)
        index = read_index(path)
        if not any(problem_of_shard(path, index, one) for one in range(index.num_shards())):
            return

    # 2. All others are written by one process
    columns = Columns(config.image_column, config.label_column)
    if is_launched():
        words = ["--teacher", teacher, "--data", config.data, *columns.options(), "--out", folder]
        raise UserError(
            f"{folder} lacks predictions of the teacher, which one process computes: run "
            f"`spectralvision token-labels {join(words)}` first."
        )
    say(f"cache  computing the predictions of {teacher}, once, into {folder}")
    data = open_data(config.data, config.data_dir, config.num_classes, columns)
    inference = InferenceConfig(device=config.device, precision=config.precision)
    result = generate_label_maps(teacher, data, folder, config=inference)
    agreement = result["agreement"]
    share = "" if agreement is None else f", {agreement:.1%} as annotated"
    say(f"cache  {result['labeled']} images in {format_duration(result['seconds'])}{share}")


def _check_teacher(folder: Path, teacher: str) -> None:
    """Raise `UserError` unless the predictions in a folder are of this teacher's weights."""
    index = read_index(folder)
    if index.weights and index.weights != weights_digest(load_model(teacher)):
        raise UserError(
            f"{folder} has predictions of {index.teacher} with other weights than those of "
            f"{teacher}: name another folder with --teacher-cache."
        )
