"""Replay: stored pages are read again, without a network, after a recipe or the extractor changed.

A page carries the digest of what read it; only pages that another reader read are read again, so that a replay that
was killed goes on where it was. Items and pictures are updated, what they were before is kept, links that the pages
turn out to have become rows to ask for. Nothing is requested.
"""

from __future__ import annotations

import gzip
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from dataclasses import dataclass, field, fields
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from tamis import schema
from tamis.blobs import BlobCorrupt, BlobMissing, BlobStore
from tamis.config import CrawlSettings, Settings, SourceSettings
from tamis.crawl.frontier import PageResult, PageTask, insert_pages
from tamis.crawl.history import vanish
from tamis.crawl.items import save_items
from tamis.crawl.outcomes import standing
from tamis.crawl.places import page_places
from tamis.crawl.reading import Place, read_page, settle, stored_answer
from tamis.crawl.report import Progress
from tamis.crawl.yields import FIELDS, Yield, record_replay
from tamis.database import reading, retrying, writing
from tamis.engine.lease import Lease, held
from tamis.engine.run import worker_count
from tamis.errors import Interrupted, TamisError
from tamis.project import Project, open_store
from tamis.recipes.library import load_recipe
from tamis.settingsfile import load_settings

#: Pages that are read and committed together.
BATCH = 32
#: Fewer pages are read in this process.
_WORTH_PROCESSES = 200

_page = schema.page


@dataclass
class ReplayReport:
    """What a replay did: pages read, items that are new, changed or no longer there, URLs that became rows."""

    pages: int = 0
    unreadable: int = 0
    items: int = 0
    changed: int = 0
    vanished: int = 0
    pictures: int = 0
    links: int = 0
    current: int = 0
    seconds: float = 0.0
    warnings: list[str] = field(default_factory=list)


def replay(project: Project, *, progress: Progress | None = None, stop: threading.Event | None = None) -> ReplayReport:
    """Read all stored pages again that another recipe or extractor read, and return what that changed.

    Raises:
        BusyError: another process replays this project.
        Interrupted: `stop` was set; what was read is committed.
    """
    began = time.monotonic()
    places, rows = page_places(project)
    with held(project.engine, "replay") as lease:
        run = _Replay(project, places, rows, lease)
        total = run.count(due=True)
        run.report.current = run.count(due=False)
        with ExitStack() as stack:
            for results in _read_all(project, places, run.batches(), total, stack):
                run.commit(results)
                if progress is not None:
                    progress(run.report.pages, total, f"{run.report.changed} items changed")
                if stop is not None and stop.is_set():
                    raise Interrupted(f"stopped; {run.report.pages} pages were read again")
        run.report.warnings = run.record_yields()
    run.report.seconds = time.monotonic() - began
    return run.report


class _Replay:
    """The database's side: pages that are due, and results that are written."""

    def __init__(self, project: Project, places: dict[int, Place], rows: dict[int, sa.Row[Any]], lease: Lease) -> None:
        self._project, self._places, self._rows, self._lease = project, places, rows, lease
        self._began = time.time()
        self._yields: dict[int, Yield] = {}
        self.report = ReplayReport()

    def _stored(self, source_id: int, *, due: bool) -> sa.ColumnElement[bool]:
        reader = self._places[source_id].reader
        current = _page.c.reader == reader
        outdated = sa.or_(_page.c.reader.is_(None), _page.c.reader != reader)
        return sa.and_(
            _page.c.source_id == source_id,
            _page.c.outcome == "ok",
            _page.c.body_sha256.is_not(None),
            outdated if due else current,
        )

    def count(self, *, due: bool) -> int:
        """Stored pages that are due, or that were read by the present reader."""
        with reading(self._project.engine) as connection:
            query = sa.select(sa.func.count()).select_from(_page)
            return sum(connection.execute(query.where(self._stored(n, due=due))).scalar_one() for n in self._places)

    def batches(self) -> Iterator[list[PageTask]]:
        """The pages that are due, in the order of their numbers."""
        columns = [_page.c[part.name] for part in fields(PageTask)]
        for number in self._places:
            after = 0
            while True:
                query = (
                    sa.select(*columns)
                    .where(self._stored(number, due=True), _page.c.id > after)
                    .order_by(_page.c.id)
                    .limit(BATCH)
                )
                with reading(self._project.engine) as connection:
                    tasks = [PageTask(*row) for row in connection.execute(query)]
                if not tasks:
                    break
                after = tasks[-1].id
                yield tasks

    def commit(self, results: Sequence[tuple[PageTask, PageResult]]) -> None:
        """Write what a batch of pages told, in one transaction."""
        counts, yields = retrying(lambda: self._commit_once(results))
        for name, count in counts.items():
            setattr(self.report, name, getattr(self.report, name) + count)
        for number, found in yields.items():
            self._yields.setdefault(number, Yield()).add(found)

    def _commit_once(self, results: Sequence[tuple[PageTask, PageResult]]) -> tuple[Counter[str], dict[int, Yield]]:
        counts: Counter[str] = Counter()
        yields: dict[int, Yield] = {}
        with writing(self._project.engine) as connection:
            self._lease.check(connection)
            ids = [task.id for task, _ in results]
            query = sa.select(_page.c.id, _page.c.body_sha256).where(_page.c.id.in_(ids)).with_for_update()
            bodies = {row.id: row.body_sha256 for row in connection.execute(query)}
            for task, result in results:
                if bodies.get(task.id) != task.body_sha256:
                    continue  # a crawler has read a newer version meanwhile
                counts["pages"] += 1
                counts["unreadable"] += result.outcome != "ok"
                vanished = self._write(connection, task, result, counts)
                expected = bool(vanished) or task.kind == "item" or result.item is not None
                _count_yield(yields.setdefault(task.source_id, Yield()), result, expected=expected)
        return counts, yields

    def _write(self, connection: Connection, task: PageTask, result: PageResult, counts: Counter[str]) -> int:
        """Write one page, and return how many items are no longer there."""
        links = [*result.links, *([result.redirect] if result.redirect else [])]
        counts["links"] += len(insert_pages(connection, links, task.source_id, task.id))
        vanished = 0
        if result.item is not None:
            row = self._rows[task.source_id]
            saved = save_items(connection, row, [result.item], self._began, cause="replay")
            counts.update(items=saved.new_items, changed=saved.changed_items, pictures=saved.new_pictures)
        elif result.outcome != "unreadable":
            on_page = schema.item.c.page_id == task.id
            reason = result.reason or f"its page is read as {result.kind}"
            vanished = vanish(connection, on_page, time.time(), reason, cause="replay")
        counts["vanished"] += vanished
        read = {"kind": result.kind, "reader": self._places[task.source_id].reader}
        connection.execute(sa.update(_page).where(_page.c.id == task.id).values(**read))
        return vanished

    def record_yields(self) -> list[str]:
        """Write down what each source gave, and return the warnings."""
        warnings: list[str] = []
        for number, found in self._yields.items():

            def write(number: int = number, found: Yield = found) -> list[str]:
                with writing(self._project.engine) as connection:
                    return record_replay(connection, self._rows[number], self._began, found)

            warnings += retrying(write)
        return warnings


