"""Who is asking: passwords, sessions, and the name alone where only this machine can ask.

Passwords are stored as scrypt hashes (RFC 7914) with their parameters, session tokens as their SHA-256: who reads
the database can sign in with neither.
"""

from __future__ import annotations

import secrets
import time
from hashlib import scrypt, sha256
from threading import Lock, Semaphore

import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from tamis import schema
from tamis.database import insert_new, reading, writing
from tamis.errors import UserError
from tamis.project import Project

SESSION_SECONDS = 30 * 24 * 3600
MIN_PASSWORD = 8
#: scrypt's cost: 2**15 blocks of 8 * 128 bytes, 32 MiB and about a tenth of a second.
_COST, _BLOCK, _PARALLEL = 2**15, 8, 1
_MEMORY = 64 * 2**20
#: Wrong passwords for one name before further tries must wait, and for how long.
_FREE_TRIES, _WAIT_SECONDS = 5, 30.0


def clean_name(name: str) -> str:
    """Return a person's name without blanks around it.

    Raises:
        UserError: empty, longer than 100 characters, or with control characters.
    """
    cleaned = " ".join(name.split())
    if not cleaned or len(cleaned) > 100 or not cleaned.isprintable():
        raise UserError("a name of 1 to 100 printable characters is needed")
    return cleaned


def add_person(project: Project, name: str, password: str) -> None:
    """Let a person sign in with a password, or change it; a change ends the person's sessions.

    Raises:
        UserError: a password of fewer than 8 characters, or a name that is none.
    """
    name = clean_name(name)
    if len(password) < MIN_PASSWORD:
        raise UserError(f"the password of {name} is too short: {MIN_PASSWORD} characters or more")
    stored = hash_password(password)
    with writing(project.engine) as connection:
        ensure_person(connection, name)
        person = schema.person
        connection.execute(sa.update(person).where(person.c.name == name).values(password=stored))
        connection.execute(sa.delete(schema.login).where(schema.login.c.person == name))


def ensure_person(connection: Connection, name: str) -> None:
    """Make sure that the person has a row."""
    insert_new(connection, schema.person, [{"name": name, "password": None, "created_at": time.time()}])


def hash_password(password: str, salt: bytes | None = None) -> str:
    """Return `scrypt$cost$block$parallel$salt$hash`, salt and hash in hexadecimal."""
    salt = secrets.token_bytes(16) if salt is None else salt
    hashed = scrypt(password.encode(), salt=salt, n=_COST, r=_BLOCK, p=_PARALLEL, maxmem=_MEMORY, dklen=32)
    return f"scrypt${_COST}${_BLOCK}${_PARALLEL}${salt.hex()}${hashed.hex()}"


def verify_password(password: str, stored: str) -> bool:
    """Return whether the password is the one that was hashed."""
    _, cost, block, parallel, salt, expected = stored.split("$")
    hashed = scrypt(
        password.encode(),
        salt=bytes.fromhex(salt),
        n=int(cost),
        r=int(block),
        p=int(parallel),
        maxmem=_MEMORY,
        dklen=32,
    )
    return secrets.compare_digest(hashed.hex(), expected)


class SignIn:
    """Signs people in and knows them again by their session token."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._failures: dict[str, tuple[int, float]] = {}
        self._lock = Lock()
        self._hashing = Semaphore(2)  # each check takes 32 MiB; more at once would let strangers fill the memory
        self._nobody = hash_password(secrets.token_hex(8))

    def wait_for(self, name: str) -> float:
        """Seconds before the next try for that name is looked at."""
        with self._lock:
            tries, last = self._failures.get(name, (0, 0.0))
        return max(0.0, last + _WAIT_SECONDS - time.monotonic()) if tries >= _FREE_TRIES else 0.0

    def open_session(self, name: str, password: str) -> str | None:
        """Return a new session token, or None when name and password do not belong together."""
        person = schema.person
        with reading(self._engine) as connection:
            stored = connection.execute(sa.select(person.c.password).where(person.c.name == name)).scalar()
        with self._hashing:
            # A name that is not there takes as long as one that is.
            right = verify_password(password, stored or self._nobody)
        if not right or stored is None:
            self._remember_failure(name)
            return None
        with self._lock:
            self._failures.pop(name, None)
        token = secrets.token_urlsafe(32)
        now = time.time()
        with writing(self._engine) as connection:
            connection.execute(sa.delete(schema.login).where(schema.login.c.expires_at < now))
            row = {"token": _token_key(token), "person": name, "expires_at": now + SESSION_SECONDS}
            connection.execute(sa.insert(schema.login), row)
        return token

    def _remember_failure(self, name: str) -> None:
        with self._lock:
            tries, _ = self._failures.get(name, (0, 0.0))
            if len(self._failures) > 10_000:
                self._failures.clear()
            self._failures[name] = (tries + 1, time.monotonic())

    def person_of(self, token: str) -> str | None:
        """Return who holds the session, or None when it is unknown or over."""
        login = schema.login
        statement = sa.select(login.c.person).where(
            login.c.token == _token_key(token), login.c.expires_at >= time.time()
        )
        with reading(self._engine) as connection:
            name: str | None = connection.execute(statement).scalar()
        return name

    def close_session(self, token: str) -> None:
        """End a session; nothing happens when there is none."""
        with writing(self._engine) as connection:
            connection.execute(sa.delete(schema.login).where(schema.login.c.token == _token_key(token)))


def _token_key(token: str) -> str:
    return sha256(token.encode()).hexdigest()
