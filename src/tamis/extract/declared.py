"""A page read as its recipe declares: selected fields, links, and rewritten picture URLs."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from tamis.extract.currencies import currency_of, place_of
from tamis.extract.listing import page_number, with_page
from tamis.extract.page import Page, strip_markup
from tamis.extract.prices import machine_price, parse_price
from tamis.extract.products import availability_of, first_gtin, image_urls
from tamis.extract.records import PageLinks, Reading
from tamis.recipes.recipe import Recipe
from tamis.recipes.selectors import Selector


def read_declared(page: Page, documents: list[Any], recipe: Recipe) -> Reading | None:
    """Return the item fields that `recipe` selects on the page, or None where it selects nothing."""
    if not recipe.item.fields and not recipe.item.attributes:
        return None
    fields: dict[str, Any] = {}
    images: tuple[str, ...] = ()
    currency = _currency(page, documents, recipe)
    for name, selectors in recipe.item.fields.items():
        values = _values(page, documents, selectors)
        if name == "images":
            found = [page.absolute(url) for value in values for url in image_urls(value)]
            images = tuple(dict.fromkeys(url for url in found if url))
        elif values and (value := _field(page, name, values, currency)) is not None:
            fields[name] = value
    attributes = {}
    for name, selectors in recipe.item.attributes.items():
        text = next((text for value in _values(page, documents, selectors) if (text := _text(value))), "")
        if text:
            attributes[name] = text
    if not fields and not images and not attributes:
        return None
    return Reading(f"recipe:{recipe.name}", fields, images, attributes)


def declared_links(page: Page, documents: list[Any], recipe: Recipe, found: PageLinks) -> PageLinks:
    """Return `found` with what `recipe` declares in its place, and links kept or dropped by its URL patterns."""
    items = [url for value in _values(page, documents, recipe.results.items) if (url := page.absolute(value))]
    items = list(dict.fromkeys(items)) or list(found.items)
    if recipe.urls.item:
        items = [url for url in items if recipe.kind_of(url) == "item"] or _links_of_kind(page, recipe)
    items = [url for url in items if recipe.kind_of(url) != "ignore"]
    following = next(
        (url for v in _values(page, documents, recipe.results.next) if (url := page.absolute(v))), found.next
    )
    total = next(
        (n for v in _values(page, documents, recipe.results.total) if (n := _whole(v)) is not None), found.total
    )
    if following is None and recipe.paging.parameter and items:
        following = _numbered(page.url, recipe, total)
    return PageLinks(tuple(items), following, total)


def _links_of_kind(page: Page, recipe: Recipe) -> list[str]:
    urls = [page.absolute(anchor.get("href")) for anchor in page.root.iter("a")]
    same = [url for url in dict.fromkeys(urls) if url and urlsplit(url).hostname == page.host]
    return [url for url in same if recipe.kind_of(url) == "item"]


def _numbered(url: str, recipe: Recipe, total: int | None) -> str | None:
    paging = recipe.paging
    current = page_number(url, paging.parameter, paging.first)
    served = current - paging.first + 1
    if paging.max_pages and served >= paging.max_pages:
        return None
    if total is not None and paging.page_size and served * paging.page_size >= total:
        return None
    return with_page(url, current + 1, paging.parameter)


def _values(page: Page, documents: list[Any], selectors: tuple[Selector, ...]) -> list[Any]:
    for selector in selectors:
        found = [value for value in selector.values(page.root, documents) if value not in (None, "", [], {})]
        if found:
            return found
    return []


def _currency(page: Page, documents: list[Any], recipe: Recipe) -> str | None:
    values = _values(page, documents, recipe.item.fields.get("currency", ()))
    place = place_of(page.host, page.language)
    return next((code for value in values if isinstance(value, str) and (code := currency_of(value, place))), None)


def _field(page: Page, name: str, values: list[Any], currency: str | None) -> Any:
    first = values[0]
    if name == "price":
        if isinstance(first, int | float):
            return machine_price(first, currency)
        price = parse_price(_text(first), currency=currency, place=place_of(page.host, page.language))
        return price.amount if price else None
    if name == "currency":
        return currency
    if name == "availability":
        return next((stock for value in values if (stock := availability_of(value))), None)
    if name == "gtin":
        return first_gtin(values)
    return next((text for value in values if (text := _text(value))), None)


def _text(value: Any) -> str:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    return strip_markup(value)


def _whole(value: Any) -> int | None:
    digits = "".join(filter(str.isdecimal, str(value)))
    return int(digits) if 0 < len(digits) < 10 else None
