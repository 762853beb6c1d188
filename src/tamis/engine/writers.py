"""The one place where the records of stages become rows, each kind in its own way.

Scores and masks replace those of the same subject. Regions and machine labels are never deleted: what is no longer
found is superseded or retracted, what is found again comes back.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy import Connection

from tamis import schema
from tamis.database import chunks, insert_new, to_row, upsert
from tamis.engine.extents import touch
from tamis.labels import Scope
from tamis.records import Box, ClusterMember, Inspection, Label, Level, Mask, Region, Relation, Unclustered

Kind = TypeVar("Kind")

#: Subject id to the records that a stage returned for it; every subject is there, also with none.
Outputs = Mapping[int, Sequence[Any]]
#: Writes what a stage returned for some subjects, in place of what it wrote for them before.
Writer = Callable[[Connection, Outputs], None]


def _of(outputs: Outputs, kind: type[Kind]) -> list[Kind]:
    return [record for subject in sorted(outputs) for record in outputs[subject] if isinstance(record, kind)]


def write_inspections(connection: Connection, outputs: Outputs) -> None:
    """Replace the inspections of some images."""
    upsert(connection, schema.inspection, [to_row(record) for record in _of(outputs, Inspection)], ["image_id"])
    touch(connection, "inspection", outputs)


def write_masks(connection: Connection, outputs: Outputs) -> None:
    """Replace the masks of some regions."""
    for part in chunks(outputs):
        connection.execute(sa.delete(schema.mask).where(schema.mask.c.region_id.in_(part)))
    insert_new(connection, schema.mask, [to_row(record) for record in _of(outputs, Mask)])


# --- regions ------------------------------------------------------------------------------------------------------


def write_regions(connection: Connection, outputs: Outputs) -> None:
    """Bring the machine's regions of some images to what was found now.

    A region with the same key stays, or comes back if it was superseded. Others are superseded, and hand their
    labels on to the new region whose raw box overlaps theirs best, one to one.
    """
    table, now = schema.region, time.time()
    subjects = sorted(outputs)
    wanted = {subject: {record.region_key: record for record in outputs[subject]} for subject in subjects}
    stored: dict[int, list[sa.Row[Any]]] = defaultdict(list)
    for part in chunks(subjects):
        selection = sa.select(table).where(table.c.image_id.in_(part), table.c.kind != "drawn").order_by(table.c.id)
        for row in connection.execute(selection):
            stored[row.image_id].append(row)
    fresh = [
        _region_row(record, now)
        for subject in subjects
        for key, record in wanted[subject].items()
        if key not in {row.region_key for row in stored[subject]}
    ]
    insert_new(connection, table, fresh)
    for subject in subjects:
        back = [row for row in stored[subject] if row.region_key in wanted[subject] and row.superseded_at is not None]
        gone = [row for row in stored[subject] if row.region_key not in wanted[subject] and row.superseded_at is None]
        for row in back:
            connection.execute(
                sa.update(table).where(table.c.id == row.id).values(superseded_at=None, superseded_by=None)
            )
        if gone:
            _supersede(connection, subject, gone, now)
    touch(connection, "region", subjects)


def _region_row(record: Region, now: float) -> dict[str, Any]:
    row = to_row(record, region_key=record.region_key, created_at=now)
    del row["image_sha256"]
    row["x0"], row["y0"], row["x1"], row["y1"] = row.pop("box_xyxy")
    return row


def _supersede(connection: Connection, image_id: int, gone: Sequence[sa.Row[Any]], now: float) -> None:
    from tamis.vision.boxes import as_boxes, match  # noqa: PLC0415 - numpy loads on use

    table = schema.region
    successors = connection.execute(
        sa.select(table)
        .where(table.c.image_id == image_id, table.c.superseded_at.is_(None), table.c.id.not_in([r.id for r in gone]))
        .order_by(table.c.id)
    ).all()
    heirs = dict(match(as_boxes(_corners(gone)), as_boxes(_corners(successors))))
    for index, row in enumerate(gone):
        heir = heirs.get(index)
        heir_id = successors[heir].id if heir is not None else None
        connection.execute(
            sa.update(table).where(table.c.id == row.id).values(superseded_at=now, superseded_by=heir_id)
        )
        if heir_id is not None:  # the chain stays one link long
            connection.execute(
                sa.update(table)
                .where(table.c.superseded_by == row.id, table.c.id != heir_id)
                .values(superseded_by=heir_id)
            )


def _corners(rows: Sequence[sa.Row[Any]]) -> list[Box]:
    return [(row.x0, row.y0, row.x1, row.y1) for row in rows]


# --- duplicates ---------------------------------------------------------------------------------------------------


def copies_writer(level: Level) -> Writer:
    """Return the writer of a duplicates stage, which replaces the relations of its subjects.

    Of the clusters it changes the rows of members, and of those that stand alone; others stay as they are.
    """

    def write(connection: Connection, outputs: Outputs) -> None:
        table = schema.relation
        for part in chunks(outputs):
            touched = sa.or_(table.c.first_id.in_(part), table.c.second_id.in_(part))
            connection.execute(sa.delete(table).where(table.c.level == level, touched))
        insert_new(connection, table, [to_row(record) for record in _of(outputs, Relation)])
        _write_clusters(connection, level, _of(outputs, ClusterMember), _of(outputs, Unclustered))

    return write


def _write_clusters(
    connection: Connection, level: Level, members: Sequence[ClusterMember], alone: Sequence[Unclustered]
) -> None:
    """Write the rows of members that differ from the stored ones, and delete those of who stands alone."""
    table = schema.cluster
    stored: dict[int, sa.Row[Any]] = {}
    settled = {record.member_id for record in members} | {record.member_id for record in alone}
    for part in chunks(sorted(settled)):
        selection = sa.select(table).where(table.c.level == level, table.c.member_id.in_(part))
        stored |= {row.member_id: row for row in connection.execute(selection)}
    changed = [
        to_row(record)
        for record in members
        if record.member_id not in stored
        or (stored[record.member_id].keeper_id, stored[record.member_id].kind, stored[record.member_id].score)
        != (record.keeper_id, record.kind, record.score)
    ]
    left = sorted(record.member_id for record in alone if record.member_id in stored)
    for part in chunks(left):
        connection.execute(sa.delete(table).where(table.c.level == level, table.c.member_id.in_(part)))
    upsert(connection, table, changed, ["level", "member_id"])
    if level == "image":
        touch(connection, "cluster", [*left, *(row["member_id"] for row in changed)])


# --- labels -------------------------------------------------------------------------------------------------------


def append_labels(connection: Connection, records: Sequence[Label]) -> None:
    """Append labels as they are."""
    now = time.time()
    for part in chunks(records):
        connection.execute(sa.insert(schema.label), [to_row(record, created_at=now) for record in part])


def labels_writer(scope: Scope, actor: str) -> Writer:
    """Return the writer that brings the active labels of one machine on some subjects to what it says now.

    What it still says stays one row, what it says anew is appended, what it no longer says is retracted.
    """

    def write(connection: Connection, outputs: Outputs) -> None:
        active = _active_labels(connection, scope, sorted(outputs), actor)
        said = {
            (record.item_id if scope == "item" else record.region_id, record.attribute): record
            for record in _of(outputs, Label)
        }
        fresh = [record for key, record in said.items() if key not in active or _said(active[key]) != _said(record)]
        retractions = [
            Label(row.attribute, None, row.who, actor, item_id=row.item_id, region_id=row.region_id, retracts=row.id)
            for key, row in active.items()
            if key not in said
        ]
        append_labels(connection, [*retractions, *fresh])

    return write


def _said(label: Any) -> tuple[Any, ...]:
    """What a claim says: a model's probabilities too."""
    return label.value, label.confidence, label.evidence if label.who == "model" else None


def _active_labels(
    connection: Connection, scope: Scope, subjects: Sequence[int], actor: str
) -> dict[tuple[int | None, str], sa.Row[Any]]:
    table, later = schema.label, schema.label.alias("later")
    column = table.c.item_id if scope == "item" else table.c.region_id
    active: dict[tuple[int | None, str], sa.Row[Any]] = {}
    for part in chunks(subjects):
        rows = connection.execute(
            sa.select(table)
            .where(column.in_(part), table.c.actor == actor, table.c.who != "person", table.c.retracts.is_(None))
            .where(~sa.exists().where(later.c.retracts == table.c.id))
            .order_by(table.c.id)
        )
        for row in rows:
            active[row._mapping[column], row.attribute] = row
    return active
