"""The runner: selects pending rows, has them computed, and is the one that writes."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from tamis.database import chunks, reading, writing
from tamis.engine import ledger
from tamis.engine.executor import Executor, Finished, InProcess, Outcome, ProcessPool, Task, Workshop
from tamis.engine.extents import OBSERVED, Chosen, Extent, Pick, Plan, Search, Survey, Walk, touch
from tamis.engine.lease import Lease, held
from tamis.engine.ledger import Entry
from tamis.engine.packed import Packed
from tamis.engine.recall import recall
from tamis.engine.stage import Context, Shape, Side, Stage, Whole
from tamis.errors import Interrupted
from tamis.project import Project
from tamis.records import digest

#: `progress(done, total, text)`.
Progress = Callable[[int, int | None, str], None]
#: Rows that are read or written at a time.
PAGE = 1024
#: Seconds between two commits at most, so that a kill costs little.
COMMIT_SECONDS = 1.0
#: Ledger subject of what belongs to no row; ids begin at 1.
NO_SUBJECT = 0
#: With fewer pending rows, starting processes costs more than it brings.
FEW = 8


@dataclass(frozen=True, slots=True)
class StageReport:
    """What a run of one step did; `computing` are the processor seconds of a stage's own functions.

    `warnings` say what a person should look at although nothing failed.
    """

    stage: str
    counts: Mapping[str, int]
    seconds: float
    idle: str | None = None
    computing: float = 0.0
    warnings: Sequence[str] = ()

    @property
    def rows(self) -> int:
        """Rows worked on."""
        return sum(self.counts.values())

    @property
    def failed(self) -> int:
        """Rows that failed."""
        return self.counts.get("failed", 0)


#: What the ledger said of a row before: its input digest now, and its state, attempts and commits.
_Earlier = tuple[str, str | None, int, int]


@dataclass
class _Run:
    """The state of one run of a stage."""

    stage: Stage
    project: Project
    fingerprint: str
    lease: Lease
    progress: Progress | None
    plan: Plan
    token: str
    survey: Survey
    limit: int | None
    chosen: Chosen | None
    workshop: Workshop
    computing: float = 0.0
    counts: Counter[str] = field(default_factory=Counter)
    #: Subject id to what the ledger said of it before.
    earlier: dict[int, _Earlier] = field(default_factory=dict)
    #: Subject id to the extent that it was taken from, if all pending rows of it were taken.
    taken_from: dict[int, Extent] = field(default_factory=dict)
    #: Rows of an extent that are still to be committed.
    open: Counter[Extent] = field(default_factory=Counter)
    #: Extents without pending rows that are not written down yet.
    finished: list[Extent] = field(default_factory=list)

    def remember(self, rows: Sequence[sa.Row[Any]]) -> None:
        """Note what the ledger says of pending rows."""
        for row in rows:
            commits = row.commits if row.old_fingerprint == self.fingerprint else 0
            self.earlier[row.subject_id] = sys.intern(row.input_digest or ""), row.old_state, row.attempts, commits

    @property
    def total(self) -> int:
        """Rows to work on, as far as is known."""
        pending = max(self.survey.pending, 1, self.done)
        return pending if self.limit is None else min(pending, self.limit)

    @property
    def done(self) -> int:
        return sum(self.counts.values())

    def search(self) -> Search:
        """Where pending rows are looked for."""
        return Walk(self.plan, self.survey.left) if self.chosen is None else Pick(self.plan, self.chosen)

    def show(self) -> None:
        if self.progress is not None:
            failed = self.counts["failed"]
            self.progress(self.done, self.total, f"{failed} failed" if failed else "")


def context_of(project: Project) -> Context:
    """Return what stages of this project may use."""
    return Context(project.settings, project.folder, project.blobs)


def worker_count(project: Project) -> int:
    """Worker processes: as set, or one for each core this process may use."""
    return project.settings.project.workers or len(os.sched_getaffinity(0))


def run_stage(
    project: Project,
    stage: Stage,
    *,
    limit: int | None = None,
    chosen: Chosen | None = None,
    progress: Progress | None = None,
    stop: threading.Event | None = None,
    workshop: Workshop | None = None,
) -> StageReport:
    """Work on all pending rows of a stage, on those of what is `chosen`, or on `limit` of them.

    `workshop` lends its workers, which stay.

    Raises:
        BusyError: another process works on the stage.
        Interrupted: `stop` was set; all finished work is committed.
        LeaseLost: this process was thought dead and another took over.
    """
    started = time.perf_counter()
    if reason := stage.idle(project.settings, project.folder):
        return StageReport(stage.name, {}, 0.0, reason)
    fingerprint = stage.fingerprint(context_of(project))
    plan = Plan(stage, project.settings, fingerprint)
    with reading(project.engine) as connection:
        token = plan.token(connection)
        survey = plan.survey(connection) if chosen is None else plan.survey_of(connection, chosen)
        nothing = survey.exact and survey.pending == 0
        undecided = nothing and is_undecided(connection, stage, project)
    if survey.empty:
        with writing(project.engine) as connection:
            plan.settle(connection, token, survey.empty)
    if nothing and not undecided:
        return StageReport(stage.name, {}, time.perf_counter() - started)
    with ExitStack() as stack:
        lease = stack.enter_context(held(project.engine, f"stage {stage.name}"))
        workshop = workshop or stack.enter_context(Workshop())
        run = _Run(stage, project, fingerprint, lease, progress, plan, token, survey, limit, chosen, workshop)
        run.show()
        if stage.shape is Shape.COLLAPSE:
            _run_collapse(run, stop or threading.Event())
        else:
            _run_batches(run, stop or threading.Event())
    return StageReport(stage.name, dict(run.counts), time.perf_counter() - started, computing=run.computing)


# --- map and batch ------------------------------------------------------------------------------------------------


def _run_batches(run: _Run, stop: threading.Event) -> None:
    workers = worker_count(run.project)
    executor: Executor
    context = context_of(run.project)
    alone = workers < 2 or run.total <= run.stage.batch_size
    if alone or (run.total <= FEW and not run.workshop.is_open):
        executor = InProcess(run.stage, context, run.workshop)
    else:
        executor = ProcessPool(run.stage, context, workers, run.workshop)
    tasks = _tasks(run, workers)
    waiting: list[Finished] = []
    last_commit = time.monotonic()
    try:
        exhausted = False
        while True:
            while not exhausted and not stop.is_set() and executor.room > 0:
                task = next(tasks, None)
                exhausted = task is None
                if task is not None:
                    executor.submit(task)
            finished = executor.next()
            if finished is not None:
                waiting.append(finished)
            if finished is None or time.monotonic() - last_commit > COMMIT_SECONDS:
                _commit(run, waiting)
                waiting, last_commit = [], time.monotonic()
            if finished is None and (exhausted or stop.is_set()):
                break
    finally:
        executor.close()
    if stop.is_set() and not exhausted:
        raise Interrupted(f"{run.stage.name} stopped after {run.done} of {run.total} rows")


def _tasks(run: _Run, workers: int) -> Iterator[Task]:
    """Batches of pending rows, extent by extent; a row is seen once a run, whatever becomes of it.

    Extents of which the survey knows that they have some come first, so that work begins at once.
    """
    left = run.limit if run.limit is not None else sys.maxsize
    settings = run.project.settings
    key = digest(run.stage.name, run.fingerprint, str(run.project.folder), settings.model_dump_json())
    size = min(run.stage.batch_size, max(1, -(-run.total // (2 * workers))))
    search = run.search()
    while left > 0:
        with reading(run.project.engine) as connection:
            found = search.take(connection, left)
        if found is None:
            return
        extents, rows = found
        run.remember(rows)
        if not rows:
            run.finished += extents
        elif extents and len(rows) < left:
            (extent,) = extents
            run.taken_from.update((row.subject_id, extent) for row in rows)
            run.open[extent] = len(rows)
        for start in range(0, len(rows), size):
            part = rows[start : start + size]
            inputs = tuple(run.stage.read(row) for row in part)
            yield Task(run.stage.name, tuple(row.subject_id for row in part), inputs, key)
        left -= len(rows)


def _commit(run: _Run, batches: list[Finished]) -> None:
    outcomes = [outcome for batch in batches for outcome in batch.outcomes]
    run.computing += sum(batch.computing for batch in batches)
    if not outcomes and not run.finished:
        return
    for outcome in outcomes:
        if extent := run.taken_from.pop(outcome.subject_id, None):
            run.open[extent] -= 1
    run.finished += [extent for extent, rows in run.open.items() if not rows]
    with writing(run.project.engine) as connection:
        run.lease.check(connection)
        if outcomes:
            kept = {
                outcome.subject_id: outcome.records
                for outcome in outcomes
                if outcome.state == "done" or outcome.records
            }
            _write(run, connection, kept)
            _record(run, connection, outcomes, sum(batch.seconds for batch in batches))
        run.plan.settle(connection, run.token, run.finished)
    for extent in run.finished:
        run.open.pop(extent, None)
    run.finished = []
    for outcome in outcomes:
        run.counts[outcome.state] += 1
        del run.earlier[outcome.subject_id]
    run.show()


def _record(run: _Run, connection: Connection, outcomes: Sequence[Outcome], seconds: float) -> None:
    entries = [_entry(run, outcome) for outcome in outcomes]
    ledger.record(connection, run.stage.name, run.fingerprint, entries, seconds)
    if run.stage.name in OBSERVED:
        touch(connection, "ledger", (outcome.subject_id for outcome in outcomes))


def _write(run: _Run, connection: Connection, outputs: Mapping[int, object]) -> None:
    for subject, records in outputs.items():
        for record in records:  # type: ignore[attr-defined]
            if type(record) not in run.stage.writes:
                raise TypeError(f"stage {run.stage.name} returned {type(record).__name__} for {subject}")
    run.stage.write(run.project.settings)(connection, outputs)  # type: ignore[arg-type]


def _entry(run: _Run, outcome: Outcome) -> Entry:
    input_digest, before, attempts, commits = run.earlier[outcome.subject_id]
    failed = outcome.state == "failed"
    return Entry(
        subject_id=outcome.subject_id,
        input_digest=input_digest,
        state=outcome.state,  # type: ignore[arg-type]
        reason=outcome.reason,
        attempts=attempts + 1 if failed else 0,
        commits=commits + (0 if failed else 1),
        before=before,
    )


# --- collapse -----------------------------------------------------------------------------------------------------


def _run_collapse(run: _Run, stop: threading.Event) -> None:
    """Hand a collapse its new rows with all it knows, and write its answer with their ledger rows at once."""

    def told(share: float) -> None:
        if stop.is_set():
            raise Interrupted(f"{run.stage.name} stopped at {share:.0%}; it begins anew")
        if run.progress is not None:
            run.progress(int(share * run.total), run.total, "")

    stage, settings = run.stage, run.project.settings
    assert stage.collapse is not None
    started = time.perf_counter()
    left = run.limit if run.limit is not None else sys.maxsize
    new: Packed[Any] = Packed(stage.reads)
    known = new
    with reading(run.project.engine) as connection:
        search = run.search()
        while left > 0 and (found := search.take(connection, left)) is not None:
            extents, pending = found
            new.extend(pending)
            run.remember(pending)
            left -= len(pending)
            if left > 0:
                run.finished += extents
        due = bool(new) or is_undecided(connection, stage, run.project)
        side: Side = {}
        if due:
            known = recall(connection, run.plan, run.project.folder, run.token)
            side = dict(_Side(connection, run.project, stage))
    if not due:
        _commit(run, [])
        return
    computed = time.process_time()
    whole = Whole(new, known, side, worker_count(run.project), told)
    records = stage.collapse(context_of(run.project), whole)
    run.computing += time.process_time() - computed
    subjects = list(run.earlier)
    outputs: dict[int, Sequence[object]] = dict.fromkeys(subjects, ())
    outputs[subjects[0] if subjects else NO_SUBJECT] = records
    with writing(run.project.engine) as connection:
        run.lease.check(connection)
        _write(run, connection, outputs)
        for part in chunks(subjects, PAGE):
            _record(run, connection, [Outcome(subject) for subject in part], 0.0)
        ledger.add_to_counters(connection, stage.name, {"seconds": time.perf_counter() - started})
        run.plan.settle(connection, run.token, run.finished)
        if stage.decision is not None:
            decided = Entry(NO_SUBJECT, "", "done", None, 0, 1, None)
            rows_of = f"{stage.name} decision"
            ledger.record(connection, rows_of, stage.decision(settings, side), [decided])
    run.counts["done"] += len(subjects)
    run.show()


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
    if stage.decision is None:
        return False
    before = ledger.fingerprint_of(connection, f"{stage.name} decision", NO_SUBJECT)
    if before is None:
        return False
    return before != stage.decision(project.settings, _Side(connection, project, stage))
