"""A page read as its recipe declares: selected fields, links, and rewritten picture URLs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from urllib.parse import quote, urlsplit

from tamis.extract.currencies import currency_of, place_of
from tamis.extract.listing import page_number, with_page
from tamis.extract.merge import merge_readings
from tamis.extract.page import Page, strip_markup
from tamis.extract.prices import machine_price, parse_price
from tamis.extract.products import availability_of, first_gtin, image_urls, plain
from tamis.extract.records import ListedItem, PageLinks, Reading
from tamis.recipes.recipe import ItemSelectors, Recipe
from tamis.recipes.selectors import Selector
from tamis.recipes.slicing import split_search


def read_declared(page: Page, documents: list[Any], recipe: Recipe) -> Reading | None:
    """Return the item fields that `recipe` selects on the page, or None where it selects nothing."""
    return _read(page, documents, recipe.item, f"recipe:{recipe.name}")


def declared_records(page: Page, documents: list[Any], recipe: Recipe) -> tuple[ListedItem, ...]:
    """Return the listings that a result page holds whole, as `recipe` reads its records; each address once."""
    found: dict[str, ListedItem] = {}
    for record in _values(page, documents, recipe.results.records):
        reading = _read(page, [record], recipe.record, f"recipe:{recipe.name}")
        addresses = map(page.absolute, _values(page, [record], recipe.record.fields.get("url", ())))
        url = recipe.page_url(next(filter(None, addresses), ""))
        if reading is None or not url:
            continue
        images = list(dict.fromkeys(map(recipe.picture_url, reading.images)))
        raw = plain(record) if isinstance(record, dict) else {}
        found.setdefault(url, ListedItem(url, merge_readings([replace(reading, raw=raw)], images)))
    return tuple(found.values())


def declared_links(page: Page, documents: list[Any], recipe: Recipe, found: PageLinks) -> PageLinks:
    """Return `found` with what `recipe` declares in its place, and links kept or dropped by its URL patterns."""
    results = recipe.results
    items = [url for value in _values(page, documents, results.items) if (url := page.absolute(value))]
    items = items or _from_ids(page, documents, recipe) or list(found.items)
    if recipe.urls.item:
        items = [url for url in items if recipe.kind_of(url) == "item"] or _links_of_kind(page, recipe)
    items = list(dict.fromkeys(recipe.page_url(url) for url in items if recipe.kind_of(url) != "ignore"))
    following = next((url for v in _values(page, documents, results.next) if (url := page.absolute(v))), found.next)
    total = _number(page, documents, results.total)
    links = replace(found, items=tuple(items), next=following, total=found.total if total is None else total)
    return _paged(page.url, recipe, links, _number(page, documents, results.pages))


def _paged(url: str, recipe: Recipe, links: PageLinks, stated: int | None) -> PageLinks:
    """Return `links` with the next page by number, or with the slices of a search that the site does not serve whole.

    `stated` is the number of pages that the page says are served.
    """
    paging = recipe.paging
    served = page_number(url, paging.parameter, paging.first) - paging.first + 1
    pages = paging.max_pages if stated is None else stated
    size = paging.page_size or (len(links.items) if served == 1 else 0)
    total = links.total or 0
    beyond = max(total - pages * size, 0) if pages and size else 0
    if not links.items and served > 1:
        # A page beyond the last one that is served, whatever number was stated.
        beyond = max(beyond, total - (served - 1) * size)
    slices = split_search(url, recipe.slicing, paging.parameter) if beyond > 0 else ()
    links = replace(links, slices=slices, beyond=beyond if recipe.slicing and not slices else 0)
    is_last = (pages and served >= pages) or (total and size and served * size >= total)
    if links.next is None and paging.parameter and links.items and not is_last:
        return replace(links, next=with_page(url, paging.first + served, paging.parameter))
    return links


def _from_ids(page: Page, documents: list[Any], recipe: Recipe) -> list[str]:
    """Return the addresses of the listings whose numbers the page holds, as the recipe writes them for this place."""
    ids = [text for value in _values(page, documents, recipe.results.ids) if (text := _text(value))]
    parts = urlsplit(page.url)
    place = f"{page.host.removeprefix('www.')}{parts.path} {page.language}"
    address = next((one.replacement for one in recipe.results.addresses if one.pattern.search(place)), None)
    if address is None:
        return []
    return [url for text in ids if (url := page.absolute(address.replace("{id}", quote(text, safe=""))))]


def _number(page: Page, documents: list[Any], selectors: tuple[Selector, ...]) -> int | None:
    return next((n for v in _values(page, documents, selectors) if (n := _whole(v)) is not None), None)


def _read(page: Page, documents: list[Any], selectors: ItemSelectors, source: str) -> Reading | None:
    if not selectors.fields and not selectors.attributes:
        return None
    fields: dict[str, Any] = {}
    images: tuple[str, ...] = ()
    currency = _currency(page, documents, selectors)
    for name, wanted in selectors.fields.items():
        values = _values(page, documents, wanted)
        if name == "images":
            found = [page.absolute(url) for value in values for url in image_urls(value)]
            images = tuple(dict.fromkeys(url for url in found if url))
        elif values and (value := _field(page, name, values, currency)) is not None:
            fields[name] = value
    attributes = {}
    for name, wanted in selectors.attributes.items():
        text = next((text for value in _values(page, documents, wanted) if (text := _text(value))), "")
        if text:
            attributes[name] = text
    if not fields and not images and not attributes:
        return None
    return Reading(source, fields, images, attributes)


def _links_of_kind(page: Page, recipe: Recipe) -> list[str]:
    urls = [page.absolute(anchor.get("href")) for anchor in page.root.iter("a")]
    same = [url for url in dict.fromkeys(urls) if url and urlsplit(url).hostname == page.host]
    return [url for url in same if recipe.kind_of(url) == "item"]


def _values(page: Page, documents: list[Any], selectors: tuple[Selector, ...]) -> list[Any]:
    for selector in selectors:
        found = [value for value in selector.values(page.root, documents) if value not in (None, "", [], {})]
        if found:
            return found
    return []


def _currency(page: Page, documents: list[Any], selectors: ItemSelectors) -> str | None:
    values = _values(page, documents, selectors.fields.get("currency", ()))
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
