"""The state of one run of a stage, and how its results are committed with their ledger rows at once."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from tamis.database import writing
from tamis.engine import ledger
from tamis.engine.executor import Finished, Outcome, Workshop
from tamis.engine.extents import OBSERVED, Chosen, Extent, Pick, Plan, Search, Survey, Walk, touch
from tamis.engine.lease import Lease
from tamis.engine.ledger import Entry
from tamis.engine.stage import Context, Stage
from tamis.project import Project

#: `progress(done, total, text)`.
Progress = Callable[[int, int | None, str], None]

#: What the ledger said of a row before: its input digest now, and its state, attempts and commits.
_Earlier = tuple[str, str | None, int, int]


@dataclass
class Run:
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
        """Rows worked on so far."""
        return sum(self.counts.values())

    def search(self) -> Search:
        """Where pending rows are looked for."""
        return Walk(self.plan, self.survey.left) if self.chosen is None else Pick(self.plan, self.chosen)

    def show(self) -> None:
        """Tell how far the run is."""
        if self.progress is not None:
            failed = self.counts["failed"]
            self.progress(self.done, self.total, f"{failed} failed" if failed else "")


def context_of(project: Project) -> Context:
    """Return what stages of this project may use."""
    return Context(project.settings, project.folder, project.blobs)


def worker_count(project: Project) -> int:
    """Worker processes: as set, or one for each core this process may use."""
    return project.settings.project.workers or len(os.sched_getaffinity(0))


def commit(run: Run, batches: list[Finished]) -> None:
    """Write what batches made with their ledger rows, and which extents have nothing pending any more."""
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
            write(run, connection, kept)
            record(run, connection, outcomes, sum(batch.seconds for batch in batches))
        run.plan.settle(connection, run.token, run.finished)
    for extent in run.finished:
        run.open.pop(extent, None)
    run.finished = []
    for outcome in outcomes:
        run.counts[outcome.state] += 1
        del run.earlier[outcome.subject_id]
    run.show()


def record(run: Run, connection: Connection, outcomes: Sequence[Outcome], seconds: float) -> None:
    """Write the ledger rows of some outcomes."""
    entries = [_entry(run, outcome) for outcome in outcomes]
    ledger.record(connection, run.stage.name, run.fingerprint, entries, seconds)
    if run.stage.name in OBSERVED:
        touch(connection, "ledger", (outcome.subject_id for outcome in outcomes))


def write(run: Run, connection: Connection, outputs: Mapping[int, object]) -> None:
    """Write what the stage returned for some subjects; raises TypeError for a kind of record that it does not name."""
    for subject, records in outputs.items():
        for record in records:  # type: ignore[attr-defined]
            if type(record) not in run.stage.writes:
                raise TypeError(f"stage {run.stage.name} returned {type(record).__name__} for {subject}")
    run.stage.write(run.project.settings)(connection, outputs)  # type: ignore[arg-type]


def _entry(run: Run, outcome: Outcome) -> Entry:
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
