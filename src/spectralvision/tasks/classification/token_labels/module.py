"""Training with label maps (Jiang et al., 2021): a target for the image and one for each token.

    loss = CE(class token) + 0.5 mean CE(tokens)

The targets are soft, with label smoothing. MixToken mixes the images inside the model: the target
of an image is mixed with that of the reversed batch by the box's fraction of the tokens, and the
tokens come back unmixed. The annotation is used for the metrics only."""

from typing import Any

from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from spectralvision.engine.train_module import Step, seeded_draws
from spectralvision.models.mix_token import TokenLabelOutput
from spectralvision.tasks.classification.config import LossConfig
from spectralvision.tasks.classification.module import Classifier
from spectralvision.tasks.classification.token_labels.targets import (
    Targets,
    example_target,
    make_targets,
)

TOKEN_WEIGHT = 0.5


class TokenLabelClassifier(Classifier):
    """Train a model that has `forward_token_label`. Validation is that of `Classifier`.

    Args:
        model, loss, seed, class_weights: See `Classifier`.
        logits: Whether the label maps hold logits, else probabilities.
    """

    forward_methods = ("forward_token_label",)

    def __init__(
        self,
        model: nn.Module,
        loss: LossConfig,
        seed: int = 0,
        class_weights: list[float] | None = None,
        logits: bool = False,
    ) -> None:
        super().__init__(model, loss, seed, class_weights)
        self.logits = logits

    def training_step(self, batch: Any, step: Step) -> dict[str, Tensor]:
        """Return the loss and top-1 of a batch (images, `TokenLabelTarget`)."""
        images, (labels, maps) = batch
        with seeded_draws(self.seed, step):
            out: TokenLabelOutput = self.model.forward_token_label(images)  # type: ignore[operator]
        targets = make_targets(maps, self.num_classes, token_grid(self.model, images), self.logits)
        loss = token_label_loss(out, targets, self.loss.label_smoothing, self.class_weights)
        return {"loss": loss, "top1": (out.logits.argmax(dim=1) == labels).float().mean()}

    def example_batch(self, count: int) -> Any:
        """Return random images at the model's input size, with labels and label maps."""
        images, labels = super().example_batch(count)
        return images, example_target(labels)


def token_label_loss(
    out: TokenLabelOutput,
    targets: Targets,
    label_smoothing: float = 0.0,
    class_weights: Tensor | None = None,
) -> Tensor:
    """Return CE(class) + 0.5 mean CE(tokens), the image's target mixed as by MixToken."""
    mixed_fraction = out.box.area / out.tokens.shape[1]
    image = (1 - mixed_fraction) * targets.image + mixed_fraction * targets.image.flip(0)
    of_image = _cross_entropy(out.logits, image, label_smoothing, class_weights)
    tokens, token_targets = out.tokens.flatten(0, 1), targets.tokens.flatten(0, 1)
    of_tokens = _cross_entropy(tokens, token_targets, label_smoothing, class_weights)
    return of_image + TOKEN_WEIGHT * of_tokens


def _cross_entropy(
    logits: Tensor, target: Tensor, label_smoothing: float, weight: Tensor | None
) -> Tensor:
    return cross_entropy(logits, target, weight=weight, label_smoothing=label_smoothing)


def token_grid(model: nn.Module, images: Tensor) -> tuple[int, int]:
    """Return rows and columns of the tokens that a model makes of (B, 3, H, W) images."""
    feature_info: Any = model.feature_info
    stride = int(feature_info[-1]["reduction"])
    return -(-images.shape[-2] // stride), -(-images.shape[-1] // stride)
