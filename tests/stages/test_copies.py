"""What people say of pairs: rows that are only added, and clusters that heed them without another look at pixels."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import cv2
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from tamis import schema
from tamis.database import open_engine, reading, writing
from tamis.engine.runner import run_stage
from tamis.migrations import migrate
from tamis.project import Project
from tamis.stages.comparisons import agreed, majority, read_said, select_said
from tamis.stages.duplicates import DUPLICATES
from tamis.stages.inspect import INSPECT
from tests.annotate.factory import draw
from tests.conftest import MakeProject
from tests.dataset.world import World, memory
from tests.vision.pictures import Image, recompressed, shot


def say(connection: sa.Connection, pair: tuple[int, int], same: bool | None, **values: Any) -> int:
    row = {
        "level": "image", "first_id": min(pair), "second_id": max(pair), "same": same, "actor": "anna",
        "created_at": 1.0, "batch": "0" * 32,
    }  # fmt: skip
    return World(connection).add(schema.comparison, **row | values)


def heard(connection: sa.Connection, level: str = "image") -> dict[tuple[int, int], bool]:
    return agreed(read_said(connection.execute(select_said(level))))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("votes", "same"),
    [
        ([], None), ([True], True), ([False], False), ([True, False], None), ([True, True, False], True),
        ([False, True, False], False), ([True, False, True, False], None), ([True, True], True),
    ],
)  # fmt: skip
def test_people_agree_or_leave_it_open(votes: list[bool], same: bool | None) -> None:
    assert majority(votes) is same


@given(st.lists(st.booleans()))
def test_a_majority_is_one_whoever_speaks_first(votes: list[bool]) -> None:
    same = majority(votes)
    assert majority(votes[::-1]) is same
    assert same is None or 2 * votes.count(same) > len(votes)


def test_a_mind_is_changed_taken_back_and_restored_by_rows_alone(database_address: str, tmp_path: Path) -> None:
    engine = open_engine(database_address, tmp_path)
    migrate(engine)
    with writing(engine) as connection:
        say(connection, (7, 3), True)
        other = say(connection, (7, 3), False)
        say(connection, (1, 2), None)
        say(connection, (1, 2), True, level="region")
    with reading(engine) as connection:
        assert heard(connection) == {(3, 7): False}
    with writing(engine) as connection:
        say(connection, (7, 3), None, retracts=other)
    with reading(engine) as connection:
        assert heard(connection) == {(3, 7): True}
    with writing(engine) as connection:
        say(connection, (7, 3), False, actor="ben")
    with reading(engine) as connection:
        assert heard(connection) == {}, "two people who contradict each other leave it open"
        assert heard(connection, "region") == {(1, 2): True}
    engine.dispose()


def test_what_was_said_of_a_region_follows_its_labels() -> None:
    with memory() as connection:
        world = World(connection)
        image = world.image()
        new = world.region(image, "detected", (0, 0, 100, 100))
        old = world.region(image, "detected", (1, 0, 100, 100), superseded_at=2.0, superseded_by=new)
        other = world.region(world.image())
        say(connection, (old, other), False, level="region")
        say(connection, (old, new), False, level="region")
        assert heard(connection, "region") == {(new, other): False}


@pytest.fixture
def copies(make_project: MakeProject) -> tuple[Project, list[int]]:
    """A project with a picture, two copies of it and another picture; inspected and compared."""
    project = make_project()
    first, _ = draw("front", "red", random.Random(1))
    other, _ = draw("side", "blue", random.Random(5))
    # A comment after the picture: other bytes, equal pixels.
    pictures = [first, first + b"copy", first + b"copy of the copy", other]
    with writing(project.engine) as connection:
        for data in pictures:
            World(connection).add(schema.image, sha256=project.blobs.put(data), size=len(data), first_seen=1.0)
    run_stage(project, INSPECT)
    run_stage(project, DUPLICATES)
    with reading(project.engine) as connection:
        ids = list(connection.execute(sa.select(schema.image.c.id).order_by(schema.image.c.id)).scalars())
    return project, ids


def homes(project: Project) -> dict[int, int]:
    with reading(project.engine) as connection:
        rows = connection.execute(sa.select(schema.cluster.c.member_id, schema.cluster.c.keeper_id))
        return {row[0]: row[1] for row in rows}


def test_a_verdict_settles_clusters_anew_and_compares_nothing(
    copies: tuple[Project, list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    project, (first, second, third, other) = copies
    assert len(set(homes(project).values())) == 1
    assert set(homes(project)) == {first, second, third}

    def read_nothing(*_: object) -> bytes:
        raise AssertionError("a picture was read again")

    monkeypatch.setattr(type(project.blobs), "get", read_nothing)
    with writing(project.engine) as connection:
        apart = say(connection, (first, second), False)
        say(connection, (third, other), True)
    run_stage(project, DUPLICATES)
    found = homes(project)
    assert found.get(first, -1) != found.get(second, -2), "neither directly nor through the third"
    assert found[third] == found[other]
    settled = dict(found)
    run_stage(project, DUPLICATES)
    assert homes(project) == settled
    with writing(project.engine) as connection:
        say(connection, (first, second), None, retracts=apart)
    run_stage(project, DUPLICATES)
    assert homes(project)[first] == homes(project)[second]
    assert homes(project)[other] == homes(project)[third]


def test_pairs_that_were_refused_before_are_heeded_when_one_image_comes(make_project: MakeProject) -> None:
    project = make_project()

    def add(*pictures: Image) -> list[int]:
        coded = [cv2.imencode(".jpg", picture)[1].tobytes() for picture in pictures]
        with writing(project.engine) as connection:
            world = World(connection)
            ids = [
                world.add(schema.image, sha256=project.blobs.put(data), size=len(data), first_seen=1.0)
                for data in coded
            ]
        run_stage(project, INSPECT)
        run_stage(project, DUPLICATES)
        return ids

    ids = add(*map(shot, range(6)))
    assert homes(project) == {}
    one, other = ids[:3], ids[3:]
    scores = {(a, b): 0.99 for group in (one, other) for a in group for b in group if a < b}
    scores |= {(one[2], other[2]): 0.7, (one[0], other[0]): 0.04, (one[1], other[1]): 0.04}
    rows = [
        {
            "level": "image", "first_id": first, "second_id": second, "score": score, "distance": 0,
            "kind": "edited" if score > 0.5 else "same_scene",
        }
        for (first, second), score in scores.items()
    ]  # fmt: skip
    with writing(project.engine) as connection:
        connection.execute(sa.insert(schema.relation), rows)
    (new,) = add(recompressed(shot(2)))
    found = homes(project)
    assert {found[identity] for identity in (*one, new)} == {found[new]}
    assert {found[identity] for identity in other} == {found[other[0]]}
    assert found[new] != found[other[0]]
