"""Tracing: from a sample's id to its page, people and models, on every database; unknown ids are told."""

from __future__ import annotations

import json
from hashlib import sha256

import pytest

from tamis import schema
from tamis.database import writing
from tamis.dataset.snapshot import make_snapshot
from tamis.dataset.trace import trace
from tamis.errors import UserError
from tests.conftest import MakeProject
from tests.dataset.world import World

TOML = '[attribute.view]\nclasses = ["front", "rear"]\n'


def test_the_whole_way_on_every_database(make_project: MakeProject, database_address: str) -> None:
    project = make_project(TOML, database=database_address)
    with writing(project.engine) as connection:
        world = World(connection)
        page = world.add(
            schema.page, url_key="a" * 32, url="http://s/page", source_id=world.source, host="s", kind="item",
            state="done", depth=1, priority=0, status=200, robots_verdict="allowed", body_sha256="b" * 64, attempts=1,
            not_before=0.0, fetched_at=1_700_000_000.0,
        )  # fmt: skip
        item = world.item("a red car", page_id=page)
        image, region = world.shot(item)
        old = world.region(image, "detected", (0, 0, 9, 9), superseded_at=5.0, superseded_by=region)
        world.claim("rear", region=old, attribute="view")
        world.claim("front", region=region, attribute="view", actor="ben")
        world.retract(world.claim("rear", region=region, attribute="view", actor="cleo"))
        world.claim("red", item=item, who="rule", actor="rules")
        connection.execute(
            schema.ledger.insert(),
            [
                {"stage": stage, "subject_id": subject, "fingerprint": "f" * 32, "input_digest": "", "state": "done",
                 "attempts": 1, "commits": 1, "finished_at": 2.0}
                for stage, subject in (("inspect", image), ("mine", item), ("classify", region), ("mine", 999))
            ],
        )  # fmt: skip
    snapshot = make_snapshot(project)
    (sample,) = snapshot.samples
    with writing(project.engine) as connection:
        World(connection).add(
            schema.model, name="view-1", folder="models/view-1", digest="c" * 64, snapshot_id=1, attributes={},
            metrics={}, created_at=3.0,
        )  # fmt: skip
    found = trace(project, sample.id)
    assert found == trace(project, sample.id[:8].upper())
    assert (found.sample, found.image["sha256"], found.image["width"]) == (sample.id, sample.sha256, 1000)
    assert [row["url"] for row in found.pictures] == [sample.picture_url]
    assert [(row["url"], row["title"]) for row in found.items] == [(sample.item_url, "a red car")]
    assert [(row["robots_verdict"], row["fetched_at"]) for row in found.pages] == [
        ("allowed", "2023-11-14T22:13:20+00:00")
    ]
    assert [(row["value"], row["actor"], row["about"], row["in_force"]) for row in found.labels] == [
        ("rear", "anna", "region", True),
        ("front", "ben", "region", True),
        ("rear", "cleo", "region", False),
        ("red", "rules", "item", True),
    ]
    assert {row["stage"] for row in found.ledger} == {"inspect", "mine", "classify"}
    assert len(found.ledger) == 3
    assert [(row["name"], row["split"]) for row in found.snapshots] == [("test-1", sample.split)]
    assert [(row["name"], row["snapshot"]) for row in found.models] == [("view-1", "test-1")]
    assert json.loads(json.dumps(found.to_json()))["sample"] == sample.id
    text = "\n".join(found.lines())
    for expected in (sample.sha256, sample.item_url, "robots: allowed", "view-1 from test-1", "no longer in force"):
        assert expected in text


@pytest.mark.parametrize(
    ("sample_id", "message"),
    [("abc", "is no sample id"), ("nothexadecimal", "is no sample id"), ("%" * 16, "is no sample id")],
)
def test_ids_that_are_none_are_told(make_project: MakeProject, sample_id: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        trace(make_project(""), sample_id)


def test_unknown_and_ambiguous_ids_are_told(make_project: MakeProject) -> None:
    project = make_project("")
    with pytest.raises(UserError, match="no sample and no image 'abcdef12' in this project"):
        trace(project, "abcdef12")
    with writing(project.engine) as connection:
        world = World(connection)
        image = world.image()
        for ending in ("0", "1"):
            world.region(image, "detected", (0, 0, 1.0 + int(ending), 1), region_key="abcdef" + ending * 26)
    with pytest.raises(UserError, match="several samples begin with 'abcdef'"):
        trace(project, "abcdef")


def test_an_image_is_traced_by_the_digits_that_reports_show(make_project: MakeProject) -> None:
    project = make_project(TOML)
    with writing(project.engine) as connection:
        world = World(connection)
        item = world.item("a red car")
        broken = world.image(data=b"cut", readable=False, width=None, height=None, reason="truncated")
        world.picture(item, broken, url="http://s/cut.jpg")
    name = sha256(b"cut").hexdigest()
    found = trace(project, name[:12])
    assert (found.sample, found.region, found.image["sha256"]) == (None, None, name)
    assert [row["url"] for row in found.pictures] == ["http://s/cut.jpg"]
    assert f"image     {name}, truncated, 3 bytes" in found.lines()
    with pytest.raises(UserError, match="no sample and no image '123456'"):
        trace(project, "123456")
