"""`fetch`: reads the list, deals the URLs out to workers, and writes down what comes back."""

from __future__ import annotations

import re
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import islice
from multiprocessing.connection import wait
from pathlib import Path
from zlib import crc32

from tamis.errors import Interrupted, TamisError, UserError
from tamis.fetch.links import Link
from tamis.fetch.lists import Row, load_parquet, open_list
from tamis.fetch.options import Batch, FetchOptions, Result, Spool, Task
from tamis.fetch.shards import Sealing, match_files
from tamis.fetch.state import FolderState
from tamis.fetch.table import warm_up, write_table
from tamis.fetch.writers import spool_path

Progress = Callable[[int, int | None, str], None]

#: Rows of the list that are noted at once, and URLs that wait in memory to be dealt out.
_REGISTER, _READ_AHEAD = 2_000, 50_000
#: So many URLs are asked for without any process of their own.
_FEW = 32
#: From so many URLs on, a host is asked by all workers.
_SHARED_FROM = 100
#: Shards that a worker may have open: one that it writes to, and the next.
_SPOOLS = 2
#: Seconds between two calls of `progress`; failures that the report lists; deaths of workers that end the run.
_TELL_SECONDS, _LISTED, _MAX_DEATHS = 0.5, 20, 100
_HOST = re.compile(r"//(?:[^/?#@]*@)?([^/?#]*)")


@dataclass(slots=True)
class FetchReport:
    """What a run did.

    `requested` counts the URLs that it settled, `ok` those that brought a picture, `skipped` rows of the list whose
    URL was settled before or stands in it twice. `bytes` are those served, `passing` failures that another run may
    mend; `failures` lists the first URLs that failed, with the reason.
    """

    requested: int = 0
    ok: int = 0
    failed: int = 0
    skipped: int = 0
    bytes: int = 0
    seconds: float = 0.0
    passing: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    failures: list[tuple[str, str]] = field(default_factory=list)
    table: Path | None = None


def fetch(
    urls: Path,
    out: Path,
    options: FetchOptions | None = None,
    *,
    url_column: str | None = None,
    retry_failed: bool = False,
    progress: Progress | None = None,
    stop: threading.Event | None = None,
) -> FetchReport:
    """Fetch the pictures of a list of URLs into a folder, and return what was done.

    URLs whose result is in the folder are not asked for again, with `retry_failed` those that failed are. The results
    of all URLs are in `results.parquet` (`results.csv` without pyarrow) afterwards. When `stop` is set or on Ctrl-C,
    what is under way is finished or dropped within seconds; the next run goes on.

    Raises:
        UserError: the list or the folder cannot be used.
        BusyError: another run works in the folder.
        Interrupted: it was stopped; all that was finished is kept.
    """
    options = options or FetchOptions()
    if options.form == "parquet":
        load_parquet()
    listed = open_list(urls, url_column=url_column)
    began = time.monotonic()
    try:
        with FolderState(out, options) as state:
            state.add_columns(listed.kinds)
            run = _Run(state, options, stop or threading.Event())
            run.put_right()
            run.work(listed.rows, retry_failed, progress)
            run.report.table = write_table(state, options)
            state.mark_running(False)
    except sqlite3.Error as error:
        raise UserError(f"{out}: the folder's state cannot be written: {error}") from error
    run.report.seconds = time.monotonic() - began
    if run.stopped:
        raise Interrupted(f"stopped; {run.report.ok} pictures of this run are kept in {out}")
    return run.report


