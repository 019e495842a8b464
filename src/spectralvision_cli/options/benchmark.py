"""Options of `spectralvision benchmark`."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from spectralvision_cli.fields import argument, option
from spectralvision_cli.options.common import VerbOptions


@dataclass(frozen=True, kw_only=True)
class BenchmarkOptions(VerbOptions):
    """Compare the speed of models, side by side.

    All models run in one process in interleaved rounds, so that their ratios can be compared. The
    exit code is 1 if a model cannot run at one of the sizes.
    """

    examples: ClassVar[tuple[str, ...]] = (
        "spectralvision benchmark affnet_t mobilevit_s --input-size 224 256",
        "spectralvision benchmark affnet_et --form eager fused --plot speed.png",
        "spectralvision benchmark affnet_t mobilevit_s --runtimes all --threads 2",
    )
    groups: ClassVar[dict[str, tuple[str, ...]]] = {
        "Models and inputs": (
            "models",
            "form",
            "runtimes",
            "input_size",
            "batch_size",
            "train",
        ),
        "Computation": ("device", "precision", "memory_format", "threads", "rounds"),
        "Output": ("plot", "json"),
    }

    models: tuple[str, ...] = argument(..., "MODEL")
    """Run folders, or names of models of this package or of timm."""
    form: tuple[Literal["eager", "fused", "compiled", "fused+compiled"], ...] = ("eager",)
    """Forms in which to run each model; fused: normalization folded into convolutions by the
    model's fuse(), compiled: by its compile()."""
    runtimes: tuple[
        Literal["all", "eager", "onnx", "openvino", "pt2", "executorch", "litert", "ncnn"], ...
    ] = ()
    """Export each model and time it on these runtimes instead, in float32 or, for OpenVINO, its
    default precision; all: those that are installed."""
    input_size: tuple[int, ...] = option((), "PIXELS")
    """Sides of the square input in pixels; by default the first model's own."""
    batch_size: int | Literal["auto"] = option("auto", "N")
    """Images per batch; auto: 8, with --runtimes 1."""
    train: bool = False
    """Time forward and backward instead of inference; with the forms eager and compiled."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Device to compute on; auto: the GPU if there is one."""
    precision: Literal["32", "bf16", "bf16-mixed"] = "32"
    """Floating-point precision; bf16: everything in bfloat16, bf16-mixed: autocast."""
    memory_format: Literal["channels_last", "contiguous"] = "channels_last"
    """Memory format of images and weights."""
    threads: int | None = option(None, "N")
    """Number of CPU threads; by default torch's own."""
    rounds: int = option(10, "N")
    """Number of times that each model is timed; the median is reported."""
    plot: str | None = option(None, "FILE")
    """File for a plot of images per second against input size, with --runtimes of latency against
    size of the file: .png, .svg or .pdf."""
