"""A recipe: one small declaration of a site, read from a TOML file, refused with line and key where it is wrong."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tamis.errors import UserError
from tamis.recipes.selectors import Selector, parse_selector

ITEM_FIELDS = (
    "title", "price", "currency", "brand", "model", "sku", "gtin", "availability", "description", "seller", "images",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class UrlPatterns:
    """Regular expressions, searched in path and query, that tell pages apart by their URL alone."""

    item: tuple[re.Pattern[str], ...] = ()
    results: tuple[re.Pattern[str], ...] = ()
    ignore: tuple[re.Pattern[str], ...] = ()
    """Links that are never followed."""


@dataclass(frozen=True, slots=True)
class ItemSelectors:
    """Where the fields of an item stand; the first selector of a field that yields something wins."""

    fields: Mapping[str, tuple[Selector, ...]] = field(default_factory=dict)
    attributes: Mapping[str, tuple[Selector, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ResultSelectors:
    """Where a result page has the links of its listings, the next page, and the number of results."""

    items: tuple[Selector, ...] = ()
    next: tuple[Selector, ...] = ()
    total: tuple[Selector, ...] = ()


@dataclass(frozen=True, slots=True)
class Paging:
    """How result pages follow each other where no link says so."""

    parameter: str = ""
    """Query parameter that holds the page number; empty: follow links alone."""
    first: int = 1
    page_size: int = 0
    """Results a page, to tell the last one from the total; 0: unknown."""
    max_pages: int = 0
    """Pages of one search that the site serves at most; 0: no cap known."""


@dataclass(frozen=True, slots=True)
class Rewrite:
    """One change to picture URLs: a regular expression and what its matches become."""

    pattern: re.Pattern[str]
    replacement: str


@dataclass(frozen=True, slots=True)
class FollowLimits:
    """How far a crawl with this recipe goes; 0 leaves it to the project's settings."""

    max_depth: int = 0
    max_pages: int = 0
    results_only: bool = False
    """Follow result pages and their listings alone, no other links of the site."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """One site or platform. The generic recipe is the empty one: everything is found by general rules."""

    name: str = "generic"
    description: str = "any site: structured data, embedded state, and what a reader sees"
    domains: tuple[str, ...] = ()
    """Host names that the recipe is for; `*` stands for one or more labels."""
    urls: UrlPatterns = UrlPatterns()
    item: ItemSelectors = ItemSelectors()
    results: ResultSelectors = ResultSelectors()
    paging: Paging = Paging()
    pictures: tuple[Rewrite, ...] = ()
    limits: FollowLimits = FollowLimits()

    def kind_of(self, url: str) -> str | None:
        """Return `item`, `results` or `ignore` where the URL alone decides, else None."""
        parts = urlsplit(url)
        target = f"{parts.path}?{parts.query}" if parts.query else parts.path
        for kind, patterns in (("ignore", self.urls.ignore), ("item", self.urls.item), ("results", self.urls.results)):
            if any(pattern.search(target) for pattern in patterns):
                return kind
        return None

    def picture_url(self, url: str) -> str:
        """Return `url` as the recipe rewrites it, mostly to the largest size."""
        for rewrite in self.pictures:
            url = rewrite.pattern.sub(rewrite.replacement, url)
        return url

    def serves(self, host: str) -> bool:
        """Tell whether the recipe is meant for `host`."""
        folded = host.lower().removeprefix("www.")
        return any(
            re.fullmatch(re.escape(domain.lower()).replace(r"\*", r"[\w.-]+"), folded) is not None
            for domain in self.domains
        )


def read_recipe(path: Path) -> Recipe:
    """Return the recipe that the TOML file `path` declares.

    Raises UserError with file, line and key for a file that cannot be read, an unknown key or a wrong value.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read as a recipe: {error}") from error
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{path}: is not valid TOML: {error}") from error
    return _Reader(path, text).recipe(document)


