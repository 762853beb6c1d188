"""Leases: one process works on a stage at a time, and one that lost its lease can no longer write."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from tamis import schema
from tamis.database import insert_new, reading, retrying, writing
from tamis.errors import BusyError, TamisError

#: A lease that was not renewed for so many seconds is free.
DURATION = 30.0


class LeaseLost(TamisError):  # noqa: N818 - named after what happened
    """Another process took the lease over; what this one computed is not written."""


class Lease:
    """A held lease. `check` belongs into each writing transaction."""

    def __init__(self, engine: Engine, name: str, owner: str, fence: int) -> None:
        self._engine, self.name, self.owner, self.fence = engine, name, owner, fence

    def check(self, connection: Connection) -> None:
        """Raise LeaseLost unless the lease is still this one; renews it."""
        table = schema.lease
        changed = connection.execute(
            sa.update(table)
            .where(table.c.name == self.name, table.c.fence == self.fence, table.c.owner == self.owner)
            .values(until=time.time() + DURATION)
        )
        if changed.rowcount != 1:
            raise LeaseLost(f"the lease on {self.name} went to another process")

    def renew(self) -> None:
        """Prolong the lease."""
        with writing(self._engine) as connection:
            self.check(connection)

    def release(self) -> None:
        """Give the lease back; nothing happens when it is lost already."""
        table = schema.lease
        with writing(self._engine) as connection:
            connection.execute(
                sa.update(table)
                .where(table.c.name == self.name, table.c.fence == self.fence)
                .values(owner=None, until=0.0)
            )


def acquire(engine: Engine, name: str) -> Lease:
    """Take the lease.

    Raises:
        BusyError: a living process holds it; the message says which and since when it was last heard of.
    """
    owner = f"{socket.gethostname()[:60]}:{os.getpid()}:{uuid4().hex[:8]}"

    def attempt() -> Lease | None:
        table, now = schema.lease, time.time()
        with writing(engine) as connection:
            insert_new(connection, table, [{"name": name, "owner": None, "fence": 0, "until": 0.0}])
            row = connection.execute(sa.select(table).where(table.c.name == name).with_for_update()).one()
            if row.owner and row.until > now and not _is_dead(row.owner):
                return None
            fence = int(row.fence) + 1
            connection.execute(
                sa.update(table).where(table.c.name == name).values(owner=owner, fence=fence, until=now + DURATION)
            )
        return Lease(engine, name, owner, fence)

    lease = retrying(attempt)
    if lease is None:
        with reading(engine) as connection:
            row = connection.execute(sa.select(schema.lease).where(schema.lease.c.name == name)).one()
        host, process, _ = (row.owner or "?:?:?").split(":")
        raise BusyError(
            f"{name} is being worked on by process {process} on {host}; "
            f"wait for it, or stop it (its lease ends {DURATION:.0f} s after its last sign of life)"
        )
    return lease


def _is_dead(owner: str) -> bool:
    """Tell whether the owner was a process of this machine that is gone."""
    host, process, _ = owner.split(":")
    if host != socket.gethostname()[:60] or not process.isdigit():
        return False
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


@contextmanager
def held(engine: Engine, name: str) -> Iterator[Lease]:
    """Hold a lease while the block runs, renewed by a thread of its own."""
    lease = acquire(engine, name)
    done = threading.Event()

    def keep() -> None:
        while not done.wait(DURATION / 3):
            try:
                retrying(lease.renew)
            except (LeaseLost, sa.exc.DBAPIError):
                return  # the next write finds out and stops the run

    thread = threading.Thread(target=keep, name=f"lease {name}", daemon=True)
    thread.start()
    try:
        yield lease
    finally:
        done.set()
        thread.join()
        lease.release()
