"""Options of `spectralvision compare`."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from spectralvision_cli.fields import argument, option
from spectralvision_cli.options.common import VerbOptions


@dataclass(frozen=True, kw_only=True)
class CompareOptions(VerbOptions):
    """Compare token mixers in one network: accuracy, costs and speed.

    Trains each variant with the same network, data, schedule and seeds, and measures parameters,
    multiply-adds, speed and memory at several sizes, and latency in onnxruntime. Writes a folder
    with compare.html, its pictures as PNG, compare.json and the runs; the same command resumes
    after an interruption. Presets: mixers (all of them in a narrow MetaFormer), svt-layer,
    svt-blending, svt-depth and aff-ablation (the ablations of the papers, in small).
    """

    examples: ClassVar[tuple[str, ...]] = (
        "spectralvision compare --data photos --num-images 5000",
        "spectralvision compare --data photos --mixers aff scattering identity",
        "spectralvision compare svt-blending --data photos --budget 10 --seeds 3",
    )
    groups: ClassVar[dict[str, tuple[str, ...]]] = {
        "What to compare": ("preset", "mixers"),
        "Data": ("data", "data_dir", "image_column", "label_column", "num_images", "input_size"),
        "Training": ("budget", "epochs", "seeds", "batch_size", "lr"),
        "Measurements": ("sizes", "rounds", "device"),
        "Output": ("out", "dry_run", "json"),
    }

    preset: tuple[str, ...] = argument((), "PRESET")
    """What to compare: mixers (the default), svt-layer, aff-ablation, svt-blending or svt-depth."""
    mixers: tuple[str, ...] = option((), "NAME")
    """Mixers to compare, with settings if wanted, such as 'fno(modes=8)'; by default all."""
    data: str
    """Data set, as for `train`."""
    data_dir: str | None = None
    """Folder of the files that a timm reader reads."""
    image_column: str | None = option(None, "NAME")
    """Column of parquet shards with the images."""
    label_column: str | None = option(None, "NAME")
    """Column of parquet shards with the labels."""
    num_images: int | None = option(None, "N")
    """Training images to use, of each class in proportion; by default all."""
    input_size: int = option(64, "PIXELS")
    """Side of the square input in pixels."""
    budget: float = option(4.0, "MINUTES")
    """Time of each training, which decides the number of epochs: as many as the slowest variant
    completes in it."""
    epochs: int | Literal["auto"] = option("auto", "N")
    """Number of epochs; auto: by --budget."""
    seeds: int = option(2, "N")
    """Number of trainings of each variant."""
    batch_size: int = option(64, "N")
    """Images per update."""
    lr: float = 2e-3
    """Peak learning rate."""
    sizes: tuple[int, ...] = option((64, 128, 256), "PIXELS")
    """Input sizes at which speed and memory are measured."""
    rounds: int = option(5, "N")
    """Number of times that each is timed; the median is reported."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Device to compute on; auto: the GPU if there is one."""
    out: str | None = option(None, "DIR")
    """Folder to write or to resume; by default comparisons/PRESET-DATA."""
    dry_run: bool = False
    """Show what would be trained, and stop."""
