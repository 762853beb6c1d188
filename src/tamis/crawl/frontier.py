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
from tamis.crawl.history import vanish
from tamis.crawl.hosts import HeldHost, HostTable, ensure_hosts, forget_pauses
from tamis.crawl.items import FoundItem, Saved, save_items
from tamis.crawl.outcomes import MAX_REDIRECTS
from tamis.crawl.pictures import retry_pictures
from tamis.crawl.traps import STREAK, form_of
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
    """A URL to request; `kind` is what the page that links there takes it for, `refusal` why it is not followed."""

    url: str
    kind: str
    priority: int
    depth: int
    is_paging: bool = False
    refusal: str | None = None


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
    outcome: str | None = None
    found: int | None = None
    status: int | None = None
    content_type: str | None = None
    directives: str | None = None
    body_sha256: str | None = None
    etag: str | None = None
    last_modified: str | None = None
    listed_at: float | None = None

    @property
    def linked_as(self) -> str:
        """What links take the page for, also after it was read as something else."""
        return "item" if self.listed_at is not None else self.kind

    @property
    def validators(self) -> dict[str, str]:
        """Headers that ask for the page only if it changed (RFC 9110, section 13.1); none without its stored body."""
        if self.outcome != "ok" or self.body_sha256 is None:
            return {}
        stated = {"If-None-Match": self.etag, "If-Modified-Since": self.last_modified}
        return {name: value for name, value in stated.items() if value and value.isascii() and value.isprintable()}


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
    is_repeat: bool = False
    """Whether it is the same body as the page of this form before it."""
    columns: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Committed:
    """What a commit wrote: the result as it stands, what it saved, and what the page brought (column `found`)."""

    result: PageResult
    saved: Saved
    found: int


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
        """Pages of a host that may be asked for at the time `now`: the highest priority first, then the oldest."""
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

    def taken_by_source(self) -> dict[int, tuple[int, int]]:
        """Pages of each source that were asked for in its pass so far, and the bytes of their answers."""
        query = (
            sa.select(_page.c.source_id, sa.func.count(), sa.func.coalesce(sa.func.sum(_page.c.size), 0))
            .where(_page.c.source_id.in_(list(self.sources)), _page.c.attempts > 0)
            .group_by(_page.c.source_id)
        )
        with reading(self._engine) as connection:
            return {int(number): (int(count), int(size)) for number, count, size in connection.execute(query)}

    def latest_found(self, host: str, form: str) -> list[int]:
        """What the latest pages of a form brought, newest first, as many as make a trap."""
        query = (
            sa.select(_page.c.found)
            .where(_page.c.host == host, _page.c.form == form, _page.c.found.is_not(None))
            .order_by(_page.c.fetched_at.desc())
            .limit(STREAK)
        )
        with reading(self._engine) as connection:
            return [int(found) for found in connection.execute(query).scalars()]

    def refuse_form(self, host: HeldHost, form: str, reason: str) -> int:
        """Settle all pending pages of a form as a trap, without a request; return how many those were.

        Raises:
            LeaseLost: another crawler has the host by now; nothing is written.
        """

        def write() -> int:
            with writing(self._engine) as connection:
                self._hosts.save(connection, host)
                pending = self._pending(_page.c.host == host.name, _page.c.form == form)
                trap = {"state": "done", "outcome": "trap", "reason": reason}
                return connection.execute(sa.update(_page).where(pending).values(**trap)).rowcount

        return retrying(write)

    def commit(self, task: PageTask, result: PageResult, host: HeldHost) -> Committed:
        """Write what came of a page in one transaction; return it as it stands in the database.

        Raises:
            LeaseLost: another crawler has the host by now; nothing is written.
        """
        return retrying(lambda: self._commit_once(task, result, host))

    def _commit_once(self, task: PageTask, result: PageResult, host: HeldHost) -> Committed:
        with writing(self._engine) as connection:
            self._hosts.save(connection, host)
            began = round_began(connection, task.source_id)
            # Another machine's clock may be ahead of this one's: no answer is older than the pass that asked for it.
            result = replace(result, fetched_at=max(result.fetched_at, began))
            result = _judge_redirect(connection, task, result)
            links = [*result.links, *([result.redirect] if result.redirect else [])]
            saved = Saved(0, 0)
            items = [*result.listed, *([result.item] if result.item is not None else [])]
            if items:
                saved = save_items(connection, self.sources[task.source_id][0], items, result.fetched_at)
            if not saved.new_items:
                links = _without_barren_paging(connection, task, links, began)
            fresh = insert_pages(connection, links, task.source_id, task.id)
            if result.kind == "results":
                note_listed(connection, [link.url for link in links if link.kind == "item"], result.fetched_at, began)
            if task.kind not in LISTS and (reason := _end_of_item(result)):
                vanish(connection, schema.item.c.page_id == task.id, result.fetched_at, reason)
            columns = dict(result.columns)
            found = 0
            if result.requested and result.state == "done":
                form = form_of(task.url)
                brought = sum(form_of(url) != form for url in fresh) + (result.item is not None)
                brought += saved.new_items if result.listed else 0
                found = columns["found"] = 0 if result.is_repeat else (task.found or 0) + brought
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
                    **columns,
                )
            )
        return Committed(result, saved, found)


