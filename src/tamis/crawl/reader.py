"""What reads a page, as one digest: the code of the extractor, and the recipe. When it changes, a replay is due."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from importlib import resources
from typing import Any

from tamis.recipes.recipe import Recipe
from tamis.recipes.selectors import CssSelector
from tamis.records import digest

#: Packages and modules whose code decides what is read from a page.
_READING_CODE = ("tamis.extract", "tamis.recipes")


def reader_digest(recipe: Recipe) -> str:
    """Digest of the extractor's code and of all that the recipe declares, 32 hexadecimal digits."""
    return digest(_code_digest(), _plain(recipe))


@cache
def _code_digest() -> str:
    modules = {
        f"{package}/{file.name}": file.read_bytes()
        for package in _READING_CODE
        for file in resources.files(package).iterdir()
        if file.name.endswith(".py")
    }
    own = resources.files("tamis.crawl")
    modules |= {name: own.joinpath(name).read_bytes() for name in ("reading.py", "itemrecords.py")}
    return digest(*(part for name in sorted(modules) for part in (name, modules[name])))


def _plain(value: Any) -> str:
    """Text that is equal for equal declarations, whatever objects they were compiled to."""
    if isinstance(value, re.Pattern):
        return f"{value.pattern!r}/{value.flags}"
    if isinstance(value, CssSelector):
        return repr(value.source)
    if is_dataclass(value):
        return f"{type(value).__name__}({', '.join(_plain(getattr(value, part.name)) for part in fields(value))})"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_plain(key)}: {_plain(value[key])}" for key in sorted(value)) + "}"
    if isinstance(value, tuple | list):
        return "(" + ", ".join(map(_plain, value)) + ")"
    return repr(value)
