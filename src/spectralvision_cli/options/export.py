"""Options of `spectralvision export`."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from spectralvision_cli.fields import option
from spectralvision_cli.options.common import VerbOptions


@dataclass(frozen=True, kw_only=True)
class ExportOptions(VerbOptions):
    """Export a model to a runtime for phones, browsers and servers.

    Writes a folder with the model's file, preprocess.json, labels.txt, a model card, and run.py,
    which needs NumPy, Pillow and the runtime only. The file is run on images and compared with
    PyTorch; one that differs is removed, and the command fails. Targets: onnx (onnxruntime),
    openvino, pt2 (AOTInductor, for processors like this one), executorch (with XNNPACK), litert
    (TensorFlow Lite), coreml (which runs on macOS only), ncnn, and web (a page for browsers).
    """

    examples: ClassVar[tuple[str, ...]] = (
        "spectralvision export --model runs/photos --target onnx --out deploy",
        "spectralvision export --model RUN --target onnx --out DIR --int8 --data photos",
        "spectralvision export --model affnet_et.cifar10 --target web --out site",
    )
    groups: ClassVar[dict[str, tuple[str, ...]]] = {
        "Model": ("model", "random_weights", "target", "out"),
        "Input and output": ("input_size", "batch", "output"),
        "Images to compare on": ("data", "data_dir", "split", "image_column", "label_column"),
        "Options": ("int8", "threads", "ort_web", "json"),
    }

    model: str
    """Run folder, hf_hub:OWNER/NAME, or a model name for its published weights."""
    random_weights: bool = False
    """Give a model without published weights random ones, to measure its speed."""
    target: Literal["onnx", "openvino", "pt2", "executorch", "litert", "coreml", "ncnn", "web"]
    """Runtime to export to."""
    out: str = option(..., "DIR")
    """Folder to write; it must not exist."""
    input_size: tuple[int, ...] = option((), "PIXELS")
    """Side of the square input in pixels, or height and width; by default the model's own."""
    batch: int | Literal["dynamic"] = 1
    """Images per batch; dynamic: any number (onnx, openvino, pt2)."""
    output: Literal["auto", "logits", "probabilities", "features"] = "auto"
    """What the file returns: logits, probabilities, or the feature maps of all stages; auto:
    logits, for detectors boxes and scores."""
    data: str | None = None
    """Data set to compare on, 16 images of its test, val or only split; by default smooth random
    images. With --int8, images to calibrate on (train) and to measure accuracy on."""
    data_dir: str | None = None
    """Folder of the files that a timm reader reads."""
    split: str | None = None
    """Split to compare on; by default test, else val, else all images."""
    image_column: str | None = option(None, "NAME")
    """Column of parquet shards with the images."""
    label_column: str | None = option(None, "NAME")
    """Column of parquet shards with the labels."""
    int8: bool = False
    """Quantize convolutions and linear layers to 8 bits; spectra stay in float. Needs --data; for
    onnx, openvino and web."""
    threads: int | None = option(None, "N")
    """Number of CPU threads of the latency measurement; by default the runtime's own."""
    ort_web: str | None = option(None, "DIR")
    """Folder with the files of onnxruntime-web, for --target web; by default npm fetches them."""
