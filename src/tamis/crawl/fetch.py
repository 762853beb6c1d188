"""One request for one URL to the end: redirects, limits, addresses and directives checked on the way.

Whatever the server does, `Fetcher.fetch` returns an outcome; only a cancellation leaves it as an exception.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from multidict import CIMultiDictProxy
from yarl import URL

from tamis.crawl.outcomes import (
    MAX_REDIRECTS,
    OK,
    REDIRECTS,
    Fetched,
    Outcome,
    outcome_of_status,
    standing,
    timed_out,
    too_large,
    unreachable,
)
from tamis.crawl.politeness import PATIENCE, ROBOTS_BYTES, Robots, forbids_picture, header_directives, retry_after
from tamis.crawl.urls import (
    BadUrl,
    PrivateAddress,
    check_literal,
    host_of,
    is_public_address,
    private_reason,
    request_url,
    split_url,
)

_Result = TypeVar("_Result")
_DNS_SECONDS = 60

#: Asked before a redirect is followed; an outcome keeps the fetcher from it.
Gate = Callable[[str], Awaitable[Outcome | None]]


@dataclass(frozen=True, slots=True)
class FetchLimits:
    """What a fetcher may do. Sizes in bytes after decompression, times in seconds."""

    user_agent: str
    timeout: float = 60.0
    max_bytes: int = 50_000_000
    allow_private: bool = False
    obey_noai: bool = True
    connections: int = 16
    keepalive: float = 15.0
    accept: str = "image/avif,image/webp,image/*;q=0.9,*/*;q=0.5"


class RetrySettings(Protocol):
    """How often something that may recover is tried, and the seconds before the second try; they double with each."""

    @property
    def attempts(self) -> int:
        """Tries in all."""

    @property
    def retry_wait(self) -> float:
        """Seconds before the second try."""


class _PrivateHostError(OSError):
    """All addresses of the name are private."""


class _GuardedResolver(AbstractResolver):
    """Resolves names in threads, and leaves out private addresses: the address that was checked is connected to."""

    def __init__(self, *, allow_private: bool) -> None:
        self._allow_private = allow_private
        self._inner = aiohttp.ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        found = await self._inner.resolve(host, port, family)
        public = [entry for entry in found if self._allow_private or is_public_address(entry["host"])]
        if found and not public:
            raise _PrivateHostError(private_reason(host, found[0]["host"]))
        return public

    async def close(self) -> None:
        await self._inner.close()


class Fetcher:
    """An HTTP client without cookies and proxies; use as `async with Fetcher(limits) as fetcher`."""

    def __init__(self, limits: FetchLimits) -> None:
        self._limits = limits
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        limits = self._limits
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=limits.connections,
                resolver=_GuardedResolver(allow_private=limits.allow_private),
                ttl_dns_cache=_DNS_SECONDS,
                keepalive_timeout=limits.keepalive,
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": limits.user_agent, "Accept": limits.accept, "Accept-Encoding": "gzip, deflate"},
            timeout=aiohttp.ClientTimeout(total=limits.timeout, sock_connect=min(limits.timeout, 20.0)),
            trust_env=False,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._session is not None
        await self._session.close()

    async def fetch(self, url: str, *, gate: Gate | None = None, max_bytes: int | None = None) -> Fetched:
        """Request a URL and follow its redirects, each checked for scheme, address, and by `gate`.

        With `max_bytes`, a longer body is cut off there; without, one beyond the limits is refused.
        """
        visited: set[str] = set()
        while True:
            try:
                target = request_url(url)
                check_literal(target, allow_private=self._limits.allow_private)
            except PrivateAddress as error:
                return Fetched(standing("private", error.reason), url)
            except BadUrl as error:
                return Fetched(standing("bad_url", error.reason), url)
            if target in visited or len(visited) > MAX_REDIRECTS:
                reason = f"leads back to {target}" if target in visited else f"more than {MAX_REDIRECTS} redirects"
                return Fetched(standing("redirect_loop", reason), target)
            if visited and gate is not None and (refusal := await gate(target)):
                return Fetched(refusal, target)
            visited.add(target)
            answer, location = await self._request(target, max_bytes)
            if location is None:
                return answer
            try:
                url = request_url(location, target)
            except BadUrl as error:
                return Fetched(standing("bad_url", f"redirect to: {error.reason}"), target, answer.status)

    async def _request(self, url: str, cut_at: int | None) -> tuple[Fetched, str | None]:
        """One request; returns its end, and where a redirect leads."""
        assert self._session is not None
        host = host_of(url)
        try:
            async with self._session.get(URL(url, encoded=True), allow_redirects=False) as response:
                return await self._read(response, url, cut_at)
        except (aiohttp.ClientError, OSError, ValueError, LookupError) as error:
            return Fetched(self._broken(error, host), url), None

    def _broken(self, error: Exception, host: str) -> Outcome:
        if isinstance(error, TimeoutError):
            return timed_out(self._limits.timeout)
        match error:
            case aiohttp.ClientConnectorDNSError(os_error=_PrivateHostError() as refusal):
                return standing("private", str(refusal))
            case aiohttp.ClientConnectorDNSError():
                name, cause = "dns", f"the name {host} cannot be resolved"
            case aiohttp.ClientSSLError():
                name, cause = "tls", f"no secure connection: {error}"
            case aiohttp.ClientConnectorError():
                name, cause = "connection_refused", f"no connection to {host}: {error.strerror}"
            case aiohttp.ClientPayloadError():
                name, cause = "truncated", "the answer broke off before its end"
            case _:
                name, cause = "broken_answer", f"{type(error).__name__}: {error}"
        return unreachable(name, cause)

    async def _read(self, response: aiohttp.ClientResponse, url: str, cut_at: int | None) -> tuple[Fetched, str | None]:
        headers, status = response.headers, response.status
        wait = retry_after(headers.get("Retry-After"), time.time())
        if status in REDIRECTS:
            location = headers.get("Location")
            if location is None:
                return Fetched(standing("refused", f"HTTP {status} without a target"), url, status), None
            return Fetched(OK, url, status), location
        if not 200 <= status < 300:
            return Fetched(outcome_of_status(status), url, status, wait=wait), None
        if refusal := self._refusal(headers, cut_at):
            return Fetched(refusal, url, status), None
        limit = cut_at or self._limits.max_bytes
        chunks: list[bytes] = []
        size = 0
        async for chunk in response.content.iter_any():
            chunks.append(chunk)
            size += len(chunk)
            if size > limit:
                break
        if size > limit and cut_at is None:
            return Fetched(too_large(limit), url, status), None
        return Fetched(OK, url, status, b"".join(chunks)[:limit], headers.get("Content-Type")), None

    def _refusal(self, headers: CIMultiDictProxy[str], cut_at: int | None) -> Outcome | None:
        """What the headers alone forbid for a picture, before any of the body is read."""
        if cut_at is not None:
            return None
        if self._limits.obey_noai:
            stated = header_directives(headers.getall("X-Robots-Tag", []), self._limits.user_agent)
            if word := forbids_picture(stated):
                return standing("noai", f"X-Robots-Tag says {word}")
        length = headers.get("Content-Length", "")
        if length.isdigit() and int(length[:18]) > self._limits.max_bytes:
            return too_large(self._limits.max_bytes)
        return None


async def fetch_robots(fetcher: Fetcher, url: str, settings: RetrySettings) -> Robots:
    """Read the robots.txt that holds for a URL; one that cannot be read has the reason for its body."""
    parts = split_url(url)
    address = f"{parts.scheme}://{parts.netloc}/robots.txt"
    answer = await fetcher.fetch(address, max_bytes=ROBOTS_BYTES)
    for attempt in range(settings.attempts - 1):
        if not answer.outcome.passing:
            break
        await asyncio.sleep(min(answer.wait or settings.retry_wait * 2**attempt, PATIENCE))
        answer = await fetcher.fetch(address, max_bytes=ROBOTS_BYTES)
    if answer.outcome.name in ("redirect_loop", "bad_url", "refused", "private"):
        return Robots(404, "", time.time())  # RFC 9309, section 2.3.1.2: as if there were none
    if answer.outcome.passing:
        return Robots(answer.status or 0, answer.outcome.reason or answer.outcome.name, time.time())
    return Robots(answer.status or 0, answer.body.decode("utf-8", "replace").replace("\x00", ""), time.time())


def run_async(work: Coroutine[Any, Any, _Result]) -> _Result:
    """Run a coroutine to its end, also where this thread runs an event loop already, as notebooks do."""
    if not _in_event_loop():
        return asyncio.run(work)
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()


def _in_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
