"""Routes of the item pages: the list of items, and one with its pictures, raw record, labels and history."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Annotated, Any

import sqlalchemy as sa
from fastapi import APIRouter, HTTPException, Query
from sqlalchemy import Connection

from tamis import schema
from tamis.annotate.claims import claims_in_force
from tamis.annotate.messages import SampleView
from tamis.annotate.messages_items import ChangeRow, HistoryRow, ItemRow, ItemsView, ItemView, PictureView
from tamis.annotate.samples import claim_view, gold_view, image_url, public_id_of, read_items
from tamis.annotate.web import InWeb, Reader, Web
from tamis.database import chunks, reading
from tamis.dataset.gold import resolve_item_gold

router = APIRouter(prefix="/api/items", tags=["items"])
_MAX_HISTORY = 1000


@router.get("")
def list_items(
    web: InWeb,
    _: Reader,
    query: Annotated[str, Query(max_length=200, description="words of the title, brand, model, SKU or URL")] = "",
    cursor: int | None = None,
    count: Annotated[int, Query(ge=1, le=200)] = 60,
) -> ItemsView:
    """Items, the first found first, with their first picture."""
    item = schema.item
    condition = sa.and_(sa.true(), *(_matches(word) for word in query.split()[:8]))
    with reading(web.project.engine) as connection:
        total: int = connection.execute(sa.select(sa.func.count()).select_from(item).where(condition)).scalar_one()
        statement = (
            sa.select(item, schema.source.c.name.label("source_name"))
            .join(schema.source, schema.source.c.id == item.c.source_id)
            .where(condition, item.c.id > (cursor or 0))
            .order_by(item.c.id)
            .limit(count + 1)
        )
        rows = connection.execute(statement).mappings().all()
        covers, counts = _galleries(connection, [row["id"] for row in rows])
    shown = rows[:count]
    return ItemsView(
        items=tuple(
            ItemRow(
                id=row["id"],
                title=row["title"],
                price=row["price"],
                currency=row["currency"],
                source=row["source_name"],
                pictures=counts.get(row["id"], 0),
                cover=covers.get(row["id"]),
                vanished=row["vanished_at"] is not None,
            )
            for row in shown
        ),
        cursor=shown[-1]["id"] if len(rows) > count else None,
        total=total,
    )


def _matches(word: str) -> sa.ColumnElement[bool]:
    item = schema.item.c
    columns = (item.title, item.brand, item.model, item.sku, item.url)
    return sa.or_(*(sa.func.lower(column).contains(word.lower(), autoescape=True) for column in columns))


def _galleries(connection: Connection, item_ids: Collection[int]) -> tuple[dict[int, str], dict[int, int]]:
    """Item to the address of its first picture that was downloaded, and to the number of its pictures."""
    picture, image = schema.picture, schema.image
    covers: dict[int, str] = {}
    counts: dict[int, int] = {}
    for part in chunks(item_ids):
        statement = (
            sa.select(picture.c.item_id, image.c.sha256)
            .outerjoin(image, image.c.id == picture.c.image_id)
            .where(picture.c.item_id.in_(part))
            .order_by(picture.c.item_id, picture.c.position)
        )
        for item_id, sha256 in connection.execute(statement):
            counts[item_id] = counts.get(item_id, 0) + 1
            if sha256 is not None:
                covers.setdefault(item_id, image_url(sha256))
    return covers, counts


@router.get("/{item_id}")
def one_item(item_id: int, web: InWeb, _: Reader) -> ItemView:
    """One item with its pictures, raw record, labels, their history and its own."""
    settings = web.project.settings
    with reading(web.project.engine) as connection:
        statement = (
            sa.select(schema.item, schema.source.c.name.label("source_name"))
            .join(schema.source, schema.source.c.id == schema.item.c.source_id)
            .where(schema.item.c.id == item_id)
        )
        row = connection.execute(statement).mappings().first()
        if row is None:
            raise HTTPException(404, f"no item {item_id}")
        summary = read_items(connection, [item_id])[item_id]
        pictures = _picture_rows(connection, item_id)
        regions = _regions(connection, {one["image_id"] for one in pictures if one["image_id"] is not None})
        claims = tuple(claim_view(claim) for claim in claims_in_force(connection, item_ids=[item_id]))
        gold = {one.attribute: gold_view(one) for one in resolve_item_gold(connection, settings, None, [item_id])}
        history = _history(connection, item_id, regions)
        changes = _changes(connection, item_id)
    return ItemView(
        summary=summary,
        source=row["source_name"],
        **{name: row[name] for name in ("sku", "availability", "first_seen", "last_seen", "vanished_at")},
        sources=row["sources"],
        raw=row["raw"],
        pictures=tuple(_pictures(web, pictures, regions)),
        claims=claims,
        gold=gold,
        history=history,
        changes=changes,
    )


def _picture_rows(connection: Connection, item_id: int) -> list[Mapping[str, Any]]:
    picture, image, inspection = schema.picture, schema.image, schema.inspection
    statement = (
        sa.select(picture, image.c.sha256, inspection.c.width, inspection.c.height)
        .outerjoin(image, image.c.id == picture.c.image_id)
        .outerjoin(inspection, inspection.c.image_id == image.c.id)
        .where(picture.c.item_id == item_id)
        .order_by(picture.c.position, picture.c.id)
    )
    return [dict(row) for row in connection.execute(statement).mappings()]


def _regions(connection: Connection, image_ids: set[int]) -> dict[int, dict[int, str]]:
    """Image to its regions and their public ids, superseded ones included."""
    region = schema.region
    found: dict[int, dict[int, str]] = {}
    for part in chunks(sorted(image_ids)):
        statement = sa.select(region.c.image_id, region.c.id, region.c.region_key).where(region.c.image_id.in_(part))
        for image_id, region_id, region_key in connection.execute(statement):
            found.setdefault(image_id, {})[region_id] = public_id_of(region_key)
    return found


def _pictures(web: Web, rows: list[Mapping[str, Any]], regions: Mapping[int, Mapping[int, str]]) -> list[PictureView]:
    views = web.views([region_id for group in regions.values() for region_id in group])
    chosen = {region_id: view for region_id, view in views.items() if view.verdict.cause != "not_chosen"}
    return [_picture(row, regions, chosen) for row in rows]


def _picture(
    row: Mapping[str, Any], regions: Mapping[int, Mapping[int, str]], views: Mapping[int, SampleView]
) -> PictureView:
    size_wh = (row["width"], row["height"]) if row["width"] and row["height"] else None
    own = regions.get(row["image_id"], {})
    return PictureView(
        position=row["position"],
        url=row["url"],
        state=row["state"],
        outcome=row["outcome"],
        reason=row["reason"],
        sha256=row["sha256"],
        image_url=image_url(row["sha256"]) if row["sha256"] else None,
        size_wh=size_wh,
        samples=tuple(views[region_id] for region_id in own if region_id in views),
    )


def _history(connection: Connection, item_id: int, regions: Mapping[int, Mapping[int, str]]) -> tuple[HistoryRow, ...]:
    """All rows about the item and its regions, the newest first."""
    label = schema.label
    public_ids = {region_id: public_id for group in regions.values() for region_id, public_id in group.items()}
    rows: list[Mapping[str, Any]] = []
    for part in chunks(sorted(public_ids)):
        statement = sa.select(label).where(label.c.region_id.in_(part)).order_by(label.c.id.desc()).limit(_MAX_HISTORY)
        rows.extend(dict(row) for row in connection.execute(statement).mappings())
    of_item = sa.select(label).where(label.c.item_id == item_id).order_by(label.c.id.desc()).limit(_MAX_HISTORY)
    rows.extend(dict(row) for row in connection.execute(of_item).mappings())
    retracted = {row["retracts"] for row in rows if row["retracts"] is not None}
    newest = sorted(rows, key=lambda row: -row["id"])[:_MAX_HISTORY]
    names = [name for name in HistoryRow.model_fields if name not in ("sample", "retracted")]
    return tuple(
        HistoryRow(
            **{name: row[name] for name in names},
            sample=public_ids.get(row["region_id"]),
            retracted=row["id"] in retracted,
        )
        for row in newest
    )


def _changes(connection: Connection, item_id: int) -> tuple[ChangeRow, ...]:
    """What the item was before, the latest change first."""
    change = schema.item_change
    columns = [change.c[name] for name in ChangeRow.model_fields]
    statement = sa.select(*columns).where(change.c.item_id == item_id).order_by(change.c.id.desc()).limit(_MAX_HISTORY)
    return tuple(ChangeRow.model_validate(dict(row)) for row in connection.execute(statement).mappings())
