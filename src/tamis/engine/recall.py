"""What a collapse knows already, kept beside the project, so that one new row costs no second reading of a million.

A file holds the known rows of an extent, in columns. It counts as long as the extent is settled at the version, and
under the token, that it was written at: then its known rows are those that the stage selects there, all of them. The
files hold nothing that the database does not; they are written anew where they are missing, stale or damaged.
"""

from __future__ import annotations

import os
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from tamis.engine import ledger
from tamis.engine.extents import Extent, Plan
from tamis.engine.known import Known
from tamis.engine.packed import Packed

#: Folder of the files, in the project's.
FOLDER = "index"


def recall(connection: Connection, plan: Plan, folder: Path, token: str) -> Known[Any]:
    """Return the rows that a stage is done with, from the files below the project's `folder` and from the database."""
    home = folder / FOLDER / plan.stage.name
    settled = plan.settled(connection, token)
    parts: list[Packed[Any]] = []
    for extent in plan.extents(connection):
        label = f"{token} {extent.version}"
        path = home / str(extent.block)
        lasting = settled.get(extent.block) == extent.version
        part = _read(path, plan, label) if lasting else None
        if part is None:
            part = _select(connection, plan, extent)
            if lasting and len(part) and (packed := part.pack(label)) is not None:
                _write(path, packed)
                part = _read(path, plan, label) or part
        if len(part):
            parts.append(part)
    return Known(parts)


def _select(connection: Connection, plan: Plan, extent: Extent) -> Packed[Any]:
    part: Packed[Any] = Packed(plan.stage.reads)
    known = ledger.known(plan.stage, plan.settings, plan.fingerprint)
    part.extend(connection.execute(known, extent.bounds).all())
    return part


def _read(path: Path, plan: Plan, label: str) -> Packed[Any] | None:
    try:
        with path.open("rb") as file:
            mapped = mmap(file.fileno(), 0, access=ACCESS_READ)
    except (OSError, ValueError):  # an empty file cannot be mapped
        return None
    return Packed.over(plan.stage.reads, mapped, label)


def _write(path: Path, packed: bytes) -> None:
    """Put the file in place whole. Where it cannot be written, the next run reads the database again."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(f"{path.name}.{os.getpid()}")
        unfinished.write_bytes(packed)
        unfinished.replace(path)
    except OSError:
        return
