"""One recipe per published weight: a module with `RECIPE = Recipe(...)`."""

import importlib
import pkgutil
from pathlib import Path

from aezoo.training.recipe import Recipe, RecipeError, checked, told_as
from aezoo.utils.text import did_you_mean

RECIPES = Path(__file__).parent


def recipe_names() -> list[str]:
    """Names of all recipes, which are the names of the weights they make."""
    return sorted(m.name for m in pkgutil.iter_modules([str(RECIPES)]))


def load_recipe(name: str) -> Recipe:
    """The recipe `training/recipes/<name>.py`.

    Raises:
        RecipeError: If there is none of that name, or it has an unknown, missing or
            invalid field; names the closest. A published one names its metrics.
    """
    names = recipe_names()
    if name not in names:
        raise RecipeError(
            f"Unknown recipe {name!r}.{did_you_mean(name, names)} "
            f"Recipes: {', '.join(names)}."
        )
    with told_as(name):
        module = importlib.import_module(f"training.recipes.{name}")
    recipe = checked(getattr(module, "RECIPE", None), name)
    if not (recipe.description and recipe.paper and recipe.metrics):
        raise RecipeError(
            f"The recipe {name!r} must state `description`, `paper` and `metrics`."
        )
    return recipe
