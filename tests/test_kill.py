"""A pipeline that is killed at random moments and resumed ends with the rows of one that was left alone."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from tamis import schema
from tamis.crawl.identity import photo_identity
from tamis.demo.run import write_demo_project
from tamis.demo.site import DemoSite, SiteOptions
from tamis.project import Project, open_project
from tamis.settingsfile import FILE_NAME
from tests.databases import own_database

KILLS = 25
LISTINGS = 5
#: Columns that say when, how often or in which order; and numbers that another run gives out differently.
_PASSING = {
    "id", "page_id", "found_on", "first_seen", "last_seen", "fetched_at", "downloaded_at", "not_before", "created_at",
    "attempts", "finished_at", "superseded_at", "priority", "depth", "listed_at", "found",
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("system", ["sqlite", pytest.param("postgresql", marks=pytest.mark.server)])
def test_killed_and_resumed_gives_the_same_rows(system: str, tmp_path: Path) -> None:
    kills = KILLS if system == "sqlite" else 5
    with database(system, tmp_path / "calm") as calm, DemoSite(SiteOptions(listings=LISTINGS)) as site:
        port = int(site.url.rsplit(":", 1)[1])
        write_patient_project(tmp_path / "calm", site.start_url)
        assert finish(start(tmp_path / "calm", calm)) in (0, 1)
        expected = snapshot_of(tmp_path / "calm", calm)
    with database(system, tmp_path / "killed") as killed:
        with DemoSite(SiteOptions(listings=LISTINGS, port=port)) as site:
            write_patient_project(tmp_path / "killed", site.start_url)
            repeated = kill_at_random(tmp_path / "killed", killed, site, kills)
            assert finish(start(tmp_path / "killed", killed)) in (0, 1)
            assert repeated == []
        found = snapshot_of(tmp_path / "killed", killed)
        check_intact(tmp_path / "killed", killed)
    for name, rows in expected.items():
        assert found[name] == rows, name


def write_patient_project(folder: Path, address: str) -> None:
    """A project that waits longer for answers than a busy machine takes to draw them.

    A time-out is an outcome: pictures that used up their tries fail, and a robots.txt that cannot be read keeps its
    host from being asked for minutes. Rows of the one run would then differ from those of the other.
    """
    write_demo_project(folder, address)
    file = folder / FILE_NAME
    settings = file.read_text(encoding="utf-8")
    assert settings.count("timeout = 6.0") == 2
    file.write_text(settings.replace("timeout = 6.0", "timeout = 120.0"), encoding="utf-8")


def kill_at_random(folder: Path, address: str, site: DemoSite, kills: int) -> list[str]:
    """Kill the pipeline at random moments; return what was asked for again although its answer was committed."""
    rng = random.Random(7)
    asked: dict[str, int] = {}
    repeated: list[str] = []
    for _ in range(kills):
        process = start(folder, address)
        time.sleep(rng.uniform(0.8, 7.0))
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        repeated += [path for path, count in asked.items() if site.requests[path] > count]
        asked = {path: site.requests[path] for path in committed(folder, address)}
    return repeated


def start(folder: Path, address: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tamis", "run", "--project", str(folder), "--json"]
    environment = os.environ | {"TAMIS_DATABASE": address}
    quiet = subprocess.DEVNULL
    return subprocess.Popen(command, stdout=quiet, stderr=subprocess.PIPE, env=environment, start_new_session=True)


def finish(process: subprocess.Popen[bytes]) -> int:
    _, complaint = process.communicate(timeout=400)
    if process.returncode not in (0, 1):
        pytest.fail(f"exit code {process.returncode}: {complaint.decode()[-2000:]}")
    return process.returncode


@contextmanager
def database(system: str, folder: Path) -> Iterator[str]:
    if system == "sqlite":
        folder.mkdir(exist_ok=True)
        yield f"sqlite:///{folder / 'tamis.db'}"
    else:
        with own_database(system) as address:
            yield address


@contextmanager
def opened(folder: Path, address: str) -> Iterator[Project]:
    before = os.environ.get("TAMIS_DATABASE")
    os.environ["TAMIS_DATABASE"] = address
    project = open_project(folder)
    try:
        yield project
    finally:
        project.close()
        if before is None:
            del os.environ["TAMIS_DATABASE"]
        else:
            os.environ["TAMIS_DATABASE"] = before


def committed(folder: Path, address: str) -> list[str]:
    """Paths whose answers are committed outcomes."""
    with opened(folder, address) as project, project.engine.connect() as connection:
        urls = [
            url
            for table in (schema.page, schema.picture)
            for url in connection.execute(sa.select(table.c.url).where(table.c.state == "done")).scalars()
        ]
    return ["/" + url.split("/", 3)[3] for url in urls]


def snapshot_of(folder: Path, address: str) -> dict[str, list[tuple[Any, ...]]]:
    """All rows by their natural keys: ids replaced by what they stand for, times left out."""
    with opened(folder, address) as project, project.engine.connect() as connection:
        names = {
            "image_id": {row.id: row.sha256 for row in connection.execute(sa.select(schema.image))},
            "item_id": {row.id: row.url for row in connection.execute(sa.select(schema.item))},
            "region_id": {row.id: row.region_key for row in connection.execute(sa.select(schema.region))},
        }
        result = {
            table.name: sorted(
                (_natural(row._mapping, table.name, names) for row in connection.execute(sa.select(table))), key=repr
            )
            for table in (
                schema.page, schema.item, schema.picture, schema.image, schema.inspection, schema.relation,
                schema.cluster, schema.region, schema.mask, schema.label, schema.ledger,
            )
        }  # fmt: skip
        result["bytes"] = [(sha, len(project.blobs.get(sha))) for sha in sorted(names["image_id"].values())]
    assert {row[-1] for row in _of(result["ledger"], "commits")} <= {0, 1}
    return result


_SUBJECTS = {"mine": "item_id", "classify": "region_id", "segment": "region_id", "regionduplicates": "region_id"}


def _natural(row: Any, table: str, names: dict[str, dict[int, str]]) -> tuple[Any, ...]:
    level = "image_id" if row.get("level") == "image" else "region_id"
    meanings = dict.fromkeys(("first_id", "second_id", "member_id", "keeper_id"), level)
    meanings |= {name: name for name in names} | {"superseded_by": "region_id"}
    if table == "ledger":
        meanings["subject_id"] = _SUBJECTS.get(row["stage"], "image_id")
    values = [
        (name, names[meanings[name]].get(value) if name in meanings else value)
        for name, value in row.items()
        if name not in _PASSING
    ]
    if table == "picture":
        # The key of a photo holds the number of its item, and items are numbered in the order in which pages answer.
        expected = photo_identity(row["url"], row["item_id"])
        values = [(name, value == expected if name == "photo_key" else value) for name, value in values]
    if table == "relation":
        pair = sorted(str(value) for name, value in values if name in ("first_id", "second_id"))
        values = [("pair", tuple(pair)), *((n, v) for n, v in values if n not in ("first_id", "second_id"))]
    return tuple(values)


def _of(rows: Sequence[tuple[Any, ...]], column: str) -> Iterator[tuple[Any, ...]]:
    for row in rows:
        yield tuple(value for name, value in row if name == column)


def check_intact(folder: Path, address: str) -> None:
    with opened(folder, address) as project, project.engine.connect() as connection:
        if connection.dialect.name == "sqlite":
            assert connection.exec_driver_sql("PRAGMA integrity_check").scalar_one() == "ok"
            assert connection.exec_driver_sql("PRAGMA foreign_key_check").all() == []
