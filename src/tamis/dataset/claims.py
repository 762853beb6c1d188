"""The claims in force: rows of the label table that nothing took back and nothing newer replaced."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, cast

import sqlalchemy as sa

from tamis import schema
from tamis.database import chunks
from tamis.labels import Who


@dataclass(frozen=True, slots=True)
class Claim:
    """One claim in force. `value` None says that its actor saw the thing and passed it over."""

    id: int
    region_id: int | None
    item_id: int | None
    attribute: str
    value: str | None
    who: Who
    actor: str
    confidence: float
    evidence: str | None
    created_at: float


def active_claims(*subjects: sa.ColumnElement[bool]) -> sa.Select[Any]:
    """Return the query of the claims in force, with the columns of the label table.

    Among the claims of one actor on one attribute of one thing the last one that was not retracted is in force, so
    that taking a claim back brings the one before it back.

    Args:
        subjects: conditions on columns of `schema.label` that narrow what is read. They may name things, attributes
            and actors; a condition on values would bring claims back that are replaced.
    """
    label = schema.label
    retraction = label.alias("retraction")
    taken_back = sa.exists().where(retraction.c.retracts == label.c.id)
    # Wrapped, so that SQLite looks the claims up by their subject and not by this column, which is null in nearly all.
    claims_something = sa.func.coalesce(label.c.retracts, 0) == 0
    subject = (label.c.who, label.c.actor, label.c.attribute, label.c.region_id, label.c.item_id)
    ranked = (
        sa.select(label, sa.func.row_number().over(partition_by=subject, order_by=label.c.id.desc()).label("place"))
        .where(claims_something, ~taken_back, *subjects)
        .subquery("claims")
    )
    return sa.select(*(ranked.c[column.name] for column in label.c)).where(ranked.c.place == 1)


def read_claims(
    connection: sa.Connection, column: sa.Column[int], ids: Iterable[int], attributes: Iterable[str] | None = None
) -> Iterator[Claim]:
    """Yield the claims in force on those regions or items, in the order in which they were made.

    Args:
        connection: a transaction that reads.
        column: `schema.label.c.region_id` or `schema.label.c.item_id`.
        ids: regions or items.
        attributes: their names; None for all.
    """
    names = None if attributes is None else sorted(set(attributes))

    def build(part: list[int]) -> sa.Select[Any]:
        about = [column.in_(part)]
        if names is not None:
            about.append(schema.label.c.attribute.in_(names))
        query = active_claims(*about).subquery()
        return sa.select(query).order_by(query.c.id)

    for row in rows_for(connection, build, ids):
        yield Claim(
            id=row.id,
            region_id=row.region_id,
            item_id=row.item_id,
            attribute=row.attribute,
            value=row.value,
            who=cast(Who, row.who),
            actor=row.actor,
            confidence=row.confidence,
            evidence=row.evidence,
            created_at=row.created_at,
        )


def rows_for(
    connection: sa.Connection, build: Callable[[list[int]], sa.Select[Any]], ids: Iterable[int]
) -> Iterator[Any]:
    """Yield the rows of a query with an IN list, asked in parts that every database takes."""
    for part in chunks(sorted(set(ids))):
        yield from connection.execute(build(part))
