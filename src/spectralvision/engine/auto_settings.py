"""Fill in `auto`: batch size, epochs, learning rate and warm-up from the number of images."""

import math
from dataclasses import replace

from spectralvision.engine.optimizer_config import OptimizerConfig
from spectralvision.runs import Auto, UserError

UPDATES_PER_EPOCH = 30
"""Where the batch size is free."""
MIN_UPDATES = 500
"""Of a run on photographs, within the epochs that a recipe allows."""
BASE_BATCH = 64
"""Batch size that the automatic learning rates are for."""
LR_FROM_SCRATCH, LR_PRETRAINED = 2e-3, 5e-4
LAYER_DECAY = 0.75
"""From pretrained weights, where it is `auto`."""
MAX_WARMUP_EPOCHS = 5.0
MAX_CPU_SECONDS = 3600.0
"""Of a run with automatic settings on a CPU."""
SIZE_STEP = 32
FEWEST_EPOCHS = 10
"""Epochs that are reduced no further."""


def choose_batch_size(
    wanted: int | Auto, limits: tuple[int, int], num_train: int, parts: int, data_name: str
) -> int:
    """Return the batch size: as wanted, or about 30 updates per epoch; a multiple of 2 x `parts`.

    Args:
        wanted: A number, or auto.
        limits: The least and the most images that auto stands for.
        num_train: Training images.
        parts: Processes times accumulation steps.
        data_name: For the message.

    Raises:
        UserError: There are too few images for the parts of a batch.
    """
    if isinstance(wanted, str):
        batch = 2 ** round(math.log2(max(num_train, 1) / UPDATES_PER_EPOCH))
        batch = min(max(batch, limits[0]), limits[1])
    else:
        batch = wanted
    pairs = 2 * parts  # mixup pairs the images of each part of a batch
    if pairs > max(num_train, 2):
        raise UserError(
            f"{data_name} has {num_train} training images, too few to divide a batch into {parts} "
            "parts: use fewer --devices or a smaller --accumulate."
        )
    return max(pairs, min(batch, num_train) // pairs * pairs)


def choose_epochs(wanted: int | Auto, limits: tuple[int, int], num_train: int, batch: int) -> int:
    """Return the epochs: as wanted, or what takes 500 updates, within (least, most) epochs."""
    if not isinstance(wanted, str):
        return wanted
    least, most = limits
    return min(max(least, math.ceil(MIN_UPDATES / math.ceil(num_train / batch))), most)


def shorten_input_size(size: int, seconds: float, smallest: int) -> int:
    """Return the input size with which a run of so many seconds ends within an hour on a CPU.

    The cost is taken as proportional to the number of pixels. The size is a multiple of 32, not
    less than `smallest`.
    """
    if seconds <= MAX_CPU_SECONDS or size <= smallest:
        return size
    wanted = size * math.sqrt(MAX_CPU_SECONDS / seconds)
    return max(smallest, int(wanted) // SIZE_STEP * SIZE_STEP)


def shorten_epochs(epochs: int, seconds: float) -> int:
    """Return the epochs with which a run of so many seconds ends within an hour, at least 10."""
    if seconds <= MAX_CPU_SECONDS or epochs <= FEWEST_EPOCHS:
        return epochs
    return max(FEWEST_EPOCHS, int(epochs * MAX_CPU_SECONDS / seconds))


def resolve_optimizer(
    config: OptimizerConfig, batch: int, epochs: int, is_gentle: bool
) -> OptimizerConfig:
    """Return the settings with learning rate, layer decay and warm-up filled in.

    Args:
        config: The settings.
        batch: Images per update.
        epochs: Of the run.
        is_gentle: Whether pretrained weights should change little: those of a large network.

    Raises:
        UserError: The warm-up is as long as the training.
    """
    lr = config.lr
    if isinstance(lr, str):
        base = LR_PRETRAINED if is_gentle else LR_FROM_SCRATCH
        lr = float(f"{base * math.sqrt(batch / BASE_BATCH):.3g}")
    elif config.lr_base_size is not None:
        lr = float(f"{lr * batch / config.lr_base_size:.6g}")
    warmup = min(MAX_WARMUP_EPOCHS, epochs / 10)
    if not isinstance(config.warmup_epochs, str):
        warmup = config.warmup_epochs
    if warmup >= epochs:
        raise UserError(
            f"--warmup-epochs {warmup:g} should be less than --epochs, which is {epochs}."
        )
    decay = config.layer_decay
    if isinstance(decay, str):
        decay = LAYER_DECAY if is_gentle else None
    # lr_base_size is cleared: the rate is scaled once, and a resumed run reads it back
    return replace(config, lr=lr, lr_base_size=None, warmup_epochs=warmup, layer_decay=decay)
