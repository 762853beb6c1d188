"""Databases for the contract tests: SQLite, and a database of its own on a real MariaDB and PostgreSQL.

A server is looked for in this order: the environment variable, the usual loopback port, a throw-away server started
from the installed programs. Where there is none the tests of that database are skipped, and say so.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from uuid import uuid4

import pytest
import sqlalchemy as sa

DATABASES = ("sqlite", "mariadb", "postgresql")


@dataclass(frozen=True)
class Server:
    """How to reach a server of one kind."""

    variable: str
    usual: str
    programs: tuple[str, ...]
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)
    folders: list[Path] = field(default_factory=list)


SERVERS = {
    "mariadb": Server(
        "TAMIS_TEST_MARIADB", "mariadb+pymysql://root@127.0.0.1:3306/", ("mariadbd", "mariadb-install-db")
    ),
    "postgresql": Server(
        "TAMIS_TEST_POSTGRESQL", "postgresql+psycopg://postgres@127.0.0.1:5432/postgres", ("initdb", "postgres")
    ),
}


@pytest.fixture(params=[pytest.param("sqlite"), *(pytest.param(n, marks=pytest.mark.server) for n in SERVERS)])
def database_address(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of an empty database, once on each of the three systems."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'tamis.db'}"
        return
    with own_database(request.param) as address:
        yield address


@contextmanager
def own_database(system: str) -> Iterator[str]:
    """Make a database on a real server of that system, and drop it at the end; skips where there is no server."""
    address = server_address(system)
    if address is None:
        server = SERVERS[system]
        pytest.skip(f"no {system}: set {server.variable}, or install {' and '.join(server.programs)}")
    name = f"tamis_test_{uuid4().hex[:12]}"
    engine = sa.create_engine(address, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(sa.text(f"CREATE DATABASE {name}"))
    try:
        yield sa.make_url(address).set(database=name).render_as_string(hide_password=False)
    finally:
        force = " WITH (FORCE)" if system == "postgresql" else ""
        with engine.connect() as connection:
            connection.execute(sa.text(f"DROP DATABASE {name}{force}"))
        engine.dispose()


@cache
def server_address(system: str) -> str | None:
    """The URL of a running server, started where need be; None where there is none."""
    server = SERVERS[system]
    for address in filter(None, (os.environ.get(server.variable), server.usual)):
        if _answers(address):
            return address
    binaries = [_find(program) for program in server.programs]
    if None in binaries:
        return None
    return _start(system, [str(binary) for binary in binaries])


def stop_servers() -> None:
    """End the throw-away servers; called at the end of the test session."""
    for server in SERVERS.values():
        for process in server.started:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(20)
        for folder in server.folders:
            shutil.rmtree(folder, ignore_errors=True)


def _answers(address: str) -> bool:
    engine = sa.create_engine(address)
    try:
        with engine.connect() as connection:
            connection.execute(sa.text("SELECT 1"))
    except (sa.exc.DBAPIError, ImportError):
        return False
    finally:
        engine.dispose()
    return True


def _find(program: str) -> Path | None:
    """Debian keeps PostgreSQL's programs out of the PATH."""
    if found := shutil.which(program):
        return Path(found)
    candidates = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{program}"))
    return candidates[-1] if candidates else None


def _start(system: str, binaries: list[str]) -> str | None:
    folder = Path(tempfile.mkdtemp(prefix=f"tamis-{system}-"))
    SERVERS[system].folders.append(folder)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    if system == "mariadb":
        server, install = binaries
        common = ["--no-defaults", f"--datadir={folder}/data"]
        user = ["--user=root"] if os.getuid() == 0 else []
        setup = [install, *common, *user, "--auth-root-authentication-method=normal"]
        run = [server, *common, *user, f"--port={port}", "--bind-address=127.0.0.1", f"--socket={folder}/socket"]
        address = f"mariadb+pymysql://root@127.0.0.1:{port}/"
    else:
        initdb, server = binaries
        become = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"] if os.getuid() == 0 else []
        if become:
            shutil.chown(folder, "postgres", "postgres")
        setup = [*become, initdb, "-D", f"{folder}/data", "-U", "postgres", "--auth=trust", "-E", "UTF8"]
        run = [*become, server, "-D", f"{folder}/data", "-p", str(port), "-k", str(folder), "-h", "127.0.0.1"]
        address = f"postgresql+psycopg://postgres@127.0.0.1:{port}/postgres"
    if subprocess.run(setup, capture_output=True, check=False, cwd=folder).returncode != 0:
        return None
    quiet = subprocess.DEVNULL
    SERVERS[system].started.append(subprocess.Popen(run, stdout=quiet, stderr=quiet, cwd=folder))
    for _ in range(100):
        if _answers(address):
            return address
        time.sleep(0.2)
    return None
