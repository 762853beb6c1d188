"""Versioned changes of the database. Each revision is safe to repeat where definitions cannot be rolled back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Engine, inspect, text

from tamis.database import address_of, reading
from tamis.errors import ProjectError

if TYPE_CHECKING:
    from alembic.config import Config

#: Number of the advisory lock that makes two processes migrate in turn.
_LOCK = 7_463_911
_VERSIONS = Path(__file__).parent / "versions"


def _config() -> Config:
    from alembic.config import Config  # noqa: PLC0415 - loaded where there is something to migrate

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    return config


def current(engine: Engine) -> str | None:
    """Return the revision of the database; None before the first migration."""
    with reading(engine) as connection:
        if not inspect(connection).has_table("alembic_version"):
            return None
        revision: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
        return revision


def latest() -> str:
    """Return the newest revision that this version of tamis knows: files begin with theirs, in order."""
    return max(path.name for path in _VERSIONS.glob("[0-9]*_*.py")).split("_", maxsplit=1)[0]


def migrate(engine: Engine) -> None:
    """Bring the database to the newest revision; nothing happens when it is there.

    Raises:
        ProjectError: the database was made by a newer tamis.
    """
    revision = current(engine)
    if revision == latest():
        return
    from alembic import command  # noqa: PLC0415 - loaded where there is something to migrate
    from alembic.script import ScriptDirectory  # noqa: PLC0415

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
