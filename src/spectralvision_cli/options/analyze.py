"""Options of `spectralvision analyze`."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from spectralvision_cli.fields import option
from spectralvision_cli.options.common import VerbOptions


@dataclass(frozen=True, kw_only=True)
class AnalyzeOptions(VerbOptions):
    """Look at what a model computes, and what it costs.

    Writes a folder with analysis.html, one file without links to anything outside of it, its
    pictures as PNG, and the numbers in analysis.json: costs by part; masks and kernels of adaptive
    frequency filters; bands of scattering mixers; spectra of the features and the effective
    receptive field; for classifiers also accuracy by frequency, class activation and the loss
    landscape. The exit code is 1 if a chapter could not be computed.
    """

    examples: ClassVar[tuple[str, ...]] = (
        "spectralvision analyze --model runs/photos-affnet_et --data photos",
        "spectralvision analyze --model affnet_et.tiny_imagenet --images photos",
        "spectralvision analyze --model svt_h_s --random-weights --chapters costs bands",
    )
    groups: ClassVar[dict[str, tuple[str, ...]]] = {
        "Model": ("model", "random_weights", "input_size", "chapters", "layers"),
        "Images": (
            "images", "data", "data_dir", "split", "image_column", "label_column", "num_images",
        ),
        "Options": ("device", "out", "json"),
    }  # fmt: skip

    model: str
    """Run folder, hf_hub:OWNER/NAME, or a model name for its published weights."""
    random_weights: bool = False
    """Give a model without published weights random ones."""
    input_size: tuple[int, ...] = option((), "PIXELS")
    """Side of the square input in pixels, or height and width; by default the model's own."""
    chapters: tuple[
        Literal["costs", "filters", "bands", "features", "frequencies", "activation", "loss"], ...
    ] = ()
    """Parts of the report; by default all."""
    layers: tuple[str, ...] = option((), "NAME")
    """Mixers that get pictures of their own; by default the first, the middle and the last."""
    images: tuple[str, ...] = option((), "PATH")
    """Image files, folders or archives of images, addresses, or patterns such as 'photos/*.jpg'."""
    data: str | None = None
    """Data set to take images from, whose labels give the accuracy; by default, and without
    --images, smooth random images."""
    data_dir: str | None = None
    """Folder of the files that a timm reader reads."""
    split: str | None = None
    """Split of the data set; by default test, else val, else all images."""
    image_column: str | None = option(None, "NAME")
    """Column of parquet shards with the images."""
    label_column: str | None = option(None, "NAME")
    """Column of parquet shards with the labels."""
    num_images: int = option(16, "N")
    """Number of images, evenly spread over those that are found."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Device to compute on; auto: the GPU if there is one."""
    out: str | None = option(None, "DIR")
    """Folder to write; by default analysis/MODEL, with -2, -3 ... appended if it exists."""
