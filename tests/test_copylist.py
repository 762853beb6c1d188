"""`tamis duplicates list`: who is kept, by which policy, and what the losers are to it."""

from __future__ import annotations

import json

import pytest
import sqlalchemy as sa

from tamis import schema
from tamis.cli import run
from tamis.database import writing
from tamis.project import Project
from tests.conftest import MakeProject
from tests.dataset.world import World


@pytest.fixture
def project(make_project: MakeProject) -> Project:
    """A project with two clusters of images and one of regions, of which nothing but the rows exists."""
    project = make_project('[duplicates]\nkeeper = "cleanest"\n')
    with writing(project.engine) as connection:
        world = World(connection)
        images = [world.image() for _ in range(5)]
        regions = [world.region(image) for image in images[:2]]
        rows = [
            ("image", images[1], images[1], "keeper", 1.0), ("image", images[0], images[1], "edited", 0.97),
            ("image", images[2], images[1], "mirrored", 0.99), ("image", images[3], images[3], "keeper", 1.0),
            ("image", images[4], images[3], "recompressed", 1.0), ("region", regions[0], regions[0], "keeper", 1.0),
            ("region", regions[1], regions[0], "edited", 0.5),
        ]  # fmt: skip
        names = ("level", "member_id", "keeper_id", "kind", "score")
        connection.execute(sa.insert(schema.cluster), [dict(zip(names, row, strict=True)) for row in rows])
    return project


def listed(project: Project, capsys: pytest.CaptureFixture[str], *options: str) -> str:
    capsys.readouterr()
    assert run(["duplicates", "list", "--project", str(project.folder), *options]) == 0
    return capsys.readouterr().out


def test_clusters_are_listed_with_their_losers(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(listed(project, capsys, "--json"))
    assert (found["policy"], found["clusters_in_all"], found["losers_in_all"]) == ("cleanest", 2, 3)
    first, second = found["clusters"]
    assert [(one["relation"], one["score"]) for one in first["members"]] == [("mirrored", 0.99), ("edited", 0.97)]
    assert first["keep"]["id"] not in {one["id"] for one in first["members"]}
    assert [one["relation"] for one in second["members"]] == ["recompressed"]
    assert all(len(one["sha256"]) == 64 for one in (first["keep"], *first["members"]))


def test_a_page_of_clusters_is_told_as_such(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    told = listed(project, capsys, "--limit", "1", "--offset", "1")
    assert "2 clusters, 1 shown, 3 copies beside those kept (the cleanest" in told
    assert "recompressed  1.0000" in told
    assert "mirrored" not in told


def test_regions_have_clusters_of_their_own(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(listed(project, capsys, "--json", "--level", "region"))
    assert [(len(one["members"]), one["members"][0]["relation"]) for one in found["clusters"]] == [(1, "edited")]
