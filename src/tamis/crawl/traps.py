"""Session traps: calendars without end, parameters that multiply, paths that grow, sessions in the URL.

Two ways to notice one, both slow to judge. By rule: a URL that no person would write. By what was seen: many pages in
a row whose URLs differ in numbers and values alone, and which brought nothing but each other. A refused URL is a row
with the reason; `source.NAME.refuse_traps = false` takes the judgement back.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from tamis.records import digest

#: A path that repeats a segment, or a pair of them, so often grows with each visit.
MAX_REPEATS = 3
MAX_SEGMENTS = 24
MAX_PARAMETERS = 24
#: One parameter given more often than this is a link that adds itself to itself.
MAX_SAME_PARAMETER = 6
#: Years that a calendar may lead away from today.
YEARS_AHEAD, YEARS_BACK = 1, 15
#: Pages of one form in a row that brought nothing, from which on the form is a trap.
STREAK = 50

_CALENDAR = re.compile(
    r"(?:^|[/_.-])(?:calendar|calendrier|calendario|kalender|events?|termine|veranstaltungen|agenda|eventos|archive)"
    r"(?:$|[/_.?&=-])|[?&](?:month|monat|mois|mes|year|jahr|cal|week|tribe-bar-date|ical|date|day|datum)=",
    re.IGNORECASE,
)
_DATE = re.compile(r"(?<=[/=])((?:19|20|21)\d\d)(?:[/_.-]?(?:0[1-9]|1[0-2])(?:[/_.-]?[0-3]\d)?)?(?=$|[/&?])")
_VARIABLE = re.compile(r"\d+|\b[0-9a-f]{8,}\b|(?<=/)[A-Za-z0-9_-]{24,}(?=/|$)", re.IGNORECASE)


def trap_by_rule(url: str, now: float | None = None) -> str | None:
    """Say why a URL by itself is a trap, or None."""
    parts = urlsplit(url)
    segments = [segment for segment in parts.path.split("/") if segment]
    if found := _repeated(segments):
        return f"trap: the path repeats {found[:80]!r}"
    if len(segments) > MAX_SEGMENTS:
        return f"trap: a path of {len(segments)} segments"
    names = Counter(pair.partition("=")[0] for pair in parts.query.split("&") if pair)
    if names:
        name, count = names.most_common(1)[0]
        if count > MAX_SAME_PARAMETER:
            return f"trap: the parameter {unquote(name)[:40]!r} is given {count} times"
        if len(names) > MAX_PARAMETERS:
            return f"trap: {len(names)} parameters"
    return _endless_calendar(f"{parts.path}?{parts.query}", time.gmtime(now).tm_year)


def _repeated(segments: list[str]) -> str | None:
    counts = Counter(segments)
    if counts and counts.most_common(1)[0][1] > MAX_REPEATS:
        return counts.most_common(1)[0][0]
    for length in (2, 3):
        for start in range(len(segments) - length * MAX_REPEATS + 1):
            piece = segments[start : start + length]
            if all(segments[start + n * length : start + (n + 1) * length] == piece for n in range(1, MAX_REPEATS)):
                return "/".join(piece)
    return None


def _endless_calendar(target: str, year: int) -> str | None:
    if not _CALENDAR.search(target):
        return None
    years = [int(match[1]) for match in _DATE.finditer(target)]
    if any(found > year + YEARS_AHEAD or found < year - YEARS_BACK for found in years):
        return f"trap: a calendar that leads to {max(years, key=lambda found: abs(found - year))}"
    return None


def form_of(url: str) -> str:
    """Digest of a URL without its numbers, random parts and values: the same for all days of a calendar."""
    parts = urlsplit(url)
    names = sorted({pair.partition("=")[0] for pair in parts.query.split("&") if pair})
    return digest(parts.netloc, _VARIABLE.sub("#", parts.path), *(_VARIABLE.sub("#", name) for name in names))


@dataclass(slots=True)
class _Streak:
    barren: int
    url: str = ""
    body: str | None = None


class FormWatch:
    """Counts, for each form of URL, the pages in a row that brought nothing; one host's pages, as they come.

    `past` returns, of the latest pages of a form, newest first, what each brought (column `found`).
    """

    def __init__(self, past: Callable[[str], list[int]]) -> None:
        self._past = past
        self._streaks: dict[str, _Streak] = {}

    def _streak(self, form: str) -> _Streak:
        if form not in self._streaks:
            latest = self._past(form)
            fruitful = next((index for index, found in enumerate(latest) if found), len(latest))
            self._streaks[form] = _Streak(fruitful)
        return self._streaks[form]

    def refusal(self, url: str) -> str | None:
        """Say why a URL is not asked for: its form is a trap; None otherwise."""
        if self._streak(form_of(url)).barren < STREAK:
            return None
        return f"trap: {STREAK} pages in a row of this form brought nothing but each other"

    def repeats(self, url: str, body: str | None) -> bool:
        """Whether a page's stored body is that of the page of its form before it, at another URL."""
        streak = self._streak(form_of(url))
        same = body is not None and streak.body == body and streak.url != url
        streak.body, streak.url = body, url
        return same

    def note(self, url: str, found: int) -> None:
        """Take note of what a page brought."""
        streak = self._streak(form_of(url))
        streak.barren = 0 if found else streak.barren + 1
