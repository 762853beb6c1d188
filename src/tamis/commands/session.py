"""What every command shares: the project, the output for people or as JSON, progress, and a clean stop."""

from __future__ import annotations

import json
import signal
import sys
import threading
import time
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

from tamis.display import printable, progress_text, table
from tamis.errors import Interrupted

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress

    from tamis.project import Project

#: Seconds between two lines of progress where the output is no terminal.
QUIET_SECONDS = 10.0
#: What the next run of a command does that keeps nothing before its end.
BEGINS_ANEW = "nothing is kept: the next run begins anew"
#: No progress is shown for what takes less.
PATIENCE_SECONDS = 2.0


class Session:
    """One run of a command."""

    def __init__(self, folder: Path, as_json: bool) -> None:
        self.folder = folder
        self.as_json = as_json
        self._stop = threading.Event()
        self._before: Any = None
        self._project: Project | None = None
        self._bars: RichProgress | None = None

    @property
    def project(self) -> Project:
        """The project, opened when it is first asked for."""
        if self._project is None:
            from tamis.project import open_project  # noqa: PLC0415 - `--help` needs no database

            self._project = open_project(self.folder)
        return self._project

    def close(self) -> None:
        """Put the terminal, signals and the database in order."""
        self._end_bars()
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)
            self._before = None
        if self._project is not None:
            self._project.close()

    # --- output ---------------------------------------------------------------------------------------------------

    def finish(self, document: Any, *lines: str) -> None:
        """Print the result: the document as JSON, or the lines for people."""
        self._end_bars()
        if self.as_json:
            click.echo(as_json(document))
            return
        for line in lines:
            click.echo(printable(line))

    def note(self, line: str) -> None:
        """Tell people something on the side; never on standard output under --json."""
        if self._bars is not None:
            self._bars.console.print(printable(line), markup=False, highlight=False)
        else:
            click.echo(printable(line), err=True)

    def progress(self, label: str) -> Callable[[int, int | None, str], None]:
        """Return a progress callback that shows a bar with the time left, or a line now and then."""
        return self._bar(label) if sys.stderr.isatty() else _line_progress(label)

    def steps(self, label: str, then: str) -> Callable[[int, int | None, str], None]:
        """Return a progress callback for work that may end at each call: it raises Interrupted after Ctrl-C.

        At the last call all is done, so that the work comes to its end. `then` says what the next run does.
        """
        stop, show = self.stop, self.progress(label)

        def step(done: int, total: int | None, text: str) -> None:
            show(done, total, text)
            if stop.is_set() and done != total:
                raise Interrupted(f"{label} stopped" + (f" at {done / total:.0%}" if total else ""), then)

        return step

    def _bar(self, label: str) -> Callable[[int, int | None, str], None]:
        from rich.console import Console  # noqa: PLC0415 - terminals only
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn  # noqa: PLC0415

        if self._bars is None:
            self._bars = Progress(
                TextColumn("{task.description:>16}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
                TextColumn("{task.fields[text]}"), console=Console(stderr=True),
            )  # fmt: skip
            self._bars.start()
        bars, task = self._bars, self._bars.add_task(label, total=None, text="")

        def show(done: int, total: int | None, text: str) -> None:
            bars.update(task, completed=done, total=total, text=text)

        return show

    def _end_bars(self) -> None:
        if self._bars is not None:
            self._bars.stop()
            self._bars = None

    # --- stopping -------------------------------------------------------------------------------------------------

    @property
    def stop(self) -> threading.Event:
        """Set by Ctrl-C, for work that ends at a safe point; from then on the second Ctrl-C ends at once.

        A command that asks for no `stop` has nothing to bring to an end: Ctrl-C ends it at once.
        """
        if self._before is None and threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGINT, self._on_interrupt) or signal.SIG_DFL
        return self._stop

    def _on_interrupt(self, _signal: int, _frame: FrameType | None) -> None:
        if self._stop.is_set():
            raise KeyboardInterrupt
        self._stop.set()
        self.note("stopping as soon as what is under way is finished; Ctrl-C again ends at once")


def as_json(document: Any) -> str:
    r"""Return a document as JSON that UTF-8 carries: bytes of names that are no text become escapes like `\udcff`."""
    text = json.dumps(document, ensure_ascii=False, indent=2, default=str)
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _line_progress(label: str) -> Callable[[int, int | None, str], None]:
    started = time.monotonic()
    last = started + PATIENCE_SECONDS - QUIET_SECONDS

    def show(done: int, total: int | None, text: str) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last < QUIET_SECONDS:
            return
        last = now
        line = f"{label}: {progress_text(done, total, now - started)} {text}"
        click.echo(printable(line).rstrip(), err=True)

    return show


def project_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options --project and --json, and a Session as its first argument."""

    @click.option(
        "--project", "project_folder", type=click.Path(path_type=Path), default=Path(), metavar="DIR",
        help="The project's folder.  [default: the current one]",
    )  # fmt: skip
    @click.option("--json", "as_json", is_flag=True, help="Print one JSON document on standard output.")
    @wraps(function)
    def command(project_folder: Path, as_json: bool, *args: Any, **kwargs: Any) -> Any:
        session = Session(project_folder, as_json)
        try:
            return function(session, *args, **kwargs)
        finally:
            session.close()

    return command


def pass_lines(passes: list[dict[str, Any]]) -> list[str]:
    """A table of what the latest crawl of each source found of its items."""
    names = ("new", "changed", "unchanged", "vanished", "returned")
    rows = [
        (one["source"], one["number"], "" if one["ended"] else "goes on", *(one[name] for name in names))
        for one in passes
    ]
    return ["", *table(("source", "pass", "", *names), rows)] if rows else []
