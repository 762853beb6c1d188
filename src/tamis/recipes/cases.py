"""Test cases of recipes: a folder with a saved page and what must be read on it. No code.

    cases/some-car/page.html        the page; also page.html.gz or page.json
    cases/some-car/expected.json    {"recipe": name, "url": address, "kind": ..., "item": {...}, "links": {...}}

What the expected document does not name is not judged. Recipes are looked for in the folder's own `recipes/`, then in
the project's, then in the package.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tamis.errors import UserError
from tamis.extract.extractor import extract_page
from tamis.recipes.library import AUTO, load_recipe

EXPECTED = "expected.json"
_PAGES = ("page.html", "page.html.gz", "page.json", "page.json.gz")


@dataclass(frozen=True, slots=True)
class Difference:
    """A value that is not as expected; `name` is its path in the document, such as `item.price`."""

    name: str
    expected: Any
    read: Any


@dataclass(frozen=True, slots=True)
class CheckedCase:
    """One case and what was read otherwise than expected."""

    folder: Path
    differences: tuple[Difference, ...]


def find_cases(folder: Path) -> list[Path]:
    """Return the case folders at or below `folder`, in a stable order.

    Raises:
        UserError: there are none.
    """
    found = sorted(path.parent for path in folder.rglob(EXPECTED))
    if not found:
        raise UserError(f"{folder} holds no test case: a case is a folder with page.html and {EXPECTED}")
    return found


def check_case(folder: Path, project_folder: Path | None = None) -> CheckedCase:
    """Read the page of a case and compare it with what is expected.

    Raises:
        UserError: the case lacks its page, or its expected document cannot be read; the message names the file.
    """
    path = folder / EXPECTED
    try:
        expected = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read: {error}") from error
    if not isinstance(expected, dict) or not isinstance(expected.get("url"), str):
        raise UserError(f'{path}: expected an object with at least the page\'s address, {{"url": "https://..."}}')
    name = str(expected.pop("recipe", AUTO))
    home = folder if (folder / "recipes").is_dir() else project_folder
    recipe = load_recipe(name, home, expected["url"])
    read = extract_page(_page_of(folder), expected["url"], recipe=recipe).to_json()
    return CheckedCase(folder, tuple(_differences("", expected, read)))


def write_case(folder: Path, body: bytes, recipe: str, document: dict[str, Any]) -> None:
    """Write a case: the page as it came, and what was read as what is expected from now on.

    Raises:
        UserError: the folder holds a case already, or cannot be written.
    """
    if (folder / EXPECTED).exists():
        raise UserError(f"{folder} holds a test case already: choose another folder, or delete it first")
    kept = {name: value for name, value in document.items() if value is not None}
    if isinstance(kept.get("item"), dict):
        kept["item"] = {name: value for name, value in kept["item"].items() if name != "sources"}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        is_json = body.lstrip()[:1] in (b"{", b"[")
        (folder / ("page.json" if is_json else "page.html")).write_bytes(body)
        text = json.dumps({"recipe": recipe} | kept, ensure_ascii=False, indent=2, default=str)
        (folder / EXPECTED).write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise UserError(f"{folder} cannot be written: {error.strerror}") from error


def _page_of(folder: Path) -> bytes:
    for name in _PAGES:
        path = folder / name
        if path.is_file():
            try:
                return gzip.decompress(path.read_bytes()) if name.endswith(".gz") else path.read_bytes()
            except (OSError, EOFError) as error:
                raise UserError(f"{path} cannot be read: {error}") from error
    raise UserError(f"{folder} lacks its page: one of {', '.join(_PAGES)}")


def _differences(name: str, expected: Any, read: Any) -> Iterator[Difference]:
    """Compare what `expected` names; the attributes of an item are named one by one as well."""
    if isinstance(expected, dict) and isinstance(read, dict):
        for key, value in expected.items():
            yield from _differences(f"{name}.{key}".lstrip("."), value, read.get(key))
    elif expected != read:
        yield Difference(name, expected, read)
