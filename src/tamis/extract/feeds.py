"""Product lists that shop platforms serve as JSON: Shopify's `/products.json`, WooCommerce's Store API."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tamis.extract.currencies import currency_at, place_of
from tamis.extract.listing import page_number, with_page
from tamis.extract.merge import merge_readings
from tamis.extract.page import Page, strip_markup
from tamis.extract.prices import machine_price, normalise
from tamis.extract.products import first_gtin, plain
from tamis.extract.records import ListedItem, Reading

SHOPIFY, WOOCOMMERCE = "shopify", "woocommerce"
#: Products a page where the address asks for no number, and the parameter that does.
_PAGE_SIZES = {SHOPIFY: ("limit", 30), WOOCOMMERCE: ("per_page", 10)}
_MAX_PRODUCTS = 1_000
_NO_OPTION = frozenset({"title", "default title"})


@dataclass(frozen=True, slots=True)
class Feed:
    """Products of one document. `is_list` is false for the document of a single product."""

    listed: tuple[ListedItem, ...]
    next: str | None
    is_list: bool


def read_feed(page: Page, document: Any) -> Feed | None:
    """Return the products of a document in the form of a shop platform, or None where it has no such form."""
    if isinstance(document, dict):
        products = document.get("products")
        if isinstance(products, list) and all(map(_is_shopify, products)) and set(document) == {"products"}:
            return _feed(page, SHOPIFY, products)
        single: dict[str, Any] = document["product"] if _is_shopify(document.get("product")) else document
        if _is_shopify(single):
            return Feed(tuple(_shopify(page, single)), None, is_list=False)
        if _is_woocommerce(document):
            return Feed(tuple(_woocommerce(page, document)), None, is_list=False)
    if isinstance(document, list) and document and all(map(_is_woocommerce, document)):
        return _feed(page, WOOCOMMERCE, document)
    return None


def _feed(page: Page, platform: str, products: list[Any]) -> Feed:
    read = _shopify if platform == SHOPIFY else _woocommerce
    found = [item for product in products[:_MAX_PRODUCTS] for item in read(page, product)]
    parameter, size = _PAGE_SIZES[platform]
    asked = next((value for name, value in parse_qsl(urlsplit(page.url).query) if name == parameter), "")
    size = int(asked) if asked.isdecimal() and len(asked) < 6 else size
    is_last = len(products) < size
    following = None if is_last else with_page(page.url, page_number(page.url, "page") + 1)
    return Feed(tuple({item.url: item for item in found}.values()), following, is_list=True)


# --- Shopify ------------------------------------------------------------------------------------------------------


def _is_shopify(product: Any) -> bool:
    return isinstance(product, dict) and isinstance(product.get("handle"), str) and "variants" in product


def _shopify(page: Page, product: dict[str, Any]) -> Iterator[ListedItem]:
    """Yield the product: its first variant that can be bought stands for all (shopify.dev, product resource)."""
    above = urlsplit(page.url).path.split("/collections/")[0].split("/products")[0]
    url = page.absolute(f"{above}/products/{product['handle']}")
    if url is None:
        return
    variants = [variant for variant in _listed(product.get("variants")) if isinstance(variant, dict)]
    stock = [variant["available"] for variant in variants if isinstance(variant.get("available"), bool)]
    chosen = next((variant for variant in variants if variant.get("available")), next(iter(variants), {}))
    images = [_source(image) for image in _listed(product.get("images"))] or [_source(product.get("featured_image"))]
    attributes = {
        _text(option.get("name")): ", ".join(map(_text, _listed(option.get("values"))))
        for option in _listed(product.get("options"))
        if isinstance(option, dict) and _text(option.get("name")).lower() not in _NO_OPTION
    }
    tags = product.get("tags")
    attributes |= {
        "type": _text(product.get("product_type") or product.get("type")),
        "tags": _text(tags) if isinstance(tags, str) else ", ".join(map(_text, _listed(tags))),
    }
    fields = {
        "title": _text(product.get("title")),
        "brand": _text(product.get("vendor")),
        "sku": _text(chosen.get("sku")),
        "gtin": first_gtin([chosen.get("barcode") or ""]),
        "price": _shopify_price(chosen.get("price")),
        "availability": ("InStock" if any(stock) else "OutOfStock") if stock else None,
        "description": _text(product.get("body_html") or product.get("description")),
    }
    yield _item(page, url, Reading(SHOPIFY, _filled(fields), (), _filled(attributes), plain(product)), images)


def _shopify_price(value: Any) -> Decimal | None:
    """The price of a variant: text in units of the currency, or (`/products/NAME.js`) a whole number of cents."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**14:
        return normalise(Decimal(value).scaleb(-2))
    return machine_price(value, None) if isinstance(value, str) else None


