"""What items were before: each change, disappearance and return is a row of table `item_change`."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy import Connection

from tamis import schema
from tamis.database import chunks

Cause = Literal["crawl", "listing", "replay"]

#: Columns of an item whose change is kept; raw record and field sources change with each visitor on some sites.
WATCHED = (
    "title", "brand", "model", "price", "currency", "sku", "seller", "availability", "description", "attributes",
)  # fmt: skip

_item, _change = schema.item, schema.item_change


@dataclass(frozen=True, slots=True)
class ItemChange:
    """One row of the history. `fields` maps a field to what it was and what it is."""

    item_id: int
    at: float
    kind: Literal["changed", "vanished", "returned"]
    cause: Cause
    reason: str | None = None
    fields: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    body_sha256: str | None = None


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Field to [what it was, what it is], for the watched fields that differ; of attributes, those that differ."""
    found: dict[str, list[Any]] = {}
    for name in WATCHED:
        old, new = before[name], after[name]
        if old == new:
            continue
        if name == "attributes":
            changed = [key for key in {**old, **new} if old.get(key) != new.get(key)]
            old, new = ({key: side[key] for key in changed if key in side} for side in (old, new))
        found[name] = [old, new]
    return found


def record(connection: Connection, changes: Sequence[ItemChange]) -> None:
    """Append rows to the history."""
    names = ("item_id", "at", "kind", "cause", "reason", "fields", "body_sha256")
    rows = [{name: getattr(one, name) for name in names} for one in changes]
    for part in chunks(rows):
        connection.execute(sa.insert(_change), part)


def vanish(
    connection: Connection, which: sa.ColumnElement[bool], at: float, reason: str, *, cause: Cause = "crawl"
) -> int:
    """Note that items are no longer for sale, those that are known to be gone aside; return how many those were."""
    query = (
        sa.select(_item.c.id, schema.page.c.body_sha256)
        .select_from(_item.outerjoin(schema.page, _item.c.page_id == schema.page.c.id))
        .where(which, _item.c.vanished_at.is_(None))
    )
    rows = connection.execute(query).all()
    for part in chunks([row.id for row in rows]):
        connection.execute(sa.update(_item).where(_item.c.id.in_(part)).values(vanished_at=at))
    record(
        connection,
        [ItemChange(row.id, at, "vanished", cause, reason, body_sha256=row.body_sha256) for row in rows],
    )
    return len(rows)


def last_vanish_causes(connection: Connection, item_ids: Collection[int]) -> dict[int, str]:
    """Why items that have vanished did so, by their ids."""
    found: dict[int, str] = {}
    for part in chunks(sorted(item_ids)):
        latest = (
            sa.select(sa.func.max(_change.c.id))
            .where(_change.c.item_id.in_(part), _change.c.kind == "vanished")
            .group_by(_change.c.item_id)
        )
        rows = connection.execute(sa.select(_change.c.item_id, _change.c.cause).where(_change.c.id.in_(latest)))
        found.update((row.item_id, row.cause) for row in rows)
    return found