class _Reader:
    """Turns a TOML document into a recipe and finds the line of what is wrong."""

    def __init__(self, path: Path, text: str) -> None:
        self.path = path
        self.lines = text.splitlines()

    def recipe(self, document: Mapping[str, Any]) -> Recipe:
        tables = ("urls", "item", "results", "paging", "pictures", "limits")
        self.known("", document, ("name", "description", "domains", *tables))
        for table in tables:
            if not isinstance(document.get(table, {}), dict):
                raise self.wrong(table, "must be a table")
        pictures = document.get("pictures", {})
        self.known("pictures", pictures, ("rewrite",))
        name = document.get("name", self.path.stem)
        if not isinstance(name, str) or not re.fullmatch(r"[\w-]{1,60}", name):
            raise self.wrong("name", "must be a short word of letters, digits, - and _")
        description = document.get("description", "")
        if not isinstance(description, str):
            raise self.wrong("description", "must be text")
        return Recipe(
            name=name,
            description=description,
            domains=self.texts("domains", document.get("domains", [])),
            urls=self.urls(document.get("urls", {})),
            item=self.item(document.get("item", {})),
            results=self.results(document.get("results", {})),
            paging=self.plain("paging", Paging, document.get("paging", {})),
            pictures=self.rewrites(pictures.get("rewrite", [])),
            limits=self.plain("limits", FollowLimits, document.get("limits", {})),
        )

    def urls(self, table: Mapping[str, Any]) -> UrlPatterns:
        self.known("urls", table, ("item", "results", "ignore"))
        found = {key: tuple(self.pattern(key, text) for text in self.texts(key, value)) for key, value in table.items()}
        return UrlPatterns(**found)

    def item(self, table: Mapping[str, Any]) -> ItemSelectors:
        self.known("item", table, (*ITEM_FIELDS, "attributes"))
        attributes = table.get("attributes", {})
        if not isinstance(attributes, dict):
            raise self.wrong("attributes", "must be a table")
        return ItemSelectors(
            {key: self.selectors(key, value) for key, value in table.items() if key != "attributes"},
            {key: self.selectors(key, value) for key, value in attributes.items()},
        )

    def results(self, table: Mapping[str, Any]) -> ResultSelectors:
        self.known("results", table, ("items", "next", "total"))
        return ResultSelectors(**{key: self.selectors(key, value) for key, value in table.items()})

    def plain(self, name: str, kind: type[Any], table: Mapping[str, Any]) -> Any:
        """Return a record of numbers, texts and switches, each of the type of its default."""
        defaults: dict[str, Any] = {entry.name: entry.default for entry in fields(kind)}
        self.known(name, table, tuple(defaults))
        for key, value in table.items():
            wanted = type(defaults[key])
            if type(value) is not wanted:
                raise self.wrong(key, f"must be {_KINDS[wanted]}")
            if wanted is int and value < 0:
                raise self.wrong(key, "must not be negative")
        return kind(**table)

    def rewrites(self, entries: Any) -> tuple[Rewrite, ...]:
        form = 'must be a list of ["pattern", "replacement"]'
        if not isinstance(entries, list):
            raise self.wrong("rewrite", form)
        found: list[Rewrite] = []
        for entry in entries:
            if not (isinstance(entry, list) and len(entry) == 2 and all(isinstance(text, str) for text in entry)):
                raise self.wrong("rewrite", form)
            pattern = self.pattern("rewrite", entry[0])
            try:
                pattern.sub(entry[1], "")
                re.compile(f"{entry[0]}|").sub(entry[1], "")
            except (re.error, IndexError) as error:
                raise self.wrong("rewrite", f"{entry[1]!r} is no replacement for {entry[0]!r}: {error}") from error
            found.append(Rewrite(pattern, entry[1]))
        return tuple(found)

    def selectors(self, key: str, value: Any) -> tuple[Selector, ...]:
        found: list[Selector] = []
        for text in self.texts(key, value):
            try:
                found.append(parse_selector(text))
            except ValueError as error:
                raise self.wrong(key, str(error)) from error
        return tuple(found)

    def pattern(self, key: str, text: str) -> re.Pattern[str]:
        try:
            return re.compile(text)
        except re.error as error:
            raise self.wrong(key, f"{text!r} is no regular expression: {error}") from error

    def texts(self, key: str, value: Any) -> tuple[str, ...]:
        values = [value] if isinstance(value, str) else value
        if not isinstance(values, list) or not all(isinstance(text, str) and text for text in values):
            raise self.wrong(key, "must be a text or a list of texts")
        return tuple(values)

    def known(self, table: str, found: Mapping[str, Any], allowed: tuple[str, ...]) -> None:
        for key in found:
            if key not in allowed:
                near = difflib.get_close_matches(key, allowed, 1)
                hint = f"did you mean {near[0]!r}?" if near else f"allowed are {', '.join(allowed)}"
                where = f"unknown key {key!r}" + (f" in [{table}]" if table else "")
                raise UserError(f"{self.path}, line {self.line_of(key)}: {where}; {hint}")

    def wrong(self, key: str, problem: str) -> UserError:
        return UserError(f"{self.path}, line {self.line_of(key)}: {key}: {problem}")

    def line_of(self, key: str) -> int:
        quoted = re.escape(key)
        pattern = re.compile(rf"""^\s*(?:\[[\w."'-]*?)?["']?{quoted}["']?\s*(?:=|\]|\.)""")
        return next((number for number, line in enumerate(self.lines, 1) if pattern.match(line)), 1)


_KINDS = {int: "a whole number", str: "a text", bool: "true or false"}
