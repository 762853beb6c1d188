"""Opening, migrating and writing the database: SQLite, MariaDB or MySQL, and PostgreSQL behave alike from here on."""

from __future__ import annotations

import dataclasses
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import URL, Connection, Engine, make_url

from tamis.errors import ProjectError

#: Rows that one statement carries, and ids that one IN list holds.
CHUNK = 500
_BUSY_SECONDS = 60
_EXTRAS = {"mysql": "mysql", "mariadb": "mysql", "postgresql": "postgres"}
_DEFAULT_DRIVERS = {"mysql": "mysql+pymysql", "mariadb": "mariadb+pymysql", "postgresql": "postgresql+psycopg"}
_MYSQL = ("mysql", "mariadb")

Row = Mapping[str, Any]
Result = TypeVar("Result")


def open_engine(address: str, folder: Path) -> Engine:
    """Return an engine for a database URL; a relative SQLite path counts from `folder`.

    The connection is not tried yet. SQLite runs in WAL mode and waits for other writers; a transaction that will
    write takes the write lock at its beginning, so that none fails half-way.

    Raises:
        ProjectError: the URL is none, or the driver is not installed.
    """
    try:
        url = _complete(make_url(address), folder)
        engine = sa.create_engine(url, pool_pre_ping=not url.drivername.startswith("sqlite"), **_options(url))
    except sa.exc.ArgumentError as error:
        raise ProjectError(f"project.database: {address!r} is no database URL, such as sqlite:///tamis.db") from error
    except ModuleNotFoundError as error:
        extra = _EXTRAS.get(address.split(":", maxsplit=1)[0].split("+", maxsplit=1)[0], "mysql")
        raise ProjectError(f"project.database: {error.name} is not installed: pip install 'tamis[{extra}]'") from error
    if engine.dialect.name == "sqlite":
        sa.event.listen(engine, "connect", _configure_sqlite)
        sa.event.listen(engine, "begin", _begin_sqlite)
    elif engine.dialect.name == "postgresql":
        sa.event.listen(engine, "connect", _configure_postgresql)
    return engine


def _complete(url: URL, folder: Path) -> URL:
    if url.drivername in _DEFAULT_DRIVERS:
        url = url.set(drivername=_DEFAULT_DRIVERS[url.drivername])
    if url.drivername.startswith("sqlite") and url.database and url.database != ":memory:":
        url = url.set(database=str((folder / url.database).absolute()))
    if url.drivername.startswith(("mysql", "mariadb")):
        url = url.update_query_dict({"charset": "utf8mb4"})
    return url


def _options(url: URL) -> dict[str, Any]:
    if url.drivername.startswith("sqlite"):
        return {"connect_args": {"timeout": _BUSY_SECONDS, "check_same_thread": False}}
    options: dict[str, Any] = {"isolation_level": "READ COMMITTED", "pool_recycle": 1800}
    if url.drivername.startswith("postgresql"):
        options["connect_args"] = {"connect_timeout": 10}
    return options


def _configure_sqlite(connection: sqlite3.Connection, _: object) -> None:
    connection.isolation_level = None  # transactions are begun below, not by the driver
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON", f"busy_timeout={_BUSY_SECONDS * 1000}"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _configure_postgresql(connection: Any, _: object) -> None:
    """Compiling an expression takes longer than any of the queries here; what some join and sort fits into memory."""
    connection.autocommit = True
    connection.execute("SET jit = off")
    connection.execute("SET work_mem = '64MB'")
    connection.autocommit = False


def _begin_sqlite(connection: Connection) -> None:
    reads = connection.get_execution_options().get("reads")
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A transaction that only reads: it blocks no writer and none blocks it."""
    with engine.connect().execution_options(reads=True) as connection, connection.begin():
        yield connection


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """A transaction that writes; committed at the end, rolled back on any exception.

    Raises:
        ProjectError: the disk of the database is full, or its file may not be written.
    """
    try:
        with engine.begin() as connection:
            yield connection
    except sa.exc.OperationalError as error:
        text = str(error.orig).lower()
        if any(sign in text for sign in ("disk is full", "readonly", "disk i/o", "no space left")):
            raise ProjectError(f"cannot write to the database {address_of(engine)}: {error.orig}") from error
        raise


def retrying(work: Callable[[], Result], attempts: int = 5) -> Result:
    """Run a whole transaction again when the database broke it off to end a deadlock or a conflict."""
    for attempt in range(1, attempts + 1):
        try:
            return work()
        except (sa.exc.OperationalError, sa.exc.IntegrityError) as error:
            if attempt == attempts or not _passing(error):
                raise
            time.sleep(0.05 * 2**attempt)
    raise AssertionError("unreachable")


def _passing(error: sa.exc.DBAPIError) -> bool:
    text = str(error.orig).lower()
    signs = ("deadlock", "could not serialize", "lock wait timeout", "database is locked", "record has changed")
    return isinstance(error, sa.exc.IntegrityError) or any(sign in text for sign in signs)


def address_of(engine: Engine) -> str:
    """The database's URL, without its password."""
    return engine.url.render_as_string(hide_password=True)


