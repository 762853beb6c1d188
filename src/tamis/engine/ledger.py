"""What is pending, what was done, what failed and why."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy import Connection

from tamis import schema
from tamis.config import Settings
from tamis.database import upsert
from tamis.engine.stage import Stage

State = Literal["done", "skipped", "unreadable", "failed"]
STATES: tuple[State, ...] = ("done", "skipped", "unreadable", "failed")
#: Counter of how often the failed rows of a stage were made pending again.
RETRIES = "retries"
#: Parameters that narrow a selection to a range of ids of images or items, both included. Where these are the subjects
#: themselves, `pending` does so; the selections of other stages use `within` themselves.
FIRST, LAST = "first_id", "last_id"
_MAX_ID = 2**62


def within(column: sa.ColumnElement[int]) -> sa.ColumnElement[bool]:
    """The condition that narrows a selection to a range of image or item ids; without parameters to none."""
    first, last = (
        sa.bindparam(name, value, type_=sa.BigInteger(), unique=False) for name, value in ((FIRST, 0), (LAST, _MAX_ID))
    )
    return column.between(first, last)


@dataclass(frozen=True, slots=True)
class Entry:
    """One row's fate in a stage; `before` is its state under any earlier fingerprint."""

    subject_id: int
    input_digest: str
    state: State
    reason: str | None
    attempts: int
    commits: int
    before: str | None


def pending(stage: Stage, settings: Settings, fingerprint: str) -> sa.Select[Any]:
    """Select the subjects without an up-to-date ledger row, or refused for a reason that is cured, by their ids.

    Beside the stage's own columns: `unit_id`, the image or item by whose id it is narrowed, `old_state`,
    `old_fingerprint`, `attempts` and `commits`.
    """
    selection = stage.select_undone(settings, fingerprint) if stage.select_undone else stage.select(settings)
    subjects = selection.subquery("subjects")
    by_id = _is_unit(selection.selected_columns["subject_id"])
    entry = schema.ledger
    same = sa.and_(entry.c.stage == stage.name, entry.c.subject_id == subjects.c.subject_id)
    return (
        sa.select(
            subjects,
            *((subjects.c.subject_id.label("unit_id"),) if by_id else ()),
            entry.c.state.label("old_state"),
            entry.c.fingerprint.label("old_fingerprint"),
            sa.func.coalesce(entry.c.attempts, 0).label("attempts"),
            sa.func.coalesce(entry.c.commits, 0).label("commits"),
        )
        .select_from(subjects.outerjoin(entry, sa.and_(same, within(entry.c.subject_id)) if by_id else same))
        .where(
            sa.or_(
                entry.c.subject_id.is_(None),
                entry.c.fingerprint != fingerprint,
                entry.c.input_digest != subjects.c.input_digest,
                *(sa.and_(entry.c.state == "unreadable", entry.c.reason == reason) for reason in stage.cured()),
            ),
            *((within(subjects.c.subject_id),) if by_id else ()),
        )
        .order_by(subjects.c.subject_id)
    )


def _is_unit(subject: sa.ColumnElement[Any]) -> bool:
    """Whether the subjects of a selection are the images, or items, by whose ids it is narrowed."""
    column = subject.element if isinstance(subject, sa.Label) else subject
    return any(column is table.c.id for table in (schema.image, schema.item))


def known(stage: Stage, settings: Settings, fingerprint: str) -> sa.Select[Any]:
    """Select the subjects whose ledger row is up to date and done; narrowed like `pending`."""
    selection = stage.select(settings)
    subjects = selection.subquery("subjects")
    entry = schema.ledger
    same = sa.and_(
        entry.c.stage == stage.name,
        entry.c.subject_id == subjects.c.subject_id,
        entry.c.fingerprint == fingerprint,
        entry.c.input_digest == subjects.c.input_digest,
    )
    by_id = _is_unit(selection.selected_columns["subject_id"])
    # An outer join, and a condition that no index answers: SQLite would walk through the whole ledger of the stage.
    return (
        sa.select(subjects)
        .select_from(subjects.outerjoin(entry, same))
        .where(sa.func.coalesce(entry.c.state, "") == "done", *((within(subjects.c.subject_id),) if by_id else ()))
        .order_by(subjects.c.subject_id)
    )


