"""Table `picture` as the work of the downloader: what is due, what is known already, and the results in batches."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from tamis import schema
from tamis.crawl.hosts import ensure_hosts, forget_pauses, pace_columns
from tamis.crawl.identity import is_covered_by
from tamis.crawl.politeness import Pace
from tamis.database import chunks, ids_of, insert_new, reading, retrying, writing
from tamis.engine.extents import touch
from tamis.engine.lease import Lease

_picture = schema.picture


@dataclass(frozen=True, slots=True)
class PictureTask:
    """All pending pictures of one URL; `source` names the folder source of a file, and is empty for the web."""

    id: int
    url_key: str
    url: str
    host: str
    attempts: int
    photo_key: str | None = None
    source: str = ""


@dataclass(frozen=True, slots=True)
class StoredImage:
    """Bytes that are in the blob store."""

    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class PictureResult:
    """What came of one URL; it holds for all pictures of the URL."""

    task: PictureTask
    state: str
    outcome: str
    reason: str | None
    status: int | None = None
    requested: bool = True
    not_before: float = 0.0
    image: StoredImage | None = None


class PictureTable:
    """The pictures of a project, as the downloader sees them."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def hosts_with_work(self) -> dict[str, float]:
        """Hosts that have pending pictures, each with the time at which the first of them may be asked for."""
        query = (
            sa.select(_picture.c.host, sa.func.min(_picture.c.not_before))
            .where(_picture.c.state == "pending")
            .group_by(_picture.c.host)
        )
        with reading(self._engine) as connection:
            return {host: float(earliest) for host, earliest in connection.execute(query)}

    def count_pending(self) -> int:
        """Pictures that are still to be fetched."""
        query = sa.select(sa.func.count()).where(_picture.c.state == "pending")
        with reading(self._engine) as connection:
            return connection.execute(query).scalar_one()

    def due(self, host: str, now: float, after: int, limit: int) -> list[PictureTask]:
        """Pictures of a host that may be fetched now, by number from `after` on; one URL may come more than once."""
        item, source = schema.item, schema.source
        columns = [_picture.c[name] for name in ("id", "url_key", "url", "host", "attempts", "photo_key")]
        query = sa.select(*columns, sa.literal("") if host else source.c.name)
        if not host:
            joined = _picture.join(item, _picture.c.item_id == item.c.id).join(source, item.c.source_id == source.c.id)
            query = query.select_from(joined)
        query = query.where(
            _picture.c.state == "pending",
            _picture.c.host == host,
            _picture.c.not_before <= now,
            _picture.c.id > after,
        )
        with reading(self._engine) as connection:
            rows: list[Any] = list(connection.execute(query.order_by(_picture.c.id).limit(limit)))
        return [PictureTask(*row) for row in rows]

    def settle_known(self, tasks: Sequence[PictureTask]) -> tuple[set[str], Counter[str]]:
        """Give pending pictures that need no request their outcome: their URL was asked for, or their photo is there.

        No URL is asked for twice, however many items show it, and no photo again at the same size or smaller.
        Returns the keys of such URLs, and how many pictures were settled by outcome.
        """
        done = Counter[str]()
        with reading(self._engine) as connection:
            settled = _known_urls(connection, {task.url_key for task in tasks})
            others = [task for task in tasks if task.photo_key and task.url_key not in settled]
            photos = _known_photos(connection, others)
        if not settled and not photos:
            return set(), done
        with writing(self._engine) as connection:
            for url_key, values in settled.items():
                same = (_picture.c.url_key == url_key, _picture.c.state == "pending")
                changed = connection.execute(sa.update(_picture).where(*same).values(state="done", **values))
                done[values["outcome"]] += changed.rowcount
            for task, values in photos:
                same = (_picture.c.url_key == task.url_key, _picture.c.state == "pending")
                alike = sa.update(_picture).where(*same, _picture.c.photo_key == task.photo_key)
                changed = connection.execute(alike.values(state="done", **values))
                done[values["outcome"]] += changed.rowcount
        return set(settled) | {task.url_key for task, _ in photos}, done

    def commit(self, results: Sequence[PictureResult], paces: dict[str, Pace], lease: Lease) -> int:
        """Write results with their images and the pace of the hosts in one transaction; return the pictures settled.

        Raises:
            LeaseLost: another process downloads by now; nothing is written.
        """
        return retrying(lambda: self._commit_once(results, paces, lease))

    def _commit_once(self, results: Sequence[PictureResult], paces: dict[str, Pace], lease: Lease) -> int:
        now, settled = time.time(), 0
        with writing(self._engine) as connection:
            lease.check(connection)
            ids = _save_images(connection, [result.image for result in results if result.image], now)
            for result in results:
                values: dict[str, Any] = {
                    "state": result.state,
                    "outcome": result.outcome,
                    "reason": result.reason,
                    "status": result.status,
                    "not_before": result.not_before,
                    "downloaded_at": now,
                    "attempts": result.task.attempts + int(result.requested),
                    "image_id": ids[result.image.sha256] if result.image else None,
                }
                same = (_picture.c.url_key == result.task.url_key, _picture.c.state == "pending")
                changed = connection.execute(sa.update(_picture).where(*same).values(**values))
                settled += changed.rowcount if result.state != "pending" else 0
            _save_paces(connection, paces)
        return settled


