"""What a collapse knows already, kept beside the project, so that one new row costs no second reading of a million.

A file holds the known rows of an extent, in columns. It counts as long as the extent is settled at the version, and
under the token, that it was written at: then its known rows are those that the stage selects there, all of them. The
files hold nothing that the database does not; they are written anew where they are missing, stale or damaged.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from tamis.engine import ledger
from tamis.engine.extents import Extent, Plan
from tamis.engine.packed import Packed

#: Folder of the files, in the project's.
FOLDER = "index"


def recall(connection: Connection, plan: Plan, folder: Path, token: str) -> Packed[Any]:
    """Return the rows that a stage is done with, from the files below the project's `folder` and from the database."""
    home = folder / FOLDER / plan.stage.name
    known: Packed[Any] = Packed(plan.stage.reads)
    settled = plan.settled(connection, token)
    for extent in plan.extents(connection):
        label = f"{token} {extent.version}"
        path = home / str(extent.block)
        lasting = settled.get(extent.block) == extent.version
        packed = _read(path) if lasting else None
        if packed is None or not known.unpack(packed, label):
            part = _select(connection, plan, extent)
            known.join(part)
            if lasting and len(part) and (packed := part.pack(label)) is not None:
                _write(path, packed)
    return known


def _select(connection: Connection, plan: Plan, extent: Extent) -> Packed[Any]:
    part: Packed[Any] = Packed(plan.stage.reads)
    part.extend(connection.execute(ledger.known(plan.stage, plan.settings, plan.fingerprint), extent.bounds))
    return part


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def _write(path: Path, packed: bytes) -> None:
    """Put the file in place whole. Where it cannot be written, the next run reads the database again."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(f"{path.name}.{os.getpid()}")
        unfinished.write_bytes(packed)
        unfinished.replace(path)
    except OSError:
        return
