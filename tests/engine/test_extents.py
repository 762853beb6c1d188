from __future__ import annotations

from collections.abc import Sequence

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tamis import schema
from tamis.database import insert_new, reading, writing
from tamis.engine import extents, ledger
from tamis.engine.collapse import NO_SUBJECT
from tamis.engine.extents import Extent, Plan, Walk, _spread, touch
from tamis.engine.run import context_of
from tamis.engine.runner import run_stage
from tamis.engine.stage import Stage
from tamis.engine.writers import write_regions
from tamis.pipeline import STAGES, stage_statuses
from tamis.project import Project
from tamis.records import Region
from tests.conftest import MakeProject
from tests.engine.sample_stages import add_images, collapse_stage, key_of, map_stage


def plan_of(project: Project, stage: Stage) -> Plan:
    return Plan(stage, project.settings, stage.fingerprint(context_of(project)))


def pending_in_full(project: Project, stage: Stage) -> int:
    """What is pending, by one query over all rows."""
    statement = ledger.pending(stage, project.settings, stage.fingerprint(context_of(project)))
    with reading(project.engine) as connection:
        return len(connection.execute(statement).all())


def surveyed(project: Project, stage: Stage) -> int:
    with reading(project.engine) as connection:
        survey = plan_of(project, stage).survey(connection)
    assert survey.exact
    return survey.pending


def unsettled(project: Project, stage: Stage) -> int:
    with reading(project.engine) as connection:
        return len(plan_of(project, stage).unsettled(connection))


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extents, "SIZE", 4)


@pytest.mark.usefixtures("small")
def test_what_was_done_is_not_looked_at_again(make_project: MakeProject, database_address: str) -> None:
    project = make_project(database=database_address)
    add_images(project.engine, ["ok", "skip", "bug"] * 5)
    assert unsettled(project, map_stage()) == 4
    run_stage(project, map_stage())
    assert unsettled(project, map_stage()) == 0


@pytest.mark.usefixtures("small")
def test_new_rows_and_retries_are_seen(make_project: MakeProject, database_address: str) -> None:
    project = make_project(database=database_address)
    add_images(project.engine, ["ok", "retry"] * 5)
    run_stage(project, map_stage())
    add_images(project.engine, ["ok"], start=20)
    assert (unsettled(project, map_stage()), surveyed(project, map_stage())) == (1, 1)
    run_stage(project, map_stage())
    with writing(project.engine) as connection:
        ledger.retry(connection, "look")
    assert surveyed(project, map_stage()) == 5


@pytest.mark.usefixtures("small")
def test_a_limit_settles_only_what_is_done(make_project: MakeProject) -> None:
    project = make_project()
    add_images(project.engine, ["ok"] * 10)
    run_stage(project, map_stage(), limit=5)
    assert surveyed(project, map_stage()) == 5
    assert run_stage(project, map_stage()).rows == 5


@pytest.mark.usefixtures("small")
def test_another_fingerprint_makes_all_pending_and_the_former_one_nothing(make_project: MakeProject) -> None:
    project = make_project()
    add_images(project.engine, ["ok"] * 10)
    run_stage(project, map_stage(version=1))
    assert surveyed(project, map_stage(version=2)) == 10
    assert run_stage(project, map_stage(version=2)).rows == 10
    assert surveyed(project, map_stage(version=1)) == 10


@pytest.mark.usefixtures("small")
def test_a_collapse_settles_what_it_took_in(make_project: MakeProject) -> None:
    project = make_project()
    add_images(project.engine, ["ok"] * 10)
    run_stage(project, collapse_stage(), limit=6)
    assert surveyed(project, collapse_stage()) == 4
    run_stage(project, collapse_stage())
    assert unsettled(project, collapse_stage()) == 0


@pytest.mark.usefixtures("small")
def test_a_region_makes_the_stages_after_it_look_again(make_project: MakeProject) -> None:
    project = make_project('[segment]\nmethod = "grabcut"\n')
    segment = next(stage for stage in STAGES if stage.name == "segment")
    add_images(project.engine, ["ok"] * 6)
    with writing(project.engine) as connection:
        rows = [{"image_id": one, "readable": True, "width": 99, "height": 99} for one in range(1, 7)]
        insert_new(connection, schema.inspection, rows)
    assert run_stage(project, segment).rows == 0
    assert unsettled(project, segment) == 0
    with writing(project.engine) as connection:
        write_regions(connection, {5: [Region(5, key_of("ok-4"), "whole", (0.0, 0.0, 99.0, 99.0))]})
    assert (unsettled(project, segment), surveyed(project, segment)) == (1, 1)


@pytest.mark.usefixtures("small")
@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.sampled_from(["add", "run", "some", "retry", "version"]), min_size=1, max_size=8))
def test_a_survey_never_misses_a_pending_row(make_project: MakeProject, steps: Sequence[str]) -> None:
    project = make_project(name=f"p{abs(hash(tuple(steps)))}")
    with writing(project.engine) as connection:
        for table in (schema.settled, schema.extent, schema.ledger, schema.inspection, schema.counter, schema.image):
            connection.execute(sa.delete(table))
    added, version = 0, 1
    for step in steps:
        stage = map_stage(version=version)
        match step:
            case "add":
                add_images(project.engine, ["ok", "retry", "ok"], start=added)
                added += 3
            case "run":
                run_stage(project, stage)
            case "some":
                run_stage(project, stage, limit=2)
            case "retry":
                with writing(project.engine) as connection:
                    ledger.retry(connection, stage.name)
            case "version":
                version = 3 - version
        stage = map_stage(version=version)
        assert surveyed(project, stage) == pending_in_full(project, stage)
    project.close()


