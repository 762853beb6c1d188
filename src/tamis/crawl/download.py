"""Downloading: pending pictures to images, by content hash, many hosts at once and each at its own pace.

Results are written in batches, twice a second: a kill costs no more than the requests of that time. What was
committed is never requested again.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TypeVar

from tamis.crawl.checks import judge_picture, read_picture_file
from tamis.crawl.fetch import Fetcher, FetchLimits, fetch_robots, run_async
from tamis.crawl.hosts import HostTable
from tamis.crawl.outcomes import OK, Fetched, Outcome, standing
from tamis.crawl.pictures import PictureResult, PictureTable, PictureTask, StoredImage
from tamis.crawl.politeness import PATIENCE, ROBOTS_RECOVERY_SECONDS, Pace, Robots
from tamis.crawl.report import LISTED_FAILURES, Progress, WebReport
from tamis.crawl.sources import picture_folder
from tamis.crawl.urls import host_of
from tamis.engine.lease import Lease, held
from tamis.errors import Interrupted
from tamis.project import Project

_Result = TypeVar("_Result")

#: Seconds, and results, after which a batch is written.
FLUSH_SECONDS, FLUSH_RESULTS = 0.5, 200
#: Seconds between two looks for new work: while idle, and for new hosts while busy.
_IDLE_SECONDS, _LOOK_SECONDS = 0.5, 5.0
#: Pictures that are queued for one host.
_QUEUE = 500
#: Failures that stand once all attempts are used up: the bytes are what the server has.
_STANDING_AT_LAST = frozenset({"truncated"})


@dataclass(frozen=True, slots=True, kw_only=True)
class DownloadReport(WebReport):
    """What a download did: `requested` counts URLs, of which `ok` brought an image; `outcomes` counts pictures."""

    requested: int = 0
    ok: int = 0


def download(
    project: Project,
    *,
    limit: int | None = None,
    progress: Progress | None = None,
    stop: threading.Event | None = None,
) -> DownloadReport:
    """Fetch all pending pictures of the project, and return what was done.

    `limit` bounds the URLs of this run. When `stop` is set, or on Ctrl-C, requests under way are broken off; their
    pictures stay pending.

    Raises:
        BusyError: another process downloads for this project.
        ProjectError: the store or the database cannot be written.
        Interrupted: the user pressed Ctrl-C; all that was finished is committed.
    """
    with held(project.engine, "download") as lease:
        run = _Download(project, lease, limit, progress, stop or threading.Event())
        try:
            return run_async(run.run())
        except KeyboardInterrupt:
            raise Interrupted(f"stopped; {run.settled} pictures of this run are kept") from None


@dataclass(eq=False)
class _Host:
    name: str
    pace: Pace
    robots: Robots | None = None
    asking_robots: bool = False
    queue: deque[PictureTask] = field(default_factory=deque)
    seen_up_to: int = 0
    look_at: float = 0.0


class _Download:
    def __init__(
        self, project: Project, lease: Lease, limit: int | None, progress: Progress | None, stop: threading.Event
    ) -> None:
        self._project, self._lease, self._limit = project, lease, limit
        self._progress, self._stop = progress, stop
        self._crawl, self._settings = project.settings.crawl, project.settings.download
        self._table = PictureTable(project.engine)
        self._host_table = HostTable(project.engine, self._crawl)
        self._database = ThreadPoolExecutor(1, thread_name_prefix="download-database")
        self._keeping = ThreadPoolExecutor(2, thread_name_prefix="download-store")
        given = project.settings.source
        self._folders = {name: folder for name, one in given.items() if (folder := picture_folder(project, one))}
        self._hosts: dict[str, _Host] = {}
        self._busy: set[str] = set()
        self._under_way: set[asyncio.Task[None]] = set()
        self._finished: list[PictureResult] = []
        self._flushed_at = self._reported_at = self._looked_at = 0.0
        self._outcomes: Counter[str] = Counter()
        self._failed: list[tuple[str, str]] = []
        self._taken = self._requested = self._ok = self._bytes = self._pending = self._failures = 0
        self.settled = 0

    async def run(self) -> DownloadReport:
        began = time.monotonic()
        limits = FetchLimits(
            user_agent=self._crawl.user_agent,
            timeout=self._settings.timeout,
            max_bytes=self._settings.max_bytes,
            allow_private=self._crawl.allow_private,
            obey_noai=self._settings.obey_noai,
            connections=self._settings.concurrency,
        )
        self._pending = await self._in_database(self._table.count_pending)
        try:
            async with Fetcher(limits) as self._fetcher:
                try:
                    await self._work()
                finally:
                    await self._break_off()
        finally:
            self._flush()
            self._database.shutdown()
            self._keeping.shutdown()
        pending = self._table.count_pending()
        now = time.time()
        return DownloadReport(
            requested=self._requested,
            ok=self._ok,
            bytes=self._bytes,
            pending=pending,
            outcomes=dict(sorted(self._outcomes.items())),
            failures=self._failures,
            failed=self._failed,
            paused={h.name: h.pace.paused_reason or "paused" for h in self._hosts.values() if h.pace.is_paused(now)},
            seconds=time.monotonic() - began,
            stopped=self._stop.is_set(),
        )

    async def _in_database(self, work: Callable[..., _Result], *arguments: object) -> _Result:
        return await asyncio.get_running_loop().run_in_executor(self._database, work, *arguments)

    # --- what to fetch --------------------------------------------------------------------------------------------

    async def _work(self) -> None:
        while not self._stop.is_set():
            now = time.time()
            started = await self._start_all(now)
            self._tell()
            if self._finished and (len(self._finished) >= FLUSH_RESULTS or now - self._flushed_at >= FLUSH_SECONDS):
                await self._in_database(self._flush)
            if self._under_way:
                done, _ = await asyncio.wait(self._under_way, timeout=0.1, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    self._under_way.discard(task)
                    task.result()
            elif not started:
                await self._in_database(self._flush)
                if self._limit_reached() or not await self._anything_soon(now):
                    return
                await asyncio.sleep(0.1)

    async def _break_off(self) -> None:
        for task in self._under_way:
            task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)

    async def _start_all(self, now: float) -> bool:
        """Start every request that may start now; return whether there was one."""
        if now - self._looked_at >= (_IDLE_SECONDS if not self._under_way else _LOOK_SECONDS):
            await self._look_for_hosts(now)
        started = False
        for host in list(self._hosts.values()):
            while len(self._under_way) < self._settings.concurrency and not self._limit_reached():
                ready = host.pace.ready_at()
                if ready is None or ready > now or host.asking_robots:
                    break
                task = await self._next_task(host, now)
                if task is None:
                    break
                self._start(host, task, now)
                started = True
        return started

    def _start(self, host: _Host, task: PictureTask, now: float) -> None:
        host.pace.begin(now)
        if self._needs_robots(host, now):
            host.queue.appendleft(task)
            host.asking_robots = True
            work = self._ask_robots(host, task.url)
        else:
            self._busy.add(task.url_key)
            self._taken += 1
            work = self._handle(host, task)
        self._under_way.add(asyncio.create_task(work))

    def _needs_robots(self, host: _Host, now: float) -> bool:
        asks = bool(host.name) and self._crawl.obey_robots
        return asks and (host.robots is None or not host.robots.is_fresh(now))

    def _limit_reached(self) -> bool:
        return self._limit is not None and self._taken >= self._limit

    async def _look_for_hosts(self, now: float) -> None:
        self._looked_at = now
        for name, earliest in (await self._in_database(self._table.hosts_with_work)).items():
            host = self._hosts.get(name)
            if host is None:
                self._hosts[name] = await self._open_host(name)
            elif not host.queue and host.look_at > now:
                host.look_at = min(host.look_at, max(earliest, now))

    async def _open_host(self, name: str) -> _Host:
        settings = self._settings
        pace = Pace(settings.delay, settings.per_host, self._crawl.breaker, self._crawl.breaker_wait)
        if not name:
            return _Host(name, Pace(0.0, settings.concurrency, 10**9, 0.0))
        paused = await self._in_database(self._host_table.pause, name)
        if paused is not None:
            pace.paused_until, pace.paused_reason = paused
        host = _Host(name, pace, await self._in_database(self._host_table.robots, name))
        self._heed_robots(host)
        return host

    async def _next_task(self, host: _Host, now: float) -> PictureTask | None:
        if not host.queue and host.look_at <= now:
            found = await self._in_database(self._table.due, host.name, now, host.seen_up_to, _QUEUE)
            host.seen_up_to = found[-1].id if found else 0
            if not found:
                host.look_at = now + _IDLE_SECONDS
            known = self._busy | await self._settle_known(found)
            host.queue.extend({task.url_key: task for task in found if task.url_key not in known}.values())
        while host.queue:
            task = host.queue.popleft()
            if task.url_key not in self._busy:
                return task
        return None

    async def _settle_known(self, tasks: list[PictureTask]) -> set[str]:
        known, settled = await self._in_database(self._table.settle_known, tasks)
        self._outcomes += settled
        self.settled += settled.total()
        return known

    async def _anything_soon(self, now: float) -> bool:
        """Whether a pending picture may be fetched within `PATIENCE`."""
        work = await self._in_database(self._table.hosts_with_work)
        for name, earliest in work.items():
            host = self._hosts.get(name)
            if host is None or max(earliest, host.pace.ready_at() or now) - now <= PATIENCE:
                return True
        return False

    # --- robots.txt -----------------------------------------------------------------------------------------------

    async def _ask_robots(self, host: _Host, url: str) -> None:
        host.robots = await fetch_robots(self._fetcher, url, self._crawl)
        host.asking_robots = False
        host.pace.succeed()
        self._heed_robots(host)
        await self._in_database(self._host_table.save_robots, host.name, host.robots)

    def _heed_robots(self, host: _Host) -> None:
        """Keep the crawl-delay; leave the host alone while its robots.txt cannot be read."""
        robots, now = host.robots, time.time()
        if robots is None or not self._crawl.obey_robots:
            return
        host.pace.slow_to(robots.crawl_delay(self._crawl.user_agent))
        if not robots.reachable and robots.is_fresh(now):
            seconds = robots.fetched_at + ROBOTS_RECOVERY_SECONDS - now
            host.pace.pause(now, seconds, f"robots.txt cannot be read: {robots.body[:300]}")

    async def _gate(self, url: str) -> Outcome | None:
        """Whether the target of a redirect may be asked for, by the robots.txt of its own host."""
        if not self._crawl.obey_robots:
            return None
        name = host_of(url)
        if name not in self._hosts:
            self._hosts[name] = await self._open_host(name)
        host = self._hosts[name]
        if self._needs_robots(host, time.time()) and not host.asking_robots:
            host.asking_robots = True
            host.pace.begin(time.time())
            await self._ask_robots(host, url)
        while host.asking_robots:
            await asyncio.sleep(0.05)
        return self._robots_refusal(host, url)

    def _robots_refusal(self, host: _Host, url: str) -> Outcome | None:
        if not self._crawl.obey_robots or not host.name or host.robots is None:
            return None
        verdict = host.robots.verdict(url, self._crawl.user_agent)
        if verdict == "unavailable":
            return Outcome("robots_unavailable", f"robots.txt of {host.name} cannot be read", passing=True)
        return standing("robots", "robots.txt forbids it") if verdict == "forbidden" else None

    # --- one picture ----------------------------------------------------------------------------------------------

    async def _handle(self, host: _Host, task: PictureTask) -> None:
        try:
            refusal = self._robots_refusal(host, task.url)
            if refusal is not None:
                host.pace.abandon()
                result = self._judge(task, Fetched(refusal, task.url), None)
                self._finish(replace(result, requested=refusal.passing))  # bounds the tries
                return
            self._requested += 1
            if host.name:
                answer = await self._fetcher.fetch(task.url, gate=self._gate)
            else:
                folder = self._folders.get(task.source)
                answer = await self._in_keeping(read_picture_file, folder, task.url, self._settings.max_bytes)
        except asyncio.CancelledError:
            host.pace.abandon()
            raise
        outcome, image = answer.outcome, None
        host.pace.note(time.time(), outcome, answer.wait)
        if answer.ok:
            outcome, image = await self._in_keeping(self._keep, answer.body)
        self._finish(self._judge(task, answer, image, outcome))

    async def _in_keeping(self, work: Callable[..., _Result], *arguments: object) -> _Result:
        return await asyncio.get_running_loop().run_in_executor(self._keeping, work, *arguments)

    def _keep(self, body: bytes) -> tuple[Outcome, StoredImage | None]:
        """Store the bytes of a picture as they came; anything else is refused by its content."""
        refusal = judge_picture(body, self._settings.max_pixels)
        if refusal is not None:
            return refusal, None
        return OK, StoredImage(self._project.blobs.put(body), len(body))

    def _judge(
        self, task: PictureTask, answer: Fetched, image: StoredImage | None, outcome: Outcome | None = None
    ) -> PictureResult:
        """The row's next state: an outcome that stands, another try later, or failed."""
        found = outcome or answer.outcome
        state, not_before = "done", 0.0
        if found.passing:
            last = task.attempts + 1 >= self._crawl.attempts
            state = "pending" if not last else "done" if found.name in _STANDING_AT_LAST else "failed"
            if state == "pending":
                not_before = time.time() + max(answer.wait or 0.0, self._crawl.retry_wait * 2**task.attempts)
        return PictureResult(
            task, state, found.name, found.reason, status=answer.status, not_before=not_before, image=image
        )

    # --- results --------------------------------------------------------------------------------------------------

    def _finish(self, result: PictureResult) -> None:
        self._finished.append(result)
        if result.image is not None:
            self._ok += 1
            self._bytes += result.image.size
        if result.state == "failed":
            self._failures += 1
            self._failed = [*self._failed, (result.task.url, result.reason or result.outcome)][:LISTED_FAILURES]

    def _flush(self) -> None:
        """Write what is finished."""
        batch, self._finished = self._finished, []
        if not batch:
            return
        paces = {host.name: host.pace for host in self._hosts.values() if host.name}
        settled = self._table.commit(batch, paces, self._lease)
        for result in batch:
            if result.state != "pending":
                self._outcomes[result.outcome] += 1
            self._busy.discard(result.task.url_key)
        self.settled += settled
        self._flushed_at = time.time()

    def _tell(self) -> None:
        now = time.monotonic()
        if self._progress is not None and now - self._reported_at >= FLUSH_SECONDS:
            self._reported_at = now
            total = max(self._pending, self.settled)
            self._progress(self.settled, total, f"{self._ok} images, {self._bytes / 1e6:.0f} MB")
