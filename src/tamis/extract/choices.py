"""Fields for which sources disagree on purpose: title, price, article number, availability."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tamis.extract.articlenumber import article_number
from tamis.extract.currencies import currency_at, place_of
from tamis.extract.outline import Outline, overlap
from tamis.extract.page import Page
from tamis.extract.records import ExtractedItem, Reading
from tamis.extract.visible import VisiblePrice

SURE_PRICE = 24.0
"""Score from which a shown price is taken for the item's own."""


def settle(
    item: ExtractedItem, outline: Outline, readings: list[Reading], prices: list[VisiblePrice], pairs: dict[str, str]
) -> ExtractedItem:
    """Return `item` with the fields decided that no single source decides; what a recipe read stays."""
    chosen: dict[str, tuple[Any, str]] = {
        "title": title_of(outline, readings),
        "sku": _sku(outline, readings, pairs),
        "price": _price(readings, prices),
    }
    changes: dict[str, Any] = {}
    sources = dict(item.sources)
    for name, (value, source) in chosen.items():
        if sources.get(name, "").startswith("recipe:") or value in (None, ""):
            continue
        changes[name], sources[name] = value, source
    item = replace(item, **changes, sources=sources)
    return _with_currency(_with_availability(item), outline.page, prices)


def title_of(outline: Outline, readings: list[Reading]) -> tuple[str | None, str]:
    """Return the name of the item and its source: what the page shows as heading, where that fits.

    A heading that shares little with the stated name is of something else (the shop, another item); one that
    holds the page's own title and more has an addition, such as an article number, that is no part of the name.
    """
    stated = next(
        ((str(r.fields["title"]), r.source) for r in readings if "title" in r.fields and r.source != "html"), None
    )
    heading = outline.title[1]
    linked = stated if stated and stated[1] != "meta" else None
    declared = outline.page.declared_titles
    if not heading or (linked and overlap(linked[0], heading) < 0.34 and overlap(heading, linked[0]) < 0.34):
        if linked:
            return linked
        return (_common_title(declared) or heading or None), "meta"
    for title in () if heading in declared else declared:
        if len(title) >= 4 and title in heading:
            return title, "meta"
    if linked and linked[0] == heading:
        return linked
    return heading, "html"


def _common_title(declared: list[str]) -> str | None:
    """Return the longest of `declared` that another one holds, else the first."""
    shared = [title for title in declared if any(title != other and title in other for other in declared)]
    in_both = [t for t in shared if sum(t in other for other in declared) >= min(3, len(declared))]
    return max(in_both or declared[:1], key=len, default=None)


def _sku(outline: Outline, readings: list[Reading], pairs: dict[str, str]) -> tuple[str | None, str]:
    number = article_number(outline, readings, pairs)
    return (number.value, number.source) if number else (None, "")


def _price(readings: list[Reading], prices: list[VisiblePrice]) -> tuple[Any, str]:
    """Return the stated price, unless the page does not show it as current and shows another one that is surely it."""
    stated = [(r.fields["price"], r.source) for r in readings if "price" in r.fields]
    if not stated:
        return (prices[0].price.amount, "html") if prices else (None, "")
    best = prices[0] if prices else None
    if best is None or best.score < SURE_PRICE:
        return stated[0]
    shown = {entry.price.amount: entry.score for entry in reversed(prices)}
    agreeing = [entry for entry in stated if entry[0] == best.price.amount]
    behind = best.score - shown.get(stated[0][0], -99.0)
    if agreeing and behind > 5:
        return agreeing[0]
    if stated[0][0] in shown and behind > 10 and best.price.amount < stated[0][0]:
        return best.price.amount, "html"
    return stated[0]


def _with_availability(item: ExtractedItem) -> ExtractedItem:
    """Return `item` as in stock where it has a price and nothing says otherwise."""
    if item.availability is not None or item.price is None:
        return item
    return replace(item, availability="InStock", sources=item.sources | {"availability": "offer"})


def _with_currency(item: ExtractedItem, page: Page, prices: list[VisiblePrice]) -> ExtractedItem:
    if item.price is None or item.currency is not None:
        return item
    code = next((entry.price.currency for entry in prices if entry.price.currency), None)
    source = "html" if code else "place"
    code = code or currency_at(place_of(page.host, page.language))
    return replace(item, currency=code, sources=item.sources | {"currency": source}) if code else item
