"""The crawler process: `python -m tamis.crawl.child --project DIR` runs the spider and tells its parent what it does.

Events go to standard output, one JSON document a line. The process stops, with its pages under way finished or left
pending, on SIGINT, on SIGTERM, and when its standard input closes.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from scrapy.crawler import AsyncCrawlerProcess, Crawler

from tamis.crawl.agenda import Agenda
from tamis.crawl.frontier import Frontier
from tamis.crawl.headers import bound_headers
from tamis.crawl.hosts import HostTable
from tamis.crawl.reading import Place
from tamis.crawl.run import GRACE_SECONDS, CrawlReport
from tamis.crawl.sources import ASKED, source_rows
from tamis.crawl.spider import FrontierSpider, scrapy_settings
from tamis.errors import TamisError, UserError
from tamis.project import Project, open_project
from tamis.recipes.library import load_recipe


class Voice:
    """Writes events for the parent; silent once nobody listens."""

    def __init__(self) -> None:
        self._stream = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what is printed by accident must not mix with the events
        self._lock = threading.Lock()

    def say(self, event: str, **content: Any) -> None:
        """Write one event."""
        with self._lock:
            try:
                self._stream.write(json.dumps({"event": event, **content}) + "\n")
                self._stream.flush()
            except (BrokenPipeError, ValueError):
                return

    def progress(self, done: int, total: int, text: str) -> None:
        """Write how far the crawl is."""
        self.say("progress", done=done, total=total, text=text)


class CrawlerProcess:
    """One run of the spider, and its ends: by itself, by a stop, or by force when a stop takes too long."""

    def __init__(self, project: Project, limit: int | None, voice: Voice) -> None:
        self._voice = voice
        self._began = time.monotonic()
        self._stopped = threading.Event()
        self._agenda = make_agenda(project, limit)
        settings = project.settings.crawl
        bound_headers()
        self._process = AsyncCrawlerProcess(scrapy_settings(settings), install_root_handler=False)
        self._crawler: Crawler = self._process.create_crawler(FrontierSpider)
        self._process.crawl(self._crawler, agenda=self._agenda, settings=settings, report=voice.progress)

    def run(self) -> CrawlReport:
        """Crawl to the end and return what was done."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: self.stop())
        threading.Thread(target=_when_closed, args=(self.stop,), daemon=True).start()
        self._process.start(install_signal_handlers=False)
        spider = self._crawler.spider
        assert isinstance(spider, FrontierSpider)
        report = self._report()
        spider.end()
        if spider.error is not None:
            raise spider.error
        return report

    def stop(self) -> None:
        """End soon: at once where nothing is under way, and within the grace where something is."""
        if self._stopped.is_set():
            return
        self._stopped.set()
        self._agenda.stopping = True
        spider = self._crawler.spider
        if isinstance(spider, FrontierSpider):
            spider.stop()
            timer = threading.Timer(GRACE_SECONDS, self._break_off, (spider,))
            timer.daemon = True
            timer.start()

    def _break_off(self, spider: FrontierSpider) -> None:
        """Leave what is under way: its pages are still pending, and the hosts are given back."""
        report = self._report()
        spider.end()
        self._voice.say("report", report=asdict(report))
        os._exit(0)

    def _report(self) -> CrawlReport:
        tally = self._agenda.tally
        return CrawlReport(
            pages=tally.pages,
            items=tally.items,
            pictures=tally.pictures,
            pending=self._agenda.pending(),
            outcomes=dict(sorted(tally.outcomes.items())),
            failures=tally.failures,
            failed=tally.failed,
            paused=self._agenda.paused(),
            seconds=time.monotonic() - self._began,
            stopped=self._stopped.is_set(),
        )


def make_agenda(project: Project, limit: int | None = None) -> Agenda:
    """The agenda of a crawler on all page sources of a project."""
    settings = project.settings
    rows = {row.id: row for row in source_rows(project).values() if row.kind in ASKED}
    places = {
        number: Place(row.name, settings.source[row.name], load_recipe(row.recipe, project.folder, row.address))
        for number, row in rows.items()
    }
    hosts = HostTable(project.engine, settings.crawl)
    frontier = Frontier(project.engine, hosts, {number: (row, places[number].settings) for number, row in rows.items()})
    return Agenda(frontier, hosts, places, settings.crawl, project.blobs, limit=limit)


def _when_closed(then: Callable[[], None]) -> None:
    while os.read(sys.stdin.fileno(), 4096):
        pass
    then()


def main(arguments: list[str] | None = None) -> int:
    """Run the spider on a project, for the process that started this one."""
    parser = argparse.ArgumentParser(prog="python -m tamis.crawl.child", description=main.__doc__)
    parser.add_argument("--project", type=Path, required=True)
    parser.add_argument("--limit", type=int)
    given = parser.parse_args(arguments)
    voice = Voice()
    try:
        project = open_project(given.project)
        report = CrawlerProcess(project, given.limit, voice).run()
        project.close()
    except TamisError as error:
        voice.say("error", kind=type(error).__name__, message=str(error))
        return 2 if isinstance(error, UserError) else 1
    except sa.exc.DBAPIError as error:
        voice.say("error", kind="ProjectError", message=f"the database failed while crawling: {error.orig}")
        return 2
    voice.say("report", report=asdict(report))
    return 0


if __name__ == "__main__":
    sys.exit(main())