def _count_yield(total: Yield, result: PageResult, *, expected: bool) -> None:
    total.expected += int(expected)
    if result.item is not None:
        total.items += 1
        item = result.item.item
        total.fields.update(name for name in FIELDS if name != "pictures" and getattr(item, name) not in (None, ""))
        total.fields["pictures"] += bool(result.item.pictures)


# --- reading ------------------------------------------------------------------------------------------------------


def _read_all(
    project: Project, places: dict[int, Place], batches: Iterator[list[PageTask]], total: int, stack: ExitStack
) -> Iterator[list[tuple[PageTask, PageResult]]]:
    workers = worker_count(project)
    if total < _WORTH_PROCESSES or workers == 1:
        for batch in batches:
            yield _read_batch(batch, places, project.settings.crawl, project.blobs)
        return
    recipes = {number: (place.name, place.reader) for number, place in places.items()}
    pool = stack.enter_context(
        ProcessPoolExecutor(workers, get_context("spawn"), initializer=_prepare, initargs=(project.folder, recipes))
    )
    stack.callback(pool.shutdown, wait=False, cancel_futures=True)
    waiting: list[Any] = []
    try:
        for batch in batches:
            waiting.append(pool.submit(_read_in_worker, batch))
            if len(waiting) > 2 * workers:
                yield waiting.pop(0).result()
        while waiting:
            yield waiting.pop(0).result()
    except BrokenProcessPool as error:
        raise TamisError(
            "a worker process died while it read a stored page; `project.workers = 1` tells more"
        ) from error


_worker: tuple[dict[int, Place], Settings, BlobStore] | None = None


def _prepare(folder: Path, recipes: dict[int, tuple[str, str]]) -> None:
    """Make a worker process ready: it reads the settings by itself, since compiled recipes don't travel."""
    global _worker  # noqa: PLW0603 - the state of a worker process
    settings = load_settings(folder)
    places = {number: _place(name, settings.source[name], folder, reader) for number, (name, reader) in recipes.items()}
    _worker = (places, settings, open_store(settings.project.store, folder))


def _place(name: str, given: SourceSettings, folder: Path, reader: str) -> Place:
    return Place(name, given, load_recipe(given.recipe, folder, given.address), reader)


def _read_in_worker(batch: Sequence[PageTask]) -> list[tuple[PageTask, PageResult]]:
    assert _worker is not None
    places, settings, blobs = _worker
    return _read_batch(batch, places, settings.crawl, blobs)


def _read_batch(
    batch: Sequence[PageTask], places: dict[int, Place], settings: CrawlSettings, blobs: BlobStore
) -> list[tuple[PageTask, PageResult]]:
    return [(task, _read_again(task, places[task.source_id], settings, blobs)) for task in batch]


def _read_again(task: PageTask, place: Place, settings: CrawlSettings, blobs: BlobStore) -> PageResult:
    """Read one stored page; what cannot be read any more is an outcome with its reason."""
    now = time.time()
    try:
        answer = stored_answer(task, blobs, now, {})
        return read_page(task, answer, place, settings, blobs)
    except (BlobMissing, BlobCorrupt, OSError, EOFError, gzip.BadGzipFile) as error:
        return settle(task, standing("unreadable", f"its stored body is lost: {error}"), settings, now)
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        reason = f"the page reader failed: {type(error).__name__}: {error}"
        return settle(task, standing("unreadable", reason), settings, now)
