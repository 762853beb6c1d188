"""Where a sample or an image came from: everything that the database knows of it, from the page to the model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from tamis import schema
from tamis.database import reading
from tamis.dataset.candidates import ID_DIGITS, public_id
from tamis.dataset.claims import active_claims
from tamis.dataset.copies import predecessors
from tamis.errors import UserError
from tamis.project import Project

#: Stages by what they work on, as their ledger rows name it.
_STAGES = {
    "image": ("inspect", "duplicates", "detect"),
    "region": ("regionduplicates", "classify", "segment"),
    "item": ("mine",),
}
_SHORTEST_ID = 6

Fact = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Trace:
    """The provenance of one sample; every part holds columns of the table of its name, times as ISO 8601 in UTC.

    That of an image, readable or not, has no sample and no region, and of its labels those of its items.
    """

    sample: str | None
    region: Fact | None
    image: Fact
    pictures: tuple[Fact, ...]
    items: tuple[Fact, ...]
    pages: tuple[Fact, ...]
    labels: tuple[Fact, ...]
    ledger: tuple[Fact, ...]
    snapshots: tuple[Fact, ...]
    models: tuple[Fact, ...]

    def to_json(self) -> dict[str, Any]:
        """The trace as plain values."""
        return asdict(self)

    def lines(self) -> list[str]:
        """The trace for people."""
        return list(_lines(self))


def trace(project: Project, name: str) -> Trace:
    """Return where a sample or an image came from.

    Args:
        project: the project.
        name: the public id of a sample, the beginning of one, or a whole region key; else the beginning of the SHA-256
            of an image. The sample may be in no snapshot yet.

    Raises:
        UserError: no sample and no image has that name, or several begin with it.
    """
    with reading(project.engine) as connection:
        region, image_id = _find(connection, name.strip().casefold())
        image = _image(connection, image_id)
        shown = _select(connection, schema.picture, schema.picture.c.image_id == image_id, "position")
        item_ids = {row["item_id"] for row in shown}
        items = _select(connection, schema.item, schema.item.c.id.in_(item_ids), "url")
        page_ids = {row["page_id"] for row in items if row["page_id"] is not None}
        pages = _select(connection, schema.page, schema.page.c.id.in_(page_ids), "url")
        own = set(predecessors(connection, [region.id])[region.id]) if region else set()
        names = {row["id"]: row["url"] for row in items}
        return Trace(
            sample=public_id(region.region_key) if region else None,
            region=_only(region._asdict(), _REGION) if region else None,
            image=image,
            pictures=tuple(_only(row, _PICTURE) | {"item": names.get(row["item_id"])} for row in shown),
            items=tuple(_only(row, _ITEM) for row in items),
            pages=tuple(_only(row, _PAGE) for row in pages),
            labels=tuple(_labels(connection, own, item_ids)),
            ledger=tuple(_ledger(connection, {"image": {image_id}, "region": own, "item": item_ids})),
            snapshots=tuple(_snapshots(connection, region.id)) if region else (),
            models=tuple(_models(connection, region.id)) if region else (),
        )


_REGION = ("region_key", "kind", "origin", "class_name", "score", "x0", "y0", "x1", "y1", "created_at", "superseded_at")
_PICTURE = ("url", "position", "state", "outcome", "reason", "status", "downloaded_at")
_ITEM = ("url", "title", "seller", "first_seen", "last_seen", "vanished_at")
_PAGE = ("url", "status", "fetched_at", "robots_verdict", "directives", "body_sha256")
_TIMES = {
    "created_at", "superseded_at", "downloaded_at", "first_seen", "last_seen", "vanished_at", "fetched_at",
    "finished_at",
}  # fmt: skip


def _find(connection: sa.Connection, name: str) -> tuple[sa.Row[Any] | None, int]:
    """Return the region of that name, if it is one's, and the image."""
    if len(name) < _SHORTEST_ID or not set(name) <= set("0123456789abcdef"):
        raise UserError(f"{name!r} is no sample id: it has {ID_DIGITS} hexadecimal digits, of which 6 may do")
    region, image = schema.region, schema.image
    for kind, table, key in (("samples", region, region.c.region_key), ("images", image, image.c.sha256)):
        rows = connection.execute(sa.select(table).where(key.startswith(name)).limit(2)).all()
        if len(rows) > 1:
            raise UserError(f"several {kind} begin with {name!r}: give more digits")
        if rows:
            return (rows[0], rows[0].image_id) if table is region else (None, rows[0].id)
    raise UserError(f"no sample and no image {name!r} in this project")


def _image(connection: sa.Connection, image_id: int) -> Fact:
    image, inspection = schema.image.c, schema.inspection.c
    query = sa.select(
        image.sha256,
        image.size,
        image.first_seen,
        inspection.format,
        inspection.width,
        inspection.height,
        inspection.reason,
    ).outerjoin(schema.inspection, inspection.image_id == image.id)
    return _only(connection.execute(query.where(image.id == image_id)).one()._asdict())