def check_reachable(engine: Engine) -> None:
    """Raise ProjectError when the database does not answer; the message names it and the cause."""
    try:
        with reading(engine) as connection:
            connection.execute(sa.text("SELECT 1"))
    except sa.exc.DBAPIError as error:
        cause = " ".join(str(error.orig).split())[:200]
        raise ProjectError(f"cannot open the database {address_of(engine)} (project.database): {cause}") from error


# --- rows ---------------------------------------------------------------------------------------------------------


def to_row(record: Any, **more: Any) -> dict[str, Any]:
    """Return a record's fields as a row, with `more` columns added."""
    row = {part.name: getattr(record, part.name) for part in dataclasses.fields(record)}
    return row | more


def chunks(values: Iterable[Result], size: int = CHUNK) -> Iterator[list[Result]]:
    """Yield lists of at most `size` values."""
    part: list[Result] = []
    for value in values:
        part.append(value)
        if len(part) == size:
            yield part
            part = []
    if part:
        yield part


def at_once(query: sa.Select[Any], name: str) -> sa.CTE:
    """A part of a query that reads a range of a table; PostgreSQL would else look up each of its rows by itself."""
    return query.cte(name).prefix_with("MATERIALIZED", dialect="postgresql")


def insert_new(connection: Connection, table: sa.Table, rows: Sequence[Row]) -> None:
    """Insert rows; those whose unique key is there already change nothing."""
    for part in chunks(rows):
        if connection.dialect.name in _MYSQL:
            from sqlalchemy.dialects import mysql  # noqa: PLC0415 - the dialect in use is loaded, and no other

            first = next(iter(table.primary_key.columns))
            statement = mysql.insert(table).on_duplicate_key_update({first.name: table.c[first.name]})
            connection.execute(statement, part)
        else:
            connection.execute(_insert(connection, table).on_conflict_do_nothing(), part)


def upsert(connection: Connection, table: sa.Table, rows: Sequence[Row], keys: list[str]) -> None:
    """Insert rows, or replace the given columns of those with the same `keys` (a unique constraint)."""
    for part in chunks(rows):
        changed = [name for name in part[0] if name not in keys]
        if connection.dialect.name in _MYSQL:
            from sqlalchemy.dialects import mysql  # noqa: PLC0415 - as above

            my = mysql.insert(table)
            connection.execute(my.on_duplicate_key_update({n: my.inserted[n] for n in changed}), part)
        else:
            given = _insert(connection, table)
            new = {name: given.excluded[name] for name in changed}
            connection.execute(given.on_conflict_do_update(index_elements=keys, set_=new), part)


def _insert(connection: Connection, table: sa.Table) -> Any:
    """An INSERT that may say what to do on a conflict."""
    if connection.dialect.name == "sqlite":
        from sqlalchemy.dialects import sqlite  # noqa: PLC0415 - as above

        return sqlite.insert(table)
    from sqlalchemy.dialects import postgresql  # noqa: PLC0415

    return postgresql.insert(table)


def update_rows(connection: Connection, table: sa.Table, rows: Sequence[Row]) -> None:
    """Set columns of rows that are there, found by their `id`; each row names the columns that it sets."""
    by_columns: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for row in rows:
        values = {f"set_{name}": value for name, value in row.items()}
        by_columns.setdefault(tuple(row), []).append(values)
    for names, sets in by_columns.items():
        values = {name: sa.bindparam(f"set_{name}") for name in names if name != "id"}
        statement = sa.update(table).where(table.c.id == sa.bindparam("set_id")).values(values)
        for part in chunks(sets):
            connection.execute(statement, part)


def ids_of(connection: Connection, key: sa.Column[Any], values: Sequence[Any]) -> dict[Any, int]:
    """Return value of a unique column -> id, for the rows that exist."""
    found: dict[Any, int] = {}
    for part in chunks(values):
        statement = sa.select(key, key.table.c.id).where(key.in_(part))
        found.update((row[0], row[1]) for row in connection.execute(statement))
    return found
