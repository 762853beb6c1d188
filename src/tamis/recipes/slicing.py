"""Slicing: a search that lists more than the site serves, cut by ranges of its query until each part fits."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit


@dataclass(frozen=True, slots=True)
class SliceRange:
    """A pair of query parameters that bound one whole number of the listings, both ends included."""

    lower: str
    """Query parameter of the smallest value wanted."""
    upper: str
    """Query parameter of the largest value wanted."""
    lowest: int
    """Values from here down are never told apart: the first slice has no lower bound."""
    highest: int | None
    """Values from here up are never told apart: the last slice has no upper bound. None: the year that it is now."""
    log: bool = False
    """Whether the middle is the geometric one, for values that spread over orders of magnitude."""
    optional: bool = False
    """Whether listings may lack the value, so that no slice has them: the search is cut by the next range as well."""

    def split(self, low: int | None, high: int | None) -> int | None:
        """Return the last value of the lower half of `low` to `high` (None: open), or None for a single value."""
        first = self.lowest if low is None else low
        last = self._highest() if high is None else high
        if first >= last:
            return None
        if not self.log:
            return (first + last) // 2
        middle = math.isqrt((first + 1) * (last + 1)) - 1 if first >= 0 else (first + last) // 2
        return min(max(middle, first), last - 1)

    def _highest(self) -> int:
        return time.localtime().tm_year if self.highest is None else self.highest


def split_search(url: str, ranges: Sequence[SliceRange], page_parameter: str) -> tuple[str, ...]:
    """Cut the search at `url` in two by the first of `ranges` that still can be cut; empty where none can.

    Every listing that has the value is in exactly one part; where listings may lack it, two parts by the next range
    follow, which hold all. A search that is bounded by one range is never cut by an earlier one. The parts begin at
    their first page.
    """
    parts = urlsplit(url)
    query = parse_qsl(parts.query, keep_blank_values=True)
    bounds = [(_bound(query, one.lower), _bound(query, one.upper)) for one in ranges]
    start = max((place for place, bound in enumerate(bounds) if bound != (None, None)), default=0)
    queries: list[str] = []
    for one, (low, high) in list(zip(ranges, bounds, strict=True))[start:]:
        middle = one.split(low, high)
        if middle is None:
            continue
        halves = ({one.lower: low, one.upper: middle}, {one.lower: middle + 1, one.upper: high})
        queries += [urlencode(_replaced(query, half, page_parameter)) for half in halves]
        if not one.optional or (low, high) != (None, None):
            break
    return tuple(urlunsplit((*parts[:3], text, "")) for text in queries)


def _bound(query: list[tuple[str, str]], name: str) -> int | None:
    value = next((value for key, value in query if key == name), "")
    return int(value) if value.isascii() and value.isdigit() and len(value) < 16 else None


def _replaced(
    query: list[tuple[str, str]], bounds: dict[str, int | None], page_parameter: str
) -> list[tuple[str, str]]:
    kept = [(key, value) for key, value in query if key not in bounds and key != page_parameter]
    return kept + [(key, str(value)) for key, value in bounds.items() if value is not None]