_SETTLED = ("outcome", "reason", "status", "downloaded_at", "image_id")


def _known_urls(connection: Connection, keys: Collection[str]) -> dict[str, dict[str, Any]]:
    """What came of URLs that were asked for before, by their keys."""
    columns = [_picture.c[name] for name in ("url_key", *_SETTLED)]
    return {
        row.url_key: {name: getattr(row, name) for name in _SETTLED}
        for part in chunks(sorted(keys))
        for row in connection.execute(
            sa.select(*columns).where(_picture.c.url_key.in_(part), _picture.c.state == "done").distinct()
        )
    }


def _known_photos(connection: Connection, tasks: Sequence[PictureTask]) -> list[tuple[PictureTask, dict[str, Any]]]:
    """Tasks whose photo is stored already, at their size or a larger one, with the outcome to take over."""
    columns = [_picture.c[name] for name in ("photo_key", "url", *_SETTLED)]
    stored: dict[str, list[sa.Row[Any]]] = {}
    for part in chunks(sorted({task.photo_key for task in tasks if task.photo_key})):
        there = (_picture.c.photo_key.in_(part), _picture.c.state == "done", _picture.c.image_id.is_not(None))
        for row in connection.execute(sa.select(*columns).where(*there)):
            stored.setdefault(row.photo_key, []).append(row)
    found: list[tuple[PictureTask, dict[str, Any]]] = []
    for task in tasks:
        for row in stored.get(task.photo_key or "", ()):
            if is_covered_by(task.url, row.url):
                values = {name: getattr(row, name) for name in _SETTLED}
                found.append((task, values | {"reason": f"the photo is there from {row.url}"}))
                break
    return found


def retry_pictures(engine: Engine) -> int:
    """Make all failed pictures pending again and let paused hosts be asked; return how many pictures that were."""
    with writing(engine) as connection:
        changed = connection.execute(
            sa.update(_picture).where(_picture.c.state == "failed").values(state="pending", attempts=0, not_before=0.0)
        )
        connection.execute(sa.update(_picture).where(_picture.c.state == "pending").values(not_before=0.0))
        forget_pauses(connection)
    return changed.rowcount


def _save_images(connection: Connection, images: Sequence[StoredImage], now: float) -> dict[str, int]:
    rows = [{"sha256": image.sha256, "size": image.size, "first_seen": now} for image in images]
    unique = {row["sha256"]: row for row in rows}
    insert_new(connection, schema.image, list(unique.values()))
    ids = ids_of(connection, schema.image.c.sha256, list(unique))
    touch(connection, "image", ids.values())
    return ids


def _save_paces(connection: Connection, paces: dict[str, Pace]) -> None:
    """A crawler that holds the host keeps its own account of the pace."""
    ensure_hosts(connection, paces)
    for name, pace in paces.items():
        free = (schema.host.c.name == name, schema.host.c.lease_owner.is_(None))
        connection.execute(sa.update(schema.host).where(*free).values(**pace_columns(pace)))
