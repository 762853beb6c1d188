"""What an answer of the web means for a row: an outcome that stands, or a failure that may be tried again.

Both the crawler and the downloader judge by this one table, so that `tamis status` speaks one language.
"""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus

#: Redirects that lead from one address to the next; 300 and 304 are no such thing.
REDIRECTS = frozenset({301, 302, 303, 307, 308})
MAX_REDIRECTS = 10

_FORBIDDEN = frozenset({401, 402, 403, 407, 451})
_RETRIED = frozenset({408, 425, 429})


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a request ended.

    `passing` failures are tried again; `overloaded` ones slow the host down; `blames_host` ones count for the
    circuit breaker, also where they stand as the row's outcome.
    """

    name: str
    reason: str | None = None
    passing: bool = False
    overloaded: bool = False
    blames_host: bool = False


@dataclass(frozen=True, slots=True)
class Fetched:
    """The end of a request. `url` is where the redirects led; `wait` is what Retry-After asks for, in seconds."""

    outcome: Outcome
    url: str
    status: int | None = None
    body: bytes = b""
    content_type: str | None = None
    wait: float | None = None

    @property
    def ok(self) -> bool:
        """Whether `body` is the whole document."""
        return self.outcome.name == "ok"


#: A whole document.
OK = Outcome("ok")


def outcome_of_status(status: int) -> Outcome:
    """The outcome of an HTTP status that carries no document: anything but 2xx and a redirect."""
    reason = f"HTTP {status}{_phrase(status)}"
    if status == 404:
        return Outcome("not_found", reason)
    if status == 410:
        return Outcome("gone", reason)
    if status in _FORBIDDEN:
        return Outcome("forbidden", reason, blames_host=True)
    if status in _RETRIED:
        name = "rate_limited" if status == 429 else "timeout"
        return Outcome(name, reason, passing=True, overloaded=True, blames_host=True)
    if status >= 500:
        return Outcome("server_error", reason, passing=True, overloaded=status in (503, 509, 529), blames_host=True)
    return Outcome("refused", reason)


def _phrase(status: int) -> str:
    try:
        return f" {HTTPStatus(status).phrase}"
    except ValueError:
        return ""


def timed_out(seconds: float) -> Outcome:
    """No complete answer within the time allowed."""
    return Outcome("timeout", f"no complete answer within {seconds:g} s", passing=True, blames_host=True)


def unreachable(name: str, cause: str) -> Outcome:
    """No connection, or one that broke: `name` is dns, refused_connection, tls, broken_answer or unreachable."""
    reason = " ".join(cause.split())[:300] or name
    return Outcome(name, reason, passing=True, blames_host=True)


def too_large(limit: int, what: str = "") -> Outcome:
    """The body, what it unpacks to, or what `what` names, is beyond the limit."""
    return Outcome("too_large", f"{what}more than {limit} bytes")


def standing(name: str, reason: str | None) -> Outcome:
    """An outcome that another try would not change."""
    return Outcome(name, None if reason is None else " ".join(reason.split())[:500])
