"""Training data with label maps: checked against images, model and settings."""

from dataclasses import replace
from pathlib import Path

from spectralvision.data.images import Stream
from spectralvision.data.splits import Data
from spectralvision.engine import hub, model_io
from spectralvision.runs import UserError, read_json
from spectralvision.tasks.classification.config import ClassificationConfig
from spectralvision.tasks.classification.token_labels.storage import LabelMaps, open_label_maps
from spectralvision.tasks.classification.token_labels.targets import LabelMapImages


def add_label_maps(data: Data, config: ClassificationConfig) -> tuple[Data, str]:
    """Return the data with label maps as targets of its training images, and a line about them.

    Raises:
        UserError: The maps are missing, damaged or of other images or classes, or do not go with
            the model or the settings.
    """
    check_settings(config)
    data, maps = attach_label_maps(data, str(config.label_maps))
    return data, f"labels {maps}"


def attach_label_maps(data: Data, folder: str) -> tuple[Data, LabelMaps]:
    """Return the data with the maps of a folder as targets of its training images, and the maps.

    Raises:
        UserError: The images are a stream, or see `open_label_maps`.
    """
    images = data.split("train")
    if isinstance(images, Stream):
        raise UserError(
            f"{data.name} is a stream, but label maps belong to images by index: use another "
            "reader."
        )
    maps = open_label_maps(folder, images, data.classes)
    splits = data.splits | {"train": LabelMapImages(images, maps)}
    facts = data.facts | {"label_maps": maps.facts()}
    return replace(data, splits=splits, facts=facts), maps


def find_label_maps(data: Data) -> LabelMaps | None:
    """Return the label maps of the training images; None where they have none."""
    images = data.split("train")
    return images.maps if isinstance(images, LabelMapImages) else None


def check_settings(config: ClassificationConfig) -> None:
    """Raise `UserError` for other mixing, a plain model or a teacher beside label maps."""
    if config.distillation.teacher is not None:
        raise UserError(
            "--teacher does not go with --label-maps, which hold a teacher's predictions: leave "
            "one of them out."
        )
    for flag in ("mixup", "cutmix"):
        if getattr(config.loss, flag) > 0:
            raise UserError(
                f"--{flag} does not go with --label-maps, which mixes images by MixToken: leave it "
                "out."
            )
    name = config.model
    found = model_io.find_model(name)
    if hub.is_hub(found):
        return  # a problem shows when the model is built
    folder = Path(found.removeprefix("local-dir:"))
    known = read_json(folder / "config.json") if found.startswith("local-dir:") else {}
    architecture = str(known.get("architecture", found)).split(".")[0]
    if not architecture.startswith("svt"):
        raise UserError(
            f"--label-maps needs a model with an auxiliary head: {name} has none, svt_h_s has one."
        )
    if known and not known.get("model_args", {}).get("token_label"):
        raise UserError(
            f"{name} was trained without token labels and has no auxiliary head: leave "
            "--label-maps out."
        )
