"""Where batches are computed: in this process, or in worker processes that may die.

An executor takes batches of (subject id, input) and gives back what became of each row. When a worker process dies,
the batches that were under way run again one at a time; the one that kills its worker again is halved until a single
row stands alone with the blame.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from multiprocessing import get_context
from typing import Protocol, Self

from tamis.engine.stage import Compute, Context, Input, Record, Setup, Stage
from tamis.errors import Retry, RowError, Skip, TamisError, Unreadable

#: So many workers may die in a row before the machine is blamed and not the rows: a batch of 512 is halved in ten.
MAX_DEATHS = 12
#: Batches that each worker is given ahead.
AHEAD = 3
#: Stages that stay set up in this process.
KEPT = 8


@dataclass(frozen=True, slots=True)
class Task:
    """One batch of a stage."""

    stage: str
    subject_ids: tuple[int, ...]
    inputs: tuple[Input, ...]
    #: Names what the stage was set up with; a worker that knows it is set up already.
    key: str = ""

    def halves(self) -> tuple[Task, Task]:
        """The two halves of a batch of two rows or more."""
        middle = len(self.inputs) // 2
        return (
            replace(self, subject_ids=self.subject_ids[:middle], inputs=self.inputs[:middle]),
            replace(self, subject_ids=self.subject_ids[middle:], inputs=self.inputs[middle:]),
        )


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one row: records, or the state and reason of its end, or both."""

    subject_id: int
    records: Sequence[Record] = ()
    state: str = "done"
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Finished:
    """A finished batch: one outcome a row, and the seconds that it took, by the clock and of the processor."""

    outcomes: tuple[Outcome, ...]
    seconds: float
    computing: float = 0.0


class Executor(Protocol):
    """Computes batches in any order; `Stage` and `Context` are given when it is made."""

    @property
    def room(self) -> int:
        """How many more batches it takes now."""

    def submit(self, task: Task) -> None:
        """Take a batch."""

    def next(self) -> Finished | None:
        """Wait for a finished batch; None when nothing is under way."""

    def close(self) -> None:
        """End the workers; batches under way are dropped."""


def compute_batch(stage: str, compute: Compute, task: Task) -> Finished:
    """Run a batch. An exception that is no RowError is traced to its rows by running them one by one."""
    started, computed = time.perf_counter(), time.process_time()
    outcomes = tuple(_outcomes(stage, compute, task))
    return Finished(outcomes, time.perf_counter() - started, time.process_time() - computed)


def _outcomes(stage: str, compute: Compute, task: Task) -> list[Outcome]:
    try:
        results = compute(task.inputs)
        if len(results) != len(task.inputs):
            raise RuntimeError(f"stage {stage} returned {len(results)} results for {len(task.inputs)} rows")
    except Exception as error:  # the border of foreign code: one bad row must not take the others along
        if len(task.inputs) == 1:
            return [_failed(task.subject_ids[0], error)]
        first, second = task.halves()
        return _outcomes(stage, compute, first) + _outcomes(stage, compute, second)
    pairs = zip(task.subject_ids, results, strict=True)
    return [
        _ended(subject, result) if isinstance(result, RowError) else Outcome(subject, tuple(result))
        for subject, result in pairs
    ]


def _ended(subject_id: int, error: RowError) -> Outcome:
    match error:
        case Skip():
            state = "skipped"
        case Unreadable():
            return Outcome(subject_id, error.records, "unreadable", error.reason)
        case _:
            state = "failed"
    return Outcome(subject_id, state=state, reason=error.reason)


def _failed(subject_id: int, error: Exception) -> Outcome:
    if isinstance(error, RowError):
        return _ended(subject_id, error)
    return _ended(subject_id, Retry(f"{type(error).__name__}: {error}"))


