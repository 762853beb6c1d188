"""Several readings of one page merged field by field into one item; each field keeps the name of its source."""

from __future__ import annotations

from typing import Any

from tamis.extract.pictures import is_photo_url
from tamis.extract.records import ExtractedItem, Reading

MAX_IMAGES = 100
MAX_TITLE, MAX_SHORT, MAX_DESCRIPTION = 500, 200, 20_000

FIELDS = ("title", "price", "currency", "brand", "model", "sku", "gtin", "availability", "description", "seller")
_LIMITS = {"title": MAX_TITLE, "description": MAX_DESCRIPTION}


def merge_readings(readings: list[Reading], photos: list[str]) -> ExtractedItem:
    """Return the item: for each field the first of `readings` that has it, and `photos` as its images."""
    fields: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for name in FIELDS:
        for reading in readings:
            value = reading.fields.get(name)
            if value is None or value == "":
                continue
            fields[name] = value[: _LIMITS.get(name, MAX_SHORT)] if isinstance(value, str) else value
            sources[name] = reading.source
            break
    attributes: dict[str, str] = {}
    for reading in readings:
        for label, value in reading.attributes.items():
            if label not in attributes:
                attributes[label] = value
                sources[f"attributes.{label}"] = reading.source
    images = tuple(url for url in photos if is_photo_url(url))[:MAX_IMAGES]
    if images:
        first = set(images)
        holder = next((reading.source for reading in readings if first & set(reading.images)), "html")
        sources["images"] = holder
    raw = next((reading.raw for reading in readings if reading.raw), {})
    return ExtractedItem(images=images, attributes=attributes, raw=raw, sources=sources, **fields)
