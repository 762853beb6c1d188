"""The stage inspect: pictures that nothing here reads are told, and looked at again where something does."""

from __future__ import annotations

import json
import sys

import pytest
import sqlalchemy as sa
from click.testing import CliRunner

from tamis import schema
from tamis.cli import cli
from tamis.database import reading, writing
from tamis.engine.runner import run_stage
from tamis.pipeline import stage_statuses
from tamis.project import Project
from tamis.stages.inspect import INSPECT
from tamis.vision.formats import HEIF_MISSING
from tamis.vision.inspect import thumbnail
from tamis.vision.pillow import heif_opener
from tamis.vision.render import encode
from tests.conftest import MakeProject
from tests.vision.heic import PLAIN
from tests.vision.pictures import shot


def forget_the_library(patch: pytest.MonkeyPatch) -> None:
    """Let no process of this test import what reads HEIF."""
    patch.setitem(sys.modules, "pi_heif", None)
    heif_opener.cache_clear()


def pending(project: Project) -> int:
    return next(status.pending for status in stage_statuses(project) if status.stage == "inspect")


def commits(project: Project) -> list[int]:
    with reading(project.engine) as connection:
        query = sa.select(schema.ledger.c.commits).where(schema.ledger.c.stage == "inspect")
        return list(connection.scalars(query.order_by(schema.ledger.c.subject_id)))


def test_a_heic_is_looked_at_again_once_its_library_is_there(
    make_project: MakeProject, database_address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pi_heif", reason="the extra heif is not installed")
    project = make_project(database=database_address)
    with writing(project.engine) as connection:
        for data in (encode(shot(1), "jpeg"), PLAIN, b"no picture"):
            row = {"sha256": project.blobs.put(data), "size": len(data), "first_seen": 1.0}
            connection.execute(schema.image.insert().values(row))

    def inspections() -> list[tuple[bool, str | None]]:
        with reading(project.engine) as connection:
            table = schema.inspection
            rows = connection.execute(sa.select(table.c.readable, table.c.reason).order_by(table.c.image_id))
            return [(row.readable, row.reason) for row in rows]

    with monkeypatch.context() as patch:
        forget_the_library(patch)
        report = run_stage(project, INSPECT)
        assert (report.counts, report.failed) == ({"done": 1, "unreadable": 2}, 0)
        assert inspections()[1] == (False, HEIF_MISSING)
        assert pending(project) == 0
        assert run_stage(project, INSPECT).rows == 0
    heif_opener.cache_clear()
    before = inspections()
    assert pending(project) == 1
    assert run_stage(project, INSPECT).counts == {"done": 1}
    assert inspections() == [before[0], (True, None), before[2]]
    assert commits(project) == [1, 2, 1]
    assert (pending(project), run_stage(project, INSPECT).rows) == (0, 0)
    with monkeypatch.context() as patch:
        forget_the_library(patch)
        assert pending(project) == 0
    heif_opener.cache_clear()


@pytest.mark.parametrize("kept", [True, False])
def test_inspection_keeps_a_thumbnail_of_each_readable_picture_unless_told_otherwise(
    make_project: MakeProject, kept: bool
) -> None:
    project = make_project(f"[inspect]\nthumbnails = {str(kept).lower()}\n")
    files = [encode(shot(1), "jpeg"), encode(shot(2), "png"), b"no picture"]
    keys = [project.blobs.put(data) for data in files]
    with writing(project.engine) as connection:
        rows = [{"sha256": key, "size": 1, "first_seen": 1.0} for key in keys]
        connection.execute(schema.image.insert(), rows)
    assert run_stage(project, INSPECT).counts == {"done": 2, "unreadable": 1}
    made = [project.thumbnails.get(key) for key in keys]
    assert made == ([thumbnail(files[0]), thumbnail(files[1]), None] if kept else [None] * 3)


def test_a_thumbnail_that_cannot_be_written_costs_no_inspection(make_project: MakeProject) -> None:
    project = make_project()
    project.path("cache").write_text("a file where the folder should be")
    with writing(project.engine) as connection:
        row = {"sha256": project.blobs.put(encode(shot(1), "jpeg")), "size": 1, "first_seen": 1.0}
        connection.execute(schema.image.insert().values(row))
    assert run_stage(project, INSPECT).counts == {"done": 1}


def test_status_tells_how_many_pictures_are_unreadable_and_why(
    make_project: MakeProject, database_address: str
) -> None:
    project = make_project(database=database_address)
    whole = encode(shot(1), "jpeg")
    damaged = whole[:200] + b"\xff\xd9" * 50 + whole[300:]
    broken = [whole[: len(whole) // 2], whole[: len(whole) // 3], damaged]
    with writing(project.engine) as connection:
        rows = [{"sha256": project.blobs.put(data), "size": 1, "first_seen": 1.0} for data in (whole, *broken)]
        connection.execute(schema.image.insert(), rows)

    def run(*arguments: str) -> tuple[int, str]:
        result = CliRunner().invoke(cli, [*arguments, "--project", str(project.folder)])
        return result.exit_code, result.output

    code, told = run("run", "inspect")
    assert (code, "3 unreadable" in told) == (0, True)
    code, told = run("status")
    assert code == 0
    assert "unreadable in inspect:\n  2 x truncated\n  1 x " in told
    code, told = run("status", "--json")
    status = json.loads(told)
    inspect = next(stage for stage in status["stages"] if stage["stage"] == "inspect")
    assert (inspect["done"], inspect["unreadable"], inspect["failed"], inspect["pending"]) == (1, 3, 0, 0)
    assert (status["unreadable"]["inspect"]["truncated"], status["failures"]) == (2, {})
    assert sum(status["unreadable"]["inspect"].values()) == 3
    assert "0 rows of inspect are pending again" in run("retry", "inspect")[1]
    assert (pending(project), run_stage(project, INSPECT).rows) == (0, 0)
    with reading(project.engine) as connection:
        readable = connection.scalars(sa.select(schema.inspection.c.readable).order_by(schema.inspection.c.image_id))
        assert list(readable) == [True, False, False, False]
