"""Host leases: one crawler asks a host, whatever the number of crawlers, so that its rate stays the rate asked for.

A lease is fenced: each one carries a larger number than the last, every commit of a crawler checks it, and a crawler
that was taken for dead (a long pause, a lost network) can no longer write.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from tamis import schema
from tamis.config import CrawlSettings
from tamis.crawl.politeness import Pace, Robots
from tamis.database import insert_new, reading, retrying, writing
from tamis.errors import TamisError

#: Seconds that a lease lasts; it is renewed with each commit, and by the crawler when nothing else is written.
LEASE_SECONDS = 60.0


class LeaseLost(TamisError):  # noqa: N818 - named after what happened
    """Another crawler took the host over; nothing of this one's answer is written."""


@dataclass(eq=False)
class HeldHost:
    """A host that this crawler may ask, with its rules and its pace."""

    name: str
    fence: int
    pace: Pace
    robots: Robots | None
    lease_until: float
    asking_robots: bool = field(default=False)


class HostTable:
    """The hosts of a project, as one crawler sees them."""

    def __init__(self, engine: Engine, settings: CrawlSettings) -> None:
        self._engine = engine
        self._settings = settings
        self.owner = process_name()

    def claim(self, names: Iterable[str]) -> tuple[list[HeldHost], dict[str, str]]:
        """Take the free ones among the hosts; return them, and the owners of the others by host name."""
        taken: list[HeldHost] = []
        busy: dict[str, str] = {}
        for name in names:
            claimed = retrying(lambda name=name: self._claim_one(name))  # type: ignore[misc]
            if isinstance(claimed, HeldHost):
                taken.append(claimed)
            else:
                busy[name] = claimed
        return taken, busy

    def _claim_one(self, name: str) -> HeldHost | str:
        table, now = schema.host, time.time()
        with writing(self._engine) as connection:
            ensure_hosts(connection, [name])
            row = connection.execute(sa.select(table).where(table.c.name == name).with_for_update()).one()
            if row.lease_owner and row.lease_until > now and not is_gone(row.lease_owner):
                return str(row.lease_owner)
            fence = int(row.lease_fence) + 1
            connection.execute(
                sa.update(table)
                .where(table.c.name == name)
                .values(lease_owner=self.owner, lease_fence=fence, lease_until=now + LEASE_SECONDS)
            )
        pace = self.pace_of(row)
        return HeldHost(name, fence, pace, robots_of(row), now + LEASE_SECONDS)

    def pace_of(self, row: sa.Row[Any]) -> Pace:
        """The pace at which a host was last asked, within the settings of now."""
        settings = self._settings
        return Pace(
            base_delay=settings.delay,
            concurrency=settings.concurrency,
            breaker=settings.breaker,
            breaker_wait=settings.breaker_wait,
            delay=row.delay,
            next_at=row.next_request_at,
            failures=row.failures,
            paused_until=row.paused_until or 0.0,
            paused_reason=row.paused_reason,
        )

    def save(self, connection: Connection, host: HeldHost) -> None:
        """Write the host's pace and renew its lease, within the transaction of what was learnt from it.

        Raises:
            LeaseLost: the lease is another crawler's by now.
        """
        table, until = schema.host, time.time() + LEASE_SECONDS
        changed = connection.execute(
            sa.update(table)
            .where(table.c.name == host.name, table.c.lease_owner == self.owner, table.c.lease_fence == host.fence)
            .values(lease_until=until, **pace_columns(host.pace))
        )
        if changed.rowcount != 1:
            raise LeaseLost(f"the lease on {host.name} went to another crawler")
        host.lease_until = until

    def renew(self, host: HeldHost) -> None:
        """Prolong a lease.

        Raises:
            LeaseLost: it is another crawler's by now.
        """
        with writing(self._engine) as connection:
            self.save(connection, host)

    def release(self, hosts: Sequence[HeldHost]) -> None:
        """Give leases back; nothing happens to those that are lost."""
        table = schema.host
        with writing(self._engine) as connection:
            for host in hosts:
                connection.execute(
                    sa.update(table)
                    .where(
                        table.c.name == host.name,
                        table.c.lease_owner == self.owner,
                        table.c.lease_fence == host.fence,
                    )
                    .values(lease_owner=None, lease_until=0.0, **pace_columns(host.pace))
                )

    def save_robots(self, name: str, robots: Robots) -> None:
        """Store what robots.txt said. Any process may: it is a fact of the web, not the lease-holder's."""
        with writing(self._engine) as connection:
            ensure_hosts(connection, [name])
            connection.execute(
                sa.update(schema.host)
                .where(schema.host.c.name == name)
                .values(robots_status=robots.status, robots_body=robots.body, robots_fetched_at=robots.fetched_at)
            )

    def pause(self, name: str) -> tuple[float, str] | None:
        """Until when a host is left alone, and why; None when it is not."""
        with reading(self._engine) as connection:
            row = connection.execute(sa.select(schema.host).where(schema.host.c.name == name)).one_or_none()
        if row is None or (row.paused_until or 0.0) <= time.time():
            return None
        return float(row.paused_until), row.paused_reason or "paused"

    def robots(self, name: str) -> Robots | None:
        """What robots.txt of a host said when it was last asked for."""
        with reading(self._engine) as connection:
            row = connection.execute(sa.select(schema.host).where(schema.host.c.name == name)).one_or_none()
        return None if row is None else robots_of(row)


def ensure_hosts(connection: Connection, names: Iterable[str]) -> None:
    """Make rows for hosts that have none."""
    blank = {"delay": 0.0, "next_request_at": 0.0, "failures": 0, "lease_fence": 0, "lease_until": 0.0}
    insert_new(connection, schema.host, [{"name": name, **blank} for name in sorted(set(names))])


def robots_of(row: sa.Row[Any]) -> Robots | None:
    """The stored robots.txt of a row of table `host`."""
    if row.robots_status is None:
        return None
    return Robots(int(row.robots_status), row.robots_body or "", float(row.robots_fetched_at or 0.0))


def pace_columns(pace: Pace) -> dict[str, Any]:
    """The columns of table `host` that hold a pace."""
    return {
        "delay": pace.delay,
        "next_request_at": pace.next_at,
        "failures": pace.failures,
        "paused_until": pace.paused_until or None,
        "paused_reason": pace.paused_reason,
    }


def forget_pauses(connection: Connection) -> None:
    """Let paused hosts be asked again, and unreachable robots.txt be read again at once."""
    table = schema.host
    connection.execute(sa.update(table).values(failures=0, paused_until=None, paused_reason=None))
    unreachable = sa.or_(table.c.robots_status == 429, table.c.robots_status < 200, table.c.robots_status >= 500)
    connection.execute(sa.update(table).where(unreachable).values(robots_fetched_at=0.0))


# --- processes ----------------------------------------------------------------------------------------------------


def process_name() -> str:
    """A name for this process that no other has: machine, process namespace, number, and a random part."""
    return f"{_machine()}:{os.getpid()}:{uuid4().hex[:8]}"


def is_gone(owner: str) -> bool:
    """Whether the owner of a lease was a process of this machine that has ended, so that its lease is free at once."""
    machine, _, rest = owner.partition(":")
    number = rest.partition(":")[0]
    if machine != _machine() or not number.isdigit():
        return False
    try:
        os.kill(int(number), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


def _machine() -> str:
    """Host name and, on Linux, the process namespace: containers may share the name, but not the process numbers."""
    namespace = Path("/proc/self/ns/pid")
    number = namespace.stat().st_ino if namespace.exists() else 0
    return f"{socket.gethostname()[:60].replace(':', '-')}.{number}"
