"""The state of a fetch folder: every URL with what came of it, and the shards that are being written.

One SQLite file, written by the main process alone. Bytes are handed to the system before the row that speaks of them
is committed; so whatever was killed, a committed picture is there, and what lies beyond is cut off at the next start.
"""

from __future__ import annotations

import fcntl
import json
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tamis.errors import BusyError, UserError
from tamis.fetch.lists import Kinds, Row
from tamis.fetch.options import FetchOptions, Result, Spool, Task

PENDING, OK, FAILED = 0, 1, 2
#: Below the folder: everything that is not for people.
HIDDEN = ".tamis"
_DATABASE, _LOCK = "fetch.sqlite", "lock"
#: Workers of a main process that was killed end within moments; only then is the folder free.
_LOCK_SECONDS = 5.0
_FACTS = (
    "format", "width", "height", "size", "sha256",
    "original_width", "original_height", "original_size", "original_sha256",
)  # fmt: skip
_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS url (
    number INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, url TEXT NOT NULL, extra TEXT NOT NULL,
    state INTEGER NOT NULL DEFAULT 0, outcome TEXT, error TEXT, status INTEGER,
    file TEXT, shard INTEGER, offset INTEGER,
    format TEXT, width INTEGER, height INTEGER, size INTEGER, sha256 TEXT,
    original_width INTEGER, original_height INTEGER, original_size INTEGER, original_sha256 TEXT);
CREATE INDEX IF NOT EXISTS url_of_shard ON url (shard) WHERE shard IS NOT NULL;
CREATE TABLE IF NOT EXISTS twin (url INTEGER NOT NULL, extra TEXT NOT NULL, UNIQUE (url, extra));
CREATE TABLE IF NOT EXISTS shard (
    id INTEGER PRIMARY KEY, size INTEGER NOT NULL, count INTEGER NOT NULL, number INTEGER UNIQUE,
    sealed INTEGER NOT NULL DEFAULT 0);
