"""A JSON document as a page: a shop's product list, the results that an endless page loads, HTML wrapped in JSON."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from tamis.extract.declared import declared_links, declared_records, read_declared
from tamis.extract.feeds import read_feed
from tamis.extract.jsonresults import find_list
from tamis.extract.jsontext import MAX_JSON_CHARACTERS
from tamis.extract.merge import merge_readings
from tamis.extract.page import parse_page
from tamis.extract.records import Extraction, ListedItem, PageLinks
from tamis.recipes.recipe import Recipe

_SPACE = b" \t\r\n"
MAX_FRAGMENTS = 50
MIN_FRAGMENT = 20


def json_body(body: bytes | str) -> Any | None:
    """Return the object or array that the whole of `body` is, or None where it is anything else."""
    start = body[:64].encode("utf-8", "replace") if isinstance(body, str) else body[:64]
    if (
        not start.removeprefix(b"\xef\xbb\xbf").lstrip(_SPACE).startswith((b"{", b"["))
        or len(body) > MAX_JSON_CHARACTERS
    ):
        return None
    text = body if isinstance(body, str) else body.decode("utf-8-sig", "replace")
    try:
        document = json.loads(text.removeprefix("\ufeff"), strict=False)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict | list) else None


def html_in(document: Any) -> str:
    """Return the pieces of HTML with links that a JSON document carries, one after the other."""
    found: list[str] = []
    stack: list[tuple[Any, int]] = [(document, 0)]
    while stack and len(found) < MAX_FRAGMENTS:
        value, depth = stack.pop()
        if isinstance(value, str):
            if len(value) >= MIN_FRAGMENT and "<a" in value:
                found.append(value)
        elif depth < 20 and isinstance(value, dict | list):
            children = value.values() if isinstance(value, dict) else value
            stack.extend((child, depth + 1) for child in reversed(list(children)[:1000]))
    return "\n".join(found)


def read_document(document: Any, url: str, recipe: Recipe) -> Extraction:
    """Read a JSON document as a page of the site: its products whole where it states them, else its links."""
    page = parse_page("", url)
    feed = read_feed(page, document)
    if feed is not None:
        listed = tuple(_rewritten(one, recipe) for one in feed.listed)
        if not feed.is_list and listed:
            return Extraction(url, "item", listed[0].item)
        return Extraction(url, "results", links=PageLinks(tuple(one.url for one in listed), feed.next), listed=listed)
    kind = recipe.kind_of(url)
    declared = read_declared(page, [document], recipe)
    if declared is not None and kind == "item":
        images = list(dict.fromkeys(map(recipe.picture_url, declared.images)))
        return Extraction(url, "item", merge_readings([declared], images))
    found = find_list(page, [document])
    links = PageLinks() if found is None else PageLinks(found.urls, found.next, found.total)
    links = declared_links(page, [document], recipe, links)
    records = declared_records(page, [document], recipe)
    is_results = bool(links.items or records or links.total is not None) or kind == "results"
    return Extraction(url, "results" if is_results else "other", links=links, listed=records)


def _rewritten(one: ListedItem, recipe: Recipe) -> ListedItem:
    images = tuple(dict.fromkeys(map(recipe.picture_url, one.item.images)))
    return ListedItem(recipe.page_url(one.url), replace(one.item, images=images))
