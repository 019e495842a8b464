"""What changes in a training with `--label-maps` or `--teacher`; without them, what stays."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from spectralvision.data.datasets import Data
from spectralvision.data.label_maps import LabelMaps
from spectralvision.data.loading import Samples
from spectralvision.data.token_targets import JointTransform, LabelledSamples
from spectralvision.data.transforms import Augmentation, train_transform
from spectralvision.runs import UserError
from spectralvision.tasks.teaching import Teaching

if TYPE_CHECKING:
    from spectralvision.recipes.classification import Classification
    from spectralvision.tasks.classification import Classifier
    from spectralvision.tasks.distillation import Teacher


def open_maps(recipe: "Classification", data: Data) -> LabelMaps | None:
    """The label maps of a recipe, checked against its images, model and fields.

    Raises:
        UserError: They do not go together.
    """
    if recipe.label_maps is None:
        return None
    from spectralvision.tasks import token_labelling

    if recipe.teaching.teacher is not None:
        raise UserError(
            "--teacher does not go with --label-maps, which hold what a teacher says: leave one of them out."
        )
    token_labelling.refuse_fields(recipe.model, recipe.optimisation)
    return token_labelling.maps_for(recipe.label_maps, data)


def with_facts(data: Data, maps: LabelMaps | None) -> Data:
    """The data with what `run.json` holds of the maps."""
    return data if maps is None else replace(data, facts=data.facts | {"label_maps": maps.facts()})


def notes(maps: LabelMaps | None) -> list[str]:
    """A line about the maps, for the person who waits."""
    return [] if maps is None else [f"labels {maps}"]


def samples(
    augmentation: Augmentation, config: dict[str, Any], maps: LabelMaps | None
) -> tuple[Any, Callable[..., Samples]]:
    """The transform of training images, and the kind of samples, which knows the transforms to other sides."""
    make: Callable[..., Any] = train_transform if maps is None else JointTransform
    scales = augmentation.scales(config["input_size"][-1])
    sides = scales.sizes() if scales else []
    sized = {side: make(augmentation, config | {"input_size": (3, side, side)}) for side in sides}
    kind = partial(Samples, sized=sized) if maps is None else partial(LabelledSamples, maps=maps, sized=sized)
    return make(augmentation, config), kind


def classifier(maps: LabelMaps | None, teacher: "Teacher | None", teaching: Teaching) -> "Callable[..., Classifier]":
    """The Lightning module."""
    from spectralvision.tasks.classification import Classifier
    from spectralvision.tasks.distillation import distilling
    from spectralvision.tasks.token_labelling import TokenLabelClassifier

    if teacher is not None:
        return distilling(teacher, teaching)
    return Classifier if maps is None else partial(TokenLabelClassifier, logits=maps.logits)