def _end_of_item(result: PageResult) -> str | None:
    """Why an item that the page showed is no longer for sale, or None."""
    if result.outcome in ("not_found", "gone"):
        return result.reason or result.outcome
    if result.outcome == "redirected" and result.redirect is not None:
        return f"its page leads {result.reason}"
    return None


def round_began(connection: Connection, source_id: int) -> float:
    """When the pass over a source's pages began; 0 for the first one."""
    query = sa.select(schema.source.c.round_began_at).where(schema.source.c.id == source_id)
    return float(connection.execute(query).scalar_one_or_none() or 0.0)


def insert_pages(connection: Connection, links: Sequence[Link], source_id: int, found_on: int | None) -> list[str]:
    """Make rows for URLs that have none yet, and return those that are to be requested."""
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
            "form": form_of(link.url),
            "kind": link.kind,
            "state": "done" if link.refusal else "pending",
            "outcome": "trap" if link.refusal else None,
            "reason": link.refusal,
            "depth": link.depth,
            "priority": link.priority,
            "found_on": found_on,
            "attempts": 0,
            "not_before": 0.0,
        }
        for key, link in fresh.items()
    ]
    insert_new(connection, _page, rows)
    return [link.url for link in fresh.values() if not link.refusal]


def note_listed(connection: Connection, urls: Sequence[str], now: float, began: float) -> None:
    """Note that a result page lists URLs; those that were gone in an earlier pass are asked for again."""
    for part in chunks(sorted(map(url_key, urls))):
        listed = _page.c.url_key.in_(part)
        connection.execute(sa.update(_page).where(listed).values(listed_at=now))
        gone = sa.and_(_page.c.outcome.in_(("not_found", "gone")), _page.c.fetched_at < began)
        again = {"state": "pending", "attempts": 0, "not_before": 0.0}
        connection.execute(sa.update(_page).where(listed, gone, _page.c.state == "done").values(**again))


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
        redirects = (_page.c.url_key == key, _page.c.state == "done", _page.c.outcome == "redirected")
        query = sa.select(_page.c.reason).where(*redirects)
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


def _without_barren_paging(connection: Connection, task: PageTask, links: list[Link], began: float) -> list[Link]:
    """Leave out the next result page when this one and those before it listed nothing new in this pass.

    Sites that answer any page number with their last results would be paged through without end.
    """
    paging = [link for link in links if link.is_paging]
    listed = [url_key(link.url) for link in links if not link.is_paging]
    if not paging or _any_new(connection, listed, began):
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


def _any_new(connection: Connection, keys: Sequence[str], began: float) -> bool:
    """Whether a URL has no row yet, or was listed in earlier passes alone."""
    for part in chunks(keys):
        listed = sa.true() if began == 0.0 else _page.c.listed_at >= began
        query = sa.select(sa.func.count()).where(_page.c.url_key.in_(part), listed)
        if connection.execute(query).scalar_one() < len(set(part)):
            return True
    return False
