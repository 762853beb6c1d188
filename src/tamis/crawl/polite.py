"""One URL from a polite client without a project: robots.txt, the host's pace, and other tries where they may help.

What is known of the hosts is kept for as long as the object lives. `ScrapingHandler` and `tamis fetch` ask this way;
crawls and downloads of a project keep their hosts in the database.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import nullcontext
from dataclasses import dataclass, field

from tamis.crawl.fetch import Fetcher, fetch_robots
from tamis.crawl.outcomes import Fetched, Outcome, standing
from tamis.crawl.politeness import Pace, Robots
from tamis.crawl.urls import BadUrl, host_of

#: Hosts whose robots.txt and pace are held in memory; those that are being asked always are.
MAX_HOSTS = 5_000


@dataclass(frozen=True, slots=True)
class Manners:
    """How hosts are asked: tries of what may recover, seconds between two requests, failures that pause a host."""

    user_agent: str
    obey_robots: bool = True
    attempts: int = 3
    retry_wait: float = 2.0
    delay: float = 0.0
    breaker: int = 10
    breaker_wait: float = 900.0


@dataclass
class _Host:
    pace: Pace
    share: int = 1
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    robots: Robots | None = None


class PoliteFetcher:
    """Asks hosts through a `Fetcher`, each at its own pace; `slots` bounds the requests under way in all."""

    def __init__(self, fetcher: Fetcher, manners: Manners, slots: asyncio.Semaphore | None = None) -> None:
        self._fetcher, self._manners = fetcher, manners
        self._slots = slots or nullcontext()
        self._hosts: dict[str, _Host] = {}

    async def fetch(self, url: str) -> Fetched:
        """Return what came of a URL after all tries. Only a cancellation leaves it as an exception."""
        answer = Fetched(standing("bad_url", "no URL"), url)
        for attempt in range(self._manners.attempts):
            try:
                host = self._host(host_of(url))
            except BadUrl as error:
                return Fetched(standing("bad_url", error.reason), url)
            refusal = _paused(host) or await self._robots_refusal(url)
            if refusal is not None:
                return answer if attempt else Fetched(refusal, url)
            await self._wait_for_turn(host)
            async with self._slots:
                answer = await self._fetcher.fetch(url, gate=self._robots_refusal)
            host.pace.note(time.time(), answer.outcome, answer.wait)
            if not (answer.outcome.passing and answer.outcome.blames_host):
                break
            if attempt + 1 < self._manners.attempts and _paused(host) is None:
                await asyncio.sleep(max(answer.wait or 0.0, self._manners.retry_wait * 2**attempt))
        return answer

    def share_host(self, name: str, processes: int) -> None:
        """Note that so many processes ask a host: each of them waits longer, so that together they keep its pace."""
        host = self._host(name)
        if processes > host.share:
            host.pace.slow_to(host.pace.base_delay * processes / host.share)
            host.share = processes

    def _host(self, name: str) -> _Host:
        """What is known of a host; the one that was not asked for longest is forgotten when there are too many."""
        host = self._hosts.pop(name, None)
        if host is None:
            manners = self._manners
            host = _Host(Pace(manners.delay, 1, manners.breaker, manners.breaker_wait))
            if len(self._hosts) >= MAX_HOSTS:
                oldest, idle = next(iter(self._hosts.items()))
                if not idle.lock.locked() and not idle.pace.in_flight and idle.pace.next_at < time.time():
                    del self._hosts[oldest]
        self._hosts[name] = host
        return host

    @staticmethod
    async def _wait_for_turn(host: _Host) -> None:
        async with host.lock:
            while (wait := host.pace.next_at - time.time()) > 0:
                await asyncio.sleep(wait)
            host.pace.begin(time.time())

    async def _robots_refusal(self, url: str) -> Outcome | None:
        """Why robots.txt keeps a URL from being asked for; it is read once a host, and again after a day."""
        if not self._manners.obey_robots:
            return None
        name = host_of(url)
        host = self._host(name)
        if host.robots is None or not host.robots.is_fresh(time.time()):
            async with host.lock:
                if host.robots is None or not host.robots.is_fresh(time.time()):
                    host.robots = await fetch_robots(self._fetcher, url, self._manners)
                    host.pace.slow_to(host.robots.crawl_delay(self._manners.user_agent) * host.share)
        verdict = host.robots.verdict(url, self._manners.user_agent)
        if verdict == "unavailable":
            return Outcome("robots_unavailable", f"robots.txt cannot be read: {host.robots.body[:200]}", passing=True)
        return standing("robots", "robots.txt forbids it") if verdict == "forbidden" else None


def _paused(host: _Host) -> Outcome | None:
    if not host.pace.is_paused(time.time()):
        return None
    return Outcome("paused", f"the host is left alone for now: {host.pace.paused_reason}"[:500], passing=True)
