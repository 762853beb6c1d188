"""OpenGraph, product and Twitter meta tags as a reading (ogp.me, Facebook's product object)."""

from __future__ import annotations

from typing import Any

from tamis.extract.currencies import currency_of
from tamis.extract.page import Page, strip_markup
from tamis.extract.pictures import is_photo_url
from tamis.extract.prices import machine_price
from tamis.extract.products import availability_of, first_gtin
from tamis.extract.records import Reading

_PRICES = ("product:sale_price:amount", "product:price:amount", "og:price:amount", "price", "twitter:data1")
_CURRENCIES = ("product:price:currency", "og:price:currency", "product:sale_price:currency", "pricecurrency")
_FIELDS = {
    "title": ("og:title", "twitter:title"),
    "brand": ("product:brand", "og:brand", "brand"),
    "sku": ("product:sku", "product:retailer_item_id", "product:retailer_part_no", "sku"),
    "description": ("og:description", "twitter:description", "description"),
}


def read_meta(page: Page) -> Reading:
    """Return what the page's meta tags say of the item."""
    fields: dict[str, Any] = {name: strip_markup(page.meta(*keys)) for name, keys in _FIELDS.items()}
    currency = next((code for name in _CURRENCIES if (code := currency_of(page.meta(name) or ""))), None)
    fields["currency"] = currency if currency and len(currency) == 3 else None
    for name in _PRICES[:-1]:
        fields["price"] = machine_price(page.meta(name), currency)
        if fields["price"] is not None:
            break
    fields["availability"] = availability_of(page.meta("product:availability", "og:availability"))
    fields["gtin"] = first_gtin(
        filter(None, [page.meta("product:ean", "product:gtin", "product:isbn", "og:isbn", "product:upc")])
    )
    images = [
        page.absolute(url)
        for name in ("og:image", "og:image:secure_url", "twitter:image")
        for url in page.metas.get(name, ())
    ]
    colour = page.meta("product:color")
    return Reading(
        source="meta",
        fields={name: value for name, value in fields.items() if value not in (None, "")},
        images=tuple(dict.fromkeys(url for url in images if url and is_photo_url(url))),
        attributes={"colour": colour} if colour else {},
    )


def says_product(page: Page) -> bool:
    """Tell whether the page declares itself as showing one product."""
    kind = (page.meta("og:type") or "").lower()
    return (
        "product" in kind or kind.endswith(":item") or page.meta("product:price:amount", "og:price:amount") is not None
    )
