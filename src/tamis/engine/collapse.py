"""Running a collapse: its new rows portion by portion, each with all that is known by then."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from tamis.database import chunks, reading, writing
from tamis.engine import ledger
from tamis.engine.executor import Outcome
from tamis.engine.extents import Search
from tamis.engine.ledger import Entry
from tamis.engine.packed import Packed
from tamis.engine.recall import recall
from tamis.engine.run import Run, commit, context_of, record, worker_count, write
from tamis.engine.stage import LookUp, Stage, Told, Whole
from tamis.errors import Interrupted
from tamis.project import Project

#: Rows that are read or written at a time.
PAGE = 1024
#: Ledger subject of what belongs to no row; ids begin at 1.
NO_SUBJECT = 0


def run_collapse(run: Run, stop: threading.Event) -> None:
    """Hand a collapse its new rows with all it knows, and write its answer with their ledger rows at once.

    Of many new rows it gets a portion at a time. What is written of these stays if it is stopped in the next.
    """
    stage, engine = run.stage, run.project.engine
    search = run.search()
    left = run.limit if run.limit is not None else sys.maxsize
    last = False
    while not last:
        started = time.perf_counter()
        with reading(engine) as connection:
            new, last = _portion(run, connection, search, left)
            left -= len(new)
            side = dict(_Side(connection, run.project, stage))
            before = _decided_before(connection, stage)
            decided = stage.decision(run.project.settings, side) if stage.decision else None
            if not new and before in (None, decided):
                break
            known = recall(connection, run.plan, run.project.folder, run.token)
        anew = decided is None or decided != before
        whole = Whole(new, known, side, _look_up(run), anew, worker_count(run.project), _told(run, len(new), stop))
        _settle(run, whole, decided, started)
    commit(run, [])


def _portion(run: Run, connection: Connection, search: Search, left: int) -> tuple[Packed[Any], bool]:
    """Return the next pending rows, and whether they are the last ones."""
    new: Packed[Any] = Packed(run.stage.reads)
    while left > 0 and len(new) < run.stage.at_once:
        found = search.take(connection, left)
        if found is None:
            return new, True
        extents, pending = found
        new.extend(pending)
        run.remember(pending)
        left -= len(pending)
        if left > 0:
            run.finished += extents
    return new, left <= 0


def _settle(run: Run, whole: Whole, decided: str | None, started: float) -> None:
    stage = run.stage
    assert stage.collapse is not None
    computed = time.process_time()
    records = stage.collapse(context_of(run.project), whole)
    run.computing += time.process_time() - computed
    subjects = list(run.earlier)
    outputs: dict[int, Sequence[object]] = dict.fromkeys(subjects, ())
    outputs[subjects[0] if subjects else NO_SUBJECT] = records
    with writing(run.project.engine) as connection:
        run.lease.check(connection)
        write(run, connection, outputs)
        for part in chunks(subjects, PAGE):
            record(run, connection, [Outcome(subject) for subject in part], 0.0)
        ledger.add_to_counters(connection, stage.name, {"seconds": time.perf_counter() - started})
        run.plan.settle(connection, run.token, run.finished)
        if decided is not None:
            entry = Entry(NO_SUBJECT, "", "done", None, 0, 1, None)
            ledger.record(connection, _decision_rows(stage), decided, [entry])
    run.finished = []
    run.earlier.clear()
    run.counts["done"] += len(subjects)
    run.show()


def _told(run: Run, count: int, stop: threading.Event) -> Told:
    """Return what hears how far a portion of so many rows is, and ends it where the run shall stop."""

    def told(share: float) -> None:
        done = int(run.done + share * count)
        if stop.is_set():
            reached = f"{run.stage.name} stopped at {done / max(run.total, 1):.0%}"
            kept = f"what it found of {run.done:,} rows is kept, the next run goes on with the others"
            raise Interrupted(reached, kept if run.done else "it begins anew with the next run")
        if run.progress is not None:
            run.progress(done, run.total, "")

    return told


def _look_up(run: Run) -> LookUp:
    def look_up(name: str, ids: Sequence[int] | None) -> Sequence[sa.Row[Any]]:
        select = run.stage.lookups[name]
        with reading(run.project.engine) as connection:
            if ids is None:
                return connection.execute(select(None)).all()
            return [row for part in chunks(ids) for row in connection.execute(select(part))]

    return look_up


class _Side(Mapping[str, Sequence[sa.Row[Any]]]):
    """The side inputs of a stage, each read when it is first asked for."""

    def __init__(self, connection: Connection, project: Project, stage: Stage) -> None:
        self._connection, self._settings, self._selects = connection, project.settings, stage.side
        self._read: dict[str, Sequence[sa.Row[Any]]] = {}

    def __getitem__(self, name: str) -> Sequence[sa.Row[Any]]:
        if name not in self._read:
            self._read[name] = self._connection.execute(self._selects[name](self._settings)).all()
        return self._read[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._selects)

    def __len__(self) -> int:
        return len(self._selects)


def is_undecided(connection: Connection, stage: Stage, project: Project) -> bool:
    """Tell whether a collapse would be decided otherwise by now: by another threshold, or by what people said."""
    before = _decided_before(connection, stage)
    if before is None or stage.decision is None:
        return False
    return before != stage.decision(project.settings, _Side(connection, project, stage))


def _decided_before(connection: Connection, stage: Stage) -> str | None:
    return ledger.fingerprint_of(connection, _decision_rows(stage), NO_SUBJECT)


def _decision_rows(stage: Stage) -> str:
    """The name under which the ledger holds what a collapse was decided by."""
    return f"{stage.name} decision"
