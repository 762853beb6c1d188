"""Writing and reading what people claim: labels are added, and taken back by a later row, never changed.

A step of a person (one key pressed, one page confirmed) carries a key that its sender chose. The rows of the step
store it as their batch, so a step that is sent again after a lost answer adds nothing, and undo takes it back whole.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from tamis.annotate.signin import ensure_person
from tamis.database import chunks
from tamis.dataset.claims import Claim, read_claims
from tamis.dataset.copies import predecessors
from tamis.records import digest
from tamis.schema import label, person, picture, region


@dataclass(frozen=True, slots=True)
class NewClaim:
    """What a person says of a region or an item; exactly one of both is set. `value` None: seen and passed over."""

    attribute: str
    value: str | None
    region_id: int | None = None
    item_id: int | None = None
    evidence: str | None = None


def batch_of(actor: str, key: str) -> str:
    """The batch under which a person's step is stored: two people who choose one key do not meet."""
    return digest("step", actor, key)


def record(connection: Connection, actor: str, key: str, claims: Sequence[NewClaim]) -> list[int]:
    """Add the claims of one step and return their ids; a step that is there already is returned as it is."""
    lock_person(connection, actor)
    batch = batch_of(actor, key)
    if known := ids_of_batch(connection, label, batch):
        return known
    now = time.time()
    rows = [_row(claim.attribute, actor, now, batch) | _subject_and_value(claim) for claim in claims]
    for part in chunks(rows):
        connection.execute(sa.insert(label), part)
    return ids_of_batch(connection, label, batch)


def _subject_and_value(claim: NewClaim) -> dict[str, Any]:
    return {
        "region_id": claim.region_id,
        "item_id": claim.item_id,
        "value": claim.value,
        "evidence": claim.evidence,
    }


def _row(attribute: str, actor: str, now: float, batch: str) -> dict[str, Any]:
    return {
        "attribute": attribute,
        "value": None,
        "who": "person",
        "actor": actor,
        "confidence": 1.0,
        "evidence": None,
        "created_at": now,
        "retracts": None,
        "batch": batch,
    }


def undo(connection: Connection, actor: str, key: str, step: str | None = None) -> list[Claim]:
    """Take back a step of the person, by its key or the last one; return the claims that were taken back.

    Undo is a step itself: sent again under the same `key` it returns what it took back the first time.
    """
    lock_person(connection, actor)
    own_batch = batch_of(actor, key)
    done = sa.select(label.c.retracts).where(label.c.batch == own_batch)
    if earlier := list(connection.execute(done).scalars()):
        return _stored(connection, label.c.id.in_(earlier))
    batch = last_batch(connection, label, actor) if step is None else batch_of(actor, step)
    if batch is None:
        return []
    claims = _stored(connection, (label.c.batch == batch) & label.c.retracts.is_(None) & ~is_taken_back(label))
    now = time.time()
    rows = [
        _row(claim.attribute, actor, now, own_batch)
        | {"region_id": claim.region_id, "item_id": claim.item_id, "retracts": claim.id}
        for claim in claims
    ]
    for part in chunks(rows):
        connection.execute(sa.insert(label), part)
    return claims


def last_batch(connection: Connection, table: sa.Table, actor: str) -> str | None:
    """Return the batch of the person's last step in that table that was not taken back."""
    column = table.c
    statement = (
        sa.select(column.batch)
        .where(column.actor == actor, column.retracts.is_(None), column.batch.is_not(None), ~is_taken_back(table))
        .order_by(column.id.desc())
        .limit(1)
    )
    if "who" in column:
        statement = statement.where(column.who == "person")
    batch: str | None = connection.execute(statement).scalar()
    return batch


def is_taken_back(table: sa.Table) -> sa.ColumnElement[bool]:
    """Condition on a row of that table: a later row takes it back."""
    later = table.alias("later")
    return sa.exists().where(later.c.retracts == table.c.id)


def lock_person(connection: Connection, actor: str) -> None:
    """Let one step of a person be written at a time, so that the same step sent twice at once is seen."""
    ensure_person(connection, actor)
    connection.execute(sa.select(person.c.name).where(person.c.name == actor).with_for_update())


def ids_of_batch(connection: Connection, table: sa.Table, batch: str) -> list[int]:
    """Return the rows of a step in that table, in the order in which they were added."""
    statement = sa.select(table.c.id).where(table.c.batch == batch).order_by(table.c.id)
    return list(connection.execute(statement).scalars())


def _stored(connection: Connection, condition: sa.ColumnElement[bool]) -> list[Claim]:
    columns = [label.c[name] for name in Claim.__dataclass_fields__]
    statement = sa.select(*columns).where(condition).order_by(label.c.id)
    return [Claim(*row) for row in connection.execute(statement)]


def images_about(connection: Connection, claims: Iterable[NewClaim | Claim]) -> set[int]:
    """Images that the claims are about, by way of a region or of an item that shows them."""
    claims = list(claims)
    region_ids = {claim.region_id for claim in claims if claim.region_id is not None}
    item_ids = {claim.item_id for claim in claims if claim.item_id is not None}
    found: set[int] = set()
    for part in chunks(sorted(region_ids)):
        statement = sa.select(region.c.image_id).where(region.c.id.in_(part))
        found.update(connection.execute(statement).scalars())
    for part in chunks(sorted(item_ids)):
        statement = sa.select(picture.c.image_id).where(picture.c.item_id.in_(part), picture.c.image_id.is_not(None))
        found.update(connection.execute(statement).scalars())
    return found


# --- reading ------------------------------------------------------------------------------------------------------


def claims_in_force(
    connection: Connection, region_ids: Collection[int] = (), item_ids: Collection[int] = ()
) -> list[Claim]:
    """Return the claims in force on regions and items, oldest first.

    Claims on a region that was superseded count for the region that took over its labels.
    """
    groups = predecessors(connection, region_ids)
    heirs = {old: new for new in region_ids for old in groups[new]}
    latest: dict[tuple[int | None, int | None, str, str, str], Claim] = {}
    for claim in sorted(_read(connection, heirs, item_ids), key=lambda claim: claim.id):
        latest[claim.region_id, claim.item_id, claim.attribute, claim.who, claim.actor] = claim
    return sorted(latest.values(), key=lambda claim: claim.id)


def _read(connection: Connection, heirs: dict[int, int], item_ids: Collection[int]) -> Iterator[Claim]:
    for claim in read_claims(connection, label.c.region_id, heirs):
        assert claim.region_id is not None
        yield replace(claim, region_id=heirs[claim.region_id])
    yield from read_claims(connection, label.c.item_id, item_ids)
