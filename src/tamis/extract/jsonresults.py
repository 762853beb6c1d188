"""Lists of things for sale in JSON: the state of a result page, or what an endless page loads when it is scrolled."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tamis.extract.jsontext import MAX_DEPTH
from tamis.extract.listing import MIN_GROUP, is_same_site, page_number, page_parameter, with_page
from tamis.extract.page import Page

MAX_NODES = 50_000
MAX_ENTRIES = 1_000

_URLS = (
    "url", "link", "href", "permalink", "detailurl", "detailsurl", "detailpageurl", "producturl", "itemurl",
    "listingurl", "adurl", "pdpurl", "canonicalurl", "weburl", "seourl", "relativeurl", "urlpath", "path",
)  # fmt: skip
_TITLES = frozenset({"title", "name", "headline", "label", "displayname", "productname", "heading", "shorttitle"})
_PRICES = ("price", "amount")
_PICTURES = ("image", "picture", "photo", "thumb", "media", "img")
_NEXT = ("nextpageurl", "nexturl", "nextlink", "nexthref", "loadmoreurl", "nextpagelink", "nextpage", "next")
_CURRENT = ("currentpage", "pagenumber", "pageindex", "pageno", "page", "current")
_LAST = (
    "totalpages",
    "pagecount",
    "numberofpages",
    "lastpage",
    "numpages",
    "nbpages",
    "pagestotal",
    "maxpage",
    "pages",
)
_MORE = ("hasnextpage", "hasmore", "hasnext", "morepages")
_TOTALS = (
    "totalresults", "numberofresults", "totalcount", "totalitems", "totalhits", "totalelements", "nbhits", "numfound",
    "resultcount", "resultscount", "numresults", "totalproducts", "totallistings", "total", "found", "hits", "count",
)  # fmt: skip
_ASIDES = ("pagination", "paging", "pageinfo", "pager", "meta", "links", "navigation", "page", "result", "info")


@dataclass(frozen=True, slots=True)
class JsonList:
    """The addresses of a list's entries, of the next part of the list, and the number of entries in all parts."""

    urls: tuple[str, ...]
    next: str | None
    total: int | None


def find_list(page: Page, documents: list[Any]) -> JsonList | None:
    """Return the array of `documents` that looks most like a list of things for sale, or None."""
    best: tuple[tuple[int, int], list[str], list[dict[str, Any]]] | None = None
    for document in documents:
        for entries, above in _arrays(document):
            urls = [url for entry in entries[:MAX_ENTRIES] if (url := _entry_url(page, entry))]
            distinct = list(dict.fromkeys(urls))
            if len(distinct) < max(MIN_GROUP, 0.8 * len(entries[:MAX_ENTRIES])):
                continue
            signs = sum(_has_signs(entries[0], names) for names in (_PRICES, _PICTURES))
            if signs == 0 or not _TITLES & _folded(entries[0]).keys():
                continue
            rank = (signs, len(distinct))
            if best is None or rank > best[0]:
                best = (rank, distinct, above)
    if best is None:
        return None
    _, urls, above = best
    holders = [holder for parent in above[:4] for holder in _with_asides(_folded(parent))]
    return JsonList(tuple(urls), _next(page, holders), _total(holders, len(urls)))


def _arrays(document: Any) -> Iterator[tuple[list[dict[str, Any]], list[dict[str, Any]]]]:
    """Yield each array of objects in `document` with the objects around it, the nearest first."""
    stack: list[tuple[Any, list[dict[str, Any]], int]] = [(document, [], 0)]
    seen = 0
    while stack and seen < MAX_NODES:
        value, above, depth = stack.pop()
        seen += 1
        if depth > MAX_DEPTH:
            continue
        if isinstance(value, dict):
            inner = [value, *above[:3]]
            stack.extend((child, inner, depth + 1) for child in value.values() if isinstance(child, dict | list))
        elif isinstance(value, list):
            entries = [entry for entry in value if isinstance(entry, dict)]
            if len(entries) >= MIN_GROUP:
                yield entries, above
            stack.extend((child, above, depth + 1) for child in value if isinstance(child, dict | list))


def _entry_url(page: Page, entry: dict[str, Any]) -> str | None:
    keys = _folded(entry)
    for name in _URLS:
        value = keys.get(name)
        if isinstance(value, dict):
            inner = _folded(value)
            value = inner.get("href") or inner.get("url") or inner.get("path")
        if isinstance(value, str) and "/" in value and page.leads_away(value):
            url = page.absolute(value)
            if url and is_same_site(page, url):
                return url
    return None


def _has_signs(entry: dict[str, Any], names: tuple[str, ...]) -> bool:
    return any(name in key for key in _folded(entry) for name in names)


def _folded(node: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in node.items():
        if isinstance(key, str) and len(key) < 40:
            found.setdefault(key.lower().replace("_", "").replace("-", ""), value)
    return found


def _with_asides(holder: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield holder
    for name in _ASIDES:
        value = holder.get(name)
        if isinstance(value, dict):
            yield _folded(value)


def _next(page: Page, holders: list[dict[str, Any]]) -> str | None:
    for holder in holders:
        for name in _NEXT:
            if (url := _next_url(page, holder.get(name))) is not None:
                return url
    for holder in holders:
        current, last = _first_number(holder, _CURRENT), _first_number(holder, _LAST)
        if current is None and page_parameter(page.url):
            current = page_number(page.url)
        more = next((holder[name] for name in _MORE if isinstance(holder.get(name), bool)), None)
        if current is not None and (more is True or (more is None and last is not None and current < last)):
            return with_page(page.url, current + 1, page_parameter(page.url) or "page")
    return None


def _next_url(page: Page, value: Any) -> str | None:
    if isinstance(value, dict):
        inner = _folded(value)
        value = inner.get("href") or inner.get("url") or inner.get("path")
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 100_000:
        return with_page(page.url, value, page_parameter(page.url) or "page")
    if not isinstance(value, str) or not ("/" in value or "?" in value):
        return None
    url = page.absolute(value)
    return url if url and url != page.url and is_same_site(page, url) else None


def _total(holders: list[dict[str, Any]], shown: int) -> int | None:
    for holder in holders:
        number = _first_number(holder, _TOTALS, shown)
        if number is not None:
            return number
    return None


def _first_number(holder: dict[str, Any], names: tuple[str, ...], least: int = 0) -> int | None:
    for name in names:
        value = holder.get(name)
        if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 10:
            value = int(value)
        if isinstance(value, int) and not isinstance(value, bool) and least <= value < 10**9:
            return value
    return None