def _select(
    connection: sa.Connection, table: sa.Table, condition: sa.ColumnElement[bool], order: str
) -> list[Mapping[str, Any]]:
    query = sa.select(table).where(condition).order_by(table.c[order], table.c.id)
    return [row._asdict() for row in connection.execute(query)]


def _labels(connection: sa.Connection, region_ids: Iterable[int], item_ids: Iterable[int]) -> Iterator[Fact]:
    """All claims ever made on the region, those it superseded and its items, with whether they are in force."""
    label = schema.label.c
    about = sa.or_(label.region_id.in_(sorted(region_ids)), label.item_id.in_(sorted(item_ids)))
    active = set(connection.scalars(sa.select(active_claims(about).subquery().c.id)))
    for row in connection.execute(sa.select(schema.label).where(about).order_by(label.id)):
        if row.retracts is None:
            facts = ("attribute", "value", "who", "actor", "confidence", "evidence", "created_at")
            about_what = "item" if row.item_id is not None else "region"
            yield _only(row._asdict(), facts) | {"about": about_what, "in_force": row.id in active}


def _ledger(connection: sa.Connection, subjects: Mapping[str, Iterable[int]]) -> Iterator[Fact]:
    ledger = schema.ledger.c
    for kind, ids in subjects.items():
        query = sa.select(schema.ledger).where(ledger.stage.in_(_STAGES[kind]), ledger.subject_id.in_(sorted(ids)))
        for row in connection.execute(query.order_by(ledger.finished_at, ledger.stage)):
            yield _only(row._asdict(), ("stage", "state", "reason", "fingerprint", "finished_at")) | {"about": kind}


def _snapshots(connection: sa.Connection, region_id: int) -> Iterator[Fact]:
    snapshot, sample = schema.snapshot.c, schema.sample.c
    query = sa.select(snapshot.name, sample.split, snapshot.digest, snapshot.created_at)
    query = query.join(schema.sample, sample.snapshot_id == snapshot.id).where(sample.region_id == region_id)
    for row in connection.execute(query.order_by(snapshot.id)):
        yield _only(row._asdict())


def _models(connection: sa.Connection, region_id: int) -> Iterator[Fact]:
    """The models of those snapshots, with the split that the sample was in: a model learned from `train` alone."""
    model, sample, snapshot = schema.model.c, schema.sample.c, schema.snapshot.c
    query = sa.select(model.name, snapshot.name.label("snapshot"), sample.split, model.digest, model.created_at)
    query = query.join(schema.snapshot, snapshot.id == model.snapshot_id)
    query = query.join(schema.sample, sample.snapshot_id == snapshot.id).where(sample.region_id == region_id)
    for row in connection.execute(query.order_by(model.id)):
        yield _only(row._asdict())


def _only(row: Mapping[str, Any], names: Sequence[str] | None = None) -> dict[str, Any]:
    wanted = row.keys() if names is None else names
    return {name: _readable(name, row[name]) for name in wanted}


def _readable(name: str, value: Any) -> Any:
    if name in _TIMES and value is not None:
        return datetime.fromtimestamp(value, UTC).isoformat(timespec="seconds")
    return value


# --- for people ---------------------------------------------------------------------------------------------------


def _lines(found: Trace) -> Iterator[str]:
    image = found.image
    if region := found.region:
        box = ", ".join(f"{region[corner]:g}" for corner in ("x0", "y0", "x1", "y1"))
        yield f"sample    {found.sample}"
        yield f"region    {region['kind']} {region['class_name']} ({box}), score {region['score']:.2f}".replace(
            "  ", " "
        )
    size = (
        f"{image['format']}, {image['width']} x {image['height']}" if image["width"] else image["reason"] or "not read"
    )
    yield f"image     {image['sha256']}, {size}, {image['size']} bytes"
    for row in found.pictures:
        yield f"picture   {row['url']} ({row['outcome'] or row['state']}, {row['downloaded_at'] or 'not downloaded'})"
    for row in found.items:
        yield f"item      {row['url']}: {row['title']}"
    for row in found.pages:
        yield f"page      {row['url']} (HTTP {row['status']}, {row['fetched_at']}, robots: {row['robots_verdict']})"
        yield f"          body {row['body_sha256']}"
    for row in found.labels:
        past = "" if row["in_force"] else ", no longer in force"
        value = "passed over" if row["value"] is None else row["value"]
        author = f"{row['who']} {row['actor']}, {row['created_at']}{past}"
        yield f"label     {row['attribute']}: {value} ({row['about']}; {author})"
    for row in found.ledger:
        yield f"stage     {row['stage']}: {row['state']}, {row['finished_at']}, fingerprint {row['fingerprint']}"
    for row in found.snapshots:
        yield f"snapshot  {row['name']}: {row['split']}, {row['created_at']}"
    for row in found.models:
        yield f"model     {row['name']} from {row['snapshot']}: {row['split']}, {row['created_at']}"
