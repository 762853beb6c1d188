"""What people said of pairs of images or regions: the same shot, or not.

Rows are only added. Among the rows of one person about one pair the last one that was not taken back counts. People
who contradict each other leave a pair open until more than half of them, three or more, agree, as with labels.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from tamis import schema
from tamis.records import Level

Pair = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Said:
    """What one person holds of one pair, smaller id first; `same` None: seen and passed over."""

    pair: Pair
    actor: str
    same: bool | None


def select_said(level: Level) -> sa.Select[Any]:
    """Return the query of all rows of a level that claim something and were not taken back, the oldest first.

    A region that was superseded is replaced by the region that took over its labels.
    """
    table = schema.comparison
    later = table.alias("later")
    ids: list[sa.ColumnElement[int]] = [table.c.first_id, table.c.second_id]
    source: sa.FromClause = table
    if level == "region":
        heirs = [schema.region.alias(name) for name in ("first_region", "second_region")]
        for place, heir in enumerate(heirs):
            source = source.outerjoin(heir, heir.c.id == ids[place])
        ids = [sa.func.coalesce(heir.c.superseded_by, one) for heir, one in zip(heirs, ids, strict=True)]
    return (
        sa.select(table.c.id, ids[0].label("first_id"), ids[1].label("second_id"), table.c.actor, table.c.same)
        .select_from(source)
        .where(table.c.level == level, table.c.retracts.is_(None))
        .where(~sa.exists().where(later.c.retracts == table.c.id))
        .order_by(table.c.id)
    )


def read_said(rows: Iterable[sa.Row[Any]]) -> list[Said]:
    """Return what each person holds of each pair, from the rows of `select_said`."""
    last: dict[tuple[Pair, str], bool | None] = {}
    for row in rows:
        if row.first_id != row.second_id:
            pair = min(row.first_id, row.second_id), max(row.first_id, row.second_id)
            last[pair, row.actor] = None if row.same is None else bool(row.same)
    return [Said(pair, actor, same) for (pair, actor), same in last.items()]


def agreed(said: Iterable[Said]) -> dict[Pair, bool]:
    """Return the pairs that people agree on, and whether they show the same."""
    votes = votes_on(said)
    return {pair: same for pair, cast in votes.items() if (same := majority(cast)) is not None}


def votes_on(said: Iterable[Said]) -> Mapping[Pair, Sequence[bool]]:
    """Return the opinions on each pair of those who have one."""
    votes: dict[Pair, list[bool]] = defaultdict(list)
    for one in said:
        if one.same is not None:
            votes[one.pair].append(one.same)
    return votes


def majority(votes: Sequence[bool]) -> bool | None:
    """Return what is agreed: by all, or by more than half of three or more; else None."""
    yes = sum(votes)
    if yes in (0, len(votes)):
        return bool(yes) if votes else None
    if len(votes) < 3 or 2 * yes == len(votes):
        return None
    return 2 * yes > len(votes)
