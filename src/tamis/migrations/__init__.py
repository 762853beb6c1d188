"""Versioned changes of the database. Each revision is safe to repeat where definitions cannot be rolled back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, text

from tamis.database import address_of, reading
from tamis.errors import ProjectError

#: Number of the advisory lock that makes two processes migrate in turn.
_LOCK = 7_463_911


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    return config


def current(engine: Engine) -> str | None:
    """Return the revision of the database; None before the first migration."""
    with reading(engine) as connection:
        return MigrationContext.configure(connection).get_current_revision()


def latest() -> str:
    """Return the newest revision that this version of tamis knows."""
    head = ScriptDirectory.from_config(_config()).get_current_head()
    assert head is not None
    return head


def migrate(engine: Engine) -> None:
    """Bring the database to the newest revision; nothing happens when it is there.

    Raises:
        ProjectError: the database was made by a newer tamis.
    """
    revision = current(engine)
    if revision == latest():
        return
    script = ScriptDirectory.from_config(_config())
    known = {entry.revision for entry in script.walk_revisions()}
    if revision is not None and revision not in known:
        raise ProjectError(
            f"the database {address_of(engine)} has revision {revision}, which is newer than this tamis knows "
            f"(up to {latest()}): update tamis"
        )
    config = _config()
    with engine.begin() as connection, _alone(connection):
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


@contextmanager
def _alone(connection: Connection) -> Iterator[None]:
    """Hold the database's own lock; SQLite's transaction is one already."""
    name = connection.dialect.name
    if name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
    elif name != "sqlite":
        connection.execute(text("SELECT GET_LOCK(CONCAT(DATABASE(), :key), 60)"), {"key": f".{_LOCK}"})
    try:
        yield
    finally:
        if name not in ("postgresql", "sqlite"):
            connection.execute(text("SELECT RELEASE_LOCK(CONCAT(DATABASE(), :key))"), {"key": f".{_LOCK}"})
