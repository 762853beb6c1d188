"""The stage inspect: pictures that nothing here reads are told, and looked at again where something does."""

from __future__ import annotations

import sys

import pytest
import sqlalchemy as sa

from tamis import schema
from tamis.database import reading, writing
from tamis.engine.runner import run_stage
from tamis.pipeline import stage_statuses
from tamis.project import Project
from tamis.stages.inspect import INSPECT
from tamis.vision.decode import _heif_opener
from tamis.vision.formats import HEIF_MISSING
from tamis.vision.render import encode
from tests.conftest import MakeProject
from tests.vision.heic import PLAIN
from tests.vision.pictures import shot


def forget_the_library(patch: pytest.MonkeyPatch) -> None:
    """Let no process of this test import what reads HEIF."""
    patch.setitem(sys.modules, "pi_heif", None)
    _heif_opener.cache_clear()


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
        assert (report.counts, report.failed) == ({"done": 2, "unreadable": 1}, 0)
        assert inspections()[1] == (False, HEIF_MISSING)
        assert pending(project) == 0
        assert run_stage(project, INSPECT).rows == 0
    _heif_opener.cache_clear()
    before = inspections()
    assert pending(project) == 1
    assert run_stage(project, INSPECT).counts == {"done": 1}
    assert inspections() == [before[0], (True, None), before[2]]
    assert commits(project) == [1, 2, 1]
    assert (pending(project), run_stage(project, INSPECT).rows) == (0, 0)
    with monkeypatch.context() as patch:
        forget_the_library(patch)
        assert pending(project) == 0
    _heif_opener.cache_clear()
