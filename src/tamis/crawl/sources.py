"""The sources of the settings as rows: first pages of sites, the pages of URL files, the items of folders."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from tamis import schema
from tamis.config import ASKED, SourceSettings
from tamis.crawl.captures import SUFFIXES, capture_files
from tamis.crawl.folders import read_folder
from tamis.crawl.frontier import Link, insert_pages
from tamis.crawl.items import Saved, save_items
from tamis.crawl.reading import Place, feed_links
from tamis.crawl.saved import SavedReport, Watch, register_saved
from tamis.crawl.urls import BadUrl, PrivateAddress, check_literal, request_url
from tamis.database import chunks, insert_new, reading, retrying, writing
from tamis.display import printable
from tamis.errors import Interrupted, UserError
from tamis.project import Project
from tamis.recipes.library import load_recipe

#: Pages and items that one transaction takes in.
_BATCH = 500


def source_rows(project: Project) -> dict[str, sa.Row[Any]]:
    """Make or update the rows of table `source` after the settings, and return them by name."""
    table = schema.source
    named = project.settings.source
    rows = [
        {"name": name, "kind": given.kind, "address": given.address, "recipe": given.recipe}
        for name, given in named.items()
    ]

    def write() -> dict[str, sa.Row[Any]]:
        with writing(project.engine) as connection:
            insert_new(connection, table, rows)
            for row in rows:
                connection.execute(sa.update(table).where(table.c.name == row["name"]).values(**row))
            found = connection.execute(sa.select(table).where(table.c.name.in_(list(named))))
            return {row.name: row for row in found}

    return retrying(write) if rows else {}


def register_sources(project: Project, watch: Watch | None = None) -> SavedReport:
    """Bring all that the settings name into the database: pages to request, and the items of folders and saved pages.

    Doing it again adds only what is new. Returns what folders and saved pages brought.

    Raises:
        UserError: no source, an address that cannot be used, a file or folder that is missing, an unknown recipe;
            the message names the setting.
    """
    if not project.settings.source:
        raise UserError(
            f"{project.path('tamis.toml')} names no source: add a [source.NAME] table with an address to crawl"
        )
    for name, given in project.settings.source.items():
        check_source(project, name, given)
    rows = source_rows(project)
    brought = SavedReport()
    for name, given in project.settings.source.items():
        if given.kind == "folder":
            brought.add(_register_folder(project, rows[name], given, watch or Watch()))
        elif given.kind == "saved":
            place = Place(name, given, load_recipe(given.recipe, project.folder))
            brought.add(register_saved(project, rows[name], place, source_path(project, given), watch or Watch()))
        else:
            _register_pages(project, rows[name], given)
    return brought


def count_pending(project: Project) -> int:
    """Pages of the sources of the settings that are still to be asked for."""
    page, source = schema.page, schema.source
    query = (
        sa.select(sa.func.count())
        .select_from(page.join(source, page.c.source_id == source.c.id))
        .where(page.c.state == "pending", source.c.name.in_(list(project.settings.source)))
    )
    with reading(project.engine) as connection:
        return connection.execute(query).scalar_one()


def check_source(project: Project, name: str, given: SourceSettings) -> None:
    """Raise UserError unless the source's address and recipe can be used."""
    setting = f"source.{name}.address"
    load_recipe(given.recipe, project.folder, given.address)
    if given.render != "never":
        from tamis.crawl.browser import check_browser  # noqa: PLC0415 - with it an HTTP client

        check_browser(f"source.{name}.render")
    if given.kind == "site":
        try:
            check_literal(request_url(given.address), allow_private=project.settings.crawl.allow_private)
        except (BadUrl, PrivateAddress) as error:
            path = source_path(project, given)
            kind = "folder" if path.is_dir() else "urls" if path.is_file() else ""
            advice = f'; it lies on this machine, so set kind = "{kind}" or "saved"' if kind else ""
            raise UserError(f"{setting}: {given.address!r} cannot be crawled: {error.reason}{advice}") from error
        return
    path = source_path(project, given)
    if given.kind == "folder" and not path.is_dir():
        raise UserError(f"{setting}: there is no folder {path}")
    if given.kind == "saved" and not path.exists():
        raise UserError(f"{setting}: there is no file or folder {path}")
    if given.kind == "saved" and not capture_files(path):
        raise UserError(f"{setting}: {path} holds no saved pages: {', '.join(SUFFIXES)}")
    if given.kind == "urls" and not path.is_file():
        raise UserError(f"{setting}: there is no file {path}; it holds one page URL a line")


def picture_folder(project: Project, given: SourceSettings) -> Path | None:
    """The folder that a source's own picture files lie below; None where it has none."""
    path = source_path(project, given)
    return None if given.kind in ASKED else path.parent if path.is_file() else path


def source_path(project: Project, given: SourceSettings) -> Path:
    """Where a file or folder source lies; a relative path counts from the project's folder."""
    return project.folder / Path(given.address).expanduser()


def _register_pages(project: Project, row: sa.Row[Any], given: SourceSettings) -> None:
    links = _first_pages(project, given) if given.kind == "site" else list(_listed(project, row))
    for part in chunks(links, _BATCH):

        def write(part: list[Link] = part) -> None:
            with writing(project.engine) as connection:
                insert_pages(connection, part, row.id, None)

        retrying(write)


def _first_pages(project: Project, given: SourceSettings) -> list[Link]:
    """The product feeds of a site where its recipe has any, else the address itself."""
    recipe = load_recipe(given.recipe, project.folder, given.address)
    return feed_links(given.address, recipe) or [Link(request_url(given.address), "unknown", 0, 0)]


def _listed(project: Project, row: sa.Row[Any]) -> Iterator[Link]:
    path = source_path(project, project.settings.source[row.name])
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"source.{row.name}.address: {path} cannot be read: {error}") from error
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        try:
            url = request_url(text)
            check_literal(url, allow_private=project.settings.crawl.allow_private)
        except (BadUrl, PrivateAddress) as error:
            raise UserError(f"{path}, line {number}: {text[:100]!r} cannot be crawled: {error.reason}") from error
        yield Link(url, "unknown", 0, 0)


def _register_folder(project: Project, row: sa.Row[Any], given: SourceSettings, watch: Watch) -> SavedReport:
    brought = Saved(0, 0)
    unnamed: set[str] = set()
    for part in chunks(read_folder(source_path(project, given), row.name, unnamed), _BATCH):
        if watch.is_over():
            raise Interrupted(f"stopped; {brought.new_items} new items of source {row.name} are kept")

        def write(part: Any = part) -> Saved:
            with writing(project.engine) as connection:
                return save_items(connection, row, part, time.time())

        brought = brought.plus(retrying(write))
    report = SavedReport(items=brought.new_items, changed=brought.changed_items, pictures=brought.new_pictures)
    if unnamed:
        left_out = f"source {row.name}: {len(unnamed)} files are left out since their names are no UTF-8"
        report.warnings.append(f"{left_out}, such as {printable(min(unnamed))}: rename them")
    return report
