"""Stages for the engine's own tests. They work on images whose SHA-256 says what shall happen to them."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Engine

from tamis import schema
from tamis.database import insert_new, writing
from tamis.engine.stage import Compute, Context, Results, Stage, Whole
from tamis.engine.writers import copies_writer, write_inspections
from tamis.errors import Retry, Skip, Unreadable
from tamis.records import ClusterMember, Inspection, Relation, Unclustered
from tamis.stages.inspect import INSPECT, StoredImage

FATES = ("ok", "skip", "unreadable", "retry", "bug", "kill")


def key_of(name: str) -> str:
    return sha256(name.encode()).hexdigest()


FATE_OF = {key_of(f"{fate}-{number}"): fate for fate in FATES for number in range(1000)}


def add_images(engine: Engine, fates: Sequence[str], start: int = 0) -> None:
    rows = [
        {"sha256": key_of(f"{fate}-{start + number}"), "size": number, "first_seen": 0.0}
        for number, fate in enumerate(fates)
    ]
    with writing(engine) as connection:
        insert_new(connection, schema.image, rows)


def _look(image: StoredImage) -> Sequence[Inspection]:
    match FATE_OF[image.sha256]:
        case "skip":
            raise Skip("nothing to see")
        case "unreadable":
            raise Unreadable("scribble")
        case "retry":
            raise Retry("try again")
        case "bug":
            raise ValueError("a bug in foreign code")
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
    return [Inspection(image.image_id, readable=True, phash=int(image.sha256[:8], 16))]


def _row(_: Context) -> Callable[[StoredImage], Sequence[Inspection]]:
    return _look


def _batch(_: Context) -> Compute:
    def work(images: Sequence[StoredImage]) -> Results:
        return [_look(image) for image in images]

    return work


def map_stage(version: int = 1, batch_size: int = 4, **more: Any) -> Stage:
    return Stage(
        name="look", version=version, help="", reads=StoredImage, writes=(Inspection,), select=INSPECT.select,
        write=lambda _: write_inspections, row=_row, batch_size=batch_size, **more,
    )  # fmt: skip


def batch_stage(batch_size: int = 4) -> Stage:
    return Stage(
        name="look", version=1, help="", reads=StoredImage, writes=(Inspection,), select=INSPECT.select,
        write=lambda _: write_inspections, batch=_batch, batch_size=batch_size,
    )  # fmt: skip


def _pair(_: Context, whole: Whole) -> Sequence[Relation | ClusterMember | Unclustered]:
    """Relate neighbours among all images: known ones only to new ones."""
    whole.told(0.5)
    ids = sorted(row.image_id for row in [*whole.new, *whole.known])
    new = {row.image_id for row in whole.new}
    pairs = [(a, b) for a, b in zip(ids[::2], ids[1::2], strict=False)]
    relations = [Relation("image", a, b, "edited", 0.9, 3) for a, b in pairs if a in new or b in new]
    members = [
        ClusterMember("image", member, a, "keeper" if member == a else "edited", 1.0)
        for a, b in pairs
        for member in (a, b)
    ]
    alone = [Unclustered("image", ids[-1])] if len(ids) % 2 else []
    return [*relations, *members, *alone]


def collapse_stage() -> Stage:
    return Stage(
        name="pair", version=1, help="", reads=StoredImage, select=INSPECT.select,
        writes=(Relation, ClusterMember, Unclustered), write=lambda _: copies_writer("image"), collapse=_pair,
    )  # fmt: skip


def stored(engine: Engine, table: sa.Table) -> list[sa.Row[Any]]:
    with engine.connect() as connection:
        return list(connection.execute(sa.select(table).order_by(*table.primary_key.columns)))