def record(
    connection: Connection, stage: str, fingerprint: str, entries: Sequence[Entry], seconds: float = 0.0
) -> None:
    """Write ledger rows and keep the counters in step."""
    now = time.time()
    rows = [
        {
            "stage": stage, "subject_id": entry.subject_id, "fingerprint": fingerprint,
            "input_digest": entry.input_digest, "state": entry.state, "reason": entry.reason,
            "attempts": entry.attempts, "commits": entry.commits, "finished_at": now,
        }
        for entry in entries
    ]  # fmt: skip
    upsert(connection, schema.ledger, rows, ["stage", "subject_id"])
    change: Counter[str] = Counter()
    for entry in entries:
        change[entry.state] += 1
        if entry.before is not None:
            change[entry.before] -= 1
    add_to_counters(connection, stage, {**change, "seconds": seconds})


def add_to_counters(connection: Connection, stage: str, amounts: dict[str, float]) -> None:
    """Add to the totals of a stage."""
    table = schema.counter
    for name, amount in sorted(amounts.items()):
        if not amount:
            continue
        changed = connection.execute(
            sa.update(table).where(table.c.stage == stage, table.c.name == name).values(amount=table.c.amount + amount)
        )
        if changed.rowcount == 0:
            connection.execute(sa.insert(table).values(stage=stage, name=name, amount=amount))


def counters(connection: Connection) -> dict[str, dict[str, float]]:
    """Return stage -> name -> total."""
    totals: dict[str, dict[str, float]] = {}
    for stage, name, amount in connection.execute(sa.select(schema.counter)):
        totals.setdefault(stage, {})[name] = amount
    return totals


def retries(connection: Connection, stage: str) -> float:
    """Return how often failed rows of a stage were made pending again."""
    table = schema.counter
    amount = sa.select(table.c.amount).where(table.c.stage == stage, table.c.name == RETRIES)
    return float(connection.execute(amount).scalar() or 0.0)


def has_rows(connection: Connection, stage: str, fingerprint: str) -> bool:
    """Return whether a stage is done with any row under a fingerprint."""
    table = schema.ledger
    mine = sa.and_(table.c.stage == stage, table.c.state == "done", table.c.fingerprint == fingerprint)
    return connection.execute(sa.select(sa.literal(1)).where(mine).limit(1)).scalar() is not None


def reasons(connection: Connection, stage: str, state: State, limit: int = 20) -> list[tuple[str, int, int]]:
    """Return the reasons of rows in a state, the most frequent first: (reason, rows, one subject's id)."""
    table = schema.ledger
    return [
        (row[0] or "no reason", row[1], row[2])
        for row in connection.execute(
            sa.select(table.c.reason, sa.func.count(), sa.func.min(table.c.subject_id))
            .where(table.c.stage == stage, table.c.state == state)
            .group_by(table.c.reason)
            .order_by(sa.func.count().desc(), table.c.reason)
            .limit(limit)
        )
    ]


def retry(connection: Connection, stage: str) -> int:
    """Make the failed rows of a stage pending again and return how many they are."""
    table = schema.ledger
    changed = connection.execute(
        sa.update(table).where(table.c.stage == stage, table.c.state == "failed").values(fingerprint="")
    )
    add_to_counters(connection, stage, {RETRIES: 1})
    return changed.rowcount


def fingerprint_of(connection: Connection, stage: str, subject_id: int) -> str | None:
    """Return the fingerprint of one ledger row; None when there is none."""
    table = schema.ledger
    statement = sa.select(table.c.fingerprint).where(table.c.stage == stage, table.c.subject_id == subject_id)
    return connection.execute(statement).scalar()