class Workshop:
    """Worker processes that serve one stage after the other, and the stages that this process itself has set up.

    A context manager: at its end the workers end too.
    """

    def __init__(self) -> None:
        self._pool: ProcessPoolExecutor | None = None
        self._workers = 0
        self._set_up: OrderedDict[str, Compute] = OrderedDict()

    @property
    def is_open(self) -> bool:
        """Whether worker processes are there, which cost nothing to use."""
        return self._pool is not None

    def pool(self, workers: int) -> ProcessPoolExecutor:
        """Return so many worker processes, started where need be."""
        if self._pool is not None and self._workers < workers:
            self.close()
        if self._pool is None:
            self._workers = workers
            self._pool = ProcessPoolExecutor(
                workers, get_context("spawn"), initializer=prepare_worker, initargs=(os.getpid(),)
            )
        return self._pool

    def drop(self) -> None:
        """Forget worker processes of which one died."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None

    def compute(self, key: str, setup: Setup, context: Context) -> Compute:
        """Return what the stage computes with in this process; the latest few stages stay set up."""
        if key not in self._set_up:
            self._set_up[key] = setup(context)
            if len(self._set_up) > KEPT:
                self._set_up.popitem(last=False)
        self._set_up.move_to_end(key)
        return self._set_up[key]

    def close(self) -> None:
        """End the workers; work under way is dropped."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class InProcess:
    """Computes in this process, one batch at a time: for few rows, and where processes cost more than they bring."""

    def __init__(self, stage: Stage, context: Context, workshop: Workshop) -> None:
        self._setup, self._context, self._workshop = stage.worker(), context, workshop
        self._waiting: deque[Task] = deque()

    @property
    def room(self) -> int:
        """One batch at a time."""
        return 1 - len(self._waiting)

    def submit(self, task: Task) -> None:
        """Take a batch."""
        self._waiting.append(task)

    def next(self) -> Finished | None:
        """Compute the next batch."""
        if not self._waiting:
            return None
        task = self._waiting.popleft()
        return compute_batch(task.stage, self._workshop.compute(task.key, self._setup, self._context), task)

    def close(self) -> None:
        """Nothing to end."""
        self._waiting.clear()


class ProcessPool:
    """Worker processes, each with the stage set up once."""

    def __init__(self, stage: Stage, context: Context, workers: int, workshop: Workshop) -> None:
        self._setup, self._context, self._workers = stage.worker(), context, workers
        self._workshop = workshop
        self._under_way: dict[Future[Finished], Task] = {}
        self._suspects: deque[Task] = deque()
        self._deaths_since_success = 0

    @property
    def room(self) -> int:
        """Some batches a worker keep it busy while the writer writes; none while suspects run alone."""
        return 0 if self._suspects else AHEAD * self._workers - len(self._under_way)

    def submit(self, task: Task) -> None:
        """Take a batch."""
        try:
            future = self._started().submit(_work, self._setup, self._context, task)
        except BrokenProcessPool:
            self._suspects.append(task)
            self._collect_suspects()
            return
        self._under_way[future] = task

    def next(self) -> Finished | None:
        """Wait for a finished batch."""
        if not self._under_way and self._suspects:
            return self._interrogate(self._suspects.popleft())
        if not self._under_way:
            return None
        finished, _ = wait(self._under_way, return_when=FIRST_COMPLETED)
        future = next(iter(finished))
        try:
            result = future.result()
        except BrokenProcessPool:
            self._collect_suspects()
            return self.next()
        del self._under_way[future]
        self._deaths_since_success = 0
        return result

    def close(self) -> None:
        """Drop what is under way. Batches that no worker has begun are not begun; the workers stay."""
        for future in self._under_way:
            future.cancel()
        wait(self._under_way)
        self._under_way.clear()
        self._suspects.clear()

    def _started(self) -> ProcessPoolExecutor:
        return self._workshop.pool(self._workers)

    def _collect_suspects(self) -> None:
        self._deaths_since_success += 1
        if self._deaths_since_success > MAX_DEATHS:
            raise TamisError(f"{MAX_DEATHS} worker processes died one after the other: this machine cannot run them")
        for future, task in self._under_way.items():
            if future.done() and not future.cancelled() and future.exception() is None:
                continue  # its result is fetched below
            self._suspects.append(task)
        self._under_way = {
            future: task for future, task in self._under_way.items() if future.done() and future.exception() is None
        }
        self._workshop.drop()

    def _interrogate(self, task: Task) -> Finished:
        try:
            finished = self._started().submit(_work, self._setup, self._context, task).result()
            self._deaths_since_success = 0
            return finished
        except BrokenProcessPool:
            self._collect_suspects()
        if len(task.inputs) == 1:
            reason = "its worker process died (crash, or out of memory)"
            return Finished((Outcome(task.subject_ids[0], state="failed", reason=reason),), 0.0)
        self._suspects.extendleft(reversed(task.halves()))
        return self._interrogate(self._suspects.popleft())


# --- in the worker ------------------------------------------------------------------------------------------------

#: The stage that is set up, by the key of its tasks.
_ready: dict[str, Compute] = {}


def prepare_worker(parent: int) -> None:
    """One thread each, Ctrl-C left to the parent, and no life after it.

    What libraries print goes to the standard error: the parent's output is one JSON document, perhaps.
    """
    os.dup2(2, 1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ[name] = "1"
    threading.Thread(target=_follow, args=(parent,), name="parent watch", daemon=True).start()


def _follow(parent: int) -> None:
    """A parent that was killed closes nothing: its queues live on in its children."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def _work(setup: Setup, context: Context, task: Task) -> Finished:
    if task.key not in _ready:
        _ready.clear()  # one model in memory at a time
        _ready[task.key] = setup(context)
    return compute_batch(task.stage, _ready[task.key], task)
