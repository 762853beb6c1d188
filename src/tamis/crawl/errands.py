"""Reading robots.txt of the hosts, as RFC 9309 has it: redirects followed, failures tried again, the answer stored."""

from __future__ import annotations

from dataclasses import dataclass

from tamis.config import CrawlSettings
from tamis.crawl.hosts import HeldHost, HostTable
from tamis.crawl.outcomes import REDIRECTS, Outcome
from tamis.crawl.politeness import ROBOTS_BYTES, ROBOTS_RECOVERY_SECONDS, Robots, retry_after
from tamis.crawl.reading import PageAnswer, judge
from tamis.crawl.urls import BadUrl, PrivateAddress, check_literal, request_url

#: Redirects of robots.txt that are followed (RFC 9309, section 2.3.1.2).
_REDIRECTS_FOLLOWED = 5


@dataclass
class _Errand:
    url: str
    hops: int = 0
    tries: int = 0


class RobotsErrands:
    """The requests for robots.txt that are due or under way, one a host."""

    def __init__(self, hosts: HostTable, settings: CrawlSettings) -> None:
        self._hosts, self._settings = hosts, settings
        self._errands: dict[str, _Errand] = {}

    def begin(self, host: HeldHost, page_url: str) -> str:
        """Note that robots.txt of a host is asked for, and return its URL."""
        host.asking_robots = True
        scheme = page_url.partition("://")[0]
        return self._errands.setdefault(host.name, _Errand(f"{scheme}://{host.name}/robots.txt")).url

    def answered(self, host: HeldHost, answer: PageAnswer | Outcome, now: float) -> None:
        """Take in the answer to a request for robots.txt."""
        host.asking_robots = False
        errand = self._errands.get(host.name)
        if errand is None:
            host.pace.abandon()  # the host was lost and taken again, and another answer came first
            return
        outcome = judge(answer)
        if isinstance(answer, PageAnswer) and answer.status in REDIRECTS:
            host.pace.succeed()
            if self._follow(errand, answer):
                return
            answer = PageAnswer(answer.url, 404, {}, b"", now)  # as RFC 9309 has it: unavailable, so all is allowed
        elif outcome is not None and outcome.passing:
            wait = retry_after(answer.header("retry-after"), now) if isinstance(answer, PageAnswer) else None
            host.pace.fail(now, f"robots.txt: {outcome.reason}", overloaded=outcome.overloaded, wait=wait)
            errand.tries += 1
            if errand.tries < self._settings.attempts and not host.pace.is_paused(now):
                host.pace.next_at = max(host.pace.next_at, now + self._settings.retry_wait * 2 ** (errand.tries - 1))
                return
        else:
            host.pace.succeed()
        del self._errands[host.name]
        host.robots = _robots_of(answer, outcome, now)
        host.pace.slow_to(host.robots.crawl_delay(self._settings.user_agent))
        self._hosts.save_robots(host.name, host.robots)
        if not host.robots.reachable:
            pause_for_robots(host, now)

    def _follow(self, errand: _Errand, answer: PageAnswer) -> bool:
        try:
            target = request_url(answer.header("location") or "", answer.url)
            check_literal(target, allow_private=self._settings.allow_private)
        except (BadUrl, PrivateAddress):
            return False
        errand.url, errand.hops = target, errand.hops + 1
        return errand.hops <= _REDIRECTS_FOLLOWED


def _robots_of(answer: PageAnswer | Outcome, outcome: Outcome | None, now: float) -> Robots:
    if outcome is not None and outcome.passing:
        status = answer.status if isinstance(answer, PageAnswer) else 0
        return Robots(status, outcome.reason or outcome.name, now)
    if isinstance(answer, PageAnswer):
        body = answer.body[:ROBOTS_BYTES].decode("utf-8", "replace").replace("\x00", "")
        return Robots(answer.status, body, now)
    return Robots(404, "", now)  # a private or unusable address: as if there were none


def pause_for_robots(host: HeldHost, now: float) -> None:
    """Leave a host alone while its robots.txt cannot be read."""
    reason = host.robots.body[:300] if host.robots is not None else "no answer"
    host.pace.pause(now, ROBOTS_RECOVERY_SECONDS, f"robots.txt cannot be read: {reason}")
