"""The duplicates stages over synthetic signatures: what a first run, one with nothing to do and one new image take.

Signatures are random, but for one image in a hundred, which has those of the one before it and shows the same picture.
Random parts of a million images meet by chance some hundred thousand times; such pairs are looked at and turned down as
strangers are. The pictures are a few small JPEG files, so that decoding takes little of the time.
"""

from __future__ import annotations

import multiprocessing
import resource
import time
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property

import numpy as np
import sqlalchemy as sa

from tamis import schema
from tamis.blobs import BlobStore
from tamis.database import writing
from tamis.engine.extents import touch
from tamis.engine.runner import run_stage
from tamis.engine.stage import Stage
from tamis.project import Project
from tamis.vision.render import Rendering, render_part

#: Of so many images one is a copy of the one before it, at this place.
EVERY, COPY = 100, 2
#: Pictures that the images show.
PICTURES = 251


class FewPictures(BlobStore):
    """A store that gives one of a few pictures for whatever is asked for, the same for a copy as for its original."""

    def get(self, key: str) -> bytes:
        """Return the bytes of a JPEG file."""
        image = int(key, 16)
        return self._files[(image - (image % EVERY == COPY)) % PICTURES]

    @cached_property
    def _files(self) -> list[bytes]:
        chance = np.random.default_rng(1)
        pictures = (chance.integers(0, 255, (48, 64, 3), dtype=np.uint8) for _ in range(PICTURES))
        return [render_part(picture, (0, 0, 64, 48), Rendering(format="jpeg")) for picture in pictures]


def plant(project: Project) -> None:
    """Give the copies the signatures of their originals."""
    signatures = {"inspection": ("image_id", 1, "phash dhash parts"), "region": ("id", 2, "phash dhash")}
    with writing(project.engine) as connection:
        for table, (key, step, columns) in signatures.items():
            image = key if table == "inspection" else "image_id"
            names = columns.split()
            sets = ", ".join(f"{name} = other.{name}" for name in names)
            other = f"other.{key} = {table}.{key} - {step} AND {table}.{image} % {EVERY} = {COPY}"
            if connection.dialect.name in ("mysql", "mariadb"):
                sets = ", ".join(f"{table}.{name} = other.{name}" for name in names)
                statement = f"UPDATE {table} JOIN {table} other ON {other} SET {sets}"
            else:
                statement = f"UPDATE {table} SET {sets} FROM {table} other WHERE {other}"
            connection.exec_driver_sql(statement.replace("%", "%%" if connection.dialect.name != "sqlite" else "%"))


def collapse_all(reopen: Callable[[], Project], stages: list[Stage], images: int) -> None:
    """Run each stage over all rows, again with nothing to do, and twice after one new image; print time and memory."""
    one = images // 2 + 1
    for stage in stages:
        anew = replace(stage, version=98)  # under which nothing is done yet
        runs = (("first run", ()), ("nothing to do", ()), ("one new image", (one,)), ("another one", (one + 10,)))
        for what, forgotten in runs:
            process = multiprocessing.get_context("fork").Process(target=_measure, args=(reopen, anew, what, forgotten))
            process.start()
            process.join()


def _measure(reopen: Callable[[], Project], stage: Stage, what: str, images: tuple[int, ...]) -> None:
    project = reopen()
    project = replace(project, blobs=FewPictures(project.folder / "blobs"))
    _forget(project, stage, images)
    started, computed = time.perf_counter(), time.process_time()
    report = run_stage(project, stage)
    seconds, computed = time.perf_counter() - started, time.process_time() - computed
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    told = f"{stage.name}, {what}: {report.rows:,} rows, CPU {computed:.1f} s, peak {peak:.0f} MB"
    print(f"  {seconds:8.2f} s  {told}", flush=True)
    project.close()


def _forget(project: Project, stage: Stage, images: tuple[int, ...]) -> None:
    """Make some images new to a stage, as if they had been inspected just now."""
    ledger, region = schema.ledger.c, schema.region.c
    subjects: sa.Select[tuple[int]] | tuple[int, ...] = images
    if stage.name == "regionduplicates":
        subjects = sa.select(region.id).where(region.image_id.in_(images))
    with writing(project.engine) as connection:
        connection.execute(sa.delete(schema.ledger).where(ledger.stage == stage.name, ledger.subject_id.in_(subjects)))
        touch(connection, "inspection", images)
