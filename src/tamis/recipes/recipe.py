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
from tamis.recipes.slicing import SliceRange

ITEM_FIELDS = (
    "title", "price", "currency", "brand", "model", "sku", "gtin", "availability", "description", "seller", "images",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Rewrite:
    """One change to URLs: a regular expression and what its matches become."""

    pattern: re.Pattern[str]
    replacement: str


@dataclass(frozen=True, slots=True)
class UrlPatterns:
    """Regular expressions, searched in path and query, that tell pages apart by their URL alone."""

    item: tuple[re.Pattern[str], ...] = ()
    results: tuple[re.Pattern[str], ...] = ()
    ignore: tuple[re.Pattern[str], ...] = ()
    """Links that are never followed."""
    rewrite: tuple[Rewrite, ...] = ()
    """Changes to links before they are followed, so that one document has one URL."""


@dataclass(frozen=True, slots=True)
class ItemSelectors:
    """Where the fields of an item stand; the first selector of a field that yields something wins."""

    fields: Mapping[str, tuple[Selector, ...]] = field(default_factory=dict)
    attributes: Mapping[str, tuple[Selector, ...]] = field(default_factory=dict)
    identity: str = ""
    """Field that tells the items of the site apart; empty: the address of their page."""


@dataclass(frozen=True, slots=True)
class ResultSelectors:
    """Where a result page has the links of its listings, the next page, and the number of results."""

    items: tuple[Selector, ...] = ()
    next: tuple[Selector, ...] = ()
    total: tuple[Selector, ...] = ()
    pages: tuple[Selector, ...] = ()
    """The number of pages that the site serves of this search."""
    records: tuple[Selector, ...] = ()
    """Objects that hold one listing each; their fields are read by `Recipe.record`."""
    ids: tuple[Selector, ...] = ()
    """Numbers of the listings, for pages that have no links to them."""
    addresses: tuple[Rewrite, ...] = ()
    """What a number becomes: a pattern, searched in host, path and language of the page, and an address with `{id}`."""


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
    record: ItemSelectors = ItemSelectors()
    """Where the fields stand in one record of a result page; field `url` is its address."""
    feeds: tuple[str, ...] = ()
    """Addresses below the site's that list everything as JSON; its pages are crawled only where these yield nothing."""
    paging: Paging = Paging()
    slicing: tuple[SliceRange, ...] = ()
    """Ranges by which a search is cut that lists more than the site serves, the first ones first."""
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
        return _rewritten(url, self.pictures)

    def page_url(self, url: str) -> str:
        """Return the link `url` as the recipe rewrites it, mostly without what does not name the document."""
        return _rewritten(url, self.urls.rewrite)

    def serves(self, host: str) -> bool:
        """Tell whether the recipe is meant for `host`."""
        folded = host.lower().removeprefix("www.")
        return any(
            re.fullmatch(re.escape(domain.lower()).replace(r"\*", r"[\w.-]+"), folded) is not None
            for domain in self.domains
        )


def _rewritten(url: str, rewrites: tuple[Rewrite, ...]) -> str:
    for rewrite in rewrites:
        url = rewrite.pattern.sub(rewrite.replacement, url)
    return url


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
        tables = ("urls", "item", "results", "record", "paging", "slicing", "pictures", "limits")
        self.known("", document, ("name", "description", "domains", "feeds", *tables))
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
            item=self.item("item", document.get("item", {}), ITEM_FIELDS),
            results=self.results(document.get("results", {})),
            record=self.item("record", document.get("record", {}), ("url", *ITEM_FIELDS)),
            feeds=self.texts("feeds", document.get("feeds", [])),
            paging=self.plain("paging", Paging, document.get("paging", {})),
            slicing=self.slicing(document.get("slicing", {})),
            pictures=self.rewrites("rewrite", pictures.get("rewrite", [])),
            limits=self.plain("limits", FollowLimits, document.get("limits", {})),
        )

    def urls(self, table: Mapping[str, Any]) -> UrlPatterns:
        self.known("urls", table, ("item", "results", "ignore", "rewrite"))
        found = {
            key: tuple(self.pattern(key, text) for text in self.texts(key, value))
            for key, value in table.items()
            if key != "rewrite"
        }
        return UrlPatterns(**found, rewrite=self.rewrites("rewrite", table.get("rewrite", [])))

    def item(self, name: str, table: Mapping[str, Any], allowed: tuple[str, ...]) -> ItemSelectors:
        self.known(name, table, (*allowed, "attributes", "identity"))
        attributes, identity = table.get("attributes", {}), table.get("identity", "")
        if not isinstance(attributes, dict):
            raise self.wrong("attributes", "must be a table")
        if identity not in ("", "sku", "gtin"):
            raise self.wrong("identity", 'must be "sku" or "gtin"')
        return ItemSelectors(
            {key: self.selectors(key, value) for key, value in table.items() if key in allowed},
            {key: self.selectors(key, value) for key, value in attributes.items()},
            identity,
        )

    def results(self, table: Mapping[str, Any]) -> ResultSelectors:
        self.known("results", table, tuple(entry.name for entry in fields(ResultSelectors)))
        found = {key: self.selectors(key, value) for key, value in table.items() if key != "addresses"}
        addresses = self.rewrites("addresses", table.get("addresses", []))
        for address in addresses:
            if "{id}" not in address.replacement:
                raise self.wrong("addresses", f"{address.replacement!r} has no {{id}} for the listing's number")
        return ResultSelectors(**found, addresses=addresses)

    def slicing(self, table: Mapping[str, Any]) -> tuple[SliceRange, ...]:
        """Return the ranges of `[[slicing.by]]`."""
        self.known("slicing", table, ("by",))
        entries = table.get("by", [])
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise self.wrong("by", "must be tables [[slicing.by]]")
        return tuple(map(self.slice_range, entries))

    def slice_range(self, table: Mapping[str, Any]) -> SliceRange:
        """Return one range of a slicing: its two query parameters, and which values there are."""
        self.known("slicing.by", table, ("from", "to", "lowest", "highest", "scale", "optional"))
        for key in ("from", "to", "lowest", "highest"):
            if key not in table:
                raise self.wrong("by", f"each table needs {key}")
        for key in ("from", "to"):
            if not isinstance(table[key], str) or not table[key]:
                raise self.wrong(key, "must be the name of a query parameter")
        lowest, highest = table["lowest"], table["highest"]
        this_year = highest == "this year"
        if type(lowest) is not int or (type(highest) is not int and not this_year):
            raise self.wrong("highest", 'lowest and highest must be whole numbers; highest may be "this year"')
        if not this_year and lowest >= highest:
            raise self.wrong("highest", "must be above lowest")
        scale, optional = table.get("scale", "linear"), table.get("optional", False)
        if scale not in ("linear", "log"):
            raise self.wrong("scale", 'must be "linear" or "log"')
        if not isinstance(optional, bool):
            raise self.wrong("optional", "must be true or false")
        top = None if this_year else highest
        return SliceRange(table["from"], table["to"], lowest, top, scale == "log", optional)

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

    def rewrites(self, key: str, entries: Any) -> tuple[Rewrite, ...]:
        form = 'must be a list of ["pattern", "replacement"]'
        if not isinstance(entries, list):
            raise self.wrong(key, form)
        found: list[Rewrite] = []
        for entry in entries:
            if not (isinstance(entry, list) and len(entry) == 2 and all(isinstance(text, str) for text in entry)):
                raise self.wrong(key, form)
            pattern = self.pattern(key, entry[0])
            try:
                pattern.sub(entry[1], "")
                re.compile(f"{entry[0]}|").sub(entry[1], "")
            except (re.error, IndexError) as error:
                raise self.wrong(key, f"{entry[1]!r} is no replacement for {entry[0]!r}: {error}") from error
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
