"""Training with label maps (Jiang et al., 2021): a target for the image and one for each of its tokens.

loss = CE(class token) + 0.5 mean CE(tokens), on soft targets with label smoothing. MixToken mixes the images inside the
model, so that the image's target is mixed with that of the reversed batch by the box's share of the tokens, while the
tokens come back unmixed. The annotation serves the metrics only.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from spectralvision.data.datasets import Data, Stream
from spectralvision.data.label_maps import LabelMaps, open_label_maps
from spectralvision.data.loading import seeded
from spectralvision.data.token_targets import Labels, Targets, make_targets
from spectralvision.models.mix_token import TokenLabelOutput
from spectralvision.runs import UserError, read_json
from spectralvision.tasks import hub
from spectralvision.tasks.classification import DROPPING, Classifier
from spectralvision.tasks.loading import find_model
from spectralvision.tasks.optimisation import Optimisation

TOKEN_WEIGHT = 0.5


class TokenLabelClassifier(Classifier):
    """Trains a model that has `forward_token_label`; batches are (B, 3, H, W) images, (B,) labels, `Labels`.

    `logits` says what the maps hold. Validation is the plain classifier's.
    """

    def __init__(self, model: nn.Module, optimisation: Optimisation, epochs: int = 1, seed: int = 0,
                 class_weights: list[float] | None = None, logits: bool = False):  # fmt: skip
        super().__init__(model, optimisation, epochs, seed, class_weights)
        self.logits = logits

    def training_step(self, batch: tuple[Tensor, Tensor, Labels], batch_idx: int = 0) -> Tensor:  # type: ignore[override]
        assert self.optimisation is not None
        images, labels, maps = batch
        whole, parts = self._whole(batch_idx, len(images))
        with seeded(self.seed, DROPPING, self.global_step, self.global_rank, batch_idx):
            torch.manual_seed(torch.initial_seed())  # reaches the accelerator's generator too
            out: TokenLabelOutput = self.model.forward_token_label(images)  # type: ignore[operator]
        targets = make_targets(maps, self.num_classes, token_grid(self.model, images), self.logits)
        loss = token_label_loss(out, targets, self.optimisation.label_smoothing, self.class_weights)
        self._watch(loss.detach())
        self._count(self.train_scores, loss, out.logits, labels)
        self.log("loss", loss.detach(), prog_bar=True)
        return loss * len(images) * parts / whole


def token_label_loss(
    out: TokenLabelOutput, targets: Targets, label_smoothing: float = 0.0, class_weights: Tensor | None = None
) -> Tensor:
    """CE(class) + 0.5 mean CE(tokens); the image's target is mixed as MixToken has mixed the images."""
    num_tokens = out.tokens.shape[1]
    share = out.box.area / num_tokens
    image = (1 - share) * targets.image + share * targets.image.flip(0)
    of_image, of_tokens = (
        cross_entropy(logits, target, weight=class_weights, label_smoothing=label_smoothing)
        for logits, target in ((out.logits, image), (out.tokens.flatten(0, 1), targets.tokens.flatten(0, 1)))
    )
    return of_image + TOKEN_WEIGHT * of_tokens


def token_grid(model: nn.Module, images: Tensor) -> tuple[int, int]:
    """Rows and columns of the tokens that a model makes of (B, 3, H, W) images."""
    feature_info: Any = model.feature_info
    stride = int(feature_info[-1]["reduction"])
    return -(-images.shape[-2] // stride), -(-images.shape[-1] // stride)


def refuse_fields(name: str, optimisation: Optimisation) -> None:
    """Raises `UserError` for what does not go with token labels: another mixing, a model without auxiliary head."""
    for flag in ("mixup", "cutmix"):
        if getattr(optimisation, flag) > 0:
            raise UserError(f"--{flag} does not go with --label-maps, which mixes images by MixToken: leave it out.")
    found = find_model(name)
    if hub.is_hub(found):
        return  # what is wrong with it shows as it is built
    folder = Path(found.removeprefix("local-dir:"))
    config = read_json(folder / "config.json") if found.startswith("local-dir:") else {}
    architecture = str(config.get("architecture", found)).split(".")[0]
    if not architecture.startswith("svt"):
        raise UserError(f"--label-maps needs a model with an auxiliary head: {name} has none, svt_h_s has one.")
    if config and not config.get("model_args", {}).get("token_label"):
        raise UserError(f"{name} was trained without token labels and has no auxiliary head: leave --label-maps out.")


def maps_for(folder: str, data: Data) -> LabelMaps:
    """The label maps of the images to train on.

    Raises:
        UserError: A stream, or maps that are missing, damaged, or of other images or classes.
    """
    images = data.split("train")
    if isinstance(images, Stream):
        raise UserError(f"{data.name} is a stream, and label maps belong to images by index: use another reader.")
    return open_label_maps(folder, images, data.classes)
