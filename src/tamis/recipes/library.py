"""Finding recipes: those of the package, and those of a project's own `recipes/` folder."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from urllib.parse import urlsplit

from tamis.errors import UserError
from tamis.recipes.recipe import Recipe, read_recipe

PACKAGE_FOLDER = Path(__file__).parent / "sites"
GENERIC = Recipe()
#: In the place of a name: the recipe that is made for the site, else the generic one.
AUTO = "auto"


@dataclass(frozen=True, slots=True)
class RecipeEntry:
    """A recipe that can be named: its name, what it is for, and its file (None for the generic one)."""

    name: str
    description: str
    path: Path | None
    domains: tuple[str, ...] = ()


def load_recipe(name_or_path: str, project_folder: Path | None = None, address: str = "") -> Recipe:
    """Return the recipe of that name or in that file; `auto` is the one made for the host of `address`.

    A name is looked for in the project's `recipes/` folder first, then in the package. A path ends in `.toml`
    and is relative to the project folder, or to its `recipes/` folder. Raises UserError for an unknown name,
    a missing file, or a file with a wrong key (with file, line and key).
    """
    if name_or_path.endswith(".toml"):
        return read_recipe(_file(name_or_path, project_folder))
    if name_or_path == AUTO:
        return recipe_for(_host(address), project_folder)
    if name_or_path == GENERIC.name:
        return GENERIC
    paths: dict[str, Path] = {}
    for path in _recipe_files(project_folder):
        paths.setdefault(path.stem, path)
    if name_or_path in paths:
        return read_recipe(paths[name_or_path])
    near = difflib.get_close_matches(name_or_path, [GENERIC.name, *paths], 1)
    hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(sorted([GENERIC.name, *paths]))}"
    raise UserError(
        f"unknown recipe {name_or_path!r}: {hint}. A recipe of your own goes into recipes/{name_or_path}.toml"
    )


def recipe_for(host: str, project_folder: Path | None = None) -> Recipe:
    """Return the recipe meant for `host`, the project's own before those of the package, else the generic one."""
    for path in _recipe_files(project_folder):
        recipe = _read_once(path, path.stat().st_mtime_ns)
        if recipe.serves(host):
            return recipe
    return GENERIC


@lru_cache(maxsize=256)
def _read_once(path: Path, changed_at: int) -> Recipe:
    """Read a recipe; `changed_at` tells a file from what it was before."""
    del changed_at
    return read_recipe(path)


def list_recipes(project_folder: Path | None = None) -> list[RecipeEntry]:
    """Return every recipe that can be named, the generic one first, a project's own before those of the package."""
    entries = [RecipeEntry(GENERIC.name, GENERIC.description, None)]
    seen = {GENERIC.name}
    for path in _recipe_files(project_folder):
        if path.stem not in seen:
            seen.add(path.stem)
            read = read_recipe(path)
            entries.append(RecipeEntry(path.stem, read.description, path, read.domains))
    return entries


def _host(address: str) -> str:
    try:
        return urlsplit(address).hostname or ""
    except ValueError:
        return ""


def _recipe_files(project_folder: Path | None) -> Iterator[Path]:
    if project_folder is not None:
        yield from sorted((project_folder / "recipes").glob("*.toml"))
    yield from sorted(PACKAGE_FOLDER.glob("*.toml"))


def _file(name: str, project_folder: Path | None) -> Path:
    folder = project_folder or Path()
    candidates = (folder / name, folder / "recipes" / name)
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    raise UserError(f"recipe file {name!r} not found: looked at {candidates[0]} and {candidates[1]}")
