"""Application state embedded in scripts and attributes: `__NEXT_DATA__`, Nuxt, Apollo, `window.X = {…}`, shop JSON."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from lxml import etree

from tamis.extract.currencies import currency_of
from tamis.extract.frameworks import nuxt_call, nuxt_payload, with_references
from tamis.extract.jsontext import json_prefix, parse_javascript, parse_json, walk
from tamis.extract.outline import overlap
from tamis.extract.page import Page, strip_markup
from tamis.extract.pictures import has_picture_extension
from tamis.extract.prices import machine_price
from tamis.extract.products import availability_of, first_gtin, plain
from tamis.extract.records import Reading

MAX_STATE_CHARACTERS = 3_000_000
MIN_SCRIPT_CHARACTERS = 40
MAX_ARRAYS = 30

_ASSIGNMENT = re.compile(r"""=\s*(?=\{\s*["'}]|\[\s*[\[{"])""")
_PARSED = re.compile(r"""JSON\.parse\(\s*(?=["'])""")
_ARRAY = re.compile(r"""\[\s*(?=\{\s*"|"(?:https?:)?(?:\\?/){2})""")
_PICTURE_FILE = re.compile(r"\.(?:jpe?g|png|webp)", re.IGNORECASE)
_DATA_ATTRIBUTES = etree.XPath(
    "//@*[(starts-with(., '{') or starts-with(., '[')) and string-length(.) > 40 and starts-with(name(), 'data-')]"
)

_TITLES = (
    "name",
    "title",
    "productname",
    "displayname",
    "producttitle",
    "product_name",
    "display_name",
    "itemname",
    "headline",
)
_TITLE_KEYS = (
    "name",
    "title",
    "productName",
    "displayName",
    "productTitle",
    "product_name",
    "itemName",
    "Name",
    "Title",
)
_PRICES = (
    "saleprice", "currentprice", "finalprice", "sellingprice", "specialprice", "price", "pricevalue", "amount",
    "offerprice", "discountedprice", "nowprice", "priceraw", "baseprice", "regularprice", "pricing", "prices",
)  # fmt: skip
_INNER_PRICES = (
    "sales", "sale", "current", "now", "final", "value", "amount", "raw", "priceraw", "public", "price", "min",
    "lowprice", "selling", "regular",
)  # fmt: skip
_SKUS = (
    "sku",
    "partnumber",
    "articlenumber",
    "itemnumber",
    "productcode",
    "skuid",
    "productid",
    "product_id",
    "itemid",
    "code",
    "id",
)
_MIN_ID = 5
"""Characters from which a mere id may be an article number."""
_BRANDS = ("brand", "brandname", "manufacturer", "make", "vendor")
_IMAGES = (
    "images",
    "gallery",
    "pictures",
    "photos",
    "media",
    "imageurls",
    "image",
    "imageurl",
    "mainimage",
    "medias",
    "galleryimages",
)
_STOCK = (
    "availability",
    "instock",
    "isinstock",
    "available",
    "stockstatus",
    "isavailable",
    "availabilitystatus",
    "in_stock",
)
_CURRENCIES = ("currency", "pricecurrency", "currencycode", "currencyiso")


def state_documents(page: Page) -> list[Any]:
    """Return the JSON documents embedded in the page's scripts and data attributes, linked data left out."""
    documents: list[Any] = []
    budget = MAX_STATE_CHARACTERS
    for script in page.scripts:
        text = script.text
        if "ld+json" in script.type or not MIN_SCRIPT_CHARACTERS <= len(text) <= budget:
            continue
        budget -= len(text)
        if "json" in script.type or script.type == "text/x-magento-init":
            document = parse_json(text, lenient=False)
            if "nuxt" in script.id.lower():
                document = nuxt_payload(document) or document
            documents += [] if document is None else [document]
        elif script.type in {"", "text/javascript", "application/javascript", "module"}:
            documents += _assigned(text)
            if "__NUXT__" in text and (document := nuxt_call(text)) is not None:
                documents.append(document)
        if "__ref" in text or '"type":"id"' in text:
            documents = [*map(with_references, documents)]
    for value in _DATA_ATTRIBUTES(page.root)[:200] if page.has_state_attributes else ():
        document = parse_json(str(value), lenient=False)
        documents += [] if document is None else [document]
    return documents


def read_state(page: Page, documents: list[Any], title: str) -> Reading | None:
    """Return the fields of the object in the page's state that describes the item named `title`, or None."""
    if not title:
        return None
    best: tuple[float, dict[str, Any]] | None = None
    for document in documents:
        for node in walk(document, max_nodes=20_000):
            score = _likeness(node, title, page.url)
            if score > 3 and (best is None or score > best[0]):
                best = (score, node)
    return None if best is None else _read_node(page, best[1])


def folded(node: dict[str, Any]) -> dict[str, Any]:
    """Return `node` with keys in lower case without dashes and underscores at the ends; the first of a kind wins."""
    found: dict[str, Any] = {}
    for key, value in node.items():
        if isinstance(key, str) and value not in (None, "", [], {}):
            found.setdefault(key.lower().strip("_"), value)
    return found


def _assigned(text: str) -> Iterator[Any]:
    end, attempts = 0, 0
    for match in _ASSIGNMENT.finditer(text):
        if match.end() < end or attempts > 200:
            continue
        attempts += 1
        value = json_prefix(text, match.end())
        if value is None and attempts < 4 and len(text) < 200_000 and "product" in text:
            value = parse_javascript(text[match.end() :])
        if isinstance(value, dict | list) and value:
            yield value
            end = match.end() + 2
    if end == 0:
        yield from _picture_arrays(text)
    for match in _PARSED.finditer(text):
        quoted = json_prefix(text, match.end())
        if isinstance(quoted, str):
            value = parse_json(quoted, lenient=False)
            if isinstance(value, dict | list):
                yield value


def _picture_arrays(text: str) -> Iterator[Any]:
    """Yield the JSON arrays of pictures in a script whose state is no JSON as a whole."""
    end, attempts = 0, 0
    for match in _ARRAY.finditer(text):
        if match.start() < end or not _PICTURE_FILE.search(text, match.start(), match.start() + 600):
            continue
        attempts += 1
        if attempts > MAX_ARRAYS:
            return
        value = json_prefix(text, match.start())
        if isinstance(value, list):
            yield value
            end = match.start() + 2


def _likeness(node: dict[str, Any], title: str, url: str) -> float:
    """Rate how much `node` looks like the thing named `title`: its name, then the other fields that it has."""
    name = next((node[key] for key in _TITLE_KEYS if isinstance(node.get(key), str)), None)
    if name is None or len(name) > 500:
        return 0.0
    match = overlap(name, title)
    match *= min(1.0, overlap(title, name) + 0.3) if match else 0.0
    if match < 0.5:
        return 0.0
    keys = folded(node)
    score = 4 * match - 1.5
    score += 1.5 * any(key in keys for key in _PRICES)
    score += 1 * any(key in keys for key in _SKUS[:-2])
    score += 1 * any(key in keys for key in _IMAGES)
    score += 0.5 * any(key in keys for key in _BRANDS) + 0.5 * any(key in keys for key in _STOCK)
    identifier = next((str(keys[key]) for key in _SKUS if isinstance(keys.get(key), str | int)), "")
    return score + (1.0 if len(identifier) >= 4 and identifier.lower() in url.lower() else 0.0)


def _read_node(page: Page, node: dict[str, Any]) -> Reading:
    keys = folded(node)
    currency = _currency(keys)
    fields: dict[str, Any] = {
        "title": _text(keys, _TITLES),
        "brand": _text(keys, _BRANDS),
        "model": _text(keys, ("model", "modelname")),
        "sku": _text(keys, _SKUS[:-2]) or _long(_text(keys, _SKUS[-2:])),
        "gtin": first_gtin(keys[key] for key in ("gtin", "gtin13", "ean", "isbn", "upc", "barcode") if key in keys),
        "description": _text(keys, ("description", "longdescription", "shortdescription")),
        "currency": currency,
    }
    for key in _PRICES:
        if key in keys and (price := _price(keys[key], currency)) is not None:
            fields["price"] = price
            break
    for key in _STOCK:
        if key in keys and (stock := availability_of(keys[key])):
            fields["availability"] = stock
            break
    images = [url for key in _IMAGES if key in keys for url in _image_urls(keys[key])]
    return Reading(
        source="state",
        fields={name: value for name, value in fields.items() if value not in (None, "")},
        images=tuple(dict.fromkeys(url for url in map(page.absolute, images) if url)),
        raw=plain(node),
    )


def _long(text: str | None) -> str | None:
    return text if text and len(text) >= _MIN_ID else None


def _text(keys: dict[str, Any], names: tuple[str, ...]) -> str | None:
    for name in names:
        value = keys.get(name)
        if isinstance(value, dict):
            inner = folded(value)
            value = inner.get("name") or inner.get("formatted") or inner.get("label") or inner.get("title")
        if isinstance(value, int) and not isinstance(value, bool):
            value = str(value)
        if isinstance(value, str) and (text := strip_markup(value)):
            return text
    return None


def _price(value: Any, currency: str | None) -> Any:
    for _ in range(4):
        if isinstance(value, list):
            value = value[0] if value else None
        if not isinstance(value, dict):
            return machine_price(value, currency) if isinstance(value, str | int | float) else None
        inner = folded(value)
        value = next((inner[key] for key in _INNER_PRICES if key in inner), None)
    return None


def _currency(keys: dict[str, Any]) -> str | None:
    holders = [keys] + [folded(value) for value in keys.values() if isinstance(value, dict)]
    for holder in holders:
        for name in _CURRENCIES:
            value = holder.get(name)
            if isinstance(value, str) and (code := currency_of(value)) and len(code) == 3:
                return code
    return None


def _image_urls(value: Any) -> list[str]:
    """Return the picture URLs in a value of a picture field, one a photo: the last rendition key that has one."""
    if isinstance(value, str):
        return [value] if has_picture_extension(value) or "/image" in value else []
    if isinstance(value, list):
        return [url for entry in value[:100] for url in _image_urls(entry)]
    if isinstance(value, dict):
        return [url for entry in list(value.values())[:60] for url in _image_urls(entry)]
    return []
