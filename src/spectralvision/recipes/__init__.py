"""Published runs and common cases as typed settings, by name."""

from importlib import import_module

from spectralvision.runs import UserError, suggest
from spectralvision.tasks.registry import TASKS, find_task
from spectralvision.tasks.train_config import TrainConfig

RECIPES = {
    "affnet-imagenet": "spectralvision.recipes.affnet:AffnetImagenet",
    "svt-imagenet": "spectralvision.recipes.svt:SvtImagenet",
    "svt-imagenet-token-labels": "spectralvision.recipes.svt:SvtImagenetTokenLabels",
    "gfnet-imagenet": "spectralvision.recipes.gfnet:GfnetImagenet",
    "dfformer-imagenet": "spectralvision.recipes.dfformer:DfformerImagenet",
    "vheat-imagenet": "spectralvision.recipes.vheat:VheatImagenet",
    "affnet-ade20k": "spectralvision.recipes.segmentation:AffnetAde20k",
    "affnet-voc": "spectralvision.recipes.segmentation:AffnetVoc",
    "affnet-coco-ssdlite": "spectralvision.recipes.detection:AffnetCocoSsdlite",
    "svt-coco-mask-rcnn-1x": "spectralvision.recipes.detection:SvtCocoMaskRcnn1x",
    "finetune": "spectralvision.recipes.finetune:Finetune",
    "finetune-cifar10": "spectralvision.recipes.finetune:FinetuneCifar10",
    "finetune-cifar100": "spectralvision.recipes.finetune:FinetuneCifar100",
    "finetune-flowers102": "spectralvision.recipes.finetune:FinetuneFlowers102",
    "finetune-cars": "spectralvision.recipes.finetune:FinetuneCars",
}
"""Name -> "module:Class" of its settings. Every task is also the recipe of its own name."""


def recipe_names() -> list[str]:
    """Return the names of all recipes, those of the tasks first."""
    return [*TASKS, *RECIPES]


def find_recipe(name: str) -> type[TrainConfig]:
    """Return the settings of a recipe.

    Raises:
        UserError: There is no such recipe.
    """
    if name in TASKS:
        return find_task(name).config
    if name not in RECIPES:
        raise UserError(
            f"{name} is not a recipe: {suggest(name, recipe_names(), 'the recipes are')}"
        )
    module, _, attribute = RECIPES[name].partition(":")
    kind: type[TrainConfig] = getattr(import_module(module), attribute)
    return kind