CREATE TEMP TABLE wanted (place INTEGER PRIMARY KEY, number INTEGER NOT NULL UNIQUE);
"""


class FolderState:
    """The state of one folder; use as `with FolderState(...) as state`. Only one process at a time may hold it.

    Raises:
        UserError: the folder cannot be written, was begun with other settings, or is not a fetch folder.
        BusyError: another run works in it.
    """

    def __init__(self, folder: Path, options: FetchOptions) -> None:
        self.folder, self._options = folder, options
        self.hidden = folder / HIDDEN
        try:
            self.hidden.mkdir(parents=True, exist_ok=True)
            #: Workers inherit it: the folder stays locked until the last of them has ended.
            self.lock = os.open(self.hidden / _LOCK, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise UserError(f"{error.filename or folder} cannot be written: {error.strerror}") from error
        self._take_lock()
        try:
            self._connection = sqlite3.connect(self.hidden / _DATABASE, isolation_level=None, check_same_thread=False)
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = NORMAL")
            self._connection.executescript(_SCHEMA)
        except sqlite3.Error as error:
            os.close(self.lock)
            raise UserError(f"{self.hidden / _DATABASE} cannot be used: {error}") from error
        self._check_settings()
        self._next = int(self._one("SELECT COALESCE(MAX(number) + 1, 0) FROM url"))
        self._kinds: Kinds = json.loads(self._meta("kinds") or "{}")

    def _take_lock(self) -> None:
        until = time.monotonic() + _LOCK_SECONDS
        while True:
            try:
                fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > until:
                    os.close(self.lock)
                    raise BusyError(f"{self.folder}: another `tamis fetch` works in this folder") from None
                time.sleep(0.1)
            else:
                return

    def _check_settings(self) -> None:
        stored = self._meta("settings")
        if stored is None:
            self._set_meta("settings", json.dumps(self._options.fixed))
            return
        for name, value in json.loads(stored).items():
            if (given := self._options.fixed.get(name)) != value:
                self.close()
                raise UserError(
                    f"{self.folder} was begun with {name}={value}, not {given}: say so, or fetch into another folder"
                )

    def close(self) -> None:
        """Free the folder."""
        self._connection.close()
        os.close(self.lock)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _one(self, query: str, *values: Any) -> Any:
        row = self._connection.execute(query, values).fetchone()
        return None if row is None else row[0]

    def _meta(self, name: str) -> str | None:
        value: str | None = self._one("SELECT value FROM meta WHERE name = ?", name)
        return value

    def _set_meta(self, name: str, value: str) -> None:
        self._connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))

    def _many(self, query: str, rows: Iterable[Sequence[Any]]) -> None:
        self._connection.executemany(query, rows)

    # --- the list -------------------------------------------------------------------------------------------------

    @property
    def kinds(self) -> Kinds:
        """The other columns of all lists so far, and the kinds of their values."""
        return self._kinds

    def add_columns(self, kinds: Kinds) -> None:
        """Take in the other columns of a list; one that was of another kind before becomes text."""
        for name, kind in kinds.items():
            self._kinds[name] = kind if self._kinds.get(name, kind) == kind else "string"
        self._set_meta("kinds", json.dumps(self._kinds))

    def register(self, rows: Sequence[Row], *, retry_failed: bool) -> int:
        """Note rows of the list; return how many URLs of them this run has to ask for, each URL once.

        At most some thousands of rows at once. Rows of one URL that differ in their other columns are all kept.
        """
        keys = [blake2b(row.url.encode("utf-8", "replace"), digest_size=16).digest() for row in rows]
        marks = ",".join("?" * len(keys))
        query = f"SELECT key, number, state, extra FROM url WHERE key IN ({marks})"  # noqa: S608 - question marks
        known: dict[bytes, tuple[int, int, str]] = {row[0]: row[1:] for row in self._connection.execute(query, keys)}
        fresh: list[tuple[int, bytes, str, str]] = []
        twins: list[tuple[int, str]] = []
        wanted: list[tuple[int]] = []
        for row, key in zip(rows, keys, strict=True):
            entry = known.get(key)
            if entry is None:
                entry = known[key] = (self._next, PENDING, row.extra)
                fresh.append((self._next, key, row.url, row.extra))
                self._next += 1
            elif entry[2] != row.extra:
                twins.append((entry[0], row.extra))
            if entry[1] == PENDING or (retry_failed and entry[1] == FAILED):
                wanted.append((entry[0],))
        before = self._connection.total_changes
        with self._connection:
            self._connection.execute("BEGIN")
            self._many("INSERT INTO url (number, key, url, extra) VALUES (?, ?, ?, ?)", fresh)
            self._many("INSERT OR IGNORE INTO twin VALUES (?, ?)", twins)
            before = self._connection.total_changes
            self._many("INSERT OR IGNORE INTO wanted (number) VALUES (?)", wanted)
        return self._connection.total_changes - before

    def wanted(self, after: int, limit: int) -> tuple[list[Task], int]:
        """URLs that this run has to ask for, from a place in its list on; return them and the next place."""
        query = (
            "SELECT place, url.number, url, extra FROM wanted JOIN url ON url.number = wanted.number "
            "WHERE place > ? ORDER BY place LIMIT ?"
        )
        found = self._connection.execute(query, (after, limit)).fetchall()
        return [Task(number, url, extra) for _, number, url, extra in found], found[-1][0] if found else after

    # --- results --------------------------------------------------------------------------------------------------

    def commit(self, results: Sequence[Result], spools: Sequence[Spool]) -> None:
        """Write results, and how far the shards that they lie in are written, in one transaction."""
        facts = ", ".join(f"{name} = ?" for name in _FACTS)
        update = (
            f"UPDATE url SET state = ?, outcome = ?, error = ?, status = ?, file = ?, shard = ?, offset = ?, {facts} "  # noqa: S608
            "WHERE number = ?"
        )
        with self._connection:
            self._connection.execute("BEGIN")
            self._many(update, (_values(result) for result in results))
            self._many(
                "UPDATE shard SET size = ?, count = ? WHERE id = ?", ((one.size, one.count, one.id) for one in spools)
            )

    def totals(self) -> dict[int, int]:
        """Number of URLs by state."""
        return dict(self._connection.execute("SELECT state, COUNT(*) FROM url GROUP BY state"))

    def ok_files(self) -> Iterator[tuple[int, str]]:
        """Number and file of every picture that is a file of its own."""
        yield from self._connection.execute("SELECT number, file FROM url WHERE state = 1 AND file IS NOT NULL")

    def forget(self, numbers: Sequence[int]) -> None:
        """Make URLs pending again."""
        self._many("UPDATE url SET state = 0 WHERE number = ?", ((number,) for number in numbers))

    def mark_running(self, running: bool) -> bool:
        """Note that a run begins or has come to its end; return whether the last one that began did."""
        before = self._meta("running")
        self._set_meta("running", str(int(running)))
        return before != "1"

    def rows(self, columns: Sequence[str], shard: int | None = None) -> Iterator[tuple[Any, ...]]:
        """Rows with these columns, by number, of all URLs or of one shard.

        In rows of all URLs one that stands in the list with several values of its other columns comes once for each,
        and the column `shard` is the number in the shard's name.
        """
        listed = ", ".join("shard.number" if name == "shard" else f"url.{name}" for name in columns)
        source = "url LEFT JOIN shard ON shard.id = url.shard"
        if shard is not None:
            query = f"SELECT {listed} FROM {source} WHERE url.shard = ? AND url.state = 1 ORDER BY url.number"  # noqa: S608
            yield from self._connection.execute(query, (shard,))
            return
        again = listed.replace("url.extra", "twin.extra")
        joined = f"{source} JOIN twin ON twin.url = url.number"
        place = columns.index("number") + 1
        query = f"SELECT {listed} FROM {source} UNION ALL SELECT {again} FROM {joined} ORDER BY {place}"  # noqa: S608
        yield from self._connection.execute(query)

    # --- shards ---------------------------------------------------------------------------------------------------

    def open_spools(self) -> list[Spool]:
        """Shards that are being written, as far as they are committed."""
        rows = self._connection.execute("SELECT id, size, count FROM shard WHERE number IS NULL ORDER BY id")
        return [Spool(*row) for row in rows]

    def new_spool(self) -> Spool:
        """Begin a shard."""
        cursor = self._connection.execute("INSERT INTO shard (size, count) VALUES (0, 0)")
        return Spool(int(cursor.lastrowid or 0))

    def close_spool(self, spool: int) -> int:
        """Note that a shard is complete; return the number for its name. Empty shards get none: -1."""
        if not self._one("SELECT count FROM shard WHERE id = ?", spool):
            self._connection.execute("DELETE FROM shard WHERE id = ?", (spool,))
            return -1
        self._connection.execute(
            "UPDATE shard SET number = (SELECT COALESCE(MAX(number) + 1, 0) FROM shard) WHERE id = ?", (spool,)
        )
        return int(self._one("SELECT number FROM shard WHERE id = ?", spool))

    def unsealed(self) -> list[tuple[Spool, int]]:
        """Complete shards that are not under their final name yet, with their numbers."""
        rows = self._connection.execute(
            "SELECT id, size, count, number FROM shard WHERE number IS NOT NULL AND NOT sealed ORDER BY number"
        )
        return [(Spool(row[0], row[1], row[2], full=True), row[3]) for row in rows]

    def mark_sealed(self, spool: int) -> None:
        """Note that a shard is under its final name."""
        self._connection.execute("UPDATE shard SET sealed = 1 WHERE id = ?", (spool,))


def _values(result: Result) -> tuple[Any, ...]:
    kept, place = result.kept, result.place
    facts = [None] * len(_FACTS) if kept is None else [getattr(kept, name) for name in _FACTS]
    state = FAILED if kept is None else OK
    where = (place.file, place.spool, place.offset if place.spool is not None else None)
    return (state, result.outcome, result.error, result.status, *where, *facts, result.number)
