"""Recipes, and the loop that trains what they describe."""

from aezoo.training.recipe import Recipe, RecipeError

__all__ = ["Recipe", "RecipeError"]
