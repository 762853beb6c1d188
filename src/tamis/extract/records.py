"""What one page yields: an item, the links of a result page, or neither."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal

Availability = Literal["InStock", "OutOfStock"]
PageKind = Literal["item", "results", "other"]


@dataclass(frozen=True, slots=True)
class ExtractedItem:
    """One thing for sale. `sources` names, for each field that has a value, where it was read."""

    title: str | None = None
    price: Decimal | None = None
    currency: str | None = None
    """ISO 4217 code."""
    brand: str | None = None
    model: str | None = None
    sku: str | None = None
    gtin: str | None = None
    availability: Availability | None = None
    description: str | None = None
    images: tuple[str, ...] = ()
    """Absolute URLs, each photo once, in its largest rendition that the page names."""
    attributes: dict[str, str] = field(default_factory=dict)
    seller: str | None = None
    raw: dict[str, Any] = field(default_factory=dict)
    """The structured record that the item was read from, as the page gave it; empty when there was none."""
    sources: dict[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the public form; the price is a decimal string, so that no digit is lost."""
        return {
            "title": self.title,
            "price": None if self.price is None else format(self.price, "f"),
            "currency": self.currency,
            "brand": self.brand,
            "model": self.model,
            "sku": self.sku,
            "gtin": self.gtin,
            "availability": self.availability,
            "description": self.description,
            "images": list(self.images),
            "attributes": dict(self.attributes),
            "sources": dict(self.sources),
        }


@dataclass(frozen=True, slots=True)
class PageLinks:
    """Where a page leads: listings, the following result page, and how many results it announces."""

    items: tuple[str, ...] = ()
    next: str | None = None
    total: int | None = None
    slices: tuple[str, ...] = ()
    """Parts of this search, which lists more than the site serves of it; every listing is in one of them."""
    beyond: int = 0
    """Results that the site does not serve and that no slice reaches."""

    def to_json(self) -> dict[str, Any]:
        """Return the public form."""
        return {"items": list(self.items), "next": self.next, "total": self.total}


@dataclass(frozen=True, slots=True)
class ListedItem:
    """An item that a result page holds whole, and its own address."""

    url: str
    item: ExtractedItem


@dataclass(frozen=True, slots=True)
class Extraction:
    """One page, read. `directives` holds what its robots meta tags ask for, in lower case."""

    url: str
    kind: PageKind = "other"
    item: ExtractedItem | None = None
    links: PageLinks = PageLinks()
    listed: tuple[ListedItem, ...] = ()
    """Items that a result page holds whole, so that their own pages need not be asked for."""
    directives: frozenset[str] = frozenset()

    def to_json(self) -> dict[str, Any]:
        """Return the document that `tamis extract --json` prints."""
        return {
            "url": self.url,
            "kind": self.kind,
            "item": None if self.item is None else self.item.to_json(),
            "links": self.links.to_json(),
        }


@dataclass(frozen=True, slots=True)
class Reading:
    """What one source on the page says about the item; several readings are merged into one item.

    `fields` holds only what the source gave: text fields as str, `price` as Decimal, `availability`.
    """

    source: str
    fields: dict[str, Any] = field(default_factory=dict)
    images: tuple[str, ...] = ()
    attributes: dict[str, str] = field(default_factory=dict)
    raw: dict[str, Any] = field(default_factory=dict)
