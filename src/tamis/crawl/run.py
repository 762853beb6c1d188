"""Crawling: `crawl` runs the spider in a child process, since a Twisted reactor runs once a process.

The child speaks JSON lines on standard output, and ends by itself when its standard input closes: with its parent,
whatever that died of.
"""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import IO, Any

from tamis.crawl.budget import NO_LIMITS, RunLimits
from tamis.crawl.report import CrawlReport, Progress
from tamis.crawl.rounds import end_passes, pass_counts
from tamis.crawl.saved import SavedReport, Watch
from tamis.crawl.sources import count_pending, register_sources
from tamis.crawl.yields import record_crawl
from tamis.errors import BusyError, Interrupted, ProjectError, TamisError, UserError
from tamis.project import Project

#: Seconds that pages under way may take to end after a stop; then they are left pending.
GRACE_SECONDS = 5.0
_ERRORS: Mapping[str, type[TamisError]] = {"UserError": UserError, "ProjectError": ProjectError, "BusyError": BusyError}


def crawl(
    project: Project,
    *,
    limits: RunLimits = NO_LIMITS,
    progress: Progress | None = None,
    stop: threading.Event | None = None,
) -> CrawlReport:
    """Crawl all sources of the project's settings until their frontier is empty, and return what was done.

    Pages that were read before are not asked for again; `begin_passes` makes them due. When `stop` is set, or on
    Ctrl-C, pages under way end or stay pending. The items of folder sources are read here; `tamis.toml` is read again
    by the child process that asks the web.

    Raises:
        UserError: a source that cannot be used; the message names the setting.
        Interrupted: the user pressed Ctrl-C; all that was finished is committed.
    """
    began = time.monotonic()
    brought = register_sources(project, Watch(progress, stop))
    report = _from_files(brought)
    if count_pending(project):
        told = _Child(project.folder, limits).run(progress, stop)
        told["failed"] = [*report.failed, *map(tuple, told["failed"])]
        for name in ("pages", "items", "changed", "pictures", "failures"):
            told[name] += getattr(report, name)
        report = CrawlReport(**told)
    warnings = brought.warnings + end_passes(project, report.budgets) + record_crawl(project)
    passes = [asdict(counts) for counts in pass_counts(project)]
    # Reading saved pages ends early too, without a word of its own.
    stopped = report.stopped or (stop is not None and stop.is_set())
    return replace(report, warnings=warnings, passes=passes, stopped=stopped, seconds=time.monotonic() - began)


def _from_files(brought: SavedReport) -> CrawlReport:
    """The report on sources that need no request."""
    return CrawlReport(
        pages=brought.pages,
        items=brought.items,
        changed=brought.changed,
        pictures=brought.pictures,
        failures=len(brought.failed),
        failed=list(brought.failed),
    )


class _Child:
    """The process that runs the spider."""

    def __init__(self, folder: Path, limits: RunLimits) -> None:
        self._command = [sys.executable, "-m", "tamis.crawl.child", "--project", str(folder)]
        for option, value in (("--limit", limits.pages), ("--limit-bytes", limits.size)):
            self._command += [] if value is None else [option, str(value)]

    def run(self, progress: Progress | None, stop: threading.Event | None) -> dict[str, Any]:
        """Run to the end and return the report's fields."""
        with tempfile.TemporaryFile() as errors:
            process = subprocess.Popen(  # noqa: S603 - our own module
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,  # Ctrl-C reaches the parent alone, which passes it on once
                text=True,
                encoding="utf-8",
            )
            lines: queue.Queue[str | None] = queue.Queue()
            threading.Thread(target=_pump, args=(process.stdout, lines), daemon=True).start()
            interrupted = False
            try:
                try:
                    told = self._listen(process, lines, progress, stop)
                except KeyboardInterrupt:
                    interrupted = True
                    _close(process.stdin)
                    told = self._listen(process, lines, None, None)
            finally:
                _end(process)
            if told is None:
                errors.seek(0)
                raise TamisError(f"the crawler ended with code {process.returncode}: {_last_line(errors.read())}")
        if told["event"] == "error":
            raise _ERRORS.get(told["kind"], TamisError)(told["message"])
        if interrupted:
            raise Interrupted(f"stopped; {told['report']['pages']} pages of this run are kept")
        report: dict[str, Any] = told["report"]
        return report

    @staticmethod
    def _listen(
        process: subprocess.Popen[str],
        lines: queue.Queue[str | None],
        progress: Progress | None,
        stop: threading.Event | None,
    ) -> dict[str, Any] | None:
        """Hand on progress until the last event, and return that; None when the child ended without one."""
        while True:
            if stop is not None and stop.is_set():
                _close(process.stdin)
            try:
                line = lines.get(timeout=0.2)
            except queue.Empty:
                continue
            if line is None:
                return None
            event: dict[str, Any] = json.loads(line)
            if event["event"] != "progress":
                return event
            if progress is not None:
                progress(event["done"], event["total"], event["text"])


def _pump(stream: IO[str] | None, lines: queue.Queue[str | None]) -> None:
    assert stream is not None
    for line in stream:
        lines.put(line)
    lines.put(None)


def _close(stream: IO[str] | None) -> None:
    if stream is not None and not stream.closed:
        stream.close()


def _end(process: subprocess.Popen[str]) -> None:
    """Let the child end by itself; kill it when it does not."""
    _close(process.stdin)
    try:
        process.wait(GRACE_SECONDS * 2)
    except (subprocess.TimeoutExpired, KeyboardInterrupt):
        process.kill()
        process.wait()
    _close(process.stdout)


def _last_line(data: bytes) -> str:
    lines = data.decode("utf-8", "replace").strip().splitlines()
    return lines[-1][:500] if lines else "no message"
