"""What a step that asks the web tells of itself when it ends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

Progress = Callable[[int, int | None, str], None]

#: Failures that a report lists with their reasons.
LISTED_FAILURES = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class WebReport:
    """What crawling and downloading have in common.

    `outcomes` counts rows by outcome, `failures` those that a retry may mend, of which `failed` lists the first with
    their reasons; `paused` names hosts that are left alone, and why.
    """

    bytes: int = 0
    pending: int = 0
    outcomes: dict[str, int] = field(default_factory=dict)
    failures: int = 0
    failed: list[tuple[str, str]] = field(default_factory=list)
    paused: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    stopped: bool = False

    @property
    def complete(self) -> bool:
        """Whether nothing is left that a later run or a person must mend."""
        return not self.failures and not self.paused and not self.pending


@dataclass(frozen=True, slots=True, kw_only=True)
class CrawlReport(WebReport):
    """What a crawl did.

    `pages` were asked for, of which `unmodified` had not changed since they were stored. `budgets` names sources that
    may not take more in this pass, `passes` the items of each source's pass so far, `warnings` what fell against
    earlier runs, or was left out.
    """

    pages: int = 0
    unmodified: int = 0
    items: int = 0
    changed: int = 0
    pictures: int = 0
    budgets: dict[str, str] = field(default_factory=dict)
    passes: list[dict[str, Any]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
