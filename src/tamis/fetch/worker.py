"""A worker of `tamis fetch`: asks the web, and stores what it gets. It reports to the main process and obeys it.

`python -m tamis.fetch.worker DESCRIPTOR` runs one as a process, with the socket to the main process as that
descriptor. When the main process is gone, the worker ends at once: what it did not report does not count.
"""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import sys
import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

from tamis.crawl.fetch import Fetcher, FetchLimits
from tamis.crawl.outcomes import Fetched, Outcome
from tamis.crawl.polite import Manners, PoliteFetcher
from tamis.crawl.urls import BadUrl, host_of
from tamis.fetch.keep import keep
from tamis.fetch.options import Batch, FetchOptions, Kept, Order, Result, Task
from tamis.fetch.writers import Writer, open_writer

#: Seconds between two reports.
_REPORT_SECONDS = 0.1
#: Seconds that requests under way get after a stop.
_GRACE_SECONDS = 3.0
#: Failures in a row that pause a host, and seconds of that pause: its other URLs fail without being asked for.
_BREAKER, _BREAKER_WAIT = 30, 300.0
#: A list of many hosts would hold too many idle connections otherwise; and robots.txt is asked for beside the pictures.
_KEEPALIVE_SECONDS, _ROBOTS_CONNECTIONS = 1.0, 16


@dataclass
class _Lanes:
    """The tasks of one host, and how many are worked on at once."""

    waiting: deque[Task] = field(default_factory=deque)
    running: int = 0
    shared: bool = False


