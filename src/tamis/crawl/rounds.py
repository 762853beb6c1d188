"""Passes over a source: `tamis crawl --again` begins one, and its end tells what came, changed and went.

A pass is a number and two times in table `source`. Its pages are rows that became pending again, so that a kill loses
none of it; what it found is worked out from the items and their history.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from tamis import schema
from tamis.config import ASKED
from tamis.crawl.history import ItemChange, last_vanish_causes, record, vanish
from tamis.database import chunks, reading, retrying, writing
from tamis.project import Project

#: Outcomes that another visit may change. What is gone is asked for again when a result page lists it again.
REVISITED = (
    "ok", "redirected", "redirect_loop", "robots", "noai", "noindex", "none", "unreadable", "forbidden", "refused",
    "blocked",
)  # fmt: skip
#: A result list that lost more than this share of its items at once, and more than so many, is read wrongly.
_CREDIBLE_SHARE, _CREDIBLE_COUNT = 0.5, 10
NOT_LISTED = "no result page lists it any more"

_page, _item, _source, _change = schema.page, schema.item, schema.source, schema.item_change


@dataclass(frozen=True, slots=True)
class PassCounts:
    """The items of a source's latest pass; `ended` is false while pages of it are left to ask for."""

    source: str
    number: int
    ended: bool
    new: int
    changed: int
    unchanged: int
    vanished: int
    returned: int


def begin_passes(project: Project, older_than: float = 0.0) -> dict[str, int]:
    """Make the pages of all page sources due again, and return how many are due, by source.

    Pages that were answered in the last `older_than` seconds are left out. A pass that was not finished goes on: what
    it asked for already is not asked for again.
    """
    from tamis.crawl.places import page_places  # noqa: PLC0415 - `status` counts passes and needs no crawler

    places, _ = page_places(project)
    due: dict[str, int] = {}
    for number, place in places.items():
        revisited = (*REVISITED, *(() if place.settings.refuse_traps else ("trap",)))

        def begin(number: int = number, revisited: tuple[str, ...] = revisited) -> int:
            with writing(project.engine) as connection:
                return _begin(connection, number, revisited, older_than)

        due[place.name] = retrying(begin)
    return due


def _begin(connection: Connection, source_id: int, revisited: Collection[str], older_than: float) -> int:
    row = connection.execute(sa.select(_source).where(_source.c.id == source_id).with_for_update()).one()
    if row.round == 1 or row.round_ended_at is not None:
        now = time.time()
        begins = {"round": row.round + 1, "round_began_at": now, "round_ended_at": None}
        connection.execute(sa.update(_source).where(_source.c.id == source_id).values(**begins))
        seen = sa.or_(_page.c.fetched_at.is_(None), _page.c.fetched_at <= now - older_than)
        settled = sa.or_(
            sa.and_(_page.c.state == "done", _page.c.outcome.in_(list(revisited))), _page.c.state == "failed"
        )
        again = {"state": "pending", "attempts": 0, "not_before": 0.0}
        connection.execute(sa.update(_page).where(_page.c.source_id == source_id, settled, seen).values(**again))
    return _count_pages(connection, source_id, _page.c.state == "pending")


def _count_pages(connection: Connection, source_id: int, *conditions: sa.ColumnElement[bool]) -> int:
    query = sa.select(sa.func.count()).select_from(_page).where(_page.c.source_id == source_id, *conditions)
    return int(connection.execute(query).scalar_one())


def end_passes(project: Project, spent: Collection[str] = ()) -> list[str]:
    """End the passes that have nothing left to ask for, or whose source is in `spent`; return warnings.

    Items that no result page of the pass listed have vanished, and those that are listed again have returned, if all
    result pages were read.
    """
    from tamis.crawl.places import page_places  # noqa: PLC0415 - `status` counts passes and needs no crawler

    places, _ = page_places(project)
    warnings: list[str] = []
    for number, place in places.items():

        def end(number: int = number, name: str = place.name) -> str | None:
            with writing(project.engine) as connection:
                return _end(connection, number, name, is_spent=name in spent)

        if warning := retrying(end):
            warnings.append(warning)
    return warnings


def _end(connection: Connection, source_id: int, name: str, *, is_spent: bool) -> str | None:
    row = connection.execute(sa.select(_source).where(_source.c.id == source_id).with_for_update()).one()
    pending = _count_pages(connection, source_id, _page.c.state == "pending")
    if pending and not is_spent:
        return None
    if row.round_ended_at is not None and not _count_pages(
        connection, source_id, _page.c.fetched_at > row.round_ended_at
    ):
        return None
    now = time.time()
    connection.execute(sa.update(_source).where(_source.c.id == source_id).values(round_ended_at=now))
    began = row.round_began_at
    if began is None or pending or not _lists_were_read(connection, source_id, began):
        return None
    return _sweep(connection, source_id, name, began, now)


