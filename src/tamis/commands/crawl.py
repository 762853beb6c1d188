"""Commands that ask the web: crawl, download, extract."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from tamis.commands.session import Session, project_option
from tamis.display import duration


@click.command()
@click.argument("url", required=False)
@click.option("--limit", type=click.IntRange(min=1), help="Ask for so many pages at most in this run.")
@project_option
def crawl(session: Session, url: str | None, limit: int | None) -> int:
    """Crawl the sources of the project, or a site by its URL, into pages, items and pictures.

    Pages that were read are not asked for again; Ctrl-C stops cleanly. Robots rules and delays are obeyed. With URL,
    the site is added to tamis.toml as a source of its own.
    """
    from tamis.crawl.run import crawl as crawl_project  # noqa: PLC0415 - loaded on use

    if url is not None:
        from tamis.templates import add_source  # noqa: PLC0415

        session.note(f"source {add_source(session.folder, url)!r} is in {session.folder / 'tamis.toml'}")
    report = crawl_project(session.project, limit=limit, progress=session.progress("crawl"), stop=session.stop)
    lines = [f"{report.pages} pages, {report.items} items, {report.pictures} pictures in {duration(report.seconds)}"]
    lines += [f"  {count} {outcome}" for outcome, count in sorted(report.outcomes.items())]
    lines += [f"  failed: {page}: {reason}" for page, reason in report.failed[:20]]
    lines += [f"  paused: {host}: {reason}" for host, reason in report.paused.items()]
    session.finish(asdict(report), *lines)
    return 1 if report.failures or report.paused else 0


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