class Worker:
    """One event loop that asks, and a thread that judges, resizes and writes.

    `workers` is the number of all that share the limits. `alone` tells that the process is there for this worker only.
    """

    def __init__(
        self, folder: Path, options: FetchOptions, connection: Connection, workers: int, *, alone: bool
    ) -> None:
        self._folder, self._options, self._workers, self._alone = folder, options, workers, alone
        self._connection = connection
        self._decodes = options.resize is not None or options.verify
        self._hosts: dict[str, _Lanes] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._due = asyncio.Event()
        self._finish = self._stop = False
        self._fault: str | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="fetch-keep")
        #: Held while a picture is written and its result noted: a report has both or neither.
        self._writing = threading.Lock()
        self._writer: Writer = open_writer(folder, options)
        self._results: list[Result] = []

    async def run(self) -> None:
        """Work until told to end."""
        options, part = self._options, self._part(self._options.concurrency)
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(part, thread_name_prefix="fetch-names"))
        listener = threading.Thread(target=self._listen, args=(loop,), daemon=True)
        limits = FetchLimits(
            user_agent=options.user_agent,
            timeout=options.timeout,
            max_bytes=options.max_bytes,
            allow_private=options.allow_private,
            obey_noai=options.obey_noai,
            connections=part + _ROBOTS_CONNECTIONS,
            keepalive=_KEEPALIVE_SECONDS,
        )
        manners = Manners(
            user_agent=options.user_agent,
            obey_robots=options.obey_robots,
            attempts=options.attempts,
            retry_wait=options.retry_wait,
            breaker=_BREAKER,
            breaker_wait=_BREAKER_WAIT,
        )
        async with Fetcher(limits) as fetcher:
            self._web = PoliteFetcher(fetcher, manners, asyncio.Semaphore(part))
            listener.start()
            self._connection.send(Batch())  # it lives
            while not (self._stop or self._fault or (self._finish and not self._tasks)):
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._due.wait(), _REPORT_SECONDS)
                self._due.clear()
                self._report()
            await self._end()
        self._thread.shutdown()
        self._report(ended=True)
        self._writer.close()
        listener.join()

    def _part(self, number: int) -> int:
        """The share of a limit that all workers keep together."""
        return max(-(-number // self._workers), 1)

    async def _end(self) -> None:
        """After a stop: let what is under way come to its end for some seconds, then drop it."""
        for lanes in self._hosts.values():
            lanes.waiting.clear()
        if self._tasks and not self._fault:
            await asyncio.wait(self._tasks, timeout=_GRACE_SECONDS)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # --- the main process -----------------------------------------------------------------------------------------

    def _listen(self, loop: asyncio.AbstractEventLoop) -> None:
        """In a thread of its own: hand orders to the loop, up to the last one."""
        try:
            while True:
                order: Order = self._connection.recv()
                with suppress(RuntimeError):  # the loop has ended, and waits for the last order
                    loop.call_soon_threadsafe(self._obey, order)
                if order.stop:
                    return
        except (EOFError, OSError):
            if self._alone:
                os._exit(1)  # the main process is gone: what was not reported does not count

    def _obey(self, order: Order) -> None:
        with self._writing:
            self._writer.offer(order.spools)
        for task in order.tasks:
            self._accept(task)
        self._finish |= order.finish
        self._stop |= order.stop
        if self._finish or self._stop:
            self._due.set()

    def _report(self, *, ended: bool = False) -> None:
        with self._writing:
            results, self._results = self._results, []
            try:
                spools = self._writer.flush()
            except OSError as error:
                self._fault = self._fault or f"{self._folder}: {error.strerror}"
        if self._fault is not None:
            results, spools = [], ()
        if results or spools or ended:
            self._connection.send(Batch(tuple(results), spools, self._fault, ended))

    # --- URLs -----------------------------------------------------------------------------------------------------

    def _accept(self, task: Task) -> None:
        try:
            name = host_of(task.url)
        except BadUrl as error:
            self._finished(Result(task.number, "bad_url", error.reason))
            return
        lanes = self._hosts.setdefault(name, _Lanes())
        if task.shared and not lanes.shared:
            lanes.shared = True
            self._web.share_host(name, self._workers)
        lanes.waiting.append(task)
        if lanes.running < (self._part(self._options.per_host) if lanes.shared else self._options.per_host):
            lanes.running += 1
            lane = asyncio.create_task(self._lane(name, lanes))
            self._tasks.add(lane)
            lane.add_done_callback(self._left)

    def _left(self, lane: asyncio.Task[None]) -> None:
        self._tasks.discard(lane)
        error = None if lane.cancelled() else lane.exception()
        if error is not None:
            said = (
                error.strerror if isinstance(error, OSError) and error.strerror else f"{type(error).__name__}: {error}"
            )
            self._fault = f"{self._folder}: {said}"
        if self._fault or not self._tasks:
            self._due.set()

    async def _lane(self, name: str, lanes: _Lanes) -> None:
        """One URL of a host after the other."""
        try:
            while lanes.waiting:
                await self._one(lanes.waiting.popleft())
        finally:
            lanes.running -= 1
            if not lanes.running and not lanes.waiting:
                self._hosts.pop(name, None)

    async def _one(self, task: Task) -> None:
        answer = await self._web.fetch(task.url)
        if answer.ok and self._decodes:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._keep, task, answer)
        elif answer.ok:
            self._keep(task, answer)  # hashing and writing take less than handing over
        else:
            self._finished(_failure(task, answer, answer.outcome))

    def _keep(self, task: Task, answer: Fetched) -> None:
        """In the thread: judge and resize a picture, write it and note the result."""
        found: tuple[bytes, str, Kept] | Outcome
        try:
            found = keep(answer.body, self._options)
        except Exception as error:  # an error in a decoder fails its picture and no other
            found = Outcome("error", f"{type(error).__name__}: {error}"[:500], passing=True)
        if isinstance(found, Outcome):
            self._finished(_failure(task, answer, found))
            return
        body, extension, kept = found
        with self._writing:
            place = self._writer.put(task, body, extension, kept)
            self._results.append(Result(task.number, "ok", status=answer.status, kept=kept, place=place))

    def _finished(self, result: Result) -> None:
        with self._writing:
            self._results.append(result)


def _failure(task: Task, answer: Fetched, outcome: Outcome) -> Result:
    return Result(task.number, outcome.name, outcome.reason or outcome.name, outcome.passing, answer.status)


def work(folder: Path, options: FetchOptions, connection: Connection, workers: int, *, alone: bool) -> None:
    """Run a worker to its end, in this thread; see `Worker`."""
    asyncio.run(Worker(folder, options, connection, workers, alone=alone).run())


def main(descriptor: int) -> None:
    """Run a worker as a process of its own."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the main process hears Ctrl-C, and tells
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    connection = Connection(descriptor)
    folder, options, workers = connection.recv()
    if options.resize is not None or options.verify:
        import cv2  # noqa: PLC0415 - originals need none of it

        cv2.setNumThreads(1)
    work(folder, options, connection, workers, alone=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))
