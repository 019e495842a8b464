"""Predictions of a classifier: the most probable classes of each image."""

from typing import Any

import timm
import torch
from torch import Tensor, nn

from spectralvision.engine.model_io import describe_labels, label_titles
from spectralvision.runs import UserError
from spectralvision.tasks.base import Row
from spectralvision.tasks.classification.options import PredictOptions

MAX_LISTED, NUM_EXAMPLES = 12, 8
"""Class names that a line lists, and those that stand for more."""


class ClassPredictor(nn.Module):
    """(B, 3, H, W) images -> (B, num_classes) float32 probabilities on the CPU."""

    def __init__(self, model: nn.Module, flip: bool = False) -> None:
        super().__init__()
        self.model, self.flip = model, flip

    def forward(self, images: Tensor) -> Tensor:
        views = [images, images.flip(-1)] if self.flip else [images]
        probabilities = [self.model(view).float().softmax(dim=-1) for view in views]
        return torch.stack(probabilities).mean(dim=0).cpu()


def check_top_k(model: nn.Module, top_k: int) -> None:
    """Raise `UserError` for more classes than the model has."""
    number = len(label_titles(model))
    if not 1 <= top_k <= number:
        raise UserError(f"--top-k {top_k} should be between 1 and {number}, the number of classes.")


def column_names(options: PredictOptions) -> list[str]:
    """Return the names of the cells of a row."""
    ranks = ["", *(f"_{rank}" for rank in range(2, options.top_k + 1))]
    return [f"{name}{rank}" for rank in ranks for name in ("prediction", "probability")]


def list_classes(name: str) -> str:
    """Return the classes of bundled weights in words: all of a few, or the first of many."""
    cfg = timm.get_pretrained_cfg(name)
    assert cfg is not None, "the weights are registered"
    titles = [one.partition(",")[0] for one in describe_labels(cfg.label_names or ())]
    if len(titles) <= MAX_LISTED:
        return f"{', '.join(titles)} only"
    return (
        f"{len(titles)} classes only, such as {', '.join(titles[:: len(titles) // NUM_EXAMPLES])}"
    )


def build_rows(model: nn.Module, probabilities: Tensor, options: PredictOptions) -> list[Row]:
    """Return the most probable classes of each image with their probabilities."""
    titles = label_titles(model)
    best = probabilities.topk(options.top_k)
    rows = []
    for indices, values in zip(best.indices.tolist(), best.values.tolist(), strict=True):
        classes: list[dict[str, Any]] = [
            {"class": titles[index], "probability": round(value, 6)}
            for index, value in zip(indices, values, strict=True)
        ]
        cells = [cell for one in classes for cell in (one["class"], one["probability"])]
        rows.append(Row({"classes": classes}, cells))
    return rows
