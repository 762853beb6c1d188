from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
import sqlalchemy as sa

from tamis import schema
from tamis.database import reading, writing
from tamis.engine import ledger
from tamis.engine.executor import Workshop
from tamis.engine.lease import LeaseLost, acquire, held
from tamis.engine.runner import run_stage
from tamis.engine.stage import Context
from tamis.errors import BusyError, Interrupted
from tamis.project import Project
from tamis.records import Inspection
from tamis.stages.inspect import StoredImage
from tests.conftest import MakeProject
from tests.engine.sample_stages import add_images, batch_stage, collapse_stage, map_stage, stored


def states(project: Project) -> list[tuple[str, str | None]]:
    return [(row.state, row.reason) for row in stored(project.engine, schema.ledger)]


def counted(project: Project, stage: str = "look") -> dict[str, float]:
    with reading(project.engine) as connection:
        totals = ledger.counters(connection)[stage]
    return {name: amount for name, amount in totals.items() if name not in ("seconds", ledger.RETRIES) and amount}


def test_a_stage_works_on_all_pending_rows_once(make_project: MakeProject, database_address: str) -> None:
    project = make_project(database=database_address)
    add_images(project.engine, ["ok"] * 5)
    first = run_stage(project, map_stage())
    second = run_stage(project, map_stage())
    assert (first.rows, first.failed, second.rows) == (5, 0, 0)
    assert len(stored(project.engine, schema.inspection)) == 5
    assert {row.commits for row in stored(project.engine, schema.ledger)} == {1}


def test_each_fate_is_a_row_with_its_reason(make_project: MakeProject, database_address: str) -> None:
    project = make_project(database=database_address)
    add_images(project.engine, ["ok", "skip", "unreadable", "retry", "bug"])
    report = run_stage(project, map_stage())
    assert states(project) == [
        ("done", None),
        ("skipped", "nothing to see"),
        ("unreadable", "scribble"),
        ("failed", "try again"),
        ("failed", "ValueError: a bug in foreign code"),
    ]
    assert report.failed == 2
    assert counted(project) == {"done": 1, "skipped": 1, "unreadable": 1, "failed": 2}


def test_failed_rows_wait_for_a_retry(make_project: MakeProject) -> None:
    project = make_project()
    add_images(project.engine, ["retry", "ok"])
    run_stage(project, map_stage())
    assert run_stage(project, map_stage()).rows == 0
    with writing(project.engine) as connection:
        assert ledger.retry(connection, "look") == 1
    assert run_stage(project, map_stage()).counts == {"failed": 1}
    assert [row.attempts for row in stored(project.engine, schema.ledger)] == [2, 0]
    assert counted(project) == {"done": 1, "failed": 1}


def test_a_new_fingerprint_replaces_outputs(make_project: MakeProject) -> None:
    project = make_project()
    add_images(project.engine, ["ok"] * 3)
    run_stage(project, map_stage(version=1))
    assert run_stage(project, map_stage(version=2)).rows == 3
    assert len(stored(project.engine, schema.inspection)) == 3
    assert {row.commits for row in stored(project.engine, schema.ledger)} == {1}
    assert counted(project) == {"done": 3}


def test_one_bad_row_of_a_batch_does_not_take_the_others_along(make_project: MakeProject) -> None:
    project = make_project()
    add_images(project.engine, ["ok", "ok", "bug", "ok", "skip", "ok"])
    report = run_stage(project, batch_stage(batch_size=6))
    assert report.counts == {"done": 4, "failed": 1, "skipped": 1}


@pytest.mark.slow
def test_rows_that_kill_their_worker_are_found_and_quarantined(make_project: MakeProject) -> None:
    project = make_project("[project]\nworkers = 2\n")
    add_images(project.engine, ["ok"] * 3 + ["kill"] + ["ok"] * 4 + ["kill"])
    report = run_stage(project, map_stage(batch_size=4))
    assert report.counts == {"done": 7, "failed": 2}
    reasons = [reason for state, reason in states(project) if state == "failed"]
    assert reasons == ["its worker process died (crash, or out of memory)"] * 2
    assert {row.commits for row in stored(project.engine, schema.ledger) if row.state == "done"} == {1}


@pytest.mark.slow
def test_processes_and_one_process_give_the_same_rows(make_project: MakeProject) -> None:
    fates = ["ok", "skip", "bug", "unreadable"] * 8
    results = []
    for workers in (1, 2):
        project = make_project(f"[project]\nworkers = {workers}\n", name=f"workers{workers}")
        add_images(project.engine, fates)
        run_stage(project, map_stage(batch_size=3))
        results.append((states(project), [tuple(row) for row in stored(project.engine, schema.inspection)]))
    assert results[0] == results[1]


