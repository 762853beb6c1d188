"""From what the extractor read to a record that every database takes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from tamis.extract.records import ExtractedItem
from tamis.records import Item

_MAX_JSON_DEPTH = 30
_MAX_JSON_VALUES = 20_000


def to_item(found: ExtractedItem, url: str) -> Item:
    """The record of an extracted item, its text and raw data fit for every database."""
    attributes = {plain_text(name)[:200]: plain_text(value)[:2000] for name, value in found.attributes.items()}
    if found.gtin:
        attributes.setdefault("gtin", found.gtin)
    price = None if found.price is None or not found.price.is_finite() else float(found.price)
    return Item(
        url=url,
        title=plain_text(found.title or ""),
        brand=_name(found.brand),
        model=_name(found.model),
        price=price,
        currency=found.currency,
        sku=_name(found.sku),
        seller=_name(found.seller),
        availability=found.availability,
        description=plain_text(found.description or ""),
        attributes=dict(list(attributes.items())[:500]),
        sources=dict(found.sources),
        raw=plain_json(found.raw),
    )


def _name(text: str | None) -> str | None:
    return plain_text(text)[:1000] if text else None


def plain_text(text: str) -> str:
    """The text without NUL characters and lone surrogates, which databases refuse."""
    return text.replace("\x00", "").encode("utf-8", "replace").decode()


def plain_json(value: Mapping[str, Any]) -> dict[str, Any]:
    """A copy that every database takes as JSON: plain types alone, no NaN, bounded in depth and number of values."""
    budget = [_MAX_JSON_VALUES]
    copied = _plain(value, 0, budget)
    return copied if isinstance(copied, dict) else {}


def _plain(value: Any, depth: int, budget: list[int]) -> Any:
    budget[0] -= 1
    if budget[0] < 0 or depth > _MAX_JSON_DEPTH:
        return None
    if isinstance(value, Mapping):
        pairs: Iterable[tuple[Any, Any]] = value.items()
        return {plain_text(name)[:500]: _plain(part, depth + 1, budget) for name, part in pairs if _is_data(name, part)}
    if isinstance(value, list | tuple):
        return [_plain(part, depth + 1, budget) for part in value]
    if isinstance(value, str):
        return plain_text(value)[:100_000]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, bool | int) else str(value)[:1000]


def _is_data(name: Any, part: Any) -> bool:
    """Whether a member is JSON, and not an object of the parser that was left in the record."""
    return isinstance(name, str) and (
        part is None or isinstance(part, str | bool | int | float | list | tuple | Mapping)
    )
