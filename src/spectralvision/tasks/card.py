"""The card of a shared model: what it is, how good, on which images, under which licence, and how to use it."""

from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCardData
from torch import nn

import spectralvision
from spectralvision.data.opening import READERS
from spectralvision.runs import read_json
from spectralvision.tasks.loading import architecture, data_config, label_titles

PAPERS = {
    "affnet": "[Adaptive frequency filters](https://arxiv.org/abs/2307.14008) (ICCV 2023)",
    "svt": "[Scattering vision transformer](https://arxiv.org/abs/2311.01310) (NeurIPS 2023)",
}
NAMED = 20  # classes that are listed
TASK = "image-classification"


def card(model: nn.Module, run: Path, name: str, source: str, license: str | None) -> str:
    """README.md of a model: metadata that the Hub reads, then what a person reads.

    Args:
        model: As loaded from the run.
        run: Its folder; what `run.json` holds of data and results is told, as far as there is one.
        name: The heading.
        source: What `create_model` takes: hf_hub:OWNER/NAME or local-dir:FOLDER.
        license: Of the weights, as the Hub writes it, such as apache-2.0; None: none is stated.
    """
    record = read_json(run / "run.json") if (run / "run.json").is_file() else {}
    parts = [_model(model), _results(record), _use(model, source), _license(license)]
    text = "\n".join([f"# {name}", "", *(line for part in parts for line in [*part, ""])])
    return f"---\n{_metadata(record, name, license).to_yaml()}\n---\n\n{text}".rstrip() + "\n"


def _metadata(record: dict[str, Any], name: str, license: str | None) -> ModelCardData:
    data, top1 = _data(record), _top1(record)
    results = None
    if data and top1 is not None:
        results = [
            EvalResult(
                task_type=TASK,
                dataset_type=_dataset(data) or "imagefolder",
                dataset_name=data,
                dataset_split="validation",
                metric_type="accuracy",
                metric_name="top-1",
                metric_value=round(top1, 4),
            )
        ]
    return ModelCardData(
        library_name="timm",
        pipeline_tag=TASK,
        tags=[TASK, "timm", "transformers", "spectralvision"],
        license=license,
        datasets=[dataset] if (dataset := _dataset(data)) else None,
        metrics=["accuracy"] if results else None,
        model_name=name if results else None,
        eval_results=results,
    )


def _model(model: nn.Module) -> list[str]:
    name, titles, config = architecture(model), label_titles(model), data_config(model)
    paper = next((f", {text}" for family, text in PAPERS.items() if name.startswith(family)), "")
    millions = sum(parameter.numel() for parameter in model.parameters()) / 1e6
    _, height, width = config["input_size"]
    more = f" and {len(titles) - NAMED} more" if len(titles) > NAMED else ""
    return [
        f"`{name}`{paper}: {millions:.2f} M parameters, input {height} x {width} pixels.",
        "",
        f"Tells {len(titles)} classes apart: {', '.join(titles[:NAMED])}{more}.",
    ]


def _results(record: dict[str, Any]) -> list[str]:
    data, top1, results = _data(record), _top1(record), record.get("results", {})
    if record.get("status") == "converted":
        reported = results.get("reported_top1")
        figure = f" They report {reported} % top-1 on ImageNet, which was not measured here." if reported else ""
        return [f"The weights are its authors', converted.{figure}"]
    if not data:
        return ["No figure on its quality was kept beside the weights."]
    images = record["data"].get("images", {})
    lines = [f"Trained on {data} with spectralvision."]
    if top1 is None:
        return [*lines, "The training had not ended, so that there is no figure on its quality."]
    lines += ["", "| images | number | top-1 |", "|---|---:|---:|", f"| val | {images.get('val', '-')} | {top1:.2%} |"]
    return [*lines, "", "These images chose the best epoch, which makes the figure a little too good."]


def _use(model: nn.Module, source: str) -> list[str]:
    ours = architecture(model) in spectralvision.list_models()
    package = "spectralvision as sv  # registers its models with timm" if ours else "timm"
    lines = [
        "## Use",
        "```python",
        f"import {package}",
        f'model = {"sv" if ours else "timm"}.create_model("{source}", pretrained=True).eval()',
        'names = model.pretrained_cfg.get("label_names")  # of the logits, in their order',
        "```",
        f"On the command line: `spectralvision predict PHOTO.jpg --model {source}`.",
    ]
    if not source.startswith("local-dir:"):
        repo = source.partition(":")[2]
        first = "after `import spectralvision` " if ours else ""
        lines[-1] += " A copy on disk is `local-dir:FOLDER`."
        lines += [f'In transformers, {first}`TimmWrapperForImageClassification.from_pretrained("{repo}")`.']
    return lines


def _license(license: str | None) -> list[str]:
    return ["## Licence", license or "None is stated: ask whoever shared these weights before you use them."]


def _data(record: dict[str, Any]) -> str | None:
    return record.get("data", {}).get("name")


def _dataset(data: str | None) -> str | None:
    """The name of a published data set, as far as its reader's name gives it: torch/cifar10 -> cifar10."""
    return data.partition("/")[2] if data and data.startswith(READERS) else None


def _top1(record: dict[str, Any]) -> float | None:
    return record.get("results", {}).get("val_top1")
