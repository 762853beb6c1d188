"""Recipes: where a site has its listings and how its pages are read, declared in one small file each."""

from tamis.recipes.library import GENERIC, RecipeEntry, list_recipes, load_recipe, recipe_for
from tamis.recipes.recipe import Recipe, read_recipe

__all__ = ["GENERIC", "Recipe", "RecipeEntry", "list_recipes", "load_recipe", "read_recipe", "recipe_for"]
