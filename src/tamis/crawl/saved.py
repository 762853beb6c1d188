"""Saved pages as a source: they become rows, items and pictures by the same reading as pages of the web.

Nothing is requested. What is committed is not read again; pictures that an archive holds are taken from it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from tamis import schema
from tamis.crawl.captures import (
    MHTML_SUFFIXES,
    NOWHERE,
    WARC_SUFFIXES,
    Capture,
    Damaged,
    capture_files,
    local_picture,
    read_captures,
)
from tamis.crawl.checks import judge_picture
from tamis.crawl.frontier import Link, PageResult, PageTask, insert_pages
from tamis.crawl.items import FoundItem, PictureRef, Saved, save_items
from tamis.crawl.outcomes import OK
from tamis.crawl.pictures import PictureResult, PictureTable, PictureTask, StoredImage
from tamis.crawl.reading import PageAnswer, Place, read_page
from tamis.crawl.urls import host_of, url_key
from tamis.database import ids_of, reading, retrying, writing
from tamis.engine.lease import held
from tamis.errors import BusyError, Interrupted
from tamis.project import Project
from tamis.recipes.library import AUTO, recipe_for
from tamis.records import digest

#: Pages that one transaction takes in.
_BATCH = 20
_PICTURE_BATCH = 200
_HTML = ("text/html", "application/xhtml+xml")
_JSON = ("application/json", "text/json")

Progress = Callable[[int, int | None, str], None]


@dataclass
class SavedReport:
    """What reading saved pages and folders brought.

    `failed` names files that could not be read to their end, and why; `warnings` tell what was left out.
    """

    pages: int = 0
    items: int = 0
    changed: int = 0
    pictures: int = 0
    failed: list[tuple[str, str]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def add(self, other: SavedReport) -> None:
        """Take in what another source brought."""
        self.pages, self.items = self.pages + other.pages, self.items + other.items
        self.changed += other.changed
        self.pictures, self.failed = self.pictures + other.pictures, self.failed + other.failed
        self.warnings = self.warnings + other.warnings


@dataclass(frozen=True, slots=True)
class Watch:
    """Who hears how far it is, and who may end it."""

    progress: Progress | None = None
    stop: threading.Event | None = None

    def is_over(self) -> bool:
        """Whether no further page is to be begun."""
        return self.stop is not None and self.stop.is_set()


def register_saved(project: Project, row: sa.Row[Any], place: Place, path: Path, watch: Watch) -> SavedReport:
    """Read the saved pages at `path` into the database, then the pictures that archives among them hold.

    `row` is the source's row. Doing it again reads what is new.

    Raises:
        UserError: a file cannot be opened.
    """
    return _Reader(project, row, place, path, watch).run()


class _Reader:
    """One reading of one source."""

    def __init__(self, project: Project, row: sa.Row[Any], place: Place, path: Path, watch: Watch) -> None:
        self._project, self._row, self._place, self._watch = project, row, place, watch
        self._folder = path.parent if path.is_file() else path
        self._files = capture_files(path)
        self._total = sum(file.stat().st_size for file in self._files)
        self._places: dict[str, Place] = {}
        self._before = 0
        self._reported_at = 0.0
        self.report = SavedReport()

    def run(self) -> SavedReport:
        """Read all files: pages first, then pictures."""
        try:
            batch: list[Capture] = []
            for capture in self._captures(self._files):
                if self._is_page(capture):
                    batch.append(capture)
                if len(batch) >= _BATCH:
                    self._take(batch)
                    batch = []
                if self._watch.is_over():
                    break
            self._take(batch)
            self._pictures([file for file in self._files if _is_archive(file)])
        except KeyboardInterrupt:
            raise Interrupted(f"stopped; {self.report.pages} saved pages of this run are kept") from None
        return self.report

    def _captures(self, files: Sequence[Path]) -> Iterator[Capture]:
        self._before = 0
        for file in files:
            name = file.relative_to(self._folder).as_posix()
            try:
                yield from read_captures(file, name, self._tell)
            except Damaged as error:
                self._fail(str(file), str(error))
            self._before += file.stat().st_size
            self._tell(0)

    def _fail(self, file: str, reason: str) -> None:
        if all(file != known for known, _ in self.report.failed):
            self.report.failed.append((file, reason))

    def _tell(self, position: int) -> None:
        now = time.monotonic()
        if self._watch.progress is not None and now - self._reported_at > 0.5:
            self._reported_at = now
            done = (self._before + position) // 1_000_000
            text = f"MB of saved pages; {self.report.pages} pages, {self.report.items} items"
            self._watch.progress(done, max(self._total // 1_000_000, done), text)

    # --- pages ----------------------------------------------------------------------------------------------------

    def _is_page(self, capture: Capture) -> bool:
        """Whether a capture is a document to read: HTML, or JSON where the recipe knows its address."""
        if not 200 <= capture.status < 300 or not capture.body.strip():
            return False
        if capture.media_type in _JSON:
            recipe = self._place_of(host_of(capture.url)).recipe
            return recipe.kind_of(capture.url) in ("item", "results") or "/products.json" in capture.url
        return capture.media_type in _HTML or (not capture.media_type and capture.body.lstrip()[:1] == b"<")

    def _take(self, batch: list[Capture]) -> None:
        """Read and commit captures whose address is not known yet, each address once."""
        by_key: dict[str, Capture] = {}
        for capture in batch:
            key = url_key(capture.url)
            if key in by_key and not capture.file.endswith((*WARC_SUFFIXES, *MHTML_SUFFIXES)):
                # Two files that state one address, as the pages of a list do that name the first as canonical.
                capture = replace(capture, url=f"http://{NOWHERE}/{capture.file}", is_known=False)  # noqa: PLW2901
                key = url_key(capture.url)
            by_key.setdefault(key, capture)
        with reading(self._project.engine) as connection:
            columns = schema.page.c
            query = sa.select(columns.url_key).where(columns.url_key.in_(list(by_key)), columns.state == "done")
            known = set(connection.execute(query).scalars())
        fresh = {key: capture for key, capture in by_key.items() if key not in known}
        if not fresh:
            return
        read = {key: self._read(key, capture) for key, capture in fresh.items()}
        links = [Link(capture.url, "unknown", 0, 0) for capture in fresh.values()]

        def write() -> Saved:
            with writing(self._project.engine) as connection:
                insert_pages(connection, links, self._row.id, None)
                return self._commit(connection, read)

        saved = retrying(write)
        self.report.pages += len(fresh)
        self.report.items += saved.new_items
        self.report.pictures += saved.new_pictures

    def _read(self, key: str, capture: Capture) -> PageResult:
        task = PageTask(0, capture.url, key, self._row.id, host_of(capture.url), "unknown", 0, 0, 0, None)
        answer = PageAnswer(capture.url, capture.status, capture.headers, capture.body, capture.at or time.time())
        result = read_page(task, answer, self._place_of(task.host), self._project.settings.crawl, self._project.blobs)
        found = result.item
        return result if found is None else replace(result, item=self._with_files(capture, found))

    def _place_of(self, host: str) -> Place:
        """The rules of a page: where the settings name no recipe, by the host that it was saved from."""
        if self._place.settings.recipe != AUTO:
            return self._place
        if host not in self._places:
            recipe = recipe_for(host.partition(":")[0], self._project.folder)
            self._places[host] = replace(self._place, recipe=recipe)
        return self._places[host]

    def _with_files(self, capture: Capture, found: FoundItem) -> FoundItem:
        """The item with the pictures that lie beside its page, and its file as address where it has no other."""
        refs: dict[str, PictureRef] = {}
        for ref in found.pictures:
            local = local_picture(capture, ref.url, self._folder)
            if local is not None:
                ref = PictureRef(local, digest("file", self._row.name, local), "")  # noqa: PLW2901
            if ref.host != NOWHERE:
                refs.setdefault(ref.url_key, ref)
        item = found.item if capture.is_known else replace(found.item, url=capture.file)
        return replace(found, item=item, pictures=tuple(refs.values()))

    def _commit(self, connection: Connection, read: dict[str, PageResult]) -> Saved:
        page = schema.page
        ids = ids_of(connection, page.c.url_key, list(read))
        found: list[FoundItem] = []
        for key, result in read.items():
            mine = [*result.listed, *([result.item] if result.item is not None else [])]
            found += [replace(one, page_id=ids[key]) for one in mine]
            connection.execute(
                sa.update(page)
                .where(page.c.id == ids[key])
                .values(
                    state=result.state,
                    outcome=result.outcome,
                    reason=result.reason,
                    kind=result.kind,
                    fetched_at=result.fetched_at,
                    **result.columns,
                )
            )
        return save_items(connection, self._row, found, time.time())

    # --- pictures -------------------------------------------------------------------------------------------------

    def _pictures(self, archives: list[Path]) -> None:
        """Take the pictures that items wait for from the archives, so that they need not be asked for."""
        if not archives or self._watch.is_over() or not self._waiting():
            return
        try:
            with held(self._project.engine, "download") as lease:
                table = PictureTable(self._project.engine)
                batch: dict[str, Capture] = {}
                for capture in self._captures(archives):
                    if 200 <= capture.status < 300 and capture.body and not self._is_page(capture):
                        batch.setdefault(url_key(capture.url), capture)
                    if self._watch.is_over():
                        break
                    if len(batch) >= _PICTURE_BATCH:
                        table.commit(self._taken(batch), {}, lease)
                        batch = {}
                table.commit(self._taken(batch), {}, lease)
        except BusyError:
            return  # the download that is at work asks for them

    def _waiting(self, keys: Sequence[str] | None = None) -> list[sa.Row[Any]]:
        """Pending pictures, of `keys` where these are given, else the first one of this source."""
        picture, item = schema.picture, schema.item
        query = sa.select(picture.c.id, picture.c.url_key, picture.c.url, picture.c.host, picture.c.attempts)
        query = query.where(picture.c.state == "pending", picture.c.host != "")
        if keys is None:
            query = query.join(item, picture.c.item_id == item.c.id).where(item.c.source_id == self._row.id).limit(1)
        else:
            query = query.where(picture.c.url_key.in_(keys))
        with reading(self._project.engine) as connection:
            return list(connection.execute(query))

    def _taken(self, batch: dict[str, Capture]) -> list[PictureResult]:
        """The results of captures that pending pictures wait for; what is no picture is left to the download."""
        settings = self._project.settings.download
        results: dict[str, PictureResult] = {}
        for row in self._waiting(list(batch)):
            body = batch[row.url_key].body
            if row.url_key in results or len(body) > settings.max_bytes:
                continue
            if judge_picture(body, settings.max_pixels) is not None:
                continue
            image = StoredImage(self._project.blobs.put(body), len(body))
            task = PictureTask(row.id, row.url_key, row.url, row.host, row.attempts)
            results[row.url_key] = PictureResult(
                task, "done", OK.name, None, batch[row.url_key].status, requested=False, image=image
            )
        return list(results.values())


def _is_archive(file: Path) -> bool:
    return file.name.lower().endswith((*WARC_SUFFIXES, *MHTML_SUFFIXES))
