"""What a host may be asked, and how fast: robots.txt (RFC 9309), robots directives, Retry-After, pace and breaker.

Nothing here talks to the network or the database; the crawler and the downloader hand in what they learnt.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from functools import cached_property
from typing import Literal

from protego import Protego

from tamis.crawl.outcomes import Outcome

Verdict = Literal["allowed", "forbidden", "unavailable", "ignored"]

#: Only so much of a robots.txt is read (RFC 9309, section 2.5).
ROBOTS_BYTES = 512 * 1024
#: A robots.txt is read again after a day (RFC 9309, section 2.4); an unreachable one sooner.
ROBOTS_SECONDS = 86_400.0
ROBOTS_RECOVERY_SECONDS = 300.0
#: The longest delay that a server may ask for between two requests, and that back-off reaches.
MAX_DELAY = 120.0
#: Answers that begin within so many seconds are never slow.
SLOW_SECONDS = 0.5
#: A host that asks to be left alone for longer is paused, and the run goes on without it.
PATIENCE = 120.0

_AGENT_TOKEN = re.compile(r"^[A-Za-z_-]+")
_DIRECTIVE_WITH_VALUE = ("max-snippet", "max-image-preview", "max-video-preview", "unavailable_after")


@dataclass(frozen=True)
class Robots:
    """The robots.txt of one host, as it was answered. `status` 0 says that no answer came at all."""

    status: int
    body: str
    fetched_at: float

    @property
    def reachable(self) -> bool:
        """Whether the answer counts: 2xx is obeyed, 4xx says that all is allowed (RFC 9309, section 2.3.1)."""
        return 200 <= self.status < 300 or (400 <= self.status < 500 and self.status != 429)

    def is_fresh(self, now: float) -> bool:
        """Whether it need not be asked for again yet."""
        return now - self.fetched_at < (ROBOTS_SECONDS if self.reachable else ROBOTS_RECOVERY_SECONDS)

    @cached_property
    def _rules(self) -> Protego | None:
        if not 200 <= self.status < 300:
            return None
        return Protego.parse(self.body.removeprefix("\ufeff").replace("\x00", ""))

    def verdict(self, url: str, user_agent: str) -> Verdict:
        """Whether the URL may be asked for; `unavailable` forbids it until robots.txt can be read again."""
        if not self.reachable:
            return "unavailable"
        if self._rules is None or self._rules.can_fetch(url, agent_token(user_agent)):
            return "allowed"
        return "forbidden"

    def crawl_delay(self, user_agent: str) -> float:
        """Seconds between two requests that the host asks for, 0 if it asks for none, at most `MAX_DELAY`."""
        if self._rules is None:
            return 0.0
        token = agent_token(user_agent)
        asked = self._rules.crawl_delay(token) or 0.0
        if (rate := self._rules.request_rate(token)) and rate.requests > 0:
            asked = max(asked, rate.seconds / rate.requests)
        return min(max(float(asked), 0.0), MAX_DELAY)


def agent_token(user_agent: str) -> str:
    """The product token that robots.txt groups are matched with (RFC 9309, section 2.2.1)."""
    match = _AGENT_TOKEN.match(user_agent.strip())
    return match[0] if match else "tamis"


def header_directives(values: Iterable[str], user_agent: str) -> frozenset[str]:
    """Directives of `X-Robots-Tag` headers that hold for this user agent, in lower case.

    A header may begin with the name of the agent that it is meant for: `otherbot: noindex, nofollow`.
    """
    token = agent_token(user_agent).lower()
    found: set[str] = set()
    for value in values:
        meant = True
        for part in value.lower().split(","):
            name, colon, rest = part.strip().partition(":")
            if colon and name not in _DIRECTIVE_WITH_VALUE:
                meant, name = name.strip() in (token, "*"), rest.strip()
            if meant and name and len(name) < 60:
                found.add(name)
    return frozenset(found)


def forbids_items(directives: Iterable[str]) -> str | None:
    """Return the directive that keeps a page's content out of a data set, or None."""
    given = set(directives)
    return next((word for word in ("noai", "noindex", "none") if word in given), None)


def forbids_links(directives: Iterable[str]) -> bool:
    """Whether the links of the page must not be followed."""
    return not {"nofollow", "none"}.isdisjoint(directives)


def forbids_picture(directives: Iterable[str]) -> str | None:
    """Return the directive that keeps a picture out of a data set, or None."""
    given = set(directives)
    return next((word for word in ("noai", "noimageai", "noimageindex", "noindex", "none") if word in given), None)


