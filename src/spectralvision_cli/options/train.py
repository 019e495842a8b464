"""Options of `spectralvision train` that every recipe has; the recipe adds its own."""

from dataclasses import dataclass
from typing import ClassVar

from spectralvision_cli.fields import option
from spectralvision_cli.options.common import REST, VerbOptions


@dataclass(frozen=True, kw_only=True)
class TrainOptions(VerbOptions):
    """Train a model and write a run folder.

    A recipe is a complete set of settings, of which any can be changed. Settings that are `auto`
    are chosen from the data, the model and the machine.
    """

    examples: ClassVar[tuple[str, ...]] = (
        "spectralvision train --data digits",
        "spectralvision train --data photos --model affnet_t --epochs 100",
        "spectralvision train finetune --model runs/photos-affnet_et --data others",
        "spectralvision train --resume runs/photos-affnet_et",
    )
    groups: ClassVar[dict[str, tuple[str, ...]]] = {
        "Common options": (
            "data", "model", "out", "epochs", "batch_size", "input_size", "lr", "device",
            "resume", "dry_run",
        ),
        "Data": (
            "data_dir", "image_column", "label_column", "num_classes", "num_images",
            "val_fraction", "folds", "fold", "label_maps", "seed", "workers",
        ),
        "Model and input": ("pretrained", "drop_path", "crop_pct"),
        REST: (REST,),
        "Optimizer and schedule": ("optimizer", "early_stop"),
        "Augmentation": ("augmentation", "mixup", "cutmix"),
        "Loss": ("loss", "label_smoothing", "class_weights"),
        "Distillation": ("teacher", "teacher_cache", "distillation"),
        "Hardware and processes": (
            "precision", "trainer", "devices", "num_nodes", "strategy", "accumulate",
            "sync_batchnorm", "compile",
        ),
        "Checkpoints and logging": ("checkpoint_minutes", "logger", "json"),
    }  # fmt: skip
    task_verb: ClassVar[bool] = True

    resume: str | None = option(None, "RUN")
    """Unfinished run folder to resume with the settings that it was started with; no other setting
    can be given."""
    dry_run: bool = False
    """Show what would be trained, with its duration and memory, and stop; nothing is written."""
