"""Commands that ask the web: crawl, download, extract."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tamis.commands.session import Session, pass_lines, project_option
from tamis.display import duration
from tamis.errors import Interrupted, UserError

if TYPE_CHECKING:
    from tamis.crawl.report import CrawlReport


class _Measure(click.ParamType[float]):
    """A number with a unit, such as `7d` or `500MB`."""

    def __init__(self, name: str, units: Mapping[str, float]) -> None:
        self.name = name
        self._units = units

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the number in the unit that stands for one. Called by click."""
        if isinstance(value, float):
            return value
        match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-z]*)", str(value).strip().lower())
        if match is None or match[2] not in self._units:
            units = ", ".join(unit for unit in self._units if unit)
            self.fail(f"{value!r} is no {self.name}: a number and one of {units}", param, ctx)
        return float(match[1]) * self._units[match[2]]


_AGE = _Measure("age", {"s": 1, "min": 60, "m": 60, "h": 3600, "d": 86_400, "w": 604_800})
_SIZE = _Measure("size", {"": 1, "b": 1, "kb": 1e3, "mb": 1e6, "gb": 1e9, "tb": 1e12})


@click.command()
@click.argument("url", required=False)
@click.option("--again", is_flag=True, help="Ask for the known pages again: only those that changed are sent anew.")
@click.option(
    "--older-than", type=_AGE, metavar="AGE", help="With --again: leave out pages that were read since, as 7d."
)
@click.option(
    "--replay", is_flag=True, help="Read the stored pages again, after a recipe changed; nothing is requested."
)
@click.option("--limit", type=click.IntRange(min=1), help="Ask for so many pages at most in this run.")
@click.option("--limit-bytes", type=_SIZE, metavar="SIZE", help="Take so much at most in this run, as 500MB.")
@project_option
def crawl(session: Session, url: str | None, again: bool, older_than: float | None, replay: bool, **limits: Any) -> int:
    """Crawl the sources of the project, or a site by its URL, into pages, items and pictures.

    Pages that were read are not asked for again; Ctrl-C stops cleanly. Robots rules and delays are obeyed. With URL,
    the site is added to tamis.toml as a source of its own.

    \b
    Later
      tamis crawl --again                  what is new, changed or gone since
      tamis crawl --again --older-than 7d  the same, for pages that were read a week ago or earlier
      tamis crawl --replay                 with another recipe, from the stored pages
    """  # noqa: D301 - click reads the backspace
    if replay and (again or url or any(limits.values())):
        raise UserError("--replay reads stored pages alone: it goes with no URL, no --again and no limit")
    if older_than is not None and not again:
        raise UserError("--older-than says which pages --again asks for: give both")
    if replay:
        return _replay(session)
    from tamis.crawl.budget import RunLimits  # noqa: PLC0415 - loaded on use
    from tamis.crawl.rounds import begin_passes  # noqa: PLC0415
    from tamis.crawl.run import crawl as crawl_project  # noqa: PLC0415

    if url is not None:
        from tamis.templates import add_source  # noqa: PLC0415

        session.note(f"source {add_source(session.folder, url)!r} is in {session.folder / 'tamis.toml'}")
    if again:
        due = begin_passes(session.project, older_than or 0.0)
        session.note(", ".join(f"{name}: {count} pages are due" for name, count in due.items()) or "no page is due")
    size = limits["limit_bytes"]
    report = crawl_project(
        session.project,
        limits=RunLimits(limits["limit"], None if size is None else int(size)),
        progress=session.progress("crawl"),
        stop=session.stop,
    )
    session.finish(asdict(report), *_crawl_lines(report))
    if report.stopped:
        raise Interrupted("crawl stopped")
    return 1 if report.failures or report.paused else 0


def _crawl_lines(report: CrawlReport) -> list[str]:
    known = f" ({report.unmodified} unmodified)" if report.unmodified else ""
    found = f"{report.items} new items, {report.pictures} new pictures"
    lines = [f"{report.pages} pages{known}, {found}, {report.bytes / 1e6:.1f} MB in {duration(report.seconds)}"]
    lines += [f"  {count} {outcome}" for outcome, count in sorted(report.outcomes.items())]
    lines += [f"  failed: {page}: {reason}" for page, reason in report.failed[:20]]
    lines += [f"  paused: {host}: {reason}" for host, reason in report.paused.items()]
    lines += [f"  source {name}: {reason}" for name, reason in report.budgets.items()]
    lines += pass_lines(report.passes)
    lines += [f"warning: {line}" for line in report.warnings]
    return lines


def _replay(session: Session) -> int:
    from tamis.crawl.replay import replay as replay_pages  # noqa: PLC0415 - loaded on use

    report = replay_pages(session.project, progress=session.progress("replay"), stop=session.stop)
    changes = f"{report.changed} items changed, {report.items} new, {report.vanished} no longer there"
    read = f"{report.pages} stored pages read again in {duration(report.seconds)}"
    lines = [f"{read}: {changes}; {report.pictures} new pictures"]
    if report.current:
        lines.append(f"{report.current} pages were read by the present recipe and extractor already")
    if report.links:
        lines.append(f"{report.links} new URLs: `tamis crawl` asks for them")
    lines += [f"  {report.unreadable} pages could not be read again"] if report.unreadable else []
    session.finish(asdict(report), *lines, *(f"warning: {line}" for line in report.warnings))
    return 0


@click.command()
@click.option("--limit", type=click.IntRange(min=1), help="Ask for so many pictures at most in this run.")
@project_option
def download(session: Session, limit: int | None) -> int:
    """Download the pictures of all items; each URL is asked for once, equal bytes are stored once."""
    from tamis.crawl.download import download as download_pictures  # noqa: PLC0415 - loaded on use

    report = download_pictures(session.project, limit=limit, progress=session.progress("download"), stop=session.stop)
    counts = ", ".join(f"{count} {outcome}" for outcome, count in sorted(report.outcomes.items())) or "nothing to do"
    session.finish(
        asdict(report), f"{report.requested} URLs asked for, {report.ok} images in {duration(report.seconds)}: {counts}"
    )
    if report.stopped:
        raise Interrupted("download stopped")
    return 1 if report.failures or report.paused else 0


@click.command()
@click.argument("page", metavar="FILE|URL", required=False)
@click.option("--url", help="The address that a saved page was found at.")
@click.option(
    "--list", "listed", type=click.Path(path_type=Path, exists=True, dir_okay=False), metavar="FILE.jsonl",
    help='Read many saved pages: lines of {"file": ..., "url": ...}; prints one line each.',
)  # fmt: skip
@click.option("--allow-private", is_flag=True, help="Reach addresses on this machine and in private networks.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on standard output.")
def extract(page: str | None, url: str | None, listed: Path | None, allow_private: bool, as_json: bool) -> int:
    """Print the item that one page holds: title, price, pictures, attributes, and where each was read.

    FILE may be gzip-compressed. Works outside a project.
    """
    from tamis.commands.recipes import shown_page  # noqa: PLC0415 - loaded on use
    from tamis.crawl.single import extract_list, read_one  # noqa: PLC0415

    if (page is None) == (listed is None):
        raise click.UsageError("give either a page (FILE or URL) or --list FILE.jsonl")
    if listed is not None:
        failed = 0
        for line in extract_list(listed):
            failed += '"error"' in line[:200]
            click.echo(line)
        return 1 if failed else 0
    assert page is not None
    read = read_one(page, url, allow_private=allow_private).extraction
    Session(Path(), as_json).finish(read.to_json(), *shown_page(read))
    return 0
