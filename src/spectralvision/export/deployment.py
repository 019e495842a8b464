"""Write the files beside an exported model: its input, the classes, a card and a program."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from spectralvision.export.base import INPUT, Target
from spectralvision.export.standalone.prepare_image import CONFIG, LABELS, prepare
from spectralvision.runs import expand_user, printable, write_json
from spectralvision.sharing.model_card import escape_markdown

Output = Literal["auto", "logits", "probabilities", "features"]
"""What an exported file returns; auto: what the task's script works with."""
Mode = Literal["crop", "stretch", "fit"]
CARD = "README.md"
FIT_ASPECT, FIT_MULTIPLE = 4 / 3, 32
"""Images up to this aspect ratio keep their usual scale in an input of the default size."""
MAX_LISTED_OPERATORS = 12
WITHOUT_CLASSES = ("boxes",)
"""Outputs in which no class is the largest."""


@dataclass(frozen=True, kw_only=True)
class Deployable:
    """A model, and what a program needs to use it.

    Attributes:
        module: (B, 3, H, W) -> a tensor, or a tuple of them, each with the batch first.
        outputs: A name for each tensor.
        script: The file of `standalone/` that uses them.
        size: (H, W) of the input.
        mode: How an image gets that size; see `standalone/prepare_image.py`.
        preprocessing: As `model_io.data_config` returns it.
        labels: The classes.
        settings: What else the script needs.
    """

    module: nn.Module
    outputs: tuple[str, ...]
    script: str
    size: tuple[int, int]
    mode: Mode
    preprocessing: Mapping[str, Any]
    labels: Sequence[str]
    settings: Mapping[str, Any] = field(default_factory=dict)

    def config(self) -> dict[str, Any]:
        """Return what preprocess.json says."""
        keys = ("crop_pct",) if self.mode == "crop" else ()
        return {
            "input": INPUT,
            "layout": "(batch, RGB, height, width), float32",
            "size": list(self.size),
            "mode": self.mode,
            **{key: self.preprocessing[key] for key in keys},
            "interpolation": self.preprocessing["interpolation"],
            "mean": list(self.preprocessing["mean"]),
            "std": list(self.preprocessing["std"]),
            "outputs": list(self.outputs),
            **self.settings,
        }

    def prepare(self, images: Sequence[Image.Image]) -> Tensor:
        """Return the input (N, 3, H, W) of images, as the script makes it."""
        config = self.config()
        return torch.from_numpy(np.stack([prepare(image, config)[0] for image in images]))

    def normalize(self, images: Tensor) -> Tensor:
        """Return the input of (N, 3, H, W) pixels from 0 to 1."""
        mean, std = (
            torch.tensor(self.preprocessing[name]).view(3, 1, 1) for name in ("mean", "std")
        )
        return (images - mean) / std


def fit_side(short_side: int, max_side: int | None = None) -> int:
    """Return the side of a square input for images that are usually resized by a shorter side."""
    side = math.ceil(short_side * FIT_ASPECT / FIT_MULTIPLE) * FIT_MULTIPLE
    return side if max_side is None else min(side, max(short_side, max_side))


def write_deployment(
    folder: Path, deployable: Deployable, target: Target, name: str, facts: Mapping[str, Any]
) -> None:
    """Write preprocess.json, labels.txt, README.md and the program beside an exported file.

    Args:
        folder: Of the file.
        deployable: What was exported.
        target: The runtime.
        name: Of the model, for people.
        facts: The result of the command.
    """
    write_json(folder / CONFIG, deployable.config())
    labels = [printable(" ".join(label.split())) for label in deployable.labels]
    (folder / LABELS).write_text("".join(f"{one}\n" for one in labels), encoding="utf-8")
    target.write_program(folder, deployable.script, facts)
    (folder / CARD).write_text(_card(deployable, target, name, facts), encoding="utf-8")


def _card(deployable: Deployable, target: Target, name: str, facts: Mapping[str, Any]) -> str:
    height, width = deployable.size
    title = title_of(name)
    rows = [
        ("model", escape_markdown(printable(title))),
        ("file", f"`{target.file}`, {facts['bytes'] / 1e6:.1f} MB{', INT8' * facts['int8']}"),
        ("runtime", f"{target.title} ({_versions(facts)})"),
        ("input", f"`{INPUT}`: {facts['batch']} x 3 x {height} x {width}, float32"),
        (
            "outputs",
            ", ".join(f"`{key}`: {_shape(one)}" for key, one in facts["outputs"].items()),
        ),
        ("classes", str(len(deployable.labels))),
        ("weights", facts["weights"]),
        ("compared with PyTorch", describe_comparison(facts)),
        ("operators", _describe_operators(facts["operators"])),
    ]
    table = "\n".join(f"| {key} | {text} |" for key, text in rows)
    return f"""# {escape_markdown(printable(title))} for {target.title}

| | |
|---|---|
{table}

`{CONFIG}` says how an image becomes the input, `{LABELS}` names the classes, and
{target.usage()}"""


def title_of(model: str) -> str:
    """Return the name of a model for a public page: without the path of a run folder."""
    folder = expand_user(model)
    return folder.resolve().name if folder.is_dir() else model


def describe_comparison(facts: Mapping[str, Any]) -> str:
    """Return how far the file is from PyTorch, in words."""
    differences = facts["differences"]
    if differences is None:
        return "not run: this machine does not have the runtime"
    if not facts["int8"]:
        largest = max(one["largest"] for one in differences.values())
        text = f"at most {largest:.1e} of the largest value apart, on {facts['images']}"
        default = facts.get("default_precision")
        if default is not None:
            largest = max(one["largest"] for one in default.values())
            text += f"; {largest:.1e} in the precision that the runtime chooses here"
        return text
    agreement = min(
        one["agreement"] for name, one in differences.items() if name not in WITHOUT_CLASSES
    )
    text = f"the same largest class in {agreement:.1%}, on {facts['images']}"
    if "accuracy" in facts:
        text += f"; top-1 {facts['accuracy']:.2%}, in float32 {facts['accuracy_before']:.2%}"
    return text


def _shape(sides: Sequence[Any]) -> str:
    return " x ".join(map(str, sides))


def _versions(facts: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {number}" for name, number in facts["versions"].items())


def _describe_operators(operators: Mapping[str, int]) -> str:
    names = sorted(operators, key=lambda one: (-operators[one], one))
    listed = ", ".join(f"{name} {operators[name]}" for name in names[:MAX_LISTED_OPERATORS])
    rest = len(names) - MAX_LISTED_OPERATORS
    return listed + (f" and {rest} others" if rest > 0 else "")