class _Run:
    """One run: the list, the workers, and the state, which only this thread touches."""

    def __init__(self, state: FolderState, options: FetchOptions, stop: threading.Event) -> None:
        self._state, self._options, self._stop = state, options, stop
        self._links: list[Link] = []
        self._seen = Counter[str]()
        self._place = self._planned = self._deaths = 0
        self._all_read = self._all_dealt = self._careful = False
        self._sealer = ThreadPoolExecutor(1, thread_name_prefix="fetch-seal")
        self._sealing: list[Future[int]] = []
        self._told = 0.0
        self.report = FetchReport()
        self.stopped = False

    def put_right(self) -> None:
        """Finish what a killed run left undone."""
        self._careful = not self._state.mark_running(True)
        for spool, number in self._state.unsealed():
            self._seal(spool, number)
        if self._careful and self._options.form == "files":
            match_files(self._state)

    def work(self, rows: Iterator[Row], retry_failed: bool, progress: Progress | None) -> None:
        """Do all that the list asks for; or end, orderly, when told to stop."""
        try:
            try:
                self._loop(rows, retry_failed, progress)
            except KeyboardInterrupt:
                if self.stopped:
                    raise  # a second Ctrl-C ends at once
                self._stop.set()
                self._loop(rows, retry_failed, None)
            for link in self._links:
                link.close()
            if not self.stopped:
                for spool in self._state.open_spools():
                    self._end_spool(spool)
            self._note_sealed(wait_for_all=True)
        finally:
            for link in self._links:
                link.kill()
            self._sealer.shutdown()

    def _loop(self, rows: Iterator[Row], retry_failed: bool, progress: Progress | None) -> None:
        while True:
            if self._stop.is_set() and not self.stopped:
                self.stopped = True
                for link in self._links:
                    link.stop()
            if not self.stopped:
                self._read(rows, retry_failed)
                self._start()
                self._deal()
            if (self._all_read or self.stopped) and all(link.ended for link in self._links):
                return
            self._hear(0.1 if self._all_read or self.stopped else 0.0)
            self._note_sealed()
            self._tell(progress)

    # --- the list -------------------------------------------------------------------------------------------------

    def _read(self, rows: Iterator[Row], retry_failed: bool) -> None:
        """Note some more rows of the list, and queue URLs for the workers."""
        if not self._all_read:
            chunk = list(islice(rows, _REGISTER))
            self._all_read = len(chunk) < _REGISTER
            new = self._state.register(chunk, retry_failed=retry_failed) if chunk else 0
            self._planned += new
            self.report.skipped += len(chunk) - new

    def _start(self) -> None:
        """Start the workers, once it is known that there is work, and how much."""
        few = self._planned <= _FEW
        if self._links or not self._planned or (few and not self._all_read):
            return
        wanted = self._options.worker_count
        if few and not self._careful:
            self._links = [Link(self._state.folder, self._options, 1, None)]
        else:
            count = min(wanted, -(-self._planned // _FEW)) if self._all_read else wanted
            lock = self._state.lock
            self._links = [Link(self._state.folder, self._options, count, lock) for _ in range(count)]
            self._sealer.submit(warm_up)
        if self._options.form != "files":
            spools = self._state.open_spools()
            spools += [self._state.new_spool() for _ in range(len(self._links) * _SPOOLS - len(spools))]
            for number, link in enumerate(self._links):
                link.offer(spools[number :: len(self._links)])

    def _deal(self) -> None:
        if not self._links:
            return
        if not self._all_dealt and sum(link.backlog for link in self._links) < _READ_AHEAD:
            tasks, self._place = self._state.wanted(self._place, _REGISTER)
            for task in tasks:
                self._queue(task)
            self._all_dealt = self._all_read and not tasks
        for link in self._links:
            if not link.ended:
                link.deal()
                if self._all_dealt and not link.has_more and not link.finishing:
                    link.finish()

    def _queue(self, task: Task) -> None:
        """Give a URL to the worker of its host, or, for a host of many URLs, to the one with the least to do."""
        found = _HOST.search(task.url)
        host = found[1].lower() if found else ""
        self._seen[host] += 1
        if self._seen[host] > _SHARED_FROM and len(self._links) > 1:
            min(self._links, key=lambda link: link.backlog).add(replace(task, shared=True), host)
        else:
            self._links[crc32(host.encode()) % len(self._links)].add(task, host)

    # --- the workers ----------------------------------------------------------------------------------------------

    def _hear(self, seconds: float) -> None:
        """Take in what the workers report, and commit it."""
        by_connection = {link.connection: link for link in self._links if not link.ended}
        if not by_connection:
            return
        found: list[tuple[str, Result]] = []
        batches: list[tuple[Link, Batch]] = []
        dead: list[Link] = []
        for connection in wait(list(by_connection), seconds):
            link = by_connection[connection]  # type: ignore[index]
            heard = link.hear()
            if heard is None:
                dead.append(link)
                continue
            if heard[0].fault:
                raise UserError(heard[0].fault)
            batches.append((link, heard[0]))
            found += heard[1]
        for link in dead:
            found += self._replace(link)
        spools = [spool for _, batch in batches for spool in batch.spools]
        if found or spools:
            self._state.commit([result for _, result in found], spools)
        for url, result in found:
            self._count(url, result)
        for link, batch in batches:
            for spool in batch.spools:
                if spool.full:
                    self._end_spool(spool)
                    link.offer([self._state.new_spool()])

    def _replace(self, dead: Link) -> list[tuple[str, Result]]:
        """Put another worker in the place of one that died."""
        self._deaths += 1
        code = dead.exit_code
        if self.stopped:
            dead.ended = True
            return []
        if code is None or not dead.began or self._deaths > _MAX_DEATHS:
            raise TamisError(f"a worker ended before its work was done (exit code {code}); what was finished is kept")
        link = Link(self._state.folder, self._options, len(self._links), self._state.lock)
        link.offer(spool for spool in self._state.open_spools() if spool.id in dead.spools)
        self._links[self._links.index(dead)] = link
        blamed = link.inherit(dead)
        dead.close()
        return [] if blamed is None else [blamed]

    def _count(self, url: str, result: Result) -> None:
        report = self.report
        report.requested += 1
        report.outcomes[result.outcome] += 1
        if result.kept is not None:
            report.ok += 1
            report.bytes += result.kept.original_size
            return
        report.failed += 1
        report.passing += result.passing
        if len(report.failures) < _LISTED:
            report.failures.append((url, result.error or result.outcome))

    def _tell(self, progress: Progress | None) -> None:
        now = time.monotonic()
        if progress is not None and now - self._told >= _TELL_SECONDS:
            self._told = now
            text = f"{self.report.ok} pictures, {self.report.bytes / 1e6:.0f} MB"
            progress(self.report.requested, self._planned if self._all_read else None, text)

    # --- shards ---------------------------------------------------------------------------------------------------

    def _end_spool(self, spool: Spool) -> None:
        number = self._state.close_spool(spool.id)
        if number < 0:
            spool_path(self._state.folder, spool.id).unlink(missing_ok=True)
        else:
            self._seal(spool, number)

    def _seal(self, spool: Spool, number: int) -> None:
        self._sealing.append(self._sealer.submit(Sealing.of(self._state, self._options, spool, number).run))

    def _note_sealed(self, *, wait_for_all: bool = False) -> None:
        for future in list(self._sealing):
            if wait_for_all or future.done():
                self._state.mark_sealed(future.result())
                self._sealing.remove(future)
