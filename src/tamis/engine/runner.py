"""The runner: selects the pending rows of a stage, and has them computed and written."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from tamis.database import reading, writing
from tamis.engine.collapse import is_undecided, run_collapse
from tamis.engine.executor import Executor, Finished, InProcess, ProcessPool, Task, Workshop
from tamis.engine.extents import Chosen, Plan
from tamis.engine.lease import held
from tamis.engine.run import Progress, Run, commit, context_of, worker_count
from tamis.engine.stage import Shape, Stage
from tamis.errors import Interrupted
from tamis.project import Project
from tamis.records import digest

#: Seconds between two commits at most, so that a kill costs little.
COMMIT_SECONDS = 1.0
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
        run = Run(stage, project, fingerprint, lease, progress, plan, token, survey, limit, chosen, workshop)
        run.show()
        if stage.shape is Shape.COLLAPSE:
            run_collapse(run, stop or threading.Event())
        else:
            _run_batches(run, stop or threading.Event())
    return StageReport(stage.name, dict(run.counts), time.perf_counter() - started, computing=run.computing)


# --- map and batch ------------------------------------------------------------------------------------------------


def _run_batches(run: Run, stop: threading.Event) -> None:
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
                commit(run, waiting)
                waiting, last_commit = [], time.monotonic()
            if finished is None and (exhausted or stop.is_set()):
                break
    finally:
        executor.close()
    if stop.is_set() and not exhausted:
        raise Interrupted(f"{run.stage.name} stopped after {run.done} of {run.total} rows")


def _tasks(run: Run, workers: int) -> Iterator[Task]:
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
