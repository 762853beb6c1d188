"""Real product pages with truth by people: what extraction reads on them does not fall back."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest
from tests.realdata import data_folder

FLOORS = {"price": 0.94, "sku": 0.87, "availability": 0.96, "title": 0.97}
PICTURE_PAGES = 22


@pytest.fixture(scope="module")
def fields() -> dict[str, dict[str, Any]]:
    script = Path(__file__).parents[2] / "benchmarks" / "extraction.py"
    benchmark = runpy.run_path(str(script))
    pages = benchmark["read_pages"](data_folder("pages").parent)
    evaluated: dict[str, dict[str, Any]] = benchmark["evaluate"]("tamis", benchmark["read_with_tamis"], pages, False)[
        "fields"
    ]
    return evaluated


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.parametrize(("field", "floor"), FLOORS.items())
def test_fields_of_sixty_shops(fields: dict[str, dict[str, Any]], field: str, floor: float) -> None:
    assert fields[field]["f1"] >= floor


@pytest.mark.real
@pytest.mark.slow
def test_pictures_of_the_pages_whose_pictures_are_listed(fields: dict[str, dict[str, Any]]) -> None:
    assert fields["images"]["right"] >= PICTURE_PAGES