def test_without_time_a_survey_estimates(make_project: MakeProject, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extents, "SIZE", 2)
    project = make_project()
    add_images(project.engine, ["ok"] * 40)
    with reading(project.engine) as connection:
        survey = plan_of(project, map_stage()).survey(connection, patience=-1.0)
    assert not survey.exact
    assert 35 <= survey.pending <= 45
    assert len(survey.left) == 21


def test_a_write_after_the_look_is_not_settled(make_project: MakeProject) -> None:
    project = make_project()
    add_images(project.engine, ["ok"] * 3)
    stage = map_stage()
    run_stage(project, stage)
    plan = plan_of(project, stage)
    with reading(project.engine) as connection:
        (seen,) = plan.extents(connection)
        token = plan.token(connection)
    with writing(project.engine) as connection:
        touch(connection, "image", [2])
    with writing(project.engine) as connection:
        plan.settle(connection, token, [seen])
    assert unsettled(project, stage) == 1


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)
def test_every_stage_reads_tables_whose_writers_tell(stage: Stage, make_project: MakeProject) -> None:
    project = make_project()
    assert Plan(stage, project.settings, "f")._kinds is not None


@pytest.mark.usefixtures("small")
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(undone=st.sets(st.integers(1, 100), max_size=9), limit=st.integers(1, 3))
def test_a_walk_meets_each_extent_once_and_each_pending_row(
    make_project: MakeProject, undone: set[int], limit: int
) -> None:
    project = make_project(name=f"w{abs(hash((tuple(undone), limit)))}")
    add_images(project.engine, ["ok"] * 100)
    run_stage(project, map_stage())
    gone = schema.ledger.c.subject_id.in_(undone)
    with writing(project.engine) as connection:
        connection.execute(sa.delete(schema.ledger).where(gone))
        connection.execute(sa.delete(schema.settled))
    plan = plan_of(project, map_stage())
    met: list[int] = []
    with reading(project.engine) as connection:
        everything = plan.extents(connection)
        walk = Walk(plan, everything)
        takes = iter(lambda: walk.take(connection, limit), None)
        for found, rows in takes:
            met += [extent.block for extent in found]
            wanted = sorted(one for one in undone if one // 4 in {extent.block for extent in found})
            assert [row.subject_id for row in rows] == wanted[:limit]
    assert sorted(met) == [extent.block for extent in everything]
    project.close()


@pytest.mark.usefixtures("small")
def test_a_stride_tells_which_extents_have_pending_regions(make_project: MakeProject, database_address: str) -> None:
    project = make_project('[segment]\nmethod = "grabcut"\n', database=database_address)
    segment = next(stage for stage in STAGES if stage.name == "segment")
    add_images(project.engine, ["ok"] * 90)
    whole = (0.0, 0.0, 99.0, 99.0)
    with writing(project.engine) as connection:
        rows = [{"image_id": one, "readable": one != 50, "width": 99, "height": 99} for one in range(1, 91)]
        insert_new(connection, schema.inspection, rows)
        write_regions(connection, {one: [Region(one, key_of(f"ok-{one}"), "whole", whole)] for one in (7, 41, 50, 83)})
    plan = plan_of(project, segment)
    met: dict[int, int] = {}
    with reading(project.engine) as connection:
        walk = Walk(plan, plan.extents(connection))
        while (found := walk.take(connection, 9)) is not None:
            met.update((extent.block, len(found[1])) for extent in found[0])
    assert met == {block: int(block in {7 // 4, 41 // 4, 83 // 4}) for block in range(90 // 4 + 1)}


def test_work_begins_where_the_survey_found_some(make_project: MakeProject, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extents, "SIZE", 2)
    project = make_project()
    add_images(project.engine, ["ok"] * 40)
    run_stage(project, map_stage())
    add_images(project.engine, ["ok"], start=40)
    with writing(project.engine) as connection:
        connection.execute(sa.delete(schema.settled))
    with reading(project.engine) as connection:
        survey = plan_of(project, map_stage()).survey(connection, patience=-1.0)
    assert survey.left[0].block == 41 // 2


@given(st.integers(0, 300))
def test_extents_are_spread_once_each(count: int) -> None:
    everything = [Extent(block, 0) for block in range(count)]
    assert sorted(extent.block for extent in _spread(everything)) == list(range(count))


def test_status_tells_of_clusters_that_are_decided_otherwise_by_now(make_project: MakeProject) -> None:
    project = make_project()
    with writing(project.engine) as connection:
        before = ledger.Entry(NO_SUBJECT, "", "done", None, 0, 1, None)
        ledger.record(connection, "duplicates decision", "under another threshold", [before])
    undecided = {status.stage: status.undecided for status in stage_statuses(project)}
    assert undecided["duplicates"]
    assert not undecided["regionduplicates"]
    run_stage(project, next(stage for stage in STAGES if stage.name == "duplicates"))
    assert not any(status.undecided for status in stage_statuses(project))
