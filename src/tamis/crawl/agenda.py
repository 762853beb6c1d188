"""What a crawler asks next, and what it does with the answers: leases, robots.txt, pace, budget, frontier.

An agenda knows nothing of Scrapy. All of its methods run on one thread, one after the other.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from tamis.blobs import BlobCorrupt, BlobMissing, BlobStore
from tamis.config import CrawlSettings
from tamis.crawl.blocks import block_advice
from tamis.crawl.budget import NO_LIMITS, Budget, RunLimits
from tamis.crawl.errands import RobotsErrands, pause_for_robots
from tamis.crawl.frontier import Frontier, PageResult, PageTask
from tamis.crawl.hosts import LEASE_SECONDS, HeldHost, HostTable, LeaseLost
from tamis.crawl.outcomes import OK, REDIRECTS, Outcome, standing
from tamis.crawl.politeness import PATIENCE, Verdict, retry_after
from tamis.crawl.reading import (
    PageAnswer,
    Place,
    judge,
    read_page,
    read_redirect,
    settle,
    skipped,
    stored_answer,
    without_feed,
)
from tamis.crawl.report import LISTED_FAILURES
from tamis.crawl.traps import FormWatch, form_of

_QUEUE = 50
#: Seconds between two looks at which hosts have work: while idle, and while busy.
_LOOK_IDLE, _LOOK_BUSY = 1.0, 15.0
#: Hosts that one crawler holds at a time; the rest is for others, or for later.
_MAX_HOSTS = 64


@dataclass(frozen=True, slots=True)
class Ask:
    """Request this URL now: a page, or (without a task) the robots.txt of the host."""

    host: HeldHost
    url: str
    task: PageTask | None

    @property
    def headers(self) -> dict[str, str]:
        """Headers of the request: a page that is stored is asked for only if it changed."""
        return {} if self.task is None else self.task.validators


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing may be requested for so many seconds, unless an answer comes first."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Finished:
    """Nothing is left that this run can do."""


@dataclass
class Tally:
    """What a run did so far."""

    pages: int = 0
    unmodified: int = 0
    size: int = 0
    items: int = 0
    changed: int = 0
    pictures: int = 0
    failures: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    failed: list[tuple[str, str]] = field(default_factory=list)


class Agenda:
    """One crawler's work on the frontier, within the limits of the run and the budgets of the sources."""

    def __init__(
        self,
        frontier: Frontier,
        hosts: HostTable,
        places: Mapping[int, Place],
        settings: CrawlSettings,
        blobs: BlobStore,
        *,
        limits: RunLimits = NO_LIMITS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._frontier, self._hosts, self._places = frontier, hosts, places
        self._settings, self._blobs = settings, blobs
        self._clock = clock
        self.tally = Tally()
        self.stopping = False
        self.waiting_for: dict[str, str] = {}
        self._held: dict[str, HeldHost] = {}
        self._aside: dict[str, tuple[float, str]] = {}
        self._queues: dict[str, deque[PageTask]] = {}
        self._under_way: dict[int, HeldHost] = {}
        self._errands = RobotsErrands(hosts, settings)
        self._watches: dict[str, FormWatch] = {}
        self._work: dict[str, float] = {}
        self._looked_at = 0.0
        self.budget = Budget(places, frontier.taken_by_source(), limits)

    @property
    def places(self) -> Mapping[int, Place]:
        """The sources that are crawled, by their numbers."""
        return self._places

    # --- what to ask ----------------------------------------------------------------------------------------------

    def next_turn(self) -> Ask | Wait | Finished:
        """Decide what happens next."""
        now = self._clock()
        self._renew(now)
        if self.stopping or self.budget.run_is_spent:
            return Wait(1.0) if self._under_way else Finished()
        if now - self._looked_at >= _LOOK_BUSY:
            self._look_for_hosts(now)
        ask = self._first_ask(now)
        if ask is None and now - self._looked_at >= _LOOK_IDLE:
            self._look_for_hosts(now)
            ask = self._first_ask(now)
        return ask or self._rest(now)

    def _first_ask(self, now: float) -> Ask | None:
        for host in list(self._held.values()):
            ready = host.pace.ready_at()
            if ready is None or ready > now:
                continue
            try:
                ask = self._ask_of(host, now)
            except LeaseLost:
                self._drop(host)
                continue
            if ask is not None:
                host.pace.begin(now)
                if ask.task is not None:
                    self._under_way[ask.task.id] = host
                    self.budget.begin(ask.task.source_id)
                return ask
        return None

    def _ask_of(self, host: HeldHost, now: float) -> Ask | None:
        """The next request to a host that is ready for one; pages that robots.txt forbids are settled on the way."""
        if host.asking_robots:
            return None
        while (task := self._next_task(host, now)) is not None:
            if self._settings.obey_robots and (host.robots is None or not host.robots.is_fresh(now)):
                self._queues[host.name].appendleft(task)
                return Ask(host, self._errands.begin(host, task.url), None)
            verdict = self._verdict(host, task.url)
            if verdict == "unavailable":
                self._queues[host.name].appendleft(task)
                pause_for_robots(host, now)
                return None
            if verdict == "forbidden":
                self._commit(task, skipped(task, "robots", "robots.txt forbids it", now, robots_verdict=verdict), host)
            elif (watch := self._watch(task)) and (refusal := watch.refusal(task.url)):
                self.tally.outcomes["trap"] += self._frontier.refuse_form(host, form_of(task.url), refusal)
                self._queues[host.name].clear()
            else:
                return Ask(host, task.url, task)
        return None

    def _watch(self, task: PageTask) -> FormWatch | None:
        """What notices session traps among a host's pages; None for pages that were named one by one."""
        given = self._places[task.source_id].settings
        if given.kind != "site" or not given.refuse_traps:
            return None
        if task.host not in self._watches:
            self._watches[task.host] = FormWatch(lambda form: self._frontier.latest_found(task.host, form))
        return self._watches[task.host]

    def _verdict(self, host: HeldHost, url: str) -> Verdict:
        if not self._settings.obey_robots or host.robots is None:
            return "ignored"
        return host.robots.verdict(url, self._settings.user_agent)

    def _next_task(self, host: HeldHost, now: float) -> PageTask | None:
        queue = self._queues.setdefault(host.name, deque())
        if not queue and self._work.get(host.name, 0.0) <= now:
            queue.extend(self._frontier.due(host.name, now, self._under_way, _QUEUE))
            if not queue:
                self._work[host.name] = now + _LOOK_IDLE
        while queue:
            task = queue.popleft()
            if self.budget.allows(task.source_id):
                return task
        return None

    def _rest(self, now: float) -> Wait | Finished:
        """Wait for what comes within `PATIENCE`, else finish."""
        if self._under_way or any(host.asking_robots for host in self._held.values()):
            return Wait(self._until_ready(now))
        wakes = [now + _LOOK_IDLE] if self.waiting_for else []
        for name, earliest in self._frontier.hosts_with_work().items():
            host = self._held.get(name)
            if host is not None and self._within_budget(name, now):
                wakes.append(max(earliest, host.pace.ready_at() or now))
            elif host is None and name not in self.waiting_for and name not in self.paused():
                wakes.append(now + _LOOK_IDLE)
        soonest = min(wakes, default=float("inf")) - now
        return Wait(max(min(soonest, 5.0), 0.01)) if soonest <= PATIENCE else Finished()

    def _until_ready(self, now: float) -> float:
        """Seconds until a host that has work may be asked, one at most: an answer wakes the crawler anyway."""
        soonest = now + 1.0
        for host in self._held.values():
            ready = host.pace.ready_at()
            if ready is not None and not host.asking_robots:
                work_at = now if self._queues.get(host.name) else self._work.get(host.name, now)
                soonest = min(soonest, max(ready, work_at))
        return max(soonest - now, 0.01)

    def _within_budget(self, name: str, now: float) -> bool:
        """Whether a host has a page whose source may still ask for one; pages that wait count as such."""
        tasks = self._frontier.due(name, now, (), _QUEUE)
        return not tasks or any(self.budget.allows(task.source_id) for task in tasks)

    # --- hosts ----------------------------------------------------------------------------------------------------

    def _look_for_hosts(self, now: float) -> None:
        self._looked_at = now
        work = self._frontier.hosts_with_work()
        self._work = dict(work)
        self._let_go(work, now)
        if self.waiting_for:
            self.budget.refresh(self._frontier.taken_by_source())
        wanted = [name for name in work if name not in self._held and self._aside.get(name, (0.0, ""))[0] <= now]
        taken, self.waiting_for = self._hosts.claim(wanted[: _MAX_HOSTS - len(self._held)])
        for host in taken:
            if host.robots is not None:
                host.pace.slow_to(host.robots.crawl_delay(self._settings.user_agent))
            self._held[host.name] = host
            self._aside.pop(host.name, None)
            self._watches.pop(host.name, None)

    def _let_go(self, work: Mapping[str, float], now: float) -> None:
        """Give back hosts that have no work, and set aside those that are paused for long."""
        quiet = [host for host in self._held.values() if not host.pace.in_flight]
        paused = [host for host in quiet if host.pace.paused_until - now > PATIENCE]
        self._aside |= {host.name: (host.pace.paused_until, host.pace.paused_reason or "paused") for host in paused}
        idle = [host for host in quiet if host.name not in work or host.name in self._aside]
        self._hosts.release(idle)
        for host in idle:
            del self._held[host.name]

    def paused(self) -> dict[str, str]:
        """Hosts that are left alone, with the reason."""
        now = self._clock()
        held = {host.name: (host.pace.paused_until, host.pace.paused_reason) for host in self._held.values()}
        return {name: reason or "paused" for name, (until, reason) in (self._aside | held).items() if until > now}

    def _renew(self, now: float) -> None:
        for host in list(self._held.values()):
            if host.lease_until - now < LEASE_SECONDS / 2:
                try:
                    self._hosts.renew(host)
                except LeaseLost:
                    self._drop(host)

    def _drop(self, host: HeldHost) -> None:
        """Forget a host that another crawler took over; answers that are under way will not be written."""
        if self._held.get(host.name) is host:
            del self._held[host.name]
            self._queues.pop(host.name, None)
            self._looked_at = 0.0

    # --- answers --------------------------------------------------------------------------------------------------

    def robots_answered(self, host: HeldHost, answer: PageAnswer | Outcome) -> None:
        """Take in the answer to a request for robots.txt."""
        now = self._clock()
        self._errands.answered(host, answer, now)
        outcome = judge(answer)
        if outcome is not None and outcome.name == "blocked":
            self._leave_alone(host, outcome, now)

    def page_answered(self, ask: Ask, answer: PageAnswer | Outcome) -> None:
        """Take in the answer to a request for a page, or the reason why there is none, and commit what it told."""
        task, host, now = ask.task, ask.host, self._clock()
        assert task is not None
        size = len(answer.body) if isinstance(answer, PageAnswer) else self._refused_size(answer)
        self.budget.receive(task.source_id, size)
        self.tally.size += size
        if isinstance(answer, PageAnswer) and answer.status == 304 and task.validators:
            answer = self._unmodified(task, answer)
        outcome = judge(answer)
        wait = retry_after(answer.header("retry-after"), now) if isinstance(answer, PageAnswer) and outcome else None
        host.pace.note(now, outcome or OK, wait)
        if isinstance(answer, PageAnswer) and outcome is None:
            host.pace.heed(answer.seconds)
        if outcome is not None and outcome.name == "blocked":
            self._leave_alone(host, outcome, now)
        result = self._result(task, answer, outcome, now)
        if result.state == "pending" and wait is not None:
            result = replace(result, not_before=max(result.not_before, now + wait))
        result = _with_columns(result, robots_verdict=self._verdict(host, task.url), size=size)
        if outcome is not None and outcome.name == "lost_body":
            result = _with_columns(result, body_sha256=None)
        try:
            self._commit(task, result, host)
        except LeaseLost:
            self._drop(host)
        finally:
            self._under_way.pop(task.id, None)

    def _leave_alone(self, host: HeldHost, outcome: Outcome, now: float) -> None:
        """Open the breaker of a host that serves a block page."""
        seconds = self._settings.block_wait
        if seconds:
            host.pace.pause(now, seconds, block_advice(outcome.reason or outcome.name, seconds))

    def _refused_size(self, outcome: Outcome) -> int:
        """Bytes that are counted for an answer that was not taken in."""
        return self._settings.max_page_bytes if outcome.name == "too_large" else 0

    def _unmodified(self, task: PageTask, answer: PageAnswer) -> PageAnswer | Outcome:
        """The stored page that a 304 stands for."""
        try:
            stored = stored_answer(task, self._blobs, answer.at, answer.headers)
        except (BlobMissing, BlobCorrupt, OSError, EOFError) as error:
            return Outcome("lost_body", f"unchanged, but its stored body is lost: {error}", passing=True)
        return replace(stored, seconds=answer.seconds)

    def page_abandoned(self, ask: Ask) -> None:
        """Note that a request was broken off by the run's end: its page stays pending."""
        ask.host.pace.abandon()
        if ask.task is None:
            ask.host.asking_robots = False
        else:
            self._under_way.pop(ask.task.id, None)

    def _result(self, task: PageTask, answer: PageAnswer | Outcome, outcome: Outcome | None, now: float) -> PageResult:
        if isinstance(answer, Outcome):
            return settle(task, answer, self._settings, now)
        if outcome is not None:
            return settle(task, outcome, self._settings, now, status=answer.status)
        place = self._places[task.source_id]
        if answer.status in REDIRECTS:
            return read_redirect(task, answer, place, self._settings)
        try:
            return read_page(task, answer, place, self._settings, self._blobs)
        except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
            # The reader promises not to raise; should it break its promise, one page must not end the crawl.
            found = standing("unreadable", f"the page reader failed: {type(error).__name__}: {error}")
            return settle(task, found, self._settings, now, status=answer.status)

    def _commit(self, task: PageTask, result: PageResult, host: HeldHost) -> None:
        result = without_feed(task, result, self._places[task.source_id])
        watch, read = self._watch(task), result.requested and result.state == "done"
        if watch is not None and read:
            result = replace(result, is_repeat=watch.repeats(task.url, result.columns.get("body_sha256")))
        written = self._frontier.commit(task, result, host)
        result, saved = written.result, written.saved
        if watch is not None and read:
            watch.note(task.url, written.found)
        if result.links or result.redirect:
            self._queues.clear()  # what was found may go before what is queued
            self._work.clear()
            self._looked_at = min(self._looked_at, self._clock() - _LOOK_BUSY + _LOOK_IDLE)
        tally = self.tally
        tally.pages += int(result.requested)
        tally.unmodified += int(result.columns.get("status") == 304)
        tally.items += saved.new_items
        tally.changed += saved.changed_items
        tally.pictures += saved.new_pictures
        if result.state != "pending":
            tally.outcomes[result.outcome] += 1
        if result.state == "failed":
            tally.failures += 1
            tally.failed = [*tally.failed, (task.url, result.reason or result.outcome)][:LISTED_FAILURES]

    def pending(self) -> int:
        """Pages that are still to be asked for."""
        return self._frontier.count_pending()

    def close(self) -> None:
        """Give the hosts back."""
        self._hosts.release(list(self._held.values()))


def _with_columns(result: PageResult, **columns: Any) -> PageResult:
    return replace(result, columns=dict(result.columns) | columns)