def _lists_were_read(connection: Connection, source_id: int, began: float) -> bool:
    """Whether the pass read every result page, so that what none of them lists is not listed."""
    is_list = _page.c.kind.in_(("results", "unknown", "other"))
    unread = sa.or_(
        _page.c.state != "done",
        sa.and_(_page.c.outcome == "ok", _page.c.kind == "results", _page.c.fetched_at < began),
        _page.c.outcome.in_(("blocked", "robots", "forbidden")),
    )
    read = _count_pages(connection, source_id, _page.c.kind == "results", _page.c.outcome == "ok")
    return read > 0 and not _count_pages(connection, source_id, is_list, unread)


def _sweep(connection: Connection, source_id: int, name: str, began: float, now: float) -> str | None:
    pages = sa.select(_page.c.id).where(_page.c.source_id == source_id, _page.c.listed_at.is_not(None))
    _relist(connection, pages.where(_page.c.listed_at >= began, _page.c.outcome == "ok"), now)
    lists = sa.select(_page.c.id).where(_page.c.source_id == source_id, _page.c.kind == "results")
    unlisted = sa.or_(
        _item.c.page_id.in_(pages.where(_page.c.listed_at < began)),
        sa.and_(_item.c.page_id.in_(lists), _item.c.last_seen < began),
    )
    alive = sa.select(sa.func.count()).select_from(_item).where(
        _item.c.source_id == source_id, _item.c.vanished_at.is_(None)
    )  # fmt: skip
    total = connection.execute(alive).scalar_one()
    gone = connection.execute(alive.where(unlisted)).scalar_one()
    if gone > max(_CREDIBLE_COUNT, _CREDIBLE_SHARE * total):
        return (
            f"source {name}: {gone} of {total} items are not listed any more; that many at once look like result pages "
            "that are read wrongly, so they are not taken for vanished"
        )
    vanish(connection, unlisted, now, NOT_LISTED, cause="listing")
    return None


def _relist(connection: Connection, pages: sa.Select[tuple[int]], now: float) -> None:
    """Bring back the items that had vanished because they were not listed, and are listed again."""
    query = sa.select(_item.c.id).where(_item.c.page_id.in_(pages), _item.c.vanished_at.is_not(None))
    causes = last_vanish_causes(connection, connection.execute(query).scalars().all())
    back = [number for number, cause in causes.items() if cause == "listing"]
    for part in chunks(back):
        connection.execute(sa.update(_item).where(_item.c.id.in_(part)).values(vanished_at=None))
    record(connection, [ItemChange(number, now, "returned", "listing") for number in back])


def pass_counts(project: Project) -> list[PassCounts]:
    """What the latest pass over each source brought."""
    with reading(project.engine) as connection:
        query = sa.select(_source).where(_source.c.kind.in_(ASKED)).order_by(_source.c.name)
        rows = connection.execute(query).all()
        return [_counts(connection, row) for row in rows]


def _counts(connection: Connection, row: sa.Row[Any]) -> PassCounts:
    began = row.round_began_at or 0.0

    seen, gone = _item.c.last_seen >= began, _item.c.vanished_at
    kept = [_item.c.first_seen >= began, seen, gone >= began, sa.and_(seen, gone.is_not(None))]
    totals = sa.select(*(sa.func.coalesce(sa.func.sum(sa.case((one, 1), else_=0)), 0) for one in kept))
    counted = connection.execute(totals.where(_item.c.source_id == row.id)).one()
    new, met, vanished, met_and_gone = (int(count) for count in counted)
    changes = (
        sa.select(_change.c.kind, sa.func.count(sa.distinct(_change.c.item_id)))
        .join(_item, _change.c.item_id == _item.c.id)
        .where(_item.c.source_id == row.id, _change.c.at >= began, _change.c.cause != "replay")
        .where(sa.or_(_change.c.kind != "changed", _item.c.first_seen < began))
        .group_by(_change.c.kind)
    )
    kinds = {str(kind): int(count) for kind, count in connection.execute(changes)}
    changed, returned = kinds.get("changed", 0), kinds.get("returned", 0)
    # Items whose page still answers, and which no result page lists any more, were met and are no longer there.
    unchanged = max(met - new - changed - returned - met_and_gone, 0)
    return PassCounts(row.name, row.round, row.round_ended_at is not None, new, changed, unchanged, vanished, returned)
