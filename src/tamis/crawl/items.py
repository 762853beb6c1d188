"""Items and their pictures into the database: new ones inserted, known ones updated, what they were before kept."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy import Connection

from tamis import schema
from tamis.crawl.history import WATCHED, Cause, ItemChange, differences, last_vanish_causes, record
from tamis.crawl.identity import photo_identity
from tamis.crawl.urls import BadUrl, host_of, request_url, url_key
from tamis.database import chunks, ids_of, insert_new, update_rows
from tamis.engine.extents import touch
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
    body_before: str | None = None
    """Stored body of the page at the visit before this one."""


@dataclass(frozen=True, slots=True)
class Saved:
    """What saving changed."""

    new_items: int
    new_pictures: int
    changed_items: int = 0

    def plus(self, other: Saved) -> Saved:
        """What both changed."""
        return Saved(
            self.new_items + other.new_items,
            self.new_pictures + other.new_pictures,
            self.changed_items + other.changed_items,
        )


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


def save_items(
    connection: Connection, source: sa.Row[Any], found: Sequence[FoundItem], now: float, *, cause: Cause = "crawl"
) -> Saved:
    """Insert or update items of one source and their pictures, within the caller's transaction.

    `source` is the row of table `source`. What an item was before becomes a row of its history. A picture that left
    an item's gallery keeps its row: its image may be labelled by now. An item that is seen again has not vanished.
    """
    new_items = new_pictures = changed_items = 0
    for part in chunks({item_key(source.name, one.identity): one for one in found}.items()):
        by_key = dict(part)
        before = _known_items(connection, list(by_key))
        fresh = [
            _item_row(one, source.id) | {"item_key": key, "first_seen": now, "last_seen": now}
            for key, one in by_key.items()
            if key not in before
        ]
        insert_new(connection, schema.item, fresh)
        ids = ids_of(connection, schema.item.c.item_key, list(by_key))
        galleries = _save_pictures(connection, {ids[key]: one.pictures for key, one in by_key.items()}, now)
        changes: list[ItemChange] = []
        updates: list[dict[str, Any]] = []
        touched = [item_id for key, item_id in ids.items() if key not in before]
        gone = {row["id"] for row in before.values() if row["vanished_at"] is not None}
        causes = last_vanish_causes(connection, gone)
        # What is not listed returns when it is listed again, and what the web has lost not by being read again.
        back = {item_id for item_id in gone if causes.get(item_id, "crawl") in ("replay", cause)}
        for key, row in before.items():
            after = _item_row(by_key[key], source.id)
            fields = differences(row, after) | galleries[row["id"]].difference()
            seen = {"last_seen": now} if cause == "crawl" else {}
            again = {"vanished_at": None} if row["id"] in back else {}
            updates.append({"id": row["id"], **after, **seen, **again})
            if row["digest"] != after["digest"]:
                touched.append(row["id"])
            if fields or row["id"] in back:
                kind: Literal["returned", "changed"] = "returned" if row["id"] in back else "changed"
                body = by_key[key].body_before
                changes.append(ItemChange(row["id"], now, kind, cause, fields=fields, body_sha256=body))
        update_rows(connection, schema.item, updates)
        touch(connection, "item", touched)
        record(connection, changes)
        new_items += len(fresh)
        changed_items += len(changes)
        new_pictures += sum(gallery.new for gallery in galleries.values())
    return Saved(new_items, new_pictures, changed_items)


def _known_items(connection: Connection, keys: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The watched columns of the items that are there, by key."""
    table = schema.item
    columns = [table.c[name] for name in ("item_key", "id", "digest", "vanished_at", *WATCHED)]
    rows = connection.execute(sa.select(*columns).where(table.c.item_key.in_(list(keys))))
    return {row.item_key: dict(row._mapping) for row in rows}


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


@dataclass(slots=True)
class _Gallery:
    """URLs of the pictures that came to an item's gallery, how many of them are new, and those that left it."""

    came: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    new: int = 0

    def difference(self) -> dict[str, list[Any]]:
        """As a field of the history, where there is any."""
        return {"pictures": [self.left, self.came]} if self.left or self.came else {}


def _save_pictures(
    connection: Connection, wanted: dict[int, tuple[PictureRef, ...]], now: float
) -> dict[int, _Gallery]:
    table = schema.picture
    columns = (table.c.id, table.c.item_id, table.c.url_key, table.c.url, table.c.position, table.c.left_at)
    rows = connection.execute(sa.select(*columns).where(table.c.item_id.in_(list(wanted))))
    known = {(row.item_id, row.url_key): row for row in rows}
    fresh: list[dict[str, Any]] = []
    galleries: dict[int, _Gallery] = {}
    for item_id, pictures in wanted.items():
        gallery = galleries[item_id] = _Gallery()
        for position, ref in enumerate(pictures):
            row = known.pop((item_id, ref.url_key), None)
            if row is None:
                fresh.append(_picture_row(item_id, position, ref))
                gallery.new += 1
            elif row.position != position or row.left_at is not None:
                place = {"position": position, "left_at": None}
                connection.execute(sa.update(table).where(table.c.id == row.id).values(**place))
            if row is None or row.left_at is not None:
                gallery.came.append(ref.url)
    for row in known.values():
        if row.left_at is None:
            connection.execute(sa.update(table).where(table.c.id == row.id).values(left_at=now))
            galleries[row.item_id].left.append(row.url)
    insert_new(connection, table, fresh)
    return galleries


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
