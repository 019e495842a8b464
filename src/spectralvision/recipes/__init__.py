"""Complete runs as typed Python. A recipe is a frozen dataclass of fields; its method `run` trains."""

from importlib import import_module
from typing import Any

from spectralvision.runs import UserError, nearest

RECIPES = {
    "classification": "spectralvision.recipes.classification:Classification",
    "affnet-imagenet": "spectralvision.recipes.affnet:AffnetImagenet",
    "svt-imagenet": "spectralvision.recipes.svt:SvtImagenet",
    "svt-imagenet-token-labels": "spectralvision.recipes.svt:SvtImagenetTokenLabels",
    "finetune": "spectralvision.recipes.finetune:Finetune",
    "finetune-cifar10": "spectralvision.recipes.finetune:FinetuneCifar10",
    "finetune-cifar100": "spectralvision.recipes.finetune:FinetuneCifar100",
    "finetune-flowers102": "spectralvision.recipes.finetune:FinetuneFlowers102",
    "finetune-cars": "spectralvision.recipes.finetune:FinetuneCars",
}
"""Name on the command line -> where the recipe's dataclass is. Its `run(say)` does the work."""


def find_recipe(name: str) -> Any:
    """The dataclass of a recipe.

    Raises:
        UserError: There is no such recipe; the sentence names the nearest.
    """
    if name not in RECIPES:
        raise UserError(f"{name} is not a recipe: {nearest(name, RECIPES, 'there is')}")
    module, _, attribute = RECIPES[name].partition(":")
    return getattr(import_module(module), attribute)


def name_of(kind: type) -> str:
    """The name of a recipe's dataclass: the nearest registered one that it is a kind of."""
    names = {place: name for name, place in RECIPES.items()}
    places = (f"{one.__module__}:{one.__qualname__}" for one in kind.__mro__)
    return next(names[place] for place in places if place in names)
