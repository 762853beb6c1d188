"""Claims and undo against a model of them, and steps that are sent twice at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from tamis import schema
from tamis.annotate.claims import NewClaim, batch_of, claims_in_force, record, undo
from tamis.database import reading, retrying, writing
from tamis.project import Project, open_project
from tests.annotate.factory import SETTINGS, fill
from tests.conftest import MakeProject

PEOPLE = ("anna", "ben")
VALUES = ("front", "rear", None)

#: A person takes a step of claims (attribute, value), or takes the last step back.
claims = st.lists(st.tuples(st.sampled_from(("view", "damaged")), st.sampled_from(VALUES)), min_size=1, max_size=3)
moves = st.lists(st.tuples(st.sampled_from(PEOPLE), st.one_of(claims, st.just("undo"))), max_size=25)


@settings(max_examples=25, deadline=None)
@given(moves)
def test_what_is_in_force_is_what_was_said_last_and_not_taken_back(moves: list[tuple[str, object]]) -> None:
    with TemporaryDirectory() as folder:
        (Path(folder) / "tamis.toml").write_text(SETTINGS)
        project = open_project(Path(folder))
        (one,) = fill(project, items=1, pictures=1, predicted=False)
        taken: dict[str, list[list[tuple[str, str | None]]]] = {person: [] for person in PEOPLE}
        keys = count()
        for person, move in moves:
            key = f"step-{next(keys)}"
            with writing(project.engine) as connection:
                if isinstance(move, list):
                    step = list(dict(move).items())
                    record(connection, person, key, [NewClaim(name, value, one.region_id) for name, value in step])
                    taken[person].append(step)
                else:
                    gone = undo(connection, person, key)
                    expected = taken[person].pop() if taken[person] else []
                    assert [(claim.attribute, claim.value) for claim in gone] == expected
        with reading(project.engine) as connection:
            found = {(c.actor, c.attribute): c.value for c in claims_in_force(connection, [one.region_id])}
        said = {(person, name): value for person in PEOPLE for step in taken[person] for name, value in step}
        assert found == said
        project.close()


def test_a_step_sent_many_times_at_once_is_written_once(make_project: MakeProject, database_address: str) -> None:
    project = make_project(SETTINGS, database=database_address)
    (one,) = fill(project, items=1, pictures=1)

    def send(_: int) -> list[int]:
        def work() -> list[int]:
            with writing(project.engine) as connection:
                return record(connection, "anna", "step-0001", [NewClaim("view", "front", one.region_id)])

        return retrying(work)

    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(send, range(12)))
    assert len({tuple(answer) for answer in answers}) == 1
    assert rows_of(project) == [("anna", "front", None)]


def test_an_undo_sent_many_times_at_once_takes_back_one_step(make_project: MakeProject, database_address: str) -> None:
    project = make_project(SETTINGS, database=database_address)
    (one,) = fill(project, items=1, pictures=1)
    for number, value in enumerate(("front", "rear", "side")):
        with writing(project.engine) as connection:
            record(connection, "anna", f"step-{number}", [NewClaim("view", value, one.region_id)])

    def send(_: int) -> int:
        def work() -> int:
            with writing(project.engine) as connection:
                return len(undo(connection, "anna", "undo-0001"))

        return retrying(work)

    with ThreadPoolExecutor(6) as pool:
        assert set(pool.map(send, range(12))) == {1}
    with reading(project.engine) as connection:
        assert [claim.value for claim in claims_in_force(connection, [one.region_id]) if claim.who == "person"] == [
            "rear"
        ]


def test_keys_of_two_people_do_not_meet() -> None:
    assert batch_of("anna", "step-0001") != batch_of("ben", "step-0001")
    assert len(batch_of("anna", "step-0001")) == 32


def rows_of(project: Project) -> list[tuple[str, str | None, int | None]]:
    label = schema.label.c
    statement = sa.select(label.actor, label.value, label.retracts).where(label.who == "person").order_by(label.id)
    with reading(project.engine) as connection:
        return [(row[0], row[1], row[2]) for row in connection.execute(statement)]
