from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tamis import schema
from tamis.database import reading, writing
from tamis.engine import extents, ledger
from tamis.engine.extents import Plan, touch
from tamis.engine.recall import FOLDER, recall
from tamis.engine.run import context_of
from tamis.engine.runner import run_stage
from tamis.engine.stage import Stage, Whole
from tamis.project import Project
from tests.conftest import MakeProject
from tests.engine.sample_stages import add_images, collapse_stage


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extents, "SIZE", 4)


def listening(heard: list[tuple[list[int], list[int]]]) -> Stage:
    """A collapse that notes the ids of what was new and of what it knew."""

    def collapse(_: Any, whole: Whole) -> Sequence[Any]:
        heard.append((list(whole.new.ids), sorted(whole.known.ids)))
        return ()

    return replace(collapse_stage(), collapse=collapse)


def recalled(project: Project, stage: Stage) -> list[Any]:
    plan = Plan(stage, project.settings, stage.fingerprint(context_of(project)))
    with reading(project.engine) as connection:
        return list(recall(connection, plan, project.folder, plan.token(connection)))


def known_in_full(project: Project, stage: Stage) -> list[Any]:
    query = ledger.known(stage, project.settings, stage.fingerprint(context_of(project)))
    with reading(project.engine) as connection:
        return [stage.read(row) for row in connection.execute(query)]


def files(project: Project) -> list[Path]:
    return sorted((project.folder / FOLDER / "pair").iterdir(), key=lambda path: int(path.name))


def test_what_is_known_is_read_from_the_database_once(make_project: MakeProject, database_address: str) -> None:
    project = make_project(database=database_address)
    heard: list[tuple[list[int], list[int]]] = []
    stage = listening(heard)
    add_images(project.engine, ["ok"] * 11)
    run_stage(project, stage)
    add_images(project.engine, ["ok"], start=20)
    run_stage(project, stage)
    with writing(project.engine) as connection:  # what a file holds is not asked for again
        connection.execute(sa.update(schema.image).where(schema.image.c.id == 5).values(sha256="f" * 64))
    add_images(project.engine, ["ok"], start=30)
    run_stage(project, stage)
    before = list(range(1, 12))
    ids = [row[0] for row in heard]
    assert [(new, known) for new, known in heard] == [(before, []), (ids[1], before), (ids[2], [*before, *ids[1]])]
    assert recalled(project, stage)[4].sha256 != "f" * 64
    with writing(project.engine) as connection:  # unless whoever wrote it says so
        touch(connection, "image", [5])
    assert recalled(project, stage)[4].sha256 == "f" * 64


@pytest.mark.parametrize("damage", [b"", b"{}\n", b"not what it was", None])
def test_damaged_files_are_as_good_as_none(make_project: MakeProject, damage: bytes | None) -> None:
    project = make_project()
    stage = collapse_stage()
    add_images(project.engine, ["ok"] * 11)
    run_stage(project, stage)
    expected = recalled(project, stage)
    assert len(expected) == 11
    for path in files(project):
        path.write_bytes(damage if damage is not None else path.read_bytes()[:-1])
    assert recalled(project, stage) == expected
    assert recalled(project, stage) == expected


def test_where_nothing_can_be_written_the_database_is_read(make_project: MakeProject) -> None:
    project = make_project()
    (project.folder / FOLDER).write_text("in the way")
    add_images(project.engine, ["ok"] * 3)
    run_stage(project, collapse_stage())
    assert len(recalled(project, collapse_stage())) == 3


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.sampled_from(["add", "run", "some", "recall", "gone"]), min_size=1, max_size=10))
def test_what_is_recalled_is_what_is_known(make_project: MakeProject, steps: Sequence[str]) -> None:
    project = make_project(name=f"r{abs(hash(tuple(steps)))}")
    with writing(project.engine) as connection:
        for table in (schema.settled, schema.extent, schema.ledger, schema.counter, schema.cluster, schema.image):
            connection.execute(sa.delete(table))
    stage, added = collapse_stage(), 0
    for step in steps:
        match step:
            case "add":
                add_images(project.engine, ["ok"] * 3, start=added)
                added += 3
            case "run":
                run_stage(project, stage)
            case "some":
                run_stage(project, stage, limit=2)
            case "gone":
                with writing(project.engine) as connection:
                    last = connection.execute(sa.select(sa.func.max(schema.image.c.id))).scalar()
                    if last is not None:
                        connection.execute(sa.delete(schema.image).where(schema.image.c.id == last))
                        touch(connection, "image", [last])
            case "recall":
                recalled(project, stage)
        assert recalled(project, stage) == known_in_full(project, stage)
    project.close()
