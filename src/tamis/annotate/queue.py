"""The annotation queue: hands out samples under leases, so that two people never get the same one.

The order of all samples is worked out now and then and kept in memory; who gets what is decided by the database, in
one transaction, so that any number of servers may hand out samples of one project.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from threading import Lock

import sqlalchemy as sa
from sqlalchemy import Connection

from tamis.annotate.questions import Questions, Subject, asked_attributes, busy_items, subjects_of
from tamis.annotate.survey import Entry, Survey, Surveyor
from tamis.database import chunks, insert_new, reading, retrying, writing
from tamis.project import Project
from tamis.schema import assignment, item

#: Samples that one person may hold: what is on the screen and what is loaded ahead.
MAX_COUNT = 50
#: Samples that are looked at together while the queue is walked.
_WALK = 250


@dataclass(frozen=True, slots=True)
class Lease:
    """A sample that a person holds, and what is asked of it."""

    region_id: int
    asked: tuple[str, ...]
    until: float


class SampleQueue:
    """Hands out samples of one project. `clock` gives seconds since the epoch."""

    def __init__(self, project: Project, surveyor: Surveyor, clock: Callable[[], float] = time.time) -> None:
        self._project = project
        self._surveyor = surveyor
        self._settings = project.settings
        self._clock = clock
        self._attributes = asked_attributes(project.settings)
        self._ordered: tuple[Survey, tuple[int, ...]] | None = None
        self._reopened: dict[int, None] = {}
        self._lock = Lock()

    def lease(
        self, person: str, count: int, *, holding: Collection[int] = (), second_opinion: bool = False
    ) -> list[Lease]:
        """Lease up to `count` samples to a person, best first; those in `holding` are not given again.

        A sample that the person holds already comes again, so that a page that was loaded anew shows the same. What
        belongs to an item is asked with one of its samples, those in `holding` among them.
        """
        count = min(count, MAX_COUNT)
        found: list[Lease] = []
        told = self._asked_with(holding)
        for part in self._walk(person, holding, second_opinion):
            wanted = count - len(found)
            for few in chunks(part, max(wanted, 1)):
                if len(found) < count:
                    take = partial(self._take, person, few, second_opinion, told)
                    leases, asked_of_items = retrying(take)
                    found, told = [*found, *leases], told | asked_of_items
            if len(found) >= count:
                break
        return found[:count]

    def _asked_with(self, region_ids: Collection[int]) -> frozenset[tuple[int, str]]:
        """What is asked of items with these samples, as (item, attribute)."""
        names = [attribute.name for attribute in self._attributes if attribute.scope == "item"]
        if not names or not region_ids:
            return frozenset()
        with reading(self._project.engine) as connection:
            items = {one.item_id for one in subjects_of(connection, sorted(region_ids)) if one.item_id is not None}
        return frozenset((item_id, name) for item_id in items for name in names)

    def renew(self, person: str, region_ids: Sequence[int]) -> list[int]:
        """Extend the person's leases; return the regions that are no longer the person's."""

        def work() -> list[int]:
            with writing(self._project.engine) as connection:
                held = self._claim_rows(connection, person, sorted(region_ids))
            return [one for one in region_ids if one not in held]

        return retrying(work)

    def release(self, connection: Connection, person: str, region_ids: Collection[int]) -> None:
        """Give samples back, within the transaction of the caller."""
        for part in chunks(sorted(region_ids)):
            held = assignment.c.region_id.in_(part) & (assignment.c.person == person)
            connection.execute(sa.delete(assignment).where(held))

    def release_answered(self, connection: Connection, person: str, region_ids: Collection[int]) -> None:
        """Give back those samples that ask nothing more of the person, within the transaction of the caller."""
        subjects = subjects_of(connection, sorted(region_ids))
        questions = Questions(connection, subjects, self._attributes, person)
        self.release(connection, person, [one.region_id for one in subjects if not questions.open_for(one)])

    def asked_of(self, connection: Connection, person: str, region_ids: Sequence[int]) -> dict[int, tuple[str, ...]]:
        """What each sample still asks of the person."""
        subjects = subjects_of(connection, region_ids)
        questions = Questions(connection, subjects, self._attributes, person)
        return {one.region_id: questions.open_for(one) for one in subjects}

    def reopen(self, region_ids: Collection[int]) -> None:
        """Put samples of which an answer was taken back to the front, until the next survey knows it."""
        with self._lock:
            self._reopened = dict.fromkeys(region_ids) | self._reopened

    def progress(self) -> tuple[int, int]:
        """How many samples still ask something of somebody, and how many there are, as of the last survey."""
        survey = self._surveyor.kept()
        return len(self._order(survey)), sum(entry.verdict != "reject" for entry in survey.entries.values())

    # --- leases ---------------------------------------------------------------------------------------------------

    def _walk(self, person: str, holding: Collection[int], second_opinion: bool) -> Iterator[list[int]]:
        """Yield samples that seem to be free, in order; the transaction that takes them looks again."""
        held = set(holding)
        survey = self._surveyor.kept()
        region_ids = self._order(survey)
        if second_opinion:
            region_ids = tuple(entry.region_id for entry in survey.entries.values() if entry.verdict != "reject")
        for part in chunks((one for one in region_ids if one not in held), _WALK):
            now = self._clock()
            with reading(self._project.engine) as connection:
                others = assignment.c.region_id.in_(part) & (assignment.c.person != person)
                taken = set(
                    connection.execute(
                        sa.select(assignment.c.region_id).where(others, assignment.c.until > now)
                    ).scalars()
                )
                free = [one for one in part if one not in taken]
                asked = self._asked(connection, person, free, second_opinion)
            yield [one for one in free if asked.get(one)]

    def _take(
        self, person: str, region_ids: Sequence[int], second_opinion: bool, told: frozenset[tuple[int, str]]
    ) -> tuple[list[Lease], frozenset[tuple[int, str]]]:
        """Lease those that are still free and still ask something of the person.

        `told` holds what is asked of items, as (item, attribute), by leases of the same request; returns what these
        leases ask of items too.
        """
        with writing(self._project.engine) as connection:
            subjects = subjects_of(connection, region_ids)
            self._lock_items(connection, subjects)
            held = self._claim_rows(connection, person, sorted(one.region_id for one in subjects))
            asked = self._asked(connection, person, region_ids, second_opinion, told)
            useless = [one for one in held if not asked.get(one)]
            self.release(connection, person, useless)
        leases = [Lease(one, asked[one], held[one]) for one in region_ids if one in held and asked.get(one)]
        of_items = {attribute.name for attribute in self._attributes if attribute.scope == "item"}
        item_of = {one.region_id: one.item_id for one in subjects}
        pairs = ((item_of[one.region_id], name) for one in leases for name in one.asked if name in of_items)
        return leases, frozenset((number, name) for number, name in pairs if number is not None)

    def _asked(
        self,
        connection: Connection,
        person: str,
        region_ids: Sequence[int],
        second_opinion: bool,
        told: Collection[tuple[int, str]] = (),
    ) -> dict[int, tuple[str, ...]]:
        subjects = subjects_of(connection, region_ids)
        # Leases before claims: who answers in between gives the lease back in the same transaction, so that one of
        # both reads sees it.
        busy = set() if second_opinion else busy_items(connection, person, self._clock())
        questions = Questions(connection, subjects, self._attributes, person, second_opinion=second_opinion)
        return self._each_once({one: questions.open_for(one, busy) for one in subjects}, told)

    def _each_once(
        self, open_for: Mapping[Subject, tuple[str, ...]], asked_before: Collection[tuple[int, str]]
    ) -> dict[int, tuple[str, ...]]:
        """Ask what belongs to an item with the first of its samples alone."""
        of_items = {attribute.name for attribute in self._attributes if attribute.scope == "item"}
        told: set[tuple[int | None, str]] = set(asked_before)
        asked: dict[int, tuple[str, ...]] = {}
        for one, names in open_for.items():
            asked[one.region_id] = tuple(name for name in names if (one.item_id, name) not in told)
            told |= {(one.item_id, name) for name in names if name in of_items and one.item_id is not None}
        return asked

    def _lock_items(self, connection: Connection, subjects: Sequence[Subject]) -> None:
        """Let one request at a time lease samples of an item: its own attributes are asked of one person."""
        if not any(attribute.scope == "item" for attribute in self._attributes):
            return
        item_ids = sorted({one.item_id for one in subjects if one.item_id is not None})
        for part in chunks(item_ids):
            locked = sa.select(item.c.id).where(item.c.id.in_(part)).order_by(item.c.id).with_for_update()
            connection.execute(locked)

    def _claim_rows(self, connection: Connection, person: str, region_ids: Sequence[int]) -> dict[int, float]:
        """Take the leases that are free, over or the person's own; return region -> end of the lease."""
        now = self._clock()
        until = now + self._settings.annotate.lease
        for part in chunks(region_ids):
            insert_new(connection, assignment, [{"region_id": one, "person": person, "until": until} for one in part])
            free = (assignment.c.until <= now) | (assignment.c.person == person)
            statement = sa.update(assignment).where(assignment.c.region_id.in_(part), free)
            connection.execute(statement.values(person=person, until=until))
        held: set[int] = set()
        for part in chunks(region_ids):
            own = assignment.c.region_id.in_(part) & (assignment.c.person == person)
            held.update(connection.execute(sa.select(assignment.c.region_id).where(own)).scalars())
        return dict.fromkeys((one for one in region_ids if one in held), until)

    # --- order ----------------------------------------------------------------------------------------------------

    def _order(self, survey: Survey) -> tuple[int, ...]:
        """The samples that still ask something of somebody, first come first."""
        with self._lock:
            if self._ordered is None or self._ordered[0] is not survey:
                if self._ordered is not None:
                    self._reopened.clear()
                self._ordered = survey, self._work_out(survey)
            return tuple(dict.fromkeys((*self._reopened, *self._ordered[1]))) if self._reopened else self._ordered[1]

    def _work_out(self, survey: Survey) -> tuple[int, ...]:
        names = [attribute.name for attribute in self._settings.attributes]
        places = [names.index(attribute.name) for attribute in self._attributes if attribute.name in names]
        waiting = [entry for entry in survey.entries.values() if entry.verdict != "reject" and _asks(entry, places)]
        match self._settings.annotate.order:
            case "oldest":
                waiting.sort(key=lambda entry: entry.region_id)
            case "random":  # a region's key is a digest: its order is random, and the same for everybody
                waiting.sort(key=lambda entry: entry.region_key)
            case "uncertain":
                waiting.sort(key=lambda entry: (_confidence(entry, places), entry.region_key))
        return tuple(entry.region_id for entry in waiting)


def _asks(entry: Entry, places: Sequence[int]) -> bool:
    """Whether people have not settled it yet; where no attribute is declared, the verdict is what is asked."""
    if not places:
        return entry.cause != "person"
    return any(mark is None or not mark.settled for mark in (entry.gold[place] for place in places))


def _confidence(entry: Entry, places: Sequence[int]) -> float:
    """Confidence in the least certain attribute that people have not settled; 0 where no machine claims anything."""
    marks = [mark for mark in (entry.gold[place] for place in places) if mark is not None and not mark.settled]
    return min((mark.confidence for mark in marks), default=0.0)
