"""The runner: selects pending rows, has them computed, and is the one that writes."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import sqlalchemy as sa
from sqlalchemy import Connection

from tamis.database import reading, writing
from tamis.engine import ledger
from tamis.engine.executor import Executor, Finished, InProcess, Outcome, ProcessPool, Task
from tamis.engine.lease import Lease, held
from tamis.engine.ledger import Entry
from tamis.engine.stage import Context, Shape, Side, Stage, Whole
from tamis.errors import Interrupted
from tamis.project import Project

#: `progress(done, total, text)`.
Progress = Callable[[int, int | None, str], None]
#: Rows fetched at a time.
PAGE = 1024
#: Seconds between two commits at most, so that a kill costs little.
COMMIT_SECONDS = 1.0
#: Ledger subject of what belongs to no row; ids begin at 1.
NO_SUBJECT = 0
#: With fewer pending rows, starting processes costs more than it brings.
FEW = 8


@dataclass(frozen=True, slots=True)
class StageReport:
    """What a run of one stage did."""

    stage: str
    counts: Mapping[str, int]
    seconds: float
    idle: str | None = None

    @property
    def rows(self) -> int:
        """Rows worked on."""
        return sum(self.counts.values())

    @property
    def failed(self) -> int:
        """Rows that failed."""
        return self.counts.get("failed", 0)


@dataclass
class _Run:
    """The state of one run of a stage."""

    stage: Stage
    project: Project
    fingerprint: str
    lease: Lease
    progress: Progress | None
    total: int
    counts: Counter[str] = field(default_factory=Counter)
    #: Subject id to what the ledger said of it before.
    earlier: dict[int, sa.Row[tuple[object, ...]]] = field(default_factory=dict)

    @property
    def done(self) -> int:
        return sum(self.counts.values())

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
    progress: Progress | None = None,
    stop: threading.Event | None = None,
) -> StageReport:
    """Work on all pending rows of a stage, or on the first `limit`.

    Raises:
        BusyError: another process works on the stage.
        Interrupted: `stop` was set; all finished work is committed.
        LeaseLost: this process was thought dead and another took over.
    """
    started = time.perf_counter()
    if reason := stage.idle(project.settings, project.folder):
        return StageReport(stage.name, {}, 0.0, reason)
    fingerprint = stage.fingerprint(context_of(project))
    with reading(project.engine) as connection:
        total = ledger.count_pending(connection, stage, project.settings, fingerprint)
        undecided = total == 0 and _decision(connection, stage, project) is not None
    total = min(total, limit) if limit is not None else total
    if total == 0 and not undecided:
        return StageReport(stage.name, {}, time.perf_counter() - started)
    with held(project.engine, f"stage {stage.name}") as lease:
        run = _Run(stage, project, fingerprint, lease, progress, total)
        run.show()
        if stage.shape is Shape.COLLAPSE:
            _run_collapse(run)
        else:
            _run_batches(run, stop or threading.Event())
    return StageReport(stage.name, dict(run.counts), time.perf_counter() - started)


# --- map and batch ------------------------------------------------------------------------------------------------


def _run_batches(run: _Run, stop: threading.Event) -> None:
    workers = min(worker_count(run.project), -(-run.total // run.stage.batch_size))
    executor: Executor
    context = context_of(run.project)
    if run.total <= FEW or workers < 2:
        executor = InProcess(run.stage, context)
    else:
        executor = ProcessPool(run.stage, context, workers)
    tasks = _tasks(run)
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


def _tasks(run: _Run) -> Iterator[Task]:
    """Batches of pending rows in the order of their ids; a row is seen once a run, whatever becomes of it."""
    statement = ledger.pending(run.stage, run.project.settings, run.fingerprint)
    subject = statement.selected_columns.subject_id
    last, left = -1, run.total
    while left > 0:
        with reading(run.project.engine) as connection:
            rows = connection.execute(statement.where(subject > last).limit(min(PAGE, left))).all()
        if not rows:
            return
        size = min(run.stage.batch_size, max(1, -(-run.total // (2 * worker_count(run.project)))))
        for start in range(0, len(rows), size):
            part = rows[start : start + size]
            run.earlier.update((row.subject_id, row) for row in part)
            inputs = tuple(run.stage.read(row) for row in part)
            yield Task(run.stage.name, tuple(row.subject_id for row in part), inputs)
        last, left = rows[-1].subject_id, left - len(rows)


def _commit(run: _Run, batches: list[Finished]) -> None:
    outcomes = [outcome for batch in batches for outcome in batch.outcomes]
    if not outcomes:
        return
    with writing(run.project.engine) as connection:
        run.lease.check(connection)
        kept = {outcome.subject_id: outcome.records for outcome in outcomes if outcome.state == "done"}
        _write(run, connection, kept)
        entries = [_entry(run, outcome) for outcome in outcomes]
        ledger.record(connection, run.stage.name, run.fingerprint, entries, sum(batch.seconds for batch in batches))
    for outcome in outcomes:
        run.counts[outcome.state] += 1
        del run.earlier[outcome.subject_id]
    run.show()


def _write(run: _Run, connection: Connection, outputs: Mapping[int, object]) -> None:
    for subject, records in outputs.items():
        for record in records:  # type: ignore[attr-defined]
            if type(record) not in run.stage.writes:
                raise TypeError(f"stage {run.stage.name} returned {type(record).__name__} for {subject}")
    run.stage.write(run.project.settings)(connection, outputs)  # type: ignore[arg-type]


def _entry(run: _Run, outcome: Outcome) -> Entry:
    row = run.earlier[outcome.subject_id]._mapping
    same = row["old_fingerprint"] == run.fingerprint
    failed = outcome.state == "failed"
    return Entry(
        subject_id=outcome.subject_id,
        input_digest=row["input_digest"],
        state=outcome.state,  # type: ignore[arg-type]
        reason=outcome.reason,
        attempts=row["attempts"] + 1 if failed else 0,
        commits=(row["commits"] if same else 0) + (0 if failed else 1),
        before=row["old_state"],
    )


# --- collapse -----------------------------------------------------------------------------------------------------


def _run_collapse(run: _Run) -> None:
    """Hand a collapse its new rows with all it knows, and write its answer with their ledger rows at once."""
    stage, settings = run.stage, run.project.settings
    assert stage.collapse is not None
    started = time.perf_counter()
    with reading(run.project.engine) as connection:
        rows = connection.execute(ledger.pending(stage, settings, run.fingerprint).limit(run.total)).all()
        known = connection.execute(ledger.known(stage, settings, run.fingerprint)).all()
        side = _side(connection, run.project, stage)
    run.earlier.update((row.subject_id, row) for row in rows)
    whole = Whole([stage.read(row) for row in rows], [stage.read(row) for row in known], side)
    records = stage.collapse(context_of(run.project), whole)
    outputs: dict[int, Sequence[object]] = {row.subject_id: () for row in rows}
    outputs[rows[0].subject_id if rows else NO_SUBJECT] = records
    with writing(run.project.engine) as connection:
        run.lease.check(connection)
        _write(run, connection, outputs)
        entries = [_entry(run, Outcome(row.subject_id)) for row in rows]
        ledger.record(connection, stage.name, run.fingerprint, entries, time.perf_counter() - started)
        if stage.decision is not None:
            decided = Entry(NO_SUBJECT, "", "done", None, 0, 1, None)
            rows_of = f"{stage.name} decision"
            ledger.record(connection, rows_of, stage.decision(settings, side), [decided])
    run.counts["done"] += len(rows)
    run.show()


def _side(connection: Connection, project: Project, stage: Stage) -> Side:
    return {name: connection.execute(select(project.settings)).all() for name, select in stage.side.items()}


def _decision(connection: Connection, stage: Stage, project: Project) -> str | None:
    """What a collapse would be decided by now; None when it is decided so already, or has nothing to decide."""
    if stage.decision is None:
        return None
    now = stage.decision(project.settings, _side(connection, project, stage))
    before = ledger.fingerprint_of(connection, f"{stage.name} decision", NO_SUBJECT)
    return None if before in (now, None) else now
