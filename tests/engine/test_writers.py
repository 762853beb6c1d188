from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from tamis import schema
from tamis.database import insert_new, reading, writing
from tamis.engine.writers import append_labels, labels_writer, write_regions
from tamis.project import Project
from tamis.records import Box, Label, Region
from tests.conftest import MakeProject
from tests.engine.sample_stages import key_of, stored

IMAGE = key_of("ok-0")


def region(box: Box, origin: str = "old", name: str = "car", score: float = 0.9) -> Region:
    return Region(1, IMAGE, "detected", box, origin, name, score)


def with_image(project: Project) -> None:
    with writing(project.engine) as connection:
        insert_new(connection, schema.image, [{"sha256": IMAGE, "size": 1, "first_seen": 0.0}])


def put(project: Project, regions: Sequence[Region]) -> None:
    with writing(project.engine) as connection:
        write_regions(connection, {1: regions})


def regions(project: Project) -> list[sa.Row[Any]]:
    return stored(project.engine, schema.region)


def test_a_new_detector_supersedes_and_labels_follow_the_best_overlap(
    make_project: MakeProject, database_address: str
) -> None:
    project = make_project(database=database_address)
    with_image(project)
    put(project, [region((0, 0, 100, 100)), region((200, 0, 300, 100))])
    put(project, [region((2, 0, 100, 100), "new"), region((250, 0, 350, 100), "new")])
    first, second, heir, _stranger = regions(project)
    assert first.superseded_by == heir.id
    assert second.superseded_at is not None
    assert second.superseded_by is None
    assert heir.superseded_at is None


def test_labels_follow_one_to_one(make_project: MakeProject) -> None:
    project = make_project()
    with_image(project)
    put(project, [region((0, 0, 100, 100)), region((0, 0, 100, 95))])
    put(project, [region((0, 0, 100, 99), "new")])
    heirs = [row.superseded_by for row in regions(project)[:2]]
    assert heirs == [3, None]


def test_a_detector_that_comes_back_finds_its_regions_again(make_project: MakeProject, database_address: str) -> None:
    project = make_project(database=database_address)
    with_image(project)
    old, new = [region((0, 0, 100, 100))], [region((1, 0, 100, 100), "new")]
    put(project, old)
    put(project, new)
    put(project, old)
    first, second = regions(project)
    assert (first.superseded_at, first.superseded_by) == (None, None)
    assert second.superseded_by == first.id


def test_a_chain_of_detectors_stays_one_link_long(make_project: MakeProject) -> None:
    project = make_project()
    with_image(project)
    for number, origin in enumerate(("a", "b", "c")):
        put(project, [region((0, 0, 100, 100 + number), origin)])
    assert [row.superseded_by for row in regions(project)] == [3, 3, None]


def test_drawn_regions_are_left_alone(make_project: MakeProject) -> None:
    project = make_project()
    with_image(project)
    put(project, [Region(1, IMAGE, "drawn", (0, 0, 9, 9), "ann")])
    put(project, [])
    assert regions(project)[0].superseded_at is None


@pytest.mark.slow
@settings(max_examples=30, deadline=None)
@given(
    runs=st.lists(
        st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40), st.integers(50, 90)), max_size=4, unique=True),
        min_size=1, max_size=4,
    )
)  # fmt: skip
def test_whatever_detectors_say_the_active_regions_are_the_last_ones(
    tmp_path_factory: pytest.TempPathFactory, runs: list[list[tuple[int, int, int]]]
) -> None:
    from tamis.project import open_project

    folder = tmp_path_factory.mktemp("project")
    (folder / "tamis.toml").write_text("")
    project = open_project(folder)
    with_image(project)
    for number, boxes in enumerate(runs):
        found = [region((x, y, x + side, y + side), str(number % 2)) for x, y, side in boxes]
        put(project, found)
        active = {row.region_key for row in regions(project) if row.superseded_at is None}
        assert active == {one.region_key for one in found}
    rows = {row.id: row for row in regions(project)}
    heirs = [row.superseded_by for row in rows.values() if row.superseded_by is not None]
    assert all(rows[heir].id not in {row.id for row in rows.values() if row.superseded_by == row.id} for heir in heirs)
    project.close()


# --- labels -------------------------------------------------------------------------------------------------------


def with_item(project: Project) -> None:
    with writing(project.engine) as connection:
        insert_new(connection, schema.source, [{"name": "s", "kind": "urls", "address": "", "recipe": "generic"}])
        row = {
            "item_key": "k", "source_id": 1, "url": "u", "title": "t", "description": "", "attributes": {},
            "sources": {}, "raw": {}, "digest": "d", "first_seen": 0.0, "last_seen": 0.0,
        }  # fmt: skip
        insert_new(connection, schema.item, [row])


def claim(value: str, confidence: float = 0.9, attribute: str = "colour") -> Label:
    return Label(attribute, value, "rule", "rules", confidence, item_id=1)


def say(project: Project, labels: Sequence[Label]) -> list[tuple[str | None, int | None]]:
    with writing(project.engine) as connection:
        labels_writer("item", "rules")(connection, {1: labels})
    with reading(project.engine) as connection:
        rows = connection.execute(sa.select(schema.label).order_by(schema.label.c.id)).all()
    return [(row.value, row.retracts) for row in rows]


def test_a_machine_that_says_the_same_again_adds_no_row(make_project: MakeProject, database_address: str) -> None:
    project = make_project(database=database_address)
    with_item(project)
    assert say(project, [claim("red")]) == [("red", None)]
    assert say(project, [claim("red")]) == [("red", None)]
    assert say(project, [claim("blue")]) == [("red", None), ("blue", None)]


def test_what_a_machine_no_longer_says_is_retracted(make_project: MakeProject, database_address: str) -> None:
    project = make_project(database=database_address)
    with_item(project)
    say(project, [claim("red")])
    assert say(project, []) == [("red", None), (None, 1)]
    assert say(project, []) == [("red", None), (None, 1)]
    assert say(project, [claim("red")])[-1] == ("red", None)


def test_labels_of_people_are_left_alone(make_project: MakeProject) -> None:
    project = make_project()
    with_item(project)
    with writing(project.engine) as connection:
        append_labels(connection, [Label("colour", "green", "person", "rules", item_id=1)])
    assert say(project, []) == [("green", None)]