# --- WooCommerce --------------------------------------------------------------------------------------------------


def _is_woocommerce(product: Any) -> bool:
    return (
        isinstance(product, dict)
        and isinstance(product.get("permalink"), str)
        and isinstance(product.get("prices"), dict)
    )


def _woocommerce(page: Page, product: dict[str, Any]) -> Iterator[ListedItem]:
    """Yield the product; prices are whole numbers of the currency's minor unit (WooCommerce Store API, products)."""
    url = page.absolute(product["permalink"])
    if url is None:
        return
    prices = product["prices"]
    attributes = {
        _text(one.get("name")): ", ".join(
            _text(term.get("name")) for term in _listed(one.get("terms")) if isinstance(term, dict)
        )
        for one in _listed(product.get("attributes"))
        if isinstance(one, dict)
    }
    groups = {"category": product.get("categories"), "tags": product.get("tags")}
    attributes |= {name: _names(group) for name, group in groups.items()}
    currency = _text(prices.get("currency_code"))
    stock = product.get("is_in_stock")
    fields = {
        "title": _text(product.get("name")),
        "brand": _names(product.get("brands")),
        "sku": _text(product.get("sku")),
        "price": _minor_price(prices),
        "currency": currency if len(currency) == 3 else None,
        "availability": {True: "InStock", False: "OutOfStock"}.get(stock) if isinstance(stock, bool) else None,
        "description": _text(product.get("description")) or _text(product.get("short_description")),
    }
    images = [_source(image) for image in _listed(product.get("images"))]
    yield _item(page, url, Reading(WOOCOMMERCE, _filled(fields), (), _filled(attributes), plain(product)), images)


def _minor_price(prices: dict[str, Any]) -> Decimal | None:
    amount, unit = str(prices.get("price") or ""), prices.get("currency_minor_unit", 2)
    if not amount.isdecimal() or len(amount) > 15 or not isinstance(unit, int) or not 0 <= unit <= 6:
        return None
    return normalise(Decimal(amount).scaleb(-unit))


# --- both ---------------------------------------------------------------------------------------------------------


def _item(page: Page, url: str, reading: Reading, images: list[Any]) -> ListedItem:
    resolved = list(dict.fromkeys(image for image in map(page.absolute, images) if image))
    fields = dict(reading.fields)
    if "price" in fields and "currency" not in fields and (code := currency_at(place_of(page.host, ""))):
        fields["currency"] = code
    whole = Reading(reading.source, fields, tuple(resolved), reading.attributes, reading.raw)
    return ListedItem(url, merge_readings([whole], resolved))


def _filled(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name and value not in (None, "")}


def _listed(value: Any) -> list[Any]:
    return value[:500] if isinstance(value, list) else []


def _source(image: Any) -> Any:
    return image.get("src") if isinstance(image, dict) else image


def _names(values: Any) -> str:
    return ", ".join(filter(None, (_text(one.get("name")) for one in _listed(values) if isinstance(one, dict))))


def _text(value: Any) -> str:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    return strip_markup(value)
