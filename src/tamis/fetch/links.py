"""The main process's side of its workers: what each is told, what it still owes, and what happens when one dies."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections import Counter, deque
from collections.abc import Iterable
from multiprocessing.connection import Connection
from pathlib import Path

from tamis.fetch.options import Batch, FetchOptions, Order, Result, Spool, Task

#: Tasks that a worker holds, and those of one host among them: a slow host leaves room for the others.
_WINDOW, _HOST_WINDOW = 2_000, 400
#: Tasks in one message.
_MESSAGE = 250


class Link:
    """One worker, as a process of its own or a thread of this one."""

    def __init__(self, folder: Path, options: FetchOptions, workers: int, lock: int | None) -> None:
        ours, theirs = socket.socketpair()
        self.connection = Connection(ours.detach())
        self.owed: dict[int, tuple[Task, str]] = {}
        self.spools: set[int] = set()
        self.began = self.finishing = self.ended = False
        self._ready: dict[str, deque[Task]] = {}
        self._waiting = 0
        self._load = Counter[str]()
        self._suspects: deque[tuple[Task, str]] = deque()
        self._process: subprocess.Popen[bytes] | None = None
        if lock is None:
            self._begin_thread(folder, options, theirs, workers)
        else:
            self._begin_process(theirs, lock)
            self.connection.send((folder, options, workers))

    def _begin_process(self, theirs: socket.socket, lock: int) -> None:
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603 - our own module
                [sys.executable, "-m", "tamis.fetch.worker", str(theirs.fileno())],
                pass_fds=(theirs.fileno(), lock),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C reaches the main process alone
            )

    def _begin_thread(self, folder: Path, options: FetchOptions, theirs: socket.socket, workers: int) -> None:
        from tamis.fetch.worker import work  # noqa: PLC0415 - loads the client

        theirs_connection = Connection(theirs.detach())

        def run() -> None:
            with theirs_connection:
                work(folder, options, theirs_connection, workers, alone=False)

        self._thread = threading.Thread(target=run, name="fetch-worker", daemon=True)
        self._thread.start()

    @property
    def backlog(self) -> int:
        """Tasks that wait here or are under way."""
        return len(self.owed) + self._waiting + len(self._suspects)

    @property
    def has_more(self) -> bool:
        """Whether tasks wait here that the worker was not told of yet."""
        return bool(self._ready or self._suspects)

    def offer(self, spools: Iterable[Spool]) -> None:
        """Hand over shards to write to."""
        given = tuple(spools)
        self.spools |= {spool.id for spool in given}
        self._send(Order(spools=given))

    def add(self, task: Task, host: str) -> None:
        """Queue a task for this worker."""
        self._ready.setdefault(host, deque()).append(task)
        self._waiting += 1

    def deal(self) -> None:
        """Tell the worker as much as it has room for."""
        if self._suspects:
            if not self.owed:
                self._tell([self._suspects.popleft()])
            return
        room = _WINDOW - len(self.owed)
        if room < _MESSAGE and self.owed:
            return
        chosen: list[tuple[Task, str]] = []
        for host in list(self._ready):
            queue = self._ready[host]
            count = max(min(len(queue), _HOST_WINDOW - self._load[host], room - len(chosen)), 0)
            chosen += [(queue.popleft(), host) for _ in range(count)]
            if not queue:
                del self._ready[host]
            if len(chosen) >= room:
                break
        self._waiting -= len(chosen)
        for start in range(0, len(chosen), _MESSAGE):
            self._tell(chosen[start : start + _MESSAGE])

    def _tell(self, chosen: list[tuple[Task, str]]) -> None:
        for task, host in chosen:
            self.owed[task.number] = (task, host)
            self._load[host] += 1
        self._send(Order(tasks=tuple(task for task, _ in chosen)))

    def finish(self) -> None:
        """Tell the worker that no tasks follow."""
        self.finishing = True
        self._send(Order(finish=True))

    def stop(self) -> None:
        """Tell the worker to end now."""
        self._send(Order(stop=True))

    def _send(self, order: Order) -> None:
        try:
            self.connection.send(order)
        except OSError:
            return  # it has died, which shows when it is heard

    def hear(self) -> tuple[Batch, list[tuple[str, Result]]] | None:
        """Return the next report, and its results with their URLs; None when the worker has died."""
        try:
            batch: Batch = self.connection.recv()
        except (EOFError, OSError):
            return None
        self.began = True
        found: list[tuple[str, Result]] = []
        for result in batch.results:
            task, host = self.owed.pop(result.number)
            found.append((task.url, result))
            self._load[host] -= 1
            if not self._load[host]:
                del self._load[host]
        self.spools -= {spool.id for spool in batch.spools if spool.full}
        if batch.ended:
            self.ended = True
            self.stop()
        return batch, found

    def inherit(self, dead: Link) -> tuple[str, Result] | None:
        """Take over from a worker that died. What it held is asked for one by one, to find what killed it.

        Returns the URL that was the only one under way, with its result: its bytes kill the worker.
        """
        self._ready, self._waiting, self._suspects = dead._ready, dead._waiting, dead._suspects
        if len(dead.owed) == 1:
            ((task, _),) = dead.owed.values()
            reason = "the process that decoded it crashed"
            return task.url, Result(task.number, "crashed", reason, passing=True)
        self._suspects.extend(dead.owed.values())
        return None

    def close(self) -> None:
        """Wait for the worker's end; one that does not end is killed."""
        if self._process is not None:
            try:
                self._process.wait(5.0)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        else:
            self._thread.join(5.0)
        self.connection.close()

    @property
    def exit_code(self) -> int | None:
        """How a worker process ended; None for a thread."""
        return None if self._process is None else self._process.wait(5.0)

    def kill(self) -> None:
        """End a worker process at once."""
        if self._process is not None:
            self._process.kill()
