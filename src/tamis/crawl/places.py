"""The page sources of a project, each with the recipe that reads it."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from tamis.config import ASKED
from tamis.crawl.reader import reader_digest
from tamis.crawl.reading import Place
from tamis.crawl.sources import source_rows
from tamis.project import Project
from tamis.recipes.library import load_recipe


def page_places(project: Project) -> tuple[dict[int, Place], dict[int, sa.Row[Any]]]:
    """Places and rows of the sources whose pages are asked for, by number."""
    rows = {row.id: row for row in source_rows(project).values() if row.kind in ASKED}
    places: dict[int, Place] = {}
    for number, row in rows.items():
        recipe = load_recipe(row.recipe, project.folder, row.address)
        places[number] = Place(row.name, project.settings.source[row.name], recipe, reader_digest(recipe))
    return places, rows