def test_limit_takes_the_first_rows(make_project: MakeProject) -> None:
    project = make_project()
    add_images(project.engine, ["ok"] * 10)
    assert run_stage(project, map_stage(), limit=3).rows == 3
    assert run_stage(project, map_stage()).rows == 7


def test_a_stop_keeps_what_is_finished(make_project: MakeProject) -> None:
    project = make_project()
    add_images(project.engine, ["ok"] * 8)
    stop = threading.Event()

    def progress(done: int, total: int | None, text: str) -> None:
        stop.set()

    with pytest.raises(Interrupted, match=r"look stopped after \d of 8 rows"):
        run_stage(project, map_stage(batch_size=2), progress=progress, stop=stop)
    done = len(stored(project.engine, schema.ledger))
    assert run_stage(project, map_stage()).rows == 8 - done


def test_a_collapse_tells_how_far_it_is_and_can_be_stopped(make_project: MakeProject) -> None:
    project = make_project()
    add_images(project.engine, ["ok"] * 8)
    stop = threading.Event()
    seen: list[int] = []

    def progress(done: int, total: int | None, text: str) -> None:
        seen.append(done)

    run_stage(project, collapse_stage(), limit=4, progress=progress)
    assert seen == [0, 2, 4]
    stop.set()
    with pytest.raises(Interrupted, match="pair stopped at 50%"):
        run_stage(project, collapse_stage(), stop=stop)
    assert run_stage(project, collapse_stage()).rows == 4


def test_a_collapse_gets_new_and_known_rows(make_project: MakeProject, database_address: str) -> None:
    project = make_project(database=database_address)
    add_images(project.engine, ["ok"] * 4)
    run_stage(project, collapse_stage())
    before = stored(project.engine, schema.relation)
    add_images(project.engine, ["ok"] * 2, start=10)
    assert run_stage(project, collapse_stage()).rows == 2
    assert len(before) == 2
    assert stored(project.engine, schema.relation)[:2] == before
    assert len(stored(project.engine, schema.relation)) == 3
    assert len(stored(project.engine, schema.cluster)) == 6


def test_two_processes_on_one_stage_the_second_is_told_who(make_project: MakeProject, database_address: str) -> None:
    project = make_project(database=database_address)
    add_images(project.engine, ["ok"])
    with held(project.engine, "stage look"), pytest.raises(BusyError, match=r"stage look is being worked on by"):
        run_stage(project, map_stage())
    assert run_stage(project, map_stage()).rows == 1


def test_a_lease_that_was_taken_over_can_no_longer_write(make_project: MakeProject) -> None:
    project = make_project()
    old = acquire(project.engine, "stage look")
    with writing(project.engine) as connection:
        connection.execute(sa.update(schema.lease).values(until=0.0))
    new = acquire(project.engine, "stage look")
    assert new.fence == old.fence + 1
    with pytest.raises(LeaseLost), writing(project.engine) as connection:
        old.check(connection)
    old.release()
    with writing(project.engine) as connection:
        new.check(connection)


def test_the_lease_of_a_dead_process_is_free_at_once(make_project: MakeProject) -> None:
    project = make_project()
    lease = acquire(project.engine, "stage look")
    dead = lease.owner.split(":")[0] + ":999999999:x"
    with writing(project.engine) as connection:
        connection.execute(sa.update(schema.lease).values(owner=dead))
    assert acquire(project.engine, "stage look").fence == lease.fence + 1


@pytest.mark.slow
def test_one_set_of_workers_serves_stage_after_stage(make_project: MakeProject) -> None:
    project = make_project("[project]\nworkers = 2\n")
    add_images(project.engine, ["ok"] * 20)
    with Workshop() as workshop:
        for version in (1, 2):
            assert run_stage(project, map_stage(version=version), workshop=workshop).counts == {"done": 20}
        pool = workshop.pool(2)
        assert run_stage(project, batch_stage(), workshop=workshop).counts == {"done": 20}
        assert workshop.pool(2) is pool
        add_images(project.engine, ["kill", *["ok"] * 9], start=20)
        assert run_stage(project, map_stage(version=2), workshop=workshop).counts == {"done": 29, "failed": 1}
        assert workshop.pool(2) is not pool


def test_a_stage_that_is_set_up_is_not_set_up_again(make_project: MakeProject) -> None:
    project = make_project("[project]\nworkers = 1\n")
    made: list[int] = []

    def row(_: Context) -> Callable[[StoredImage], Sequence[Inspection]]:
        made.append(1)
        return lambda image: [Inspection(image.image_id, readable=True)]

    stage = replace(map_stage(), row=row)
    with Workshop() as workshop:
        for start in range(3):
            add_images(project.engine, ["ok"], start=start)
            run_stage(project, stage, workshop=workshop)
        run_stage(project, replace(stage, version=2), workshop=workshop)
    assert len(made) == 2
