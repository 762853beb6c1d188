"""The files that the browser gets: complete, without a build step, and documented."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tamis.annotate.pages import PAGES, Page
from tamis.annotate.web import STATIC

DOCUMENTATION = Path(__file__).resolve().parents[2] / "docs" / "annotate.md"
SCRIPTS = sorted(STATIC.glob("*.js"))


@pytest.mark.parametrize("page", PAGES.values(), ids=lambda page: page.name)
def test_every_file_that_a_page_names_is_there(page: Page) -> None:
    named = re.findall(r'"/static/([^"]+)"', page.html())
    assert len(named) >= 5
    assert [one for one in named if not (STATIC / one).exists()] == []


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_scripts_import_their_neighbours_and_nothing_else(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for module in re.findall(r'from "([^"]+)"', text):
        assert module.startswith("./")
        assert (STATIC / module).exists()


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_no_script_turns_text_into_markup(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for sink in (
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
        "new Function",
        "DOMParser",
    ):
        assert sink not in text


@pytest.mark.parametrize(("name", "least"), [("annotate.js", 12), ("review.js", 12), ("copies.js", 7)])
def test_every_key_is_documented(name: str, least: int) -> None:
    text = (STATIC / name).read_text(encoding="utf-8")
    block = text[text.index("const SHORTCUTS") : text.index("];")]
    told = re.findall(r'\], "([^"]+)"\]', block)
    assert len(told) >= least
    documented = DOCUMENTATION.read_text(encoding="utf-8")
    assert [one for one in told if f"| {one} |" not in documented] == []
