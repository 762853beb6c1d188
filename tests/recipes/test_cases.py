"""Each folder below cases/ is a test: a saved page, its address and recipe, and what must be read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tamis.extract import extract_page
from tamis.recipes import load_recipe

FOLDERS = sorted(path.parent for path in (Path(__file__).parent / "cases").glob("*/expected.json"))


@pytest.mark.parametrize("folder", FOLDERS, ids=[folder.name for folder in FOLDERS])
def test_a_saved_page_reads_as_expected(folder: Path) -> None:
    expected: dict[str, Any] = json.loads((folder / "expected.json").read_text(encoding="utf-8"))
    recipe = load_recipe(expected.pop("recipe", "generic"), folder)
    read = extract_page((folder / "page.html").read_bytes(), expected["url"], recipe=recipe).to_json()
    if read["item"] is not None and "sources" not in (expected.get("item") or {}):
        del read["item"]["sources"]
    assert read == expected
