"""Budgets: how many pages and bytes a source may take in one pass, and one run in all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tamis.crawl.reading import Place


@dataclass(frozen=True, slots=True)
class RunLimits:
    """What one run may ask for at most: pages, and bytes after unpacking. None: any number."""

    pages: int | None = None
    size: int | None = None


NO_LIMITS = RunLimits()


class Budget:
    """Pages and bytes taken so far, by source and in this run."""

    def __init__(self, places: Mapping[int, Place], taken: Mapping[int, tuple[int, int]], limits: RunLimits) -> None:
        self._places, self._limits = places, limits
        self._taken = {number: list(taken.get(number, (0, 0))) for number in places}
        self._run = [0, 0]

    def refresh(self, taken: Mapping[int, tuple[int, int]]) -> None:
        """Take in what other crawlers asked for meanwhile."""
        for number, (pages, size) in taken.items():
            if number in self._taken:
                own = self._taken[number]
                self._taken[number] = [max(own[0], pages), max(own[1], size)]

    def begin(self, source_id: int) -> None:
        """Count a page that is asked for."""
        self._taken[source_id][0] += 1
        self._run[0] += 1

    def receive(self, source_id: int, size: int) -> None:
        """Count the bytes of an answer."""
        self._taken[source_id][1] += size
        self._run[1] += size

    @property
    def run_is_spent(self) -> bool:
        """Whether this run has asked for all that it may."""
        pages, size = self._limits.pages, self._limits.size
        return (pages is not None and self._run[0] >= pages) or (size is not None and self._run[1] >= size)

    def allows(self, source_id: int) -> bool:
        """Whether a source may have one more page."""
        return self._spent(source_id) is None

    def _spent(self, source_id: int) -> str | None:
        place = self._places[source_id]
        pages, size = self._taken[source_id]
        limit = min(place.settings.max_pages, place.recipe.limits.max_pages or place.settings.max_pages)
        if pages >= limit:
            where = (
                "max_pages" if limit == place.settings.max_pages else f"limits.max_pages of recipe {place.recipe.name}"
            )
            return f"budget of {limit} pages is used up ({self._setting(place, where)})"
        if place.settings.max_bytes and size >= place.settings.max_bytes:
            return f"budget of {place.settings.max_bytes} bytes is used up ({self._setting(place, 'max_bytes')})"
        return None

    @staticmethod
    def _setting(place: Place, name: str) -> str:
        return name if " " in name else f"source.{place.name}.{name}"

    def spent(self) -> dict[str, str]:
        """Sources whose budget is used up, with the line that says which."""
        lines = {self._places[number].name: self._spent(number) for number in self._places}
        return {name: line for name, line in lines.items() if line is not None}

    def spent_sources(self) -> set[int]:
        """The same by number."""
        return {number for number in self._places if self._spent(number) is not None}
