"""What `auto` becomes: the fields of a recipe that the data and the model decide."""

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from spectralvision.recipes.telling import train_counts, uneven
from spectralvision.runs import UserError
from spectralvision.tasks.loading import brings_weights
from spectralvision.tasks.optimisation import Auto, Optimisation

if TYPE_CHECKING:
    from spectralvision.data.datasets import Data
    from spectralvision.recipes.classification import Classification

UPDATES = 30  # an epoch, where the batch size is free
LEARNING = 500  # updates in all that photographs take at least, within the epochs that a recipe allows


def resolved(recipe: "Classification", data: "Data") -> "Classification":
    """The recipe with every `auto` that the data decides filled in.

    Raises:
        UserError: Too few images for the parts of a batch, or a warm-up as long as the training.
    """
    num_train = len(data.split("train"))
    trained = recipe.pretrained or brings_weights(recipe.model)
    epochs, engine = recipe.epochs, recipe.engine.resolved()
    if isinstance(recipe.batch_size, str):
        batch = min(max(2 ** round(math.log2(max(num_train, 1) / UPDATES)), 16), 128)
    else:
        batch = recipe.batch_size
    pairs = 2 * engine.parts  # mixup pairs the images of each part of a batch
    if pairs > max(num_train, 2):
        raise UserError(f"{data.name} has {num_train} training images, too few for {engine.parts} parts of a batch.")
    batch = max(pairs, min(batch, num_train) // pairs * pairs)
    if isinstance(epochs, str):
        least, most = (recipe.TRAINED_EPOCHS if trained else (50, 200)) if data.photographs else (15, 15)
        epochs = min(max(least, math.ceil(LEARNING / math.ceil(num_train / batch))), most)
    assert not isinstance(epochs, str)
    optimisation = _optimisation(recipe.optimisation, batch, epochs, trained)
    if optimisation.class_weights == "auto":
        optimisation = replace(optimisation, class_weights=1.0 if uneven(train_counts(data)) else 0.0)
    return replace(
        recipe,
        epochs=epochs,
        batch_size=batch,
        optimisation=optimisation,
        augmentation=recipe.augmentation.resolved(data),
        engine=engine,
    )


def _optimisation(fields: Optimisation, batch: int, epochs: int, trained: bool) -> Optimisation:
    """With the learning rate of this batch size, and the warm-up."""
    lr = fields.lr
    if isinstance(lr, str):
        lr = float(f"{(5e-4 if trained else 2e-3) * math.sqrt(batch / 64):.3g}")
    elif fields.lr_base_size is not None:
        lr = float(f"{lr * batch / fields.lr_base_size:.6g}")
    warmup = min(5.0, epochs / 10) if isinstance(fields.warmup_epochs, str) else fields.warmup_epochs
    if warmup >= epochs:
        raise UserError(f"--warmup-epochs {warmup:g} should be less than the {epochs} of --epochs.")
    return replace(fields, lr=lr, lr_base_size=None, warmup_epochs=warmup)  # scaled once: a resumed run reads it back


def class_weights(power: "float | Auto", counts: list[int]) -> list[float] | None:
    """What an image of each class weighs in the loss, one on average over the images; None: all the same."""
    assert not isinstance(power, str), "resolve against the data first"
    if not power or not counts:
        return None
    weights = [max(count, 1) ** -power for count in counts]
    mean = sum(weight * count for weight, count in zip(weights, counts, strict=True)) / sum(counts)
    return [weight / mean for weight in weights]
