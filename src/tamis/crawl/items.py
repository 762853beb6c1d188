"""Items and their pictures into the database: new ones inserted, known ones updated, nothing twice."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from tamis import schema
from tamis.crawl.identity import photo_identity
from tamis.crawl.urls import BadUrl, host_of, request_url, url_key
from tamis.database import chunks, ids_of, insert_new
from tamis.records import Item, digest

#: More pictures of one item are not believed.
MAX_PICTURES = 500


@dataclass(frozen=True, slots=True)
class PictureRef:
    """Where one picture of an item is: a URL with its host, or a path below a folder source with an empty host."""

    url: str
    url_key: str
    host: str


@dataclass(frozen=True, slots=True)
class FoundItem:
    """An item as a source gave it. `identity` tells it from the source's other items: its URL or path."""

    identity: str
    item: Item
    pictures: tuple[PictureRef, ...]
    page_id: int | None = None


@dataclass(frozen=True, slots=True)
class Saved:
    """What saving changed."""

    new_items: int
    new_pictures: int


def web_pictures(urls: Iterable[str]) -> Iterator[PictureRef]:
    """The pictures at the URLs that can be requested, each once, in their order."""
    seen: set[str] = set()
    for given in urls:
        try:
            url = request_url(given)
            ref = PictureRef(url, url_key(url), host_of(url))
        except BadUrl:
            continue
        if ref.url_key not in seen:
            seen.add(ref.url_key)
            yield ref
            if len(seen) == MAX_PICTURES:
                return


def save_items(connection: Connection, source: sa.Row[Any], found: Sequence[FoundItem], now: float) -> Saved:
    """Insert or update items of one source and their pictures, within the caller's transaction.

    `source` is the row of table `source`. A picture that left an item's gallery keeps its row: its image may be
    labelled by now. An item that is seen again has not vanished.
    """
    new_items = new_pictures = 0
    for part in chunks({item_key(source.name, one.identity): one for one in found}.items()):
        by_key = dict(part)
        known = ids_of(connection, schema.item.c.item_key, list(by_key))
        fresh = [
            _item_row(one, source.id) | {"item_key": key, "first_seen": now, "last_seen": now}
            for key, one in by_key.items()
            if key not in known
        ]
        insert_new(connection, schema.item, fresh)
        _update_known(connection, source, {known[key]: one for key, one in by_key.items() if key in known}, now)
        ids = ids_of(connection, schema.item.c.item_key, list(by_key))
        new_items += len(fresh)
        new_pictures += _save_pictures(connection, {ids[key]: one.pictures for key, one in by_key.items()})
    return Saved(new_items, new_pictures)


def item_key(source_name: str, identity: str) -> str:
    """Key of an item: the digest of its source's name and of its own identity there."""
    return digest(source_name, identity)


def _item_row(found: FoundItem, source_id: int) -> dict[str, Any]:
    item = found.item
    return {
        "source_id": source_id,
        "page_id": found.page_id,
        "url": item.url,
        "title": _bounded(item.title),
        "brand": item.brand,
        "model": item.model,
        "price": item.price,
        "currency": item.currency if item.currency and len(item.currency) == 3 else None,
        "sku": item.sku,
        "seller": item.seller,
        "availability": item.availability if item.availability in ("InStock", "OutOfStock") else None,
        "description": _bounded(item.description),
        "attributes": dict(item.attributes),
        "sources": dict(item.sources),
        "raw": dict(item.raw),
        "digest": item.digest,
    }


def _bounded(text: str) -> str:
    """Column type Text holds 65,535 bytes on MySQL, and a character takes up to four."""
    return text[:16_000]


def _update_known(connection: Connection, source: sa.Row[Any], known: dict[int, FoundItem], now: float) -> None:
    for number, one in known.items():
        connection.execute(
            sa.update(schema.item)
            .where(schema.item.c.id == number)
            .values(**_item_row(one, source.id), last_seen=now, vanished_at=None)
        )


def _save_pictures(connection: Connection, wanted: dict[int, tuple[PictureRef, ...]]) -> int:
    table = schema.picture
    rows = connection.execute(
        sa.select(table.c.item_id, table.c.url_key, table.c.position).where(table.c.item_id.in_(list(wanted)))
    )
    known = {(row.item_id, row.url_key): row.position for row in rows}
    fresh: list[dict[str, Any]] = []
    for item_id, pictures in wanted.items():
        for position, ref in enumerate(pictures):
            before = known.get((item_id, ref.url_key))
            if before is None:
                fresh.append(_picture_row(item_id, position, ref))
            elif before != position:
                same = (table.c.item_id == item_id, table.c.url_key == ref.url_key)
                connection.execute(sa.update(table).where(*same).values(position=position))
    insert_new(connection, table, fresh)
    return len(fresh)


def _picture_row(item_id: int, position: int, ref: PictureRef) -> dict[str, Any]:
    return {
        "item_id": item_id,
        "position": position,
        "url_key": ref.url_key,
        "photo_key": photo_identity(ref.url, item_id) if ref.host else None,
        "url": ref.url,
        "host": ref.host,
        "state": "pending",
        "attempts": 0,
        "not_before": 0.0,
    }
