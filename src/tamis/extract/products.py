"""One schema.org node that is for sale (Product, Car, Vehicle, ProductGroup …) read into item fields."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from tamis.extract.cars import vehicle_attributes
from tamis.extract.currencies import currency_of
from tamis.extract.linked import Node, types_of, values_of
from tamis.extract.page import Page, strip_markup
from tamis.extract.prices import machine_price
from tamis.extract.records import Reading

PRODUCT_TYPES = frozenset(
    [
        "product",
        "individualproduct",
        "productmodel",
        "productgroup",
        "someproducts",
        "car",
        "vehicle",
        "motorcycle",
        "busorcoach",
        "motorizedbicycle",
        "motorvehicle",
        "boat",
        "trailer",
        "bicycle",
    ]
)
SELLABLE_TYPES = PRODUCT_TYPES | frozenset(
    [
        "book",
        "event",
        "musicevent",
        "theaterevent",
        "sportsevent",
        "festival",
        "exhibitionevent",
        "comedyevent",
        "course",
        "service",
        "hotel",
        "apartment",
        "house",
        "singlefamilyresidence",
        "accommodation",
        "realestatelisting",
        "softwareapplication",
        "mobileapplication",
        "videogame",
        "movie",
        "creativework",
        "offer",
        "classifiedadvertisement",
    ]
)
_OFFER_TYPES = frozenset({"offer", "aggregateoffer", "offerforlease", "offerforpurchase"})
_IN_STOCK = frozenset(
    [
        "instock",
        "limitedavailability",
        "onlineonly",
        "instoreonly",
        "preorder",
        "presale",
        "backorder",
        "madetoorder",
        "reserved",
    ]
)
_OUT_OF_STOCK = frozenset(["outofstock", "soldout", "discontinued"])
_GTINS = ("gtin", "gtin13", "gtin12", "gtin14", "gtin8", "ean", "isbn", "upc")
_PLAIN_ATTRIBUTES = (
    "color",
    "material",
    "size",
    "pattern",
    "category",
    "itemCondition",
    "weight",
    "width",
    "height",
    "depth",
)


def read_product(page: Page, node: Node, source: str) -> Reading:
    """Return the fields that `node` states, its offers and, for a group, its first variant included."""
    variants = [value for value in values_of(node, "hasVariant") if isinstance(value, dict)]
    offers = _offers(node) or [offer for variant in variants for offer in _offers(variant)]
    fields: dict[str, Any] = {
        "title": _text(node, "name", "headline"),
        "brand": _text(node, "brand", "manufacturer"),
        "model": _text(node, "model"),
        "sku": _text(node, "sku", "productID", "mpn") or next((_text(v, "sku") for v in variants), None),
        "mpn": _text(node, "mpn"),
        "gtin": first_gtin(value for name in _GTINS for value in values_of(node, name)),
        "description": _text(node, "description"),
    }
    fields |= _offer_fields(offers)
    images = [url for value in values_of(node, "image", "images", "photo", "photos") for url in image_urls(value)]
    images += [url for variant in variants[:1] for value in values_of(variant, "image") for url in image_urls(value)]
    resolved = [url for url in map(page.absolute, images) if url]
    return Reading(
        source=source,
        fields={name: value for name, value in fields.items() if value not in (None, "")},
        images=tuple(dict.fromkeys(resolved)),
        attributes=_attributes(node),
        raw=plain(node),
    )


def is_product(node: Node) -> bool:
    """Tell whether `node` is typed as a product or vehicle."""
    return bool(types_of(node) & PRODUCT_TYPES)


def is_sellable(node: Node) -> bool:
    """Tell whether `node` is some other thing with an offer: a book, an event, a home."""
    return bool(types_of(node) & SELLABLE_TYPES) and bool(_offers(node) or values_of(node, "price"))


def availability_of(value: Any) -> str | None:
    """Return `InStock` or `OutOfStock` for a schema.org availability, however it is spelt; None for others."""
    if isinstance(value, bool):
        return "InStock" if value else "OutOfStock"
    if isinstance(value, dict):
        value = value.get("@id") or value.get("name")
    if not isinstance(value, str):
        return None
    word = "".join(filter(str.isalnum, value.rsplit("/", 1)[-1].rsplit("#", 1)[-1])).lower()
    if word in _OUT_OF_STOCK or word.startswith(("outofstock", "soldout", "unavailable", "notavailable")):
        return "OutOfStock"
    return "InStock" if word in _IN_STOCK or word in {"available", "availableforsale", "yes"} else None


def first_gtin(values: Iterable[Any]) -> str | None:
    """Return the first value with the length and check digit of a GTIN-8, 12, 13 or 14 or an ISBN-10."""
    for value in values:
        digits = "".join(filter(str.isalnum, str(value)))[:20].upper()
        if is_gtin(digits) or is_isbn10(digits):
            return digits
    return None


def is_gtin(digits: str) -> bool:
    """Tell whether `digits` is a GTIN with a right check digit (GS1 General Specifications, 7.9)."""
    if len(digits) not in {8, 12, 13, 14} or not digits.isascii() or not digits.isdigit() or int(digits) == 0:
        return False
    total = sum(int(digit) * (3 if index % 2 else 1) for index, digit in enumerate(reversed(digits)))
    return total % 10 == 0


def is_isbn10(text: str) -> bool:
    """Tell whether `text` is an ISBN-10 with a right check digit (ISO 2108)."""
    if len(text) != 10 or not text.isascii() or not text[:9].isdigit() or not (text[9].isdigit() or text[9] == "X"):
        return False
    digits = [10 if digit == "X" else int(digit) for digit in text]
    return (
        int(text[:9]) > 0
        and sum(weight * digit for weight, digit in zip(range(10, 0, -1), digits, strict=True)) % 11 == 0
    )


def image_urls(value: Any) -> list[str]:
    """Return the URLs of a schema.org image value: text, ImageObject, or a list of these."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, list):
        return [url for entry in value[:200] for url in image_urls(entry)]
    if isinstance(value, dict):
        for name in ("contentUrl", "url", "@id", "src", "image"):
            found = [url for entry in values_of(value, name) for url in image_urls(entry)]
            if found:
                return found
    return []