def retry_after(value: str | None, now: float) -> float | None:
    """Seconds to wait that a `Retry-After` header asks for (RFC 9110, section 10.2.3), or None without a valid one."""
    text = (value or "").strip()
    if not text:
        return None
    if text.isascii() and text.isdigit():
        return min(float(text[:12]), 1e9)
    try:
        return max(parsedate_to_datetime(text).timestamp() - now, 0.0)
    except (ValueError, OverflowError, TypeError):
        return None


@dataclass
class Pace:
    """How fast one host is asked; the caller reports each answer, and asks before each request.

    The delay doubles when the host is overloaded and falls back slowly; enough failures in a row pause the host.
    Times are seconds since the epoch.
    """

    base_delay: float
    concurrency: int
    breaker: int
    breaker_wait: float
    delay: float = 0.0
    next_at: float = 0.0
    failures: int = 0
    paused_until: float = 0.0
    paused_reason: str | None = None
    in_flight: int = field(default=0, compare=False)
    usual_seconds: float = field(default=0.0, compare=False)
    recent_seconds: float = field(default=0.0, compare=False)

    def __post_init__(self) -> None:
        self.delay = min(max(self.delay, self.base_delay), MAX_DELAY)

    def slow_to(self, delay: float) -> None:
        """Take over a delay that the host asks for; it is never undercut."""
        self.base_delay = min(max(self.base_delay, delay), MAX_DELAY)
        self.delay = max(self.delay, self.base_delay)

    def is_paused(self, now: float) -> bool:
        """Whether the breaker, or a long Retry-After, keeps requests away."""
        return now < self.paused_until

    def ready_at(self) -> float | None:
        """When the next request may start; None while as many as allowed are under way."""
        return None if self.in_flight >= self.concurrency else max(self.next_at, self.paused_until)

    def begin(self, now: float) -> None:
        """Note that a request starts."""
        if self.paused_until and not self.is_paused(now):
            self.paused_until, self.paused_reason = 0.0, None
        self.in_flight += 1
        self.next_at = now + self.delay

    def abandon(self) -> None:
        """Note that a request ended without telling anything about the host."""
        self.in_flight -= 1

    def succeed(self) -> None:
        """Note an answer, be it a 404: the host is well. A pause that began meanwhile goes on."""
        self.in_flight -= 1
        self.failures = 0
        self.delay = max(self.base_delay, self.delay * 0.9 if self.delay > 0.05 else 0.0)

    def fail(self, now: float, reason: str, *, overloaded: bool, wait: float | None = None) -> None:
        """Note a failure; `overloaded` slows down, and `wait` is what Retry-After asked for, in seconds."""
        self.in_flight -= 1
        self.failures += 1
        if overloaded:
            self.delay = min(max(self.delay * 2, 0.2), MAX_DELAY)
            self.next_at = max(self.next_at, now + self.delay)
        if wait is not None and wait > PATIENCE:
            self.pause(now, wait, f"the host asked to be left alone for {wait:.0f} s ({reason})")
        elif wait is not None:
            self.next_at = max(self.next_at, now + wait)
        if self.failures >= self.breaker and not self.is_paused(now):
            self.pause(now, self.breaker_wait, f"{self.failures} failures in a row, the last: {reason}")
            self.failures = 0

    def heed(self, seconds: float) -> None:
        """Ask less often when answers take much longer to begin than they used to: the host is under load.

        Each answer moves the usual time by a fiftieth and the recent one by a third of the difference.
        """
        if not self.usual_seconds:
            self.usual_seconds = self.recent_seconds = seconds
        self.usual_seconds += (seconds - self.usual_seconds) / 50
        self.recent_seconds += (seconds - self.recent_seconds) / 3
        if self.recent_seconds > max(3 * self.usual_seconds, SLOW_SECONDS):
            self.delay = min(max(self.delay, self.recent_seconds), MAX_DELAY)

    def note(self, now: float, outcome: Outcome, wait: float | None) -> None:
        """Note how a request ended: `succeed` or `fail`."""
        if outcome.blames_host:
            self.fail(now, outcome.reason or outcome.name, overloaded=outcome.overloaded, wait=wait)
        else:
            self.succeed()

    def pause(self, now: float, seconds: float, reason: str) -> None:
        """Keep requests away from the host."""
        self.paused_until, self.paused_reason = now + seconds, reason
