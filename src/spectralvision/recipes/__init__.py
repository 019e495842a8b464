"""Complete runs as typed Python. A recipe is a frozen dataclass of fields; `train(recipe)` of its module runs it."""

from importlib import import_module
from typing import Any

from spectralvision.runs import UserError, nearest

RECIPES = {"classification": "spectralvision.recipes.classification:Classification"}
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
