"""Options of `spectralvision predict`; the model's task adds its own."""

from dataclasses import dataclass
from typing import ClassVar

from spectralvision_cli.fields import argument, option
from spectralvision_cli.options.common import COMPUTATION, REST, DataOptions

BUNDLED_MODEL = "affnet_et.tiny_imagenet"


@dataclass(frozen=True, kw_only=True)
class PredictOptions(DataOptions):
    """Run a model on image files or on images of a data set.

    With --out, results are written to a file in constant memory, for any number of images; the
    same command resumes after an interruption. The exit code is 1 if some images could not be
    read.
    """

    examples: ClassVar[tuple[str, ...]] = (
        "spectralvision predict photo.jpg --top-k 3",
        "spectralvision predict photos 'more/*.png' --model runs/photos-affnet_et --csv",
        "find . -name '*.jpg' | spectralvision predict - --out predictions.parquet",
    )
    groups: ClassVar[dict[str, tuple[str, ...]]] = {
        "Model and images": (
            "paths", "model", "data", "data_dir", "image_column", "label_column", "split",
            "num_images", REST,
        ),
        "Output": ("out", "shard", "csv", "json"),
        "Computation": COMPUTATION,
    }  # fmt: skip
    task_verb: ClassVar[bool] = True

    paths: tuple[str, ...] = argument((), "PATH")
    """Image files, folders or archives (.zip, .tar) of images, addresses (http, https), patterns
    such as 'photos/*.jpg', or - for standard input: a list of paths or one image."""
    model: str = BUNDLED_MODEL
    """Run folder, hf_hub:OWNER/NAME, or a model name for its published weights. The default is a
    small bundled model trained on Tiny ImageNet: 200 kinds of animals, food, things and places."""
    data: str | None = None
    """Data set to take images from, instead of paths; their labels are shown too."""
    split: str | None = None
    """Split of the data set; by default test, else val, else all images."""
    num_images: int | None = option(None, "N")
    """Number of images to take from the data set; by default 8, with --out all."""
    out: str | None = option(None, "FILE")
    """File to write the predictions to, .csv, .parquet or .json, instead of printing them."""
    shard: str = option("1/1", "K/N")
    """Process only the K-th of N output shards, for N processes with the same --out; the process
    that finishes last writes the file."""
    csv: bool = False
    """Print comma-separated values instead of a table."""
