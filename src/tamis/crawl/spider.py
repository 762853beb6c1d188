"""The spider: Scrapy fetches what the agenda asks for, and the agenda takes in the answers.

Of Scrapy's own machinery the downloader, the decompression and the time-outs are at work. Its scheduler, duplicate
filter, robots, retries, redirects, cookies and throttle are off: the frontier in the database does their work, and
survives a kill.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar
from urllib.parse import urlsplit

import scrapy
from scrapy.core.scheduler import BaseScheduler
from scrapy.exceptions import (
    CannotResolveHostError,
    DownloadCancelledError,
    DownloadConnectionRefusedError,
    DownloadTimeoutError,
    IgnoreRequest,
    ResponseDataLossError,
)
from scrapy.http import Request, Response
from twisted.python.failure import Failure

from tamis.config import CrawlSettings
from tamis.crawl.agenda import Agenda, Ask, Finished, Wait
from tamis.crawl.browser import Renderer
from tamis.crawl.headers import MAX_HEADER_BYTES, is_header_too_large
from tamis.crawl.outcomes import Outcome, standing, timed_out, too_large, unreachable
from tamis.crawl.reading import PageAnswer
from tamis.crawl.resolver import ALLOW_PRIVATE_SETTING, refused
from tamis.crawl.urls import private_reason
from tamis.errors import UserError

_Result = TypeVar("_Result")
#: Seconds between two reports of progress.
_REPORT_SECONDS = 0.5


class PassThroughScheduler(BaseScheduler):
    """Hands each request on at once: what is due, and when, was decided before it came here."""

    def __init__(self) -> None:
        self._requests: deque[Request] = deque()

    def has_pending_requests(self) -> bool:
        """Called by Scrapy."""
        return bool(self._requests)

    def enqueue_request(self, request: Request) -> bool:
        """Called by Scrapy."""
        self._requests.append(request)
        return True

    def next_request(self) -> Request | None:
        """Called by Scrapy."""
        return self._requests.popleft() if self._requests else None


class _AgendaBroken(Exception):  # noqa: N818 - named after what happened
    """The agenda raised; the spider keeps what it was."""


class FrontierSpider(scrapy.Spider):
    """Requests what the agenda says, until it has nothing left or is stopped."""

    name = "tamis"

    def __init__(self, agenda: Agenda, settings: CrawlSettings, report: Callable[[int, int, str], None]) -> None:
        super().__init__()
        self._agenda = agenda
        self._limits = settings
        self._report = report
        self._reported_at = 0.0
        self._waiting = 0
        renderer = Renderer(agenda.places, settings)
        self._renderer = renderer if renderer.is_wanted else None
        self._changed = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="agenda")
        #: What broke the agenda, if anything did: the database, or the store.
        self.error: BaseException | None = None

    async def _on_agenda(self, work: Callable[..., _Result], *arguments: Any) -> _Result:
        """Run a method of the agenda on its thread; what breaks it ends the crawl, and is raised at its end.

        Raises:
            _AgendaBroken: the database or the store failed, now or before.
        """
        future = asyncio.get_running_loop().run_in_executor(self._thread, work, *arguments)
        await asyncio.wait([future])
        self.error = self.error or future.exception()
        if self.error is not None:
            self._changed.set()
            raise _AgendaBroken from self.error
        return future.result()

    async def start(self) -> AsyncIterator[Request]:
        """Yield each request when it is due. Called by Scrapy."""
        self._loop = asyncio.get_running_loop()
        with suppress(_AgendaBroken):
            while True:
                self._changed.clear()
                turn = await self._on_agenda(self._agenda.next_turn)
                await self._tell_progress()
                if isinstance(turn, Finished):
                    break
                if isinstance(turn, Wait):
                    with suppress(TimeoutError):
                        await asyncio.wait_for(self._changed.wait(), turn.seconds)
                else:
                    yield self._request(turn)
        if self._renderer is not None:
            await self._renderer.close()

    def _request(self, ask: Ask) -> Request:
        return Request(
            ask.url,
            headers={name: value.encode("ascii") for name, value in ask.headers.items()},
            callback=self.parse,
            errback=partial(self._on_failure, ask),
            dont_filter=True,
            meta={
                "ask": ask,
                "download_slot": ask.host.name,
                "download_timeout": self._limits.timeout,
            },
        )

    async def parse(self, response: Response, **_: Any) -> None:
        """Take in an answer. Called by Scrapy."""
        ask: Ask = response.meta["ask"]
        headers = {
            name.decode("latin-1").lower(): tuple(value.decode("latin-1") for value in response.headers.getlist(name))
            for name in response.headers
        }
        seconds = float(response.meta.get("download_latency", 0.0))
        answer = PageAnswer(response.url, response.status, headers, response.body, time.time(), seconds)
        await self._take_in(ask, await self._rendered(ask, answer))

    async def _rendered(self, ask: Ask, answer: PageAnswer) -> PageAnswer:
        """The answer as a browser builds it, where its source asks for that and it yields nothing as it is."""
        if ask.task is None or self._renderer is None or answer.status == 304:
            return answer
        try:
            return await self._renderer.rendered(ask.task.source_id, answer, ask.task.linked_as)
        except UserError as error:  # no page of the source can be read
            self.error = self.error or error
            self._changed.set()
            return answer

    async def _on_failure(self, ask: Ask, failure: Failure) -> None:
        await self._take_in(ask, self._outcome_of(ask, failure))

    async def _take_in(self, ask: Ask, answer: PageAnswer | Outcome) -> None:
        with suppress(_AgendaBroken):
            if ask.task is None:
                await self._on_agenda(self._agenda.robots_answered, ask.host, answer)
            else:
                await self._on_agenda(self._agenda.page_answered, ask, answer)
        self._changed.set()

    def _outcome_of(self, ask: Ask, failure: Failure) -> Outcome:
        error = failure.value
        host = urlsplit(ask.url).hostname or ""
        if isinstance(error, DownloadTimeoutError):
            return timed_out(self._limits.timeout)
        if isinstance(error, DownloadCancelledError | IgnoreRequest):
            return too_large(self._limits.max_page_bytes)
        if is_header_too_large(error):
            return too_large(MAX_HEADER_BYTES, "the header has ")
        if isinstance(error, CannotResolveHostError) and host in refused:
            return standing("private", private_reason(host, refused[host]))
        return _broken_connection(error, host)

    async def _tell_progress(self) -> None:
        now = time.monotonic()
        if now - self._reported_at < _REPORT_SECONDS:
            return
        self._reported_at = now
        pending = await self._on_agenda(self._agenda.pending)
        tally = self._agenda.tally
        text = f"{tally.items} items, {tally.pictures} pictures"
        if self._agenda.waiting_for:
            host, owner = next(iter(self._agenda.waiting_for.items()))
            text += f"; {host} is crawled by process {owner.split(':')[1]}"
        self._report(tally.pages, tally.pages + pending, text)

    def stop(self) -> None:
        """Let no further request begin; those under way may end. Callable from any thread."""
        self._agenda.stopping = True
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._changed.set)

    def end(self) -> None:
        """Give the hosts back when nothing runs any more, or is broken off; callable from any thread."""
        self._thread.submit(self._agenda.close).result()
        self._thread.shutdown()


def _broken_connection(error: BaseException | None, host: str) -> Outcome:
    match error:
        case CannotResolveHostError():
            return unreachable("dns", f"the name {host} cannot be resolved")
        case DownloadConnectionRefusedError():
            return unreachable("connection_refused", "the host refused the connection")
        case ResponseDataLossError():
            return unreachable("incomplete", "the answer broke off before its end")
    text = str(error)
    if "SSL" in text or "certificate" in text.lower():
        return unreachable("tls", f"no secure connection: {text}")
    return unreachable("broken_answer", f"{type(error).__name__}: {text}")


def scrapy_settings(settings: CrawlSettings) -> dict[str, Any]:
    """Scrapy's settings: all that the frontier does itself is off."""
    middleware = "scrapy.downloadermiddlewares"
    return {
        "USER_AGENT": settings.user_agent,
        "SCHEDULER": PassThroughScheduler,
        "TWISTED_DNS_RESOLVER": "tamis.crawl.resolver.GuardedResolver",
        ALLOW_PRIVATE_SETTING: settings.allow_private,
        "CONCURRENT_REQUESTS": 256,
        "CONCURRENT_REQUESTS_PER_DOMAIN": settings.concurrency,
        "DOWNLOAD_DELAY": 0,
        "DOWNLOAD_TIMEOUT": settings.timeout,
        "DOWNLOAD_MAXSIZE": settings.max_page_bytes,
        "DOWNLOAD_WARNSIZE": 0,
        "DOWNLOAD_VERIFY_CERTIFICATES": True,
        "DNS_TIMEOUT": settings.timeout,
        "DOWNLOADER_MIDDLEWARES_BASE": {
            f"{middleware}.downloadtimeout.DownloadTimeoutMiddleware": 350,
            f"{middleware}.defaultheaders.DefaultHeadersMiddleware": 400,
            f"{middleware}.useragent.UserAgentMiddleware": 500,
            f"{middleware}.httpcompression.HttpCompressionMiddleware": 590,
        },
        "SPIDER_MIDDLEWARES_BASE": {},
        "EXTENSIONS_BASE": {},
        "COOKIES_ENABLED": False,
        "TELNETCONSOLE_ENABLED": False,
        "REMOTE_CONTROL_ENABLED": False,
        "MEMUSAGE_ENABLED": False,
        "LOG_ENABLED": False,
        "STATS_DUMP": False,
    }