def plain(value: Any, depth: int = 0) -> Any:
    """Return `value` as JSON-ready data: elements out, nesting bounded."""
    if isinstance(value, dict):
        return (
            {}
            if depth > 12
            else {str(name): plain(entry, depth + 1) for name, entry in list(value.items())[:200] if name != "@element"}
        )
    if isinstance(value, list):
        return [] if depth > 12 else [plain(entry, depth + 1) for entry in value[:200]]
    if isinstance(value, float) and not abs(value) < float("inf"):
        return None
    return value if isinstance(value, str | int | float | bool) or value is None else str(value)


def _text(node: Node, *names: str) -> str | None:
    for name in names:
        for value in values_of(node, name):
            text = value
            if isinstance(value, dict):
                text = next(
                    (entry for key in ("name", "@value", "value", "title") for entry in values_of(value, key)), None
                )
            if isinstance(text, int | float) and not isinstance(text, bool):
                text = str(text)
            cleaned = strip_markup(text)
            if (
                cleaned
                and not cleaned.startswith(("$", "{{"))
                and cleaned.lower() not in {"null", "undefined", "none", "n/a"}
            ):
                return cleaned
    return None


def _offers(node: Node) -> list[Node]:
    found: list[Node] = []
    queue = [value for name in ("offers", "offer") for value in values_of(node, name)]
    while queue and len(found) < 300:
        offer = queue.pop(0)
        if isinstance(offer, dict):
            found.append(offer)
            queue[:0] = [inner for inner in values_of(offer, "offers") if isinstance(inner, dict)]
    if not found and types_of(node) & _OFFER_TYPES:
        found.append(node)
    return found


def _offer_fields(offers: list[Node]) -> dict[str, Any]:
    """Price, currency, availability and seller: of the first offer with a price, in stock before out of stock."""
    priced = [(offer, *_offer_price(offer)) for offer in offers]
    stock = [availability_of(value) for offer in offers for value in values_of(offer, "availability")]
    known = [(offer, price, currency) for offer, price, currency in priced if price is not None]
    available = [
        entry for entry in known if any(availability_of(v) == "InStock" for v in values_of(entry[0], "availability"))
    ]
    fields: dict[str, Any] = {}
    if known:
        _, fields["price"], fields["currency"] = (available or known)[0]
    else:
        fields["currency"] = next((currency for _, _, currency in priced if currency), None)
    if "InStock" in stock:
        fields["availability"] = "InStock"
    elif "OutOfStock" in stock:
        fields["availability"] = "OutOfStock"
    for offer in offers:
        fields.setdefault("seller", _text(offer, "seller", "offeredBy"))
        for name in ("sku", "mpn"):
            if text := _text(offer, name):
                fields.setdefault(f"offer_{name}", text)
    return fields


def _offer_price(offer: Node) -> tuple[Decimal | None, str | None]:
    specifications = [value for value in values_of(offer, "priceSpecification") if isinstance(value, dict)]
    sales = [spec for spec in specifications if "list" not in str(spec.get("priceType", "")).lower()]
    for holder in (offer, *sales, *specifications):
        code = _currency(holder) or _currency(offer)
        for name in ("price", "lowPrice", "minPrice", "highPrice"):
            for value in values_of(holder, name):
                amount = machine_price(_innermost(value), code)
                if amount is not None:
                    return amount, code or (currency_of(str(value)[:3]) if isinstance(value, str) else None)
    return None, _currency(offer)


def _innermost(value: Any) -> Any:
    """Return the number inside a price given as an object, such as `{"sales": {"value": 3499}}`."""
    for _ in range(3):
        if not isinstance(value, dict):
            return value
        value = next(
            (value[key] for key in ("value", "price", "amount", "sales", "decimalPrice") if value.get(key)), None
        )
    return None


def _currency(holder: Node) -> str | None:
    for value in values_of(holder, "priceCurrency", "currency"):
        if isinstance(value, str) and (code := currency_of(value)):
            return code if len(code) == 3 else None
    return None


def _attributes(node: Node) -> dict[str, str]:
    found = vehicle_attributes(node) if types_of(node) & PRODUCT_TYPES else {}
    for name in _PLAIN_ATTRIBUTES:
        key = {"color": "colour", "itemCondition": "condition"}.get(name, name)
        text = _quantity(node, name)
        if text and key not in found:
            found[key] = text.rsplit("/", 1)[-1].removesuffix("Condition") if name == "itemCondition" else text
    for entry in values_of(node, "additionalProperty")[:200]:
        if isinstance(entry, dict):
            label, value = _text(entry, "name", "propertyID"), _text(entry, "value")
            if label and value and len(label) <= 80 and len(value) <= 500:
                found.setdefault(label, value)
    return found


def _quantity(node: Node, name: str) -> str | None:
    for value in values_of(node, name):
        if isinstance(value, dict):
            number, unit = _text(value, "value"), _text(value, "unitText", "unitCode")
            return " ".join(part for part in (number, unit) if part) or _text(node, name)
    return _text(node, name)
