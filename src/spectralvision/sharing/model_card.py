"""Write the card of a shared model: what it is, how good, its licence, how to use it."""

import html
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCardData
from torch import nn

from spectralvision.data.open_data import READER_PREFIXES
from spectralvision.engine.model_io import architecture, data_config, label_titles
from spectralvision.models import VARIANTS
from spectralvision.runs import printable, read_json

PAPERS = {
    "affnet": "[Adaptive frequency filters](https://arxiv.org/abs/2307.14008) (ICCV 2023)",
    "svt": "[Scattering vision transformer](https://arxiv.org/abs/2311.01310) (NeurIPS 2023)",
}
MAX_LISTED_CLASSES = 20


@dataclass(frozen=True, kw_only=True)
class CardKind:
    """What the cards of a task's models say."""

    pipeline_tag: str
    """The Hub's name of the task."""
    verb: str
    """What a model does with its classes, such as Classifies."""
    metric: str
    """Of validation, in the results of run.json."""
    metric_title: str
    metric_type: str
    """The Hub's name of the metric."""
    is_timm: bool = False
    """Whether timm and transformers load the model."""


CLASSIFIER = CardKind(
    pipeline_tag="image-classification",
    verb="Classifies",
    metric="val_top1",
    metric_title="top-1 accuracy",
    metric_type="accuracy",
    is_timm=True,
)


def write_card(
    model: nn.Module,
    run: Path,
    name: str,
    source: str,
    license: str | None,
    kind: CardKind = CLASSIFIER,
) -> str:
    """Return the text of README.md: metadata for the Hub, then sections for people.

    Args:
        model: The model of the run.
        run: Run folder; data and results come from its `run.json`, if there is one.
        name: Heading of the card.
        source: Argument of `create_model`: hf_hub:OWNER/NAME or local-dir:FOLDER.
        license: Licence of the weights as the Hub writes it, such as apache-2.0; None states none.
        kind: What the task says.
    """
    record = read_json(run / "run.json") if (run / "run.json").is_file() else {}
    sections = [
        _model_section(model, kind),
        _results_section(record, kind),
        _usage_section(model, source) if kind.is_timm else _command_section(source),
        _license_section(license),
    ]
    text = "\n\n".join([f"# {escape_markdown(name)}", *sections])
    return f"---\n{_metadata(record, name, license, kind).to_yaml()}\n---\n\n{text}\n"


def escape_markdown(text: str) -> str:
    """Return text that Markdown shows as it is: no markup, link, HTML or cell of a table."""
    escaped = re.sub(r"([\\`*_\[\]|~$]|:(?=//))", r"\\\1", printable(text))
    return html.escape(escaped, quote=False)


def _metadata(
    record: dict[str, Any], name: str, license: str | None, kind: CardKind
) -> ModelCardData:
    data = _data_name(record)
    data = printable(data) if data else None
    dataset = _published_dataset(data)
    value = _metric(record, kind)
    results = None
    if data and value is not None:
        results = [
            EvalResult(
                task_type=kind.pipeline_tag,
                dataset_type=dataset or "imagefolder",
                dataset_name=data,
                dataset_split="validation",
                metric_type=kind.metric_type,
                metric_name=kind.metric_title.removesuffix(" accuracy"),
                metric_value=round(value, 4),
            )
        ]
    return ModelCardData(
        library_name="timm" if kind.is_timm else "spectralvision",
        pipeline_tag=kind.pipeline_tag,
        tags=[kind.pipeline_tag, *(["timm", "transformers"] * kind.is_timm), "spectralvision"],
        license=license,
        datasets=[dataset] if dataset else None,
        metrics=[kind.metric_type] if results else None,
        model_name=printable(name) if results else None,
        eval_results=results,
    )


def _model_section(model: nn.Module, kind: CardKind) -> str:
    name = architecture(model)
    head = f" with {model.head_name}" if hasattr(model, "head_name") else ""
    paper = next((f", {text}" for family, text in PAPERS.items() if name.startswith(family)), "")
    millions = sum(parameter.numel() for parameter in model.parameters()) / 1e6
    _, height, width = data_config(model)["input_size"]
    titles = label_titles(model)
    listed = ", ".join(map(escape_markdown, titles[:MAX_LISTED_CLASSES]))
    if len(titles) > MAX_LISTED_CLASSES:
        listed += f" and {len(titles) - MAX_LISTED_CLASSES} more"
    return (
        f"`{name}`{head}{paper}: {millions:.2f} M parameters, input {height} x {width} pixels.\n\n"
        f"{kind.verb} {len(titles)} classes: {listed}."
    )


def _results_section(record: dict[str, Any], kind: CardKind) -> str:
    if record.get("status") == "converted":
        text = "These are the authors' weights, converted."
        if reported := record.get("results", {}).get("reported_top1"):
            text += (
                f" The authors report {reported} % top-1 accuracy on ImageNet, which was not "
                "measured here."
            )
        return text
    data = _data_name(record)
    if not data:
        return "No metrics were stored with these weights."
    trained = f"Trained on {escape_markdown(data)} with spectralvision."
    value = _metric(record, kind)
    if value is None:
        return f"{trained}\n\nThe training did not finish, so there are no metrics."
    images = record["data"].get("images", {}).get("val", "-")
    return (
        f"{trained}\n\n"
        f"| split | images | {kind.metric_title} |\n"
        "|---|---:|---:|\n"
        f"| val | {images} | {value:.2%} |\n\n"
        f"The best epoch was selected on these images, so this {kind.metric_title.split()[-1]} is "
        "slightly optimistic."
    )


def _usage_section(model: nn.Module, source: str) -> str:
    is_ours = architecture(model) in VARIANTS
    package = "spectralvision as sv  # registers its models with timm" if is_ours else "timm"
    library = "sv" if is_ours else "timm"
    lines = [
        "## Use",
        "```python",
        f"import {package}",
        f"model = {library}.create_model({json.dumps(source)}, pretrained=True).eval()",
        'names = model.pretrained_cfg.get("label_names")  # class names in the order of the logits',
        "```",
        f"Command line: `spectralvision predict PHOTO.jpg --model {printable(source)}`.",
    ]
    if not source.startswith("local-dir:"):
        repo = source.partition(":")[2]
        first = "after `import spectralvision`, " if is_ours else ""
        lines += [
            "For a copy on disk, the model is `local-dir:FOLDER`.",
            f"In transformers, {first}use "
            f'`TimmWrapperForImageClassification.from_pretrained("{repo}")`.',
        ]
    return "\n".join(lines)


def _command_section(source: str) -> str:
    return "\n".join(
        [
            "## Use",
            f"Command line: `spectralvision predict PHOTO.jpg --model {printable(source)} "
            "--pictures FOLDER`.",
            "```python",
            "from spectralvision.tasks.registry import task_of",
            f"source = {json.dumps(source)}",
            "model = task_of(source).load(source).eval()",
            "```",
        ]
    )


def _license_section(license: str | None) -> str:
    text = license or "Not stated: ask whoever shared these weights before you use them."
    return f"## Licence\n{escape_markdown(text)}"


def _data_name(record: dict[str, Any]) -> str | None:
    return record.get("data", {}).get("name")


def _published_dataset(data: str | None) -> str | None:
    """Return the name of a published data set from that of its reader: torch/cifar10 -> cifar10."""
    return data.partition("/")[2] if data and data.startswith(READER_PREFIXES) else None


def _metric(record: dict[str, Any], kind: CardKind) -> float | None:
    return record.get("results", {}).get(kind.metric)
