"""Which ranges of ids hold nothing pending, so that neither a run nor `status` looks at their rows again.

The ids of images, and those of items, are cut into extents of `SIZE`. Whoever writes a row that the selection of a
stage reads raises the version of its extent in the same transaction (`touch`). A stage that has nothing pending in an
extent writes that version down (`settle`). What it wrote holds while the version is the same, and its token too: the
digest of the stage's fingerprint, of the selection itself with all settings in it, and of the retries asked for.

A version is read before the rows that it stands for, so a write in between makes the extent look stale, never settled.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Protocol

import sqlalchemy as sa
from sqlalchemy import Connection, Engine
from sqlalchemy.sql import visitors

from tamis import schema
from tamis.config import Settings
from tamis.database import insert_new, reading, upsert
from tamis.engine import ledger
from tamis.engine.stage import Stage
from tamis.records import digest

#: Ids that an extent holds.
SIZE = 1024
#: Extents that are always counted one by one, before time runs out.
COUNTED = 3
#: Extents that are looked at in one query, at most, where nothing is pending, and queries that run at a time.
WIDEST, ABREAST = 64, 2
#: Tables whose writers call `touch`.
_TRACKED = frozenset({"image", "inspection", "region", "cluster", "item", "ledger"})
#: Stages whose ledger rows the selection of another stage reads.
OBSERVED = frozenset({"inspect"})


def touch(connection: Connection, kind: str, ids: Iterable[int]) -> None:
    """Raise the versions of the extents of some ids, in the transaction that wrote their rows.

    Args:
        connection: the writing transaction.
        kind: the table: item with ids of items; image, inspection, region, cluster or ledger with those of images.
        ids: what was written about.
    """
    table = schema.extent
    blocks = sorted({number // SIZE for number in ids})
    if not blocks:
        return
    insert_new(connection, table, [{"kind": kind, "block": block, "version": 0} for block in blocks])
    mine = sa.and_(table.c.kind == kind, table.c.block.in_(blocks))
    connection.execute(sa.update(table).where(mine).values(version=table.c.version + 1))


@dataclass(frozen=True, slots=True)
class Extent:
    """A range of ids at a version."""

    block: int
    version: int

    @property
    def first(self) -> int:
        """The first id."""
        return self.block * SIZE

    @property
    def last(self) -> int:
        """The last id."""
        return self.first + SIZE - 1

    @property
    def bounds(self) -> dict[str, int]:
        """The parameters that narrow a selection to the range."""
        return _bounds(self.first, self.last)


@dataclass(frozen=True, slots=True)
class Chosen:
    """What a run is narrowed to: ids of items, and those of the images that they show."""

    items: frozenset[int]
    images: frozenset[int]


@dataclass
class Survey:
    """How much is pending in a stage.

    Attributes:
        pending: rows; an estimate unless `exact`.
        exact: every extent was counted or is settled.
        empty: extents that were found without pending rows and are not written down as settled.
        left: extents that have pending rows, then those that were not looked at; both in the order of their ids.
    """

    pending: int = 0
    exact: bool = True
    empty: list[Extent] = field(default_factory=list)
    left: list[Extent] = field(default_factory=list)


class Plan:
    """The extents of one stage under its settings, and what is pending in them."""

    def __init__(self, stage: Stage, settings: Settings, fingerprint: str) -> None:
        self.stage, self.settings, self.fingerprint = stage, settings, fingerprint
        self.statement = ledger.pending(stage, settings, fingerprint)
        tables = {table.name for table in visitors.iterate(stage.select(settings)) if isinstance(table, sa.Table)}
        self._unit = schema.item if "item" in tables else schema.image
        #: Kinds of change that may make a row pending; None: a table is read whose writers do not tell.
        self._kinds = tables if tables <= _TRACKED else None

    def token(self, connection: Connection) -> str:
        """Digest of all but the rows that what is pending depends on."""
        compiled = self.statement.compile(connection.engine)
        given = sorted((name, repr(value)) for name, value in compiled.params.items())
        retries = ledger.retries(connection, self.stage.name)
        return digest(self.fingerprint, str(compiled), repr(given), retries)

    def extents(self, connection: Connection, among: Sequence[Extent] | None = None) -> list[Extent]:
        """Return all extents, or some, at their present versions. In that of the last one the last id counts too."""
        last = connection.execute(sa.select(sa.func.max(self._unit.c.id))).scalar()
        if last is None:
            return []
        table = schema.extent
        total = sa.select(table.c.block, sa.func.sum(table.c.version)).where(table.c.kind.in_(self._kinds or ()))
        if among is not None:
            total = total.where(table.c.block.between(among[0].block, among[-1].block))
        known = {number: int(version) for number, version in connection.execute(total.group_by(table.c.block))}
        final = last // SIZE
        return [
            Extent(number, known.get(number, 0) * 2 * SIZE + (last % SIZE + 1 if number == final else 0))
            for number in (range(final + 1) if among is None else (extent.block for extent in among))
        ]

    def unsettled(self, connection: Connection) -> list[Extent]:
        """Return the extents that may have pending rows, in the order of their ids."""
        everything = self.extents(connection)
        if not everything:
            return everything
        settled = self.settled(connection, self.token(connection))
        return [extent for extent in everything if settled.get(extent.block) != extent.version]

    def settled(self, connection: Connection, token: str) -> dict[int, int]:
        """Return the extents that were written down under a token, and at which version."""
        if self._kinds is None:
            return {}
        table = schema.settled
        mine = sa.and_(table.c.stage == self.stage.name, table.c.token == token)
        rows = connection.execute(sa.select(table.c.block, table.c.version).where(mine))
        return {row.block: row.version for row in rows}

    def survey(self, connection: Connection, patience: float = 0.1) -> Survey:
        """Count what is pending: all of it, or after `patience` seconds an estimate from extents here and there."""
        extents = self.unsettled(connection)
        counting = self.statement.with_only_columns(sa.func.count()).order_by(None)
        counts: dict[int, int] = {}
        deadline = time.monotonic() + patience
        for place, extent in enumerate(_spread(extents)):
            if place >= COUNTED and time.monotonic() > deadline:
                break
            counts[extent.block] = int(connection.execute(counting, extent.bounds).scalar_one())
        found = Survey(sum(counts.values()), exact=len(counts) == len(extents))
        if not found.exact:
            found.pending = round(found.pending * len(extents) / len(counts))
        found.empty = [extent for extent in extents if counts.get(extent.block) == 0]
        found.left = [extent for extent in extents if counts.get(extent.block)]
        found.left += [extent for extent in extents if extent.block not in counts]
        return found

    def survey_of(self, connection: Connection, chosen: Chosen) -> Survey:
        """Count what is pending of what was chosen; extents are left as they are."""
        counting = self.statement.with_only_columns(sa.func.count()).order_by(None)
        spans = self.spans(chosen)
        return Survey(sum(int(connection.execute(counting, _bounds(*span)).scalar_one()) for span in spans))

    def spans(self, chosen: Chosen) -> list[tuple[int, int]]:
        """The ids that were chosen, as first and last of each unbroken row of them, ascending."""
        spans: list[tuple[int, int]] = []
        for number in sorted(chosen.items if self._unit is schema.item else chosen.images):
            first = spans.pop()[0] if spans and spans[-1][1] == number - 1 else number
            spans.append((first, number))
        return spans

    def rows(
        self, connection: Connection, extents: Sequence[Extent], limit: int
    ) -> tuple[list[Extent], Sequence[sa.Row[Any]]]:
        """Return neighbouring extents at their present versions, and their pending rows, at most `limit`."""
        fresh = self.extents(connection, extents)
        return fresh, self.between(connection, extents[0].first, extents[-1].last, limit)

    def between(self, connection: Connection, first: int, last: int, limit: int) -> Sequence[sa.Row[Any]]:
        """Return pending rows of the ids from first to last, at most `limit`."""
        return connection.execute(self.statement.limit(limit), _bounds(first, last)).all()

    def look(self, connection: Connection, extents: Sequence[Extent]) -> tuple[list[Extent], frozenset[int]]:
        """Return neighbouring extents at their present versions, and the blocks of those that have pending rows."""
        fresh = self.extents(connection, extents)
        block = self.statement.selected_columns["unit_id"] // SIZE
        query = self.statement.with_only_columns(block).order_by(None)
        bounds = _bounds(extents[0].first, extents[-1].last)
        return fresh, frozenset(int(number) for number in connection.scalars(query.distinct(), bounds))

    def settle(self, connection: Connection, token: str, extents: Sequence[Extent]) -> None:
        """Write down that extents have nothing pending."""
        if self._kinds is None or not extents:
            return
        rows = [
            {"stage": self.stage.name, "block": extent.block, "token": token, "version": extent.version}
            for extent in extents
        ]
        upsert(connection, schema.settled, rows, ["stage", "block"])


class Search(Protocol):
    """Yields pending rows, a part at a time."""

    def take(self, connection: Connection, limit: int) -> tuple[list[Extent], Sequence[sa.Row[Any]]] | None:
        """Return extents that were looked at whole with at most `limit` pending rows of theirs; None at the end."""


class Walk:
    """A search through extents that takes longer strides, and needs fewer queries, the longer nothing is found."""

    def __init__(self, plan: Plan, extents: Sequence[Extent]) -> None:
        self._plan, self._ahead = plan, deque(extents)
        #: Extents that a stride found to have pending rows.
        self._found: deque[Extent] = deque()
        self._stride = 1

    def take(self, connection: Connection, limit: int) -> tuple[list[Extent], Sequence[sa.Row[Any]]] | None:
        """Return the next extent that has pending rows, with at most `limit` of them, or some that have none.

        Extents are returned at their present versions, each once; None when all were.
        """
        while self._found or self._ahead:
            if self._found or self._stride == 1:
                extent = self._found.popleft() if self._found else self._ahead.popleft()
                fresh, rows = self._plan.rows(connection, [extent], limit)
                self._stride = 1 if rows else 2
                return fresh, rows
            if empty := self._strides(connection.engine):
                return empty, []
        return None

    def _strides(self, engine: Engine) -> list[Extent]:
        """Look at the next parts, side by side; return the extents that have nothing pending."""
        parts = [part for _ in range(ABREAST) if (part := self._next())]

        def look(part: Sequence[Extent]) -> tuple[list[Extent], frozenset[int]]:
            with reading(engine) as connection:
                return self._plan.look(connection, part)

        with ThreadPoolExecutor(ABREAST) as pool:
            looks = list(pool.map(look, parts))
        empty = [extent for fresh, blocks in looks for extent in fresh if extent.block not in blocks]
        self._found += [extent for fresh, blocks in looks for extent in fresh if extent.block in blocks]
        self._stride = min(2 * self._stride, WIDEST)
        return empty

    def _next(self) -> list[Extent]:
        """Neighbouring extents, as many as the stride is long at most."""
        part: list[Extent] = []
        while self._ahead and len(part) < self._stride:
            if part and self._ahead[0].block != part[-1].block + 1:
                break
            part.append(self._ahead.popleft())
        return part


class Pick:
    """A search through the chosen ids alone, which looks at no extent as a whole."""

    def __init__(self, plan: Plan, chosen: Chosen) -> None:
        self._plan, self._ahead = plan, deque(plan.spans(chosen))

    def take(self, connection: Connection, limit: int) -> tuple[list[Extent], Sequence[sa.Row[Any]]] | None:
        """Return at most `limit` pending rows of the next ids."""
        if not self._ahead:
            return None
        first, last = self._ahead.popleft()
        return [], self._plan.between(connection, first, last, limit)


def _bounds(first: int, last: int) -> dict[str, int]:
    return {ledger.FIRST: first, ledger.LAST: last}


def _spread(extents: Sequence[Extent]) -> Iterator[Extent]:
    """Yield all of them: the last, where what is new lies, and then so that the first few are spread evenly."""
    if not extents:
        return
    yield extents[-1]
    seen = {len(extents) - 1}
    steps = 1
    while len(seen) < len(extents):
        for step in range(steps):
            place = (2 * step + 1) * len(extents) // (2 * steps)
            if place not in seen:
                seen.add(place)
                yield extents[place]
        steps *= 2
