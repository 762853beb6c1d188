"""The frontier: table `page` holds every URL before it is requested, and what came of it.

What a page told is committed whole: its row, its new links, its item with the pictures, and the pace and the lease
of its host are one transaction. A crawler that is killed leaves its pages pending.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from tamis import schema
from tamis.config import SourceSettings
from tamis.crawl.hosts import HeldHost, HostTable, ensure_hosts, forget_pauses
from tamis.crawl.items import FoundItem, Saved, save_items
from tamis.crawl.outcomes import MAX_REDIRECTS
from tamis.crawl.pictures import retry_pictures
from tamis.crawl.urls import host_of, url_key
from tamis.database import chunks, insert_new, reading, retrying, writing
from tamis.project import Project

#: Result pages in a row that list nothing new, after which paging is not followed any further.
MAX_BARREN = 3
#: Kind of a page that lists all products of a site as data, so that the site's own pages need not be crawled.
FEED = "feed"
#: Kinds of pages that list items.
LISTS = ("results", FEED)
#: How the reason of a redirected page begins; its target follows.
REDIRECTED_TO = "to "

_page = schema.page


@dataclass(frozen=True, slots=True)
class Link:
    """A URL to request; `kind` is what the page that links there takes it for."""

    url: str
    kind: str
    priority: int
    depth: int
    is_paging: bool = False


@dataclass(frozen=True, slots=True)
class PageTask:
    """A row of the frontier that is to be requested."""

    id: int
    url: str
    url_key: str
    source_id: int
    host: str
    kind: str
    depth: int
    priority: int
    attempts: int
    found_on: int | None


@dataclass(frozen=True, slots=True)
class PageResult:
    """What came of one request. `columns` are further columns of table `page`."""

    state: str
    outcome: str
    reason: str | None
    kind: str
    fetched_at: float
    not_before: float = 0.0
    requested: bool = True
    links: tuple[Link, ...] = ()
    redirect: Link | None = None
    item: FoundItem | None = None
    listed: tuple[FoundItem, ...] = ()
    """Items that a result page holds whole."""
    columns: Mapping[str, Any] = field(default_factory=dict)


class Frontier:
    """The pages of the sources that are crawled now; `sources` maps their ids to rows and settings."""

    def __init__(
        self, engine: Engine, hosts: HostTable, sources: Mapping[int, tuple[sa.Row[Any], SourceSettings]]
    ) -> None:
        self._engine = engine
        self._hosts = hosts
        self.sources = sources

    def _pending(self, *more: sa.ColumnElement[bool]) -> sa.ColumnElement[bool]:
        return sa.and_(_page.c.state == "pending", _page.c.source_id.in_(list(self.sources)), *more)

    def hosts_with_work(self) -> dict[str, float]:
        """Hosts that have pending pages, each with the time at which the first of them may be asked for."""
        query = sa.select(_page.c.host, sa.func.min(_page.c.not_before)).where(self._pending()).group_by(_page.c.host)
        with reading(self._engine) as connection:
            return {host: float(earliest) for host, earliest in connection.execute(query)}

    def due(self, host: str, now: float, under_way: Collection[int], limit: int) -> list[PageTask]:
        """Pages of a host that may be asked for now, those of the highest priority first, the oldest first."""
        names = [part.name for part in fields(PageTask)]
        query = (
            sa.select(*(_page.c[name] for name in names))
            .where(self._pending(_page.c.host == host, _page.c.not_before <= now))
            .order_by(_page.c.priority.desc(), _page.c.id)
            .limit(limit + len(under_way))
        )
        with reading(self._engine) as connection:
            found = [PageTask(*row) for row in connection.execute(query)]
        return [task for task in found if task.id not in under_way][:limit]

    def count_pending(self) -> int:
        """Pages that are still to be asked for."""
        with reading(self._engine) as connection:
            return connection.execute(sa.select(sa.func.count()).where(self._pending())).scalar_one()

    def requested_by_source(self) -> dict[int, int]:
        """Pages of each source that were asked for so far."""
        query = (
            sa.select(_page.c.source_id, sa.func.count())
            .where(_page.c.source_id.in_(list(self.sources)), _page.c.attempts > 0)
            .group_by(_page.c.source_id)
        )
        with reading(self._engine) as connection:
            return {int(number): int(count) for number, count in connection.execute(query)}

    def commit(self, task: PageTask, result: PageResult, host: HeldHost) -> tuple[PageResult, Saved]:
        """Write what came of a page in one transaction; return it as it stands in the database.

        Raises:
            LeaseLost: another crawler has the host by now; nothing is written.
        """
        return retrying(lambda: self._commit_once(task, result, host))

    def _commit_once(self, task: PageTask, result: PageResult, host: HeldHost) -> tuple[PageResult, Saved]:
        with writing(self._engine) as connection:
            self._hosts.save(connection, host)
            result = _judge_redirect(connection, task, result)
            links = [*result.links, *([result.redirect] if result.redirect else [])]
            saved = Saved(0, 0)
            found = [*result.listed, *([result.item] if result.item is not None else [])]
            if found:
                saved = save_items(connection, self.sources[task.source_id][0], found, result.fetched_at)
            if not saved.new_items:
                links = _without_barren_paging(connection, task, links)
            insert_pages(connection, links, task.source_id, task.id)
            if result.outcome in ("not_found", "gone"):
                vanished = sa.update(schema.item).where(
                    schema.item.c.page_id == task.id, schema.item.c.vanished_at.is_(None)
                )
                connection.execute(vanished.values(vanished_at=result.fetched_at))
            connection.execute(
                sa.update(_page)
                .where(_page.c.id == task.id)
                .values(
                    state=result.state,
                    outcome=result.outcome,
                    reason=result.reason,
                    kind=result.kind,
                    attempts=_page.c.attempts + int(result.requested),
                    not_before=result.not_before,
                    fetched_at=result.fetched_at if result.requested else _page.c.fetched_at,
                    **result.columns,
                )
            )
        return result, saved


def insert_pages(connection: Connection, links: Sequence[Link], source_id: int, found_on: int | None) -> int:
    """Make rows for URLs that have none yet, and return how many those were."""
    by_key = {url_key(link.url): link for link in links}
    known: set[str] = set()
    for part in chunks(sorted(by_key)):
        known.update(connection.execute(sa.select(_page.c.url_key).where(_page.c.url_key.in_(part))).scalars())
    fresh = {key: link for key, link in by_key.items() if key not in known}
    ensure_hosts(connection, {host_of(link.url) for link in fresh.values()})
    rows = [
        {
            "url_key": key,
            "url": link.url,
            "source_id": source_id,
            "host": host_of(link.url),
            "kind": link.kind,
            "state": "pending",
            "depth": link.depth,
            "priority": link.priority,
            "found_on": found_on,
            "attempts": 0,
            "not_before": 0.0,
        }
        for key, link in fresh.items()
    ]
    insert_new(connection, _page, rows)
    return len(rows)


def retry_failed(project: Project, step: str) -> int:
    """Make the failed rows of step `crawl` or `download` pending again; return how many those were."""
    return retry_pages(project.engine) if step == "crawl" else retry_pictures(project.engine)


def retry_pages(engine: Engine) -> int:
    """Make all failed pages pending again and let paused hosts be asked; return how many pages that were."""
    with writing(engine) as connection:
        changed = connection.execute(
            sa.update(_page).where(_page.c.state == "failed").values(state="pending", attempts=0, not_before=0.0)
        )
        connection.execute(sa.update(_page).where(_page.c.state == "pending").values(not_before=0.0))
        forget_pauses(connection)
    return changed.rowcount


def _judge_redirect(connection: Connection, task: PageTask, result: PageResult) -> PageResult:
    """Turn a redirect that leads in a circle, or one too many, into a loop."""
    if result.redirect is None:
        return result
    if _leads_to(connection, result.redirect.url, task.url_key):
        reason = f"leads back to itself by {result.redirect.url}"
    elif _redirects_before(connection, task) >= MAX_REDIRECTS:
        reason = f"more than {MAX_REDIRECTS} redirects"
    else:
        return result
    return replace(result, outcome="redirect_loop", reason=reason, redirect=None)


def _leads_to(connection: Connection, url: str, wanted: str) -> bool:
    """Whether the redirects that are known so far lead from a URL to the page with the key `wanted`."""
    for _ in range(MAX_REDIRECTS):
        key = url_key(url)
        if key == wanted:
            return True
        query = sa.select(_page.c.reason).where(_page.c.url_key == key, _page.c.outcome == "redirected")
        reason = connection.execute(query).scalar_one_or_none()
        if reason is None:
            return False
        url = reason.removeprefix(REDIRECTED_TO)
    return False


def _redirects_before(connection: Connection, task: PageTask) -> int:
    """How many redirects in a row led to a page."""
    count, parent = 0, task.found_on
    while parent is not None and count < MAX_REDIRECTS:
        query = sa.select(_page.c.found_on, _page.c.outcome).where(_page.c.id == parent)
        row = connection.execute(query).one_or_none()
        if row is None or row.outcome != "redirected":
            break
        count, parent = count + 1, row.found_on
    return count


def _without_barren_paging(connection: Connection, task: PageTask, links: list[Link]) -> list[Link]:
    """Leave out the next result page when this one and those before it listed nothing new.

    Sites that answer any page number with their last results would be paged through without end.
    """
    paging = [link for link in links if link.is_paging]
    listed = [url_key(link.url) for link in links if not link.is_paging]
    if not paging or _any_new(connection, listed):
        return links
    number: int | None = task.found_on
    for _ in range(MAX_BARREN - 1):
        parent = connection.execute(sa.select(_page.c.kind, _page.c.found_on).where(_page.c.id == number)).one_or_none()
        if parent is None or parent.kind not in LISTS:
            return links
        children = sa.select(_page.c.id).where(_page.c.found_on == number, _page.c.kind.not_in(LISTS)).limit(1)
        items = sa.select(schema.item.c.id).where(schema.item.c.page_id == number).limit(1)
        if any(connection.execute(query).first() is not None for query in (children, items)):
            return links
        number = parent.found_on
    return [link for link in links if not link.is_paging]


def _any_new(connection: Connection, keys: Sequence[str]) -> bool:
    for part in chunks(keys):
        found = connection.execute(sa.select(sa.func.count()).where(_page.c.url_key.in_(part))).scalar_one()
        if found < len(set(part)):
            return True
    return False
